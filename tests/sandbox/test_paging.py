"""Conversation filters by second, and what all searches share: sort, cursors, pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

EVERYTHING = {"field": "created_at", "operator": ">", "value": 0}
ASCENDING = {"field": "updated_at", "order": "ascending"}


def search(api: requests.Session, query: Any = EVERYTHING, table: str = "conversations", **body: Any) -> dict[str, Any]:
    answer = api.post(f"/{table}/search", json={"query": query, **body})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def pages(api: requests.Session, per_page: int, table: str = "conversations", **body: Any) -> Iterator[dict[str, Any]]:
    """Read to the end as section "search" tells: until there is no cursor."""
    cursor = None
    while True:
        pagination = {"per_page": per_page, "starting_after": cursor}
        page = search(api, table=table, pagination=pagination, **body)
        yield page
        cursor = ((page.get("pages") or {}).get("next") or {}).get("starting_after")
        if not cursor:
            return


def ids(page: dict[str, Any]) -> list[str]:
    records: list[dict[str, Any]] = page["conversations" if "conversations" in page else "data"]
    return [record["id"] for record in records]


def add(workspace: Workspace, *times: int) -> None:
    """Conversations whose id is their updated_at, in hundreds."""
    for at in times:
        workspace.create("conversations", id=f"{at}00", created_at=50, updated_at=at)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("=", 100, {100}),
        ("!=", 100, {99, 101}),
        (">", 100, {101}),
        ("<", 100, {99}),
        (">=", 100, {100, 101}),
        ("<=", 100, {99, 100}),
        ("IN", [99, 101], {99, 101}),
        ("NIN", [99, 101], {100}),
    ],
)
def test_conversations_are_compared_by_second(
    api: requests.Session, workspace: Workspace, operator: str, value: Any, expected: set[int]
) -> None:
    add(workspace, 99, 100, 101)
    page = search(api, {"field": "updated_at", "operator": operator, "value": value})
    assert {row["updated_at"] for row in page["conversations"]} == expected


def test_in_the_other_reading_bounds_are_inclusive(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.inclusive_bounds = True
    add(workspace, 99, 100, 101)
    above = search(api, {"field": "updated_at", "operator": ">", "value": 100})
    below = search(api, {"field": "updated_at", "operator": "<", "value": 100})
    assert {row["updated_at"] for row in above["conversations"]} == {100, 101}
    assert {row["updated_at"] for row in below["conversations"]} == {99, 100}


def test_conversation_flags_and_nested_fields(api: requests.Session, workspace: Workspace) -> None:
    workspace.create("conversations", id="1", open=True, source={"type": "email"})
    workspace.create("conversations", id="2", open=False, source={"type": "push"})
    assert ids(search(api, {"field": "open", "operator": "=", "value": True})) == ["1"]
    assert ids(search(api, {"field": "source.type", "operator": "=", "value": "push"})) == ["2"]


def test_a_search_page_has_the_documented_shape(api: requests.Session, workspace: Workspace) -> None:
    add(workspace, 1, 2, 3)
    page = search(api, sort=ASCENDING, pagination={"per_page": 2})
    assert page["type"] == "conversation.list"
    assert page["total_count"] == 3
    following = page["pages"].pop("next")
    assert page["pages"] == {"type": "pages", "page": 1, "per_page": 2, "total_pages": 2}
    assert (following["page"], following["per_page"]) == (2, 2)
    assert isinstance(following["starting_after"], str)


def test_without_hits_there_are_no_pages(api: requests.Session) -> None:
    page = search(api)
    assert (page["conversations"], page["total_count"], page["pages"]["total_pages"]) == ([], 0, 0)


def test_the_last_page_has_a_null_next_or_none_in_turn(api: requests.Session, workspace: Workspace) -> None:
    ends = [search(api)["pages"] for _ in range(6)]
    assert ["next" in end for end in ends] == [True, False] * 3
    assert ends[0]["next"] is None
    workspace.options.search_end = ("no_cursor", "pages_null", "pages_absent")
    assert "starting_after" not in search(api)["pages"]["next"]
    assert search(api)["pages"] is None
    assert "pages" not in search(api)


@pytest.mark.parametrize(("table", "size"), [("contacts", 50), ("conversations", 20)])
def test_default_page_sizes(seeded_api: requests.Session, table: str, size: int) -> None:
    page = search(seeded_api, table=table)
    assert len(ids(page)) == page["pages"]["per_page"] == size


@pytest.mark.parametrize("per_page", [0, 151, -1, "50", True, 1.5])
def test_page_sizes_beyond_1_to_150_are_refused(api: requests.Session, per_page: Any) -> None:
    answer = api.post("/contacts/search", json={"query": EVERYTHING, "pagination": {"per_page": per_page}})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")


def test_paging_in_the_query_string_is_ignored(seeded_api: requests.Session) -> None:
    body = {"query": EVERYTHING, "sort": ASCENDING, "pagination": {"page": 3}}
    answer = seeded_api.post("/contacts/search?page=2&per_page=7&starting_after=x", json=body).json()
    assert ids(answer) == ids(search(seeded_api, table="contacts", sort=ASCENDING))


@pytest.mark.parametrize("cursor", ["nonsense!", "bm9uc2Vuc2U=", "WzFd", 7, ["x"]])
def test_a_broken_cursor_is_refused(api: requests.Session, cursor: Any) -> None:
    answer = api.post("/contacts/search", json={"query": EVERYTHING, "pagination": {"starting_after": cursor}})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")


@pytest.mark.parametrize("field", ["updated_at", "created_at", "id"])
@pytest.mark.parametrize("order", ["ascending", "asc", "descending", "desc"])
@pytest.mark.parametrize("per_page", [33, 150])
def test_every_record_comes_once_in_the_order_asked_for(
    seeded: SandboxServer, seeded_api: requests.Session, field: str, order: str, per_page: int
) -> None:
    rows = seeded.workspace.rows("contacts")
    expected = sorted(rows, key=lambda row: (row[field], row["id"]), reverse=order.startswith("desc"))
    read = pages(seeded_api, per_page, "contacts", sort={"field": field, "order": order})
    assert [key for page in read for key in ids(page)] == [row["id"] for row in expected]


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_range_on_another_field_than_the_sort_is_complete(
    seeded: SandboxServer, seeded_api: requests.Session, order: str
) -> None:
    rows = [row for row in seeded.workspace.rows("conversations") if row["updated_at"] > 1_700_000_000]
    query = {"field": "updated_at", "operator": ">", "value": 1_700_000_000}
    read = list(pages(seeded_api, 11, query=query, sort={"field": "created_at", "order": order}))
    assert sorted(key for page in read for key in ids(page)) == sorted(row["id"] for row in rows)
    assert {page["total_count"] for page in read} == {len(rows)}


def test_sorting_uses_the_second_although_filters_use_the_day(api: requests.Session, workspace: Workspace) -> None:
    for at in (1_700_000_003, 1_700_000_001, 1_700_000_002):
        workspace.create("contacts", updated_at=at)
    page = search(api, table="contacts", sort=ASCENDING)
    assert [row["updated_at"] - 1_700_000_000 for row in page["data"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "sort", [{"field": "name", "order": "ascending"}, {"field": "id", "order": "up"}, {}, "updated_at"]
)
def test_a_sort_that_is_not_supported_is_refused(api: requests.Session, sort: Any) -> None:
    answer = api.post("/contacts/search", json={"query": EVERYTHING, "sort": sort})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")


def test_sortable_fields_can_be_fewer_or_more(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.sortable_fields = {"updated_at", "name"}
    by_name = {"field": "name", "order": "descending"}
    for name in ("b", None, "c", "a"):
        workspace.create("contacts", name=name)
    read = pages(api, 1, "contacts", sort=by_name)
    assert [row["name"] for page in read for row in page["data"]] == ["c", "b", "a", None]
    body = {"query": EVERYTHING, "sort": {"field": "created_at"}}
    assert api.post("/contacts/search", json=body).status_code == 400


def test_without_a_sort_the_order_is_no_order_but_the_same_each_time(seeded_api: requests.Session) -> None:
    once, again = search(seeded_api, table="contacts"), search(seeded_api, table="contacts")
    assert ids(once) == ids(again)
    for field in ("id", "created_at", "updated_at"):
        values = [row[field] for row in once["data"]]
        assert values not in (sorted(values), sorted(values, reverse=True))


def test_a_cursor_does_not_shift_when_records_before_it_go_or_come(api: requests.Session, workspace: Workspace) -> None:
    add(workspace, 11, 12, 13, 14, 15)
    reader = pages(api, 2, sort=ASCENDING)
    assert ids(next(reader)) == ["1100", "1200"]
    workspace.delete("conversations", "1200")  # the very record that the cursor names
    add(workspace, 10)
    assert ids(next(reader)) == ["1300", "1400"]
    assert ids(next(reader)) == ["1500"]


def test_a_cursor_is_no_snapshot(api: requests.Session, workspace: Workspace) -> None:
    add(workspace, 11, 12, 13)
    reader = pages(api, 1, sort=ASCENDING)
    assert ids(next(reader)) == ["1100"]
    workspace.delete("conversations", "1200")
    add(workspace, 14)
    assert [ids(page) for page in reader] == [["1300"], ["1400"]]


def test_ascending_a_record_changed_in_mid_read_comes_again_at_the_end(
    api: requests.Session, workspace: Workspace
) -> None:
    add(workspace, 11, 12, 13)
    reader = pages(api, 1, sort=ASCENDING)
    assert ids(next(reader)) == ["1100"]
    workspace.update("conversations", "1100")
    assert [ids(page) for page in reader] == [["1200"], ["1300"], ["1100"]]


def test_descending_a_record_changed_in_mid_read_moves_behind_the_reader(
    api: requests.Session, workspace: Workspace
) -> None:
    add(workspace, 11, 12, 13)
    reader = pages(api, 1, sort={"field": "updated_at", "order": "descending"})
    assert ids(next(reader)) == ["1300"]
    workspace.update("conversations", "1100")
    assert [ids(page) for page in reader] == [["1200"]]


def test_the_page_size_may_change_between_pages(api: requests.Session, workspace: Workspace) -> None:
    add(workspace, 11, 12, 13, 14)
    first = search(api, sort=ASCENDING, pagination={"per_page": 3})
    cursor = first["pages"]["next"]["starting_after"]
    second = search(api, sort=ASCENDING, pagination={"per_page": 1, "starting_after": cursor})
    assert ids(second) == ["1400"]


def test_empty_pages_in_the_middle_lose_nothing(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.empty_page_every = 2
    add(workspace, 11, 12, 13)
    read = list(pages(api, 1, sort=ASCENDING))
    assert [ids(page) for page in read] == [["1100"], [], ["1200"], [], ["1300"]]
    cursors = [page["pages"]["next"]["starting_after"] for page in read[:-1]]
    assert len(set(cursors)) == len(cursors)


def test_pages_above_a_size_can_be_too_heavy(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.heavy_above["/conversations/search"] = 37
    answer = api.post("/conversations/search", json={"query": EVERYTHING, "pagination": {"per_page": 38}})
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "text/html"
    assert search(api, pagination={"per_page": 37})["total_count"] == 0


def test_the_count_of_a_query_follows_changes(api: requests.Session, workspace: Workspace) -> None:
    users = {"field": "role", "operator": "=", "value": "user"}
    contact = workspace.create("contacts", role="user")
    assert search(api, users, "contacts")["total_count"] == 1
    workspace.update("contacts", contact["id"], role="lead")
    assert search(api, users, "contacts")["total_count"] == 0
