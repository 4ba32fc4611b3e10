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
from intercom.sync.unchanged import UnchangedRows
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table

SEARCHED, READ_WHOLE = TABLES["contacts"], TABLES["companies"]
assert READ_WHOLE.read_whole
assert not SEARCHED.read_whole


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
        return (row.run, version) if table.read_whole else (version, row.run)

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
@given(runs=RUNS, most=st.sampled_from([1, 2, 100]))
@example(runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 0), Sent("a", 1, 1)], True)], most=100)
@example(runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 1)], True), ([Sent("a", 2, 0)], True)], most=100)
@example(runs=[([Sent("a", 2, 0), Sent("a", 1, 0)], True), ([Sent("a", 1, 0)], True)], most=100)
@example(runs=[([Sent("a", 1, 0), Sent("a", 2, 1)], True), ([Sent("a", 1, 0)], True)], most=100)
@example(runs=[([Sent("a", 2, 0)], True), ([Sent("a", 2, 0), Sent("a", 1, 1), Sent("a", 1, 2)], True)], most=100)
@example(
    runs=[
        ([Sent("a", 4, 0), Sent("a", 3, 1), *THREE[1:], Sent("b", 3, 1), Sent("a", 3, 1)], True),
        ([Sent("a", 3, 1)], True),
    ],
    most=1,
)
@example(
    runs=[([Sent("a", 2, 0), *THREE[1:], Sent("b", 3, 1), Sent("a", 1, 1)], True), ([Sent("a", 1, 1)], True)], most=1
)
def test_the_lake_is_the_same_as_if_every_row_was_staged(
    table: Table, runs: list[tuple[list[Sent], bool]], most: int
) -> None:
    """Each run reads these rows, and knows those of the run before it or, as a repair does, none."""
    whole: dict[str, Stored] = {}
    lake: dict[str, Stored] = {}
    known: dict[bytes, RowDigest] = {}
    for number, (rows, knows) in enumerate(runs):
        unchanged = UnchangedRows(table, known if knows else {}, most)
        staged = [row for one in rows for row in sent(unchanged.without(page([one])))]
        assert unchanged.left_out == len(rows) - len(staged)
        whole = merged(table, whole, rows, number)
        lake = merged(table, lake, staged, number)
        known = unchanged.for_the_next()
        assert len(known) <= most
        assert {key: row.sent for key, row in lake.items()} == {key: row.sent for key, row in whole.items()}


def test_a_row_that_comes_as_it_was_is_left_out_and_one_that_differs_is_not() -> None:
    rows = [Sent("a", 1, 0), Sent("b", 2, 0)]
    first = UnchangedRows(READ_WHOLE)
    assert sent(first.without(page(rows))) == rows
    second = UnchangedRows(READ_WHOLE, first.for_the_next())
    read = replace(page([rows[0], Sent("b", 2, 1)]), newest=7)
    assert sent(second.without(read)) == [Sent("b", 2, 1)]
    assert second.without(read).newest == 7
    third = UnchangedRows(READ_WHOLE, second.for_the_next())
    assert sent(third.without(page(rows))) == [rows[1]]


def test_a_row_that_was_read_before_and_not_in_this_run_stays_known_where_only_changes_are_read() -> None:
    first = UnchangedRows(SEARCHED)
    first.without(page([Sent("a", 1, 0), Sent("b", 2, 0)]))
    second = UnchangedRows(SEARCHED, first.for_the_next())
    second.without(page([Sent("b", 3, 0)]))
    assert set(second.for_the_next()) == {b"a", b"b"}
    whole = UnchangedRows(READ_WHOLE, first.for_the_next())
    whole.without(page([Sent("b", 3, 0)]))
    assert set(whole.for_the_next()) == {b"b"}  # where all is read, the other one may be gone


def test_rows_that_changed_last_are_kept_and_those_without_a_key_or_a_row_are_not() -> None:
    unchanged = UnchangedRows(SEARCHED, most=2)
    unchanged.without(page([Sent(key, version, 0) for version, key in enumerate("abcdefgh")]))
    assert set(unchanged.for_the_next()) == {b"g", b"h"}
    failed = page([Sent("g", 6, 0)]).records[0]
    unchanged.forget(bytes(text_of(failed)))
    assert set(unchanged.for_the_next()) == {b"h"}
    nameless: Any = {"name": msgspec.Raw(b"1")}
    other = UnchangedRows(SEARCHED)
    assert other.without(Page(1, None, [nameless])).records == [nameless]
    assert other.for_the_next() == {}
