"""Contact search: days, types and operators."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from intercom.sandbox import Workspace


def second(text: str, zone: str = "UTC") -> int:
    """Unix second of a local time such as 2025-03-09 23:59:59."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def search(api: requests.Session, query: Any, **body: Any) -> requests.Response:
    return api.post("/contacts/search", json={"query": query, **body})


def found(api: requests.Session, field: str, operator: str, value: Any) -> set[str]:
    answer = search(api, {"field": field, "operator": operator, "value": value})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total_count"] == len(answer.json()["data"])
    return {contact["name"] for contact in answer.json()["data"]}


def add_days(workspace: Workspace, zone: str, *days: str) -> None:
    """Contacts at the first, a middle and the last second of each local day, named for them."""
    for day in days:
        for time in ("00:00:00", "12:00:00", "23:59:59"):
            workspace.create("contacts", name=f"{day} {time}", updated_at=second(f"{day} {time}", zone))


ZONES = ["UTC", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland", "Asia/Kathmandu"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("time", ["00:00:00", "15:30:00", "23:59:59"])
def test_dates_are_compared_by_local_day(api: requests.Session, workspace: Workspace, zone: str, time: str) -> None:
    workspace.options.timezone = zone
    add_days(workspace, zone, "2025-05-01", "2025-05-02", "2025-05-03")
    value = second(f"2025-05-02 {time}", zone)
    assert {name[:10] for name in found(api, "updated_at", "=", value)} == {"2025-05-02"}
    assert {name[:10] for name in found(api, "updated_at", ">", value)} == {"2025-05-03"}
    assert {name[:10] for name in found(api, "updated_at", "<", value)} == {"2025-05-01"}
    assert len(found(api, "updated_at", "=", value)) == 3


def test_a_filter_by_a_returned_value_leaves_the_rest_of_that_day_out(
    api: requests.Session, workspace: Workspace
) -> None:
    workspace.create("contacts", name="seen", updated_at=second("2025-05-02 08:00:00"))
    workspace.create("contacts", name="changed an hour later", updated_at=second("2025-05-02 09:00:00"))
    assert found(api, "updated_at", ">", second("2025-05-02 08:00:00")) == set()


def test_a_filter_below_the_present_leaves_today_out(api: requests.Session, workspace: Workspace) -> None:
    workspace.create("contacts", name="today")
    assert found(api, "updated_at", "<", workspace.now() + 1) == set()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Los_Angeles", "2025-11-02", 25),
        ("America/Los_Angeles", "2025-03-09", 23),
        ("Pacific/Auckland", "2025-04-06", 25),
        ("Africa/Cairo", "2025-04-25", 23),  # the clock skips midnight itself
    ],
)
def test_days_on_which_the_clock_changes_have_their_real_length(
    api: requests.Session, workspace: Workspace, zone: str, day: str, hours: int
) -> None:
    workspace.options.timezone = zone
    start = second(f"{day} 12:00:00", zone)
    hits = range(start - 26 * 3600, start + 26 * 3600, 1800)
    for at in hits:
        workspace.create("contacts", name=str(at), updated_at=at)
    answer = search(api, {"field": "updated_at", "operator": "=", "value": start}, pagination={"per_page": 150}).json()
    times = [int(contact["name"]) for contact in answer["data"]]
    assert len(times) == hours * 2
    assert {str(datetime.fromtimestamp(at, ZoneInfo(zone)).date()) for at in times} == {day}


def test_86400_seconds_before_the_end_of_a_25_hour_day_is_still_that_day(
    api: requests.Session, workspace: Workspace
) -> None:
    zone = "America/Los_Angeles"
    workspace.options.timezone = zone
    last = second("2025-11-02 23:59:59", zone)
    workspace.create("contacts", name="late", updated_at=last)
    assert found(api, "updated_at", ">", last - 86_400) == set()
    assert found(api, "updated_at", ">", last - 172_800) == {"late"}


def test_mixed_buckets_miss_a_contact_by_its_own_value(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.timezone = "America/Los_Angeles"
    workspace.options.index_timezone = "UTC"
    at = second("2025-05-02 20:00:00", "America/Los_Angeles")  # already the third of May in UTC
    workspace.create("contacts", name="evening", updated_at=at)
    assert found(api, "updated_at", "=", at) == set()
    assert found(api, "updated_at", ">", at) == {"evening"}
    workspace.options.index_timezone = None
    assert found(api, "updated_at", "=", at) == {"evening"}


def test_the_other_reading_compares_contacts_by_second(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.contacts_by_second = True
    for at in (99, 100, 101):
        workspace.create("contacts", name=str(at), updated_at=at)
    assert found(api, "updated_at", ">", 100) == {"101"}
    assert found(api, "updated_at", "=", 100) == {"100"}
    assert found(api, "updated_at", "<", 100) == {"99"}


def test_created_at_above_zero_finds_all(seeded_api: requests.Session) -> None:
    answer = search(seeded_api, {"field": "created_at", "operator": ">", "value": 0}).json()
    assert answer["total_count"] == 400
    assert len(answer["data"]) == 50


@pytest.mark.parametrize("operator", [">=", "<=", "!=", "IN", "NIN", "~", "LIKE", None])
def test_other_operators_on_dates_are_refused(api: requests.Session, operator: str | None) -> None:
    value: Any = [1] if operator in ("IN", "NIN") else 1
    answer = search(api, {"field": "updated_at", "operator": operator, "value": value})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("updated_at", ">", "1700000000"),
        ("updated_at", ">", 1700000000.5),
        ("updated_at", ">", True),
        ("updated_at", ">", None),
        ("role", "=", 1),
        ("id", "IN", "5ba682d23d7cf92bef87bfd4"),
        ("id", "IN", [1]),
        ("owner_id", "=", "991267000"),
        ("has_hard_bounced", "=", "true"),
    ],
)
def test_a_value_of_another_type_is_refused(api: requests.Session, field: str, operator: str, value: Any) -> None:
    answer = search(api, {"field": field, "operator": operator, "value": value})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "type_mismatch")


@pytest.mark.parametrize(
    "query",
    [
        None,
        [],
        {},
        {"field": "shoe_size", "operator": "=", "value": 1},
        {"field": "role", "operator": "="},
        {"field": "id", "operator": ">", "value": "5"},
        {"operator": "AND", "value": []},
        {"operator": "AND", "value": {"field": "role", "operator": "=", "value": "user"}},
        {"field": "updated_at", "operator": ">", "value": 10**15},
    ],
)
def test_a_malformed_query_is_refused(api: requests.Session, query: Any) -> None:
    assert search(api, query).status_code == 400


def test_a_search_needs_a_query(api: requests.Session) -> None:
    assert api.post("/contacts/search", json={}).status_code == 400


def nested(depth: int) -> dict[str, Any]:
    query: dict[str, Any] = {"field": "role", "operator": "=", "value": "user"}
    for _ in range(depth):
        query = {"operator": "AND", "value": [query]}
    return query


def test_groups_nest_two_levels_deep_and_no_deeper(api: requests.Session) -> None:
    assert [search(api, nested(depth)).status_code for depth in range(4)] == [200, 200, 200, 400]


def test_a_group_has_fifteen_filters_at_most(api: requests.Session) -> None:
    one = {"field": "role", "operator": "=", "value": "user"}
    assert search(api, {"operator": "OR", "value": [one] * 15}).status_code == 200
    assert search(api, {"operator": "OR", "value": [one] * 16}).status_code == 400


def test_role_splits_the_contacts(api: requests.Session, workspace: Workspace) -> None:
    workspace.create("contacts", name="Ann", role="user")
    workspace.create("contacts", name="Bob", role="lead")
    assert found(api, "role", "=", "user") == {"Ann"}
    assert found(api, "role", "!=", "user") == {"Bob"}
    assert found(api, "role", "IN", ["user", "lead"]) == {"Ann", "Bob"}


def test_text_operators(api: requests.Session, workspace: Workspace) -> None:
    first = workspace.create("contacts", name="Ann", id="aaa1", email="ann@example.com")
    workspace.create("contacts", name="Bob", id="bbb2", email=None)
    assert found(api, "id", "=", first["id"]) == {"Ann"}
    assert found(api, "id", "IN", ["aaa1", "ccc3"]) == {"Ann"}
    assert found(api, "id", "NIN", ["aaa1"]) == {"Bob"}
    assert found(api, "id", "$", "2") == {"Bob"}
    assert found(api, "email", "^", "ann") == {"Ann"}
    assert found(api, "email", "~", "EXAMPLE") == {"Ann"}
    assert found(api, "email", "!~", "example") == {"Bob"}


def test_numbers_flags_tags_and_custom_attributes(api: requests.Session, workspace: Workspace) -> None:
    tags = {"type": "list", "data": [{"id": "7", "type": "tag"}]}
    attributes = {"seats": 4}
    workspace.create("contacts", name="Ann", owner_id=5, has_hard_bounced=True, tags=tags, custom_attributes=attributes)
    workspace.create("contacts", name="Bob", owner_id=None, has_hard_bounced=False, custom_attributes={"seats": "4"})
    assert found(api, "owner_id", ">", 4) == {"Ann"}
    assert found(api, "has_hard_bounced", "=", True) == {"Ann"}
    assert found(api, "tag_id", "=", "7") == {"Ann"}
    assert found(api, "custom_attributes.seats", "=", 4) == {"Ann"}
    assert found(api, "custom_attributes.seats", "=", "4") == {"Bob"}


def test_and_or_combine_filters(api: requests.Session, workspace: Workspace) -> None:
    for name, role, day in (("Ann", "user", "01"), ("Bob", "lead", "01"), ("Cem", "user", "05"), ("Dee", "lead", "09")):
        workspace.create("contacts", name=name, role=role, updated_at=second(f"2025-05-{day} 12:00:00"))
    late = {"field": "updated_at", "operator": ">", "value": second("2025-05-02 00:00:00")}
    exact = {"field": "updated_at", "operator": "=", "value": second("2025-05-01 00:00:00")}
    users = {"field": "role", "operator": "=", "value": "user"}
    query = {"operator": "AND", "value": [users, {"operator": "OR", "value": [late, exact]}]}
    assert {row["name"] for row in search(api, query).json()["data"]} == {"Ann", "Cem"}
    query = {"operator": "OR", "value": [users, late]}
    assert {row["name"] for row in search(api, query).json()["data"]} == {"Ann", "Cem", "Dee"}


def add_numbered(workspace: Workspace, count: int) -> None:
    """Contacts c0, c1, ... in the order of their times."""
    for number in range(count):
        at = second(f"2025-05-{number + 1:02} 12:00:00")
        workspace.create("contacts", name=f"c{number}", id=f"c{number}", created_at=at, updated_at=at)


def names(api: requests.Session, *parts: dict[str, Any], operator: str = "AND") -> list[str]:
    """Names by created_at, oldest first; the count has to agree."""
    sort = {"field": "created_at", "order": "ascending"}
    answer = search(api, {"operator": operator, "value": list(parts)}, sort=sort).json()
    assert answer["total_count"] == len(answer["data"])
    return [contact["name"] for contact in answer["data"]]


def since(day: str, field: str = "created_at") -> dict[str, Any]:
    return {"field": field, "operator": ">", "value": second(f"{day} 00:00:00")}


def ending(text: str) -> dict[str, Any]:
    return {"field": "id", "operator": "$", "value": text}


def test_searches_by_the_end_of_the_id_follow_each_change(api: requests.Session, workspace: Workspace) -> None:
    add_numbered(workspace, 15)
    assert names(api, since("2025-05-01"), ending("1")) == ["c1", "c11"]
    workspace.update("contacts", "c2", name="new c2", created_at=second("2025-05-20 00:00:00"))
    workspace.update("contacts", "c1", name="new c1", created_at=second("2025-05-21 00:00:00"))
    assert names(api, since("2025-05-01"), ending("1")) == ["c11", "new c1"]
    workspace.delete("contacts", "c11")
    assert names(api, since("2025-05-01"), ending("1")) == ["new c1"]
    assert names(api, since("2025-05-01"), ending("2")) == ["c12", "new c2"]


def test_several_ends_of_the_id_have_to_hold_together(api: requests.Session, workspace: Workspace) -> None:
    add_numbered(workspace, 15)
    assert names(api, since("2025-05-01"), ending("1"), ending("11")) == ["c11"]
    assert names(api, since("2025-05-01"), ending("1"), ending("2")) == []


def test_either_of_two_times_is_enough(api: requests.Session, workspace: Workspace) -> None:
    add_numbered(workspace, 6)
    workspace.update("contacts", "c1", updated_at=second("2025-05-20 00:00:00"))
    assert names(api, since("2025-05-04"), since("2025-05-10", "updated_at"), operator="OR") == ["c1", "c4", "c5"]
    ends = [{"operator": "AND", "value": [since("2025-05-03"), ending(digit)]} for digit in "45"]
    assert names(api, *ends, operator="OR") == ["c4", "c5"]


def test_dates_that_are_null_match_nothing(api: requests.Session, workspace: Workspace) -> None:
    workspace.create("contacts", name="never", last_seen_at=None)
    assert found(api, "last_seen_at", ">", 0) | found(api, "last_seen_at", "<", 2_000_000_000) == set()
