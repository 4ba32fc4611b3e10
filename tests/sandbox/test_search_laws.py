"""Laws that hold for any zone, any records and any query: checked against the plainest way to say the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.sandbox import Workspace
from intercom.sandbox.search.days import day_span
from tests.support.effort import effort

ZONES = (
    "UTC",
    "America/Los_Angeles",
    "America/Santiago",  # clocks change at midnight
    "America/Havana",  # midnight comes twice
    "Africa/Cairo",  # midnight is skipped
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # clocks change by half an hour
    "Pacific/Auckland",
    "Pacific/Kiritimati",
    "Pacific/Apia",  # 30 December 2011 did not happen
)
seconds = st.integers(0, 2_000_000_000)
near = st.integers(1_745_000_000, 1_745_600_000)  # a week around the change of clocks in Cairo


def wall_date(second: int, zone: str) -> date:
    return datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone)).date()


@given(second=seconds, zone=st.sampled_from(ZONES))
@settings(max_examples=effort(100, 3000))
def test_a_day_begins_and_ends_where_the_wall_date_changes(second: int, zone: str) -> None:
    start, end = day_span(second, zone, zone)
    assert start <= second < end
    assert wall_date(start, zone) == wall_date(second, zone) == wall_date(end - 1, zone)
    assert wall_date(start - 1, zone) < wall_date(second, zone) < wall_date(end, zone)


filters = st.one_of(
    st.builds(
        lambda field, operator, value: {"field": field, "operator": operator, "value": value},
        st.sampled_from(["created_at", "updated_at"]),
        st.sampled_from(["=", ">", "<"]),
        near,
    ),
    st.builds(
        lambda operator, value: {"field": "role", "operator": operator, "value": value},
        st.sampled_from(["=", "!="]),
        st.sampled_from(["user", "lead"]),
    ),
    st.builds(
        lambda operator, value: {"field": "id", "operator": operator, "value": value},
        st.sampled_from(["^", "$"]),
        st.sampled_from(["0", "1", "11", "c", ""]),
    ),
)


def groups(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    values = st.lists(parts, min_size=1, max_size=3)
    return st.builds(lambda name, value: {"operator": name, "value": value}, st.sampled_from(["AND", "OR"]), values)


def matches(query: Any, row: dict[str, Any], zone: str) -> bool:
    if query["operator"] in ("AND", "OR"):
        return (all if query["operator"] == "AND" else any)(matches(part, row, zone) for part in query["value"])
    have, want = row[query["field"]], query["value"]
    if query["field"] == "id":
        return bool(have.startswith(want) if query["operator"] == "^" else have.endswith(want))
    if query["field"] != "role":
        have, want = wall_date(have, zone), wall_date(want, zone)
    return bool({"=": have == want, "!=": have != want, ">": have > want, "<": have < want}[query["operator"]])


@given(
    times=st.lists(st.tuples(near, near, st.sampled_from(["user", "lead"])), max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), st.none() | near), max_size=4),
    query=st.one_of(filters, groups(st.one_of(filters, groups(filters)))),
    zone=st.sampled_from(ZONES),
    sort=st.sampled_from(["created_at", "updated_at", "id", None]),
    descending=st.booleans(),
    per_page=st.integers(1, 5),
)
@settings(max_examples=effort(50, 1500), deadline=timedelta(seconds=5))
def test_a_search_read_to_its_end_gives_just_the_rows_that_match(
    times: list[tuple[int, int, str]],
    changes: list[tuple[int, int | None]],
    query: Any,
    zone: str,
    sort: str | None,
    descending: bool,
    per_page: int,
) -> None:
    workspace = Workspace(timezone=zone)
    for number, (created, updated, role) in enumerate(times):
        workspace.create("contacts", id=f"c{number}", created_at=created, updated_at=updated, role=role)
    order = {"field": sort, "order": "descending" if descending else "ascending"}
    body: dict[str, Any] = {"query": query, "pagination": {"per_page": per_page}, **({"sort": order} if sort else {})}
    search, read, more = workspace.searches["contacts"], [], True
    search.page(search.read(body))  # makes the sorted views that the changes have to reach
    for number, updated in changes:
        if f"c{number}" in workspace.tables["contacts"]:
            _change(workspace, f"c{number}", updated)
    expected = [row for row in workspace.rows("contacts") if matches(query, row, zone)]
    while more:
        page = search.page(search.read(body))
        assert page.total_count == len(expected)
        assert len(page.keys) <= per_page
        read += page.keys
        more = page.next is not None
        if page.next is not None:
            body["pagination"]["starting_after"] = page.next.encode()
    if sort:
        expected.sort(key=lambda row: (row[sort], row["id"]), reverse=descending)
        assert read == [row["id"] for row in expected]
    assert sorted(read) == sorted(row["id"] for row in expected)


def _change(workspace: Workspace, key: str, updated: int | None) -> None:
    """A contact changes at this second, or goes."""
    if updated is None:
        workspace.delete("contacts", key)
    else:
        workspace.update("contacts", key, updated_at=updated)
