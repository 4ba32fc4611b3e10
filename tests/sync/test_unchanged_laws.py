"""Leaving out rows that are known makes no difference to the lake, whatever comes in whatever order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intercom.extract.pages import Page
from intercom.lake.row_digests import RowDigest
from intercom.normalise.records import text_of
from intercom.sync.unchanged import Kept, UnchangedRows
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table

SEARCHED, READ_WHOLE = TABLES["contacts"], TABLES["companies"]
assert not READ_WHOLE.reads_by_window
assert SEARCHED.reads_by_window


class Sent(NamedTuple):
    """A row as it is sent."""

    key: str
    version: int | None
    content: int


class Stored(NamedTuple):
    """A row of the lake, and the run that has brought it."""

    run: int
    sent: Sent


THREE = [Sent(key, 3, 0) for key in "abcd"]
ROWS = st.builds(Sent, st.sampled_from("abcd"), st.none() | st.integers(1, 4), st.integers(0, 2))
RUNS = st.lists(st.tuples(st.lists(ROWS, max_size=6), st.booleans()), min_size=1, max_size=5)


def page(rows: list[Sent]) -> Page:
    records: list[Any] = [
        {
            name: msgspec.Raw(msgspec.json.encode(value))
            for name, value in zip(("id", "updated_at", "name"), row, strict=True)
        }
        for row in rows
    ]
    return Page(1, "request", records)


def sent(read: Page) -> list[Sent]:
    return [
        Sent(*(msgspec.json.decode(record[name]) for name in ("id", "updated_at", "name"))) for record in read.records
    ]


def merged(table: Table, lake: dict[str, Stored], rows: list[Sent], run: int) -> dict[str, Stored]:
    """The lake after a merge, as `intercom.compaction.merge` decides."""

    def place(row: Stored) -> tuple[int, int]:
        version = -1 if row.sent.version is None else row.sent.version
        return (version, row.run) if table.reads_by_window else (row.run, version)

    staged: dict[str, Stored] = {}
    for row in rows:
        found = Stored(run, row)
        if row.key not in staged or place(found) >= place(staged[row.key]):
            staged[row.key] = found
    after = dict(lake)
    for key, found in staged.items():
        if key not in after or (place(found) > place(after[key]) and found.sent != after[key].sent):
            after[key] = found
    return after


@pytest.mark.parametrize("table", [SEARCHED, READ_WHOLE], ids=["searched", "read whole"])
@given(runs=RUNS, most=st.sampled_from([1, 2, 100]), recent=st.sampled_from([0, 1, 2, 10]))
@example(runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 0), Sent("a", 1, 1)], True)], most=100, recent=10)
@example(runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 1)], True), ([Sent("a", 2, 0)], True)], most=100, recent=10)
@example(runs=[([Sent("a", 2, 0), Sent("a", 1, 0)], True), ([Sent("a", 1, 0)], True)], most=100, recent=10)
@example(runs=[([Sent("a", 1, 0), Sent("a", 2, 1)], True), ([Sent("a", 1, 0)], True)], most=100, recent=10)
@example(
    runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 0), Sent("a", 1, 1), Sent("a", 1, 2)], True)], most=100, recent=10
)
@example(
    runs=[
        ([Sent("a", 4, 0), Sent("a", 3, 1), *THREE[1:], Sent("b", 3, 1), Sent("a", 3, 1)], True),
        ([Sent("a", 3, 1)], True),
    ],
    most=1,
    recent=10,
)
@example(
    runs=[([Sent("a", 2, 0), *THREE[1:], Sent("b", 3, 1), Sent("a", 1, 1)], True), ([Sent("a", 1, 1)], True)],
    most=1,
    recent=10,
)
def test_the_lake_is_the_same_as_if_every_row_was_staged(
    table: Table, runs: list[tuple[list[Sent], bool]], most: int, recent: int
) -> None:
    """Each run reads these rows, and knows those of the run before it or, as a repair does, none."""
    whole: dict[str, Stored] = {}
    lake: dict[str, Stored] = {}
    known: dict[bytes, RowDigest] = {}
    for number, (rows, knows) in enumerate(runs):
        unchanged = UnchangedRows(table, known if knows else {}, Kept(1, most, recent), run_start=3)
        staged = [row for one in rows for row in sent(unchanged.without(page([one])))]
        assert unchanged.left_out == len(rows) - len(staged)
        whole = merged(table, whole, rows, number)
        lake = merged(table, lake, staged, number)
        known = unchanged.for_the_next()
        assert len(known) <= most
        assert {key: row.sent for key, row in lake.items()} == {key: row.sent for key, row in whole.items()}


def test_a_row_that_comes_as_it_was_is_left_out_and_one_that_differs_is_not() -> None:
    rows = [Sent("a", 1, 0), Sent("b", 2, 0)]
    first = UnchangedRows(READ_WHOLE, run_start=9)
    assert sent(first.without(page(rows))) == rows
    second = UnchangedRows(READ_WHOLE, first.for_the_next(), run_start=9)
    read = replace(page([rows[0], Sent("b", 2, 1)]), newest=7)
    assert sent(second.without(read)) == [Sent("b", 2, 1)]
    assert second.without(read).newest == 7
    third = UnchangedRows(READ_WHOLE, second.for_the_next(), run_start=9)
    assert sent(third.without(page(rows))) == [rows[1]]


def test_a_row_that_was_read_before_and_not_in_this_run_stays_known_where_only_changes_are_read() -> None:
    first = UnchangedRows(SEARCHED, run_start=9)
    first.without(page([Sent("a", 1, 0), Sent("b", 2, 0)]))
    second = UnchangedRows(SEARCHED, first.for_the_next(), run_start=9)
    second.without(page([Sent("b", 3, 0)]))
    assert set(second.for_the_next()) == {b"a", b"b"}
    whole = UnchangedRows(READ_WHOLE, first.for_the_next(), run_start=9)
    whole.without(page([Sent("b", 3, 0)]))
    assert set(whole.for_the_next()) == {b"b"}  # where all is read, the other one may be gone


def test_rows_that_changed_last_are_kept_and_those_without_a_key_or_a_row_are_not() -> None:
    unchanged = UnchangedRows(SEARCHED, kept=Kept(1, 2, 9), run_start=9)
    unchanged.without(page([Sent(key, version, 0) for version, key in enumerate("abcdefgh")]))
    assert set(unchanged.for_the_next()) == {b"g", b"h"}
    failed = page([Sent("g", 6, 0)]).records[0]
    unchanged.forget(bytes(text_of(failed)))
    assert set(unchanged.for_the_next()) == {b"h"}
    nameless: Any = {"name": msgspec.Raw(b"1")}
    other = UnchangedRows(SEARCHED, run_start=9)
    assert other.without(Page(1, None, [nameless])).records == [nameless]
    assert other.for_the_next() == {}


def test_of_rows_that_seldom_change_few_are_kept_and_of_a_busy_table_those_of_the_last_days() -> None:
    kept = Kept(fewest=2, most=4, seconds=10)
    now = 100
    for versions, number in {
        (): 2,
        (50, 30, 10): 2,
        (99, 95, 91, 89): 4,
        (99, 95, 88, 80): 2,
        (100, 99, 98, 97, 96): 4,
        (500, 400, 95, 92, 89): 4,  # what is said to change later changes now
        (500, 95, 89): 2,
    }.items():
        assert kept.number(versions, now) == number, versions
    unchanged = UnchangedRows(SEARCHED, kept=kept, run_start=now)
    for at in (10, 20, 99, 30, 98, 97, 30):
        unchanged.without(page([Sent(f"row {at}", at, 0)]))
    assert set(unchanged.for_the_next()) == {b"row 97", b"row 98", b"row 99"}


def test_a_lookback_of_many_days_keeps_the_rows_that_it_reads_again() -> None:
    day = 86_400
    versions = [40 * day - number * 1_000 for number in range(3_000)]  # of the last 35 days
    of_two_days = Kept.of(SEARCHED, day).number(versions, 40 * day)
    assert of_two_days == Kept.of(SEARCHED).number(versions, 40 * day) == 1_000
    assert Kept.of(SEARCHED, 30 * day).number(versions, 40 * day) == 30 * day // 1_000 + 1
    assert Kept.of(READ_WHOLE, 30 * day) == Kept.of(READ_WHOLE)
