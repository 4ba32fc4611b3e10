"""Rows that move between months, in random histories: a table is what a dictionary of the newest versions says.

Keys of one column and of two, months by `created_at` and by another time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.compaction.moved_rows import decide, in_two_months, versions_schema
from intercom.tables.table import Table
from tests.support.effort import effort
from tests.support.staged import (
    READ_WHOLE,
    SEARCHED,
    TWO_COLUMNS,
    TWO_COLUMNS_READ_WHOLE,
    Row,
    StagedTable,
    WatchedLake,
)

KEYS = [("0", "12"), ("01", "2"), ("012", ""), ("0", "\x00"), ("0\x00", ""), ("1", "x")]
"""Keys of two columns that are the same once these are put together; the first makes one of one column."""
MONTHS = st.sampled_from([None, 0, 1, 2])
WAYS = [
    *((SEARCHED, True), (SEARCHED, False), (READ_WHOLE, True)),
    *((TWO_COLUMNS, True), (TWO_COLUMNS, False), (TWO_COLUMNS_READ_WHOLE, True)),
]
"""A few keys looked up, and all keys compared: since it is not known how much was staged, and since all was read."""

ROWS = st.builds(
    lambda key, *values: Row(key[0], *values, key[1]),
    *(st.sampled_from(KEYS), MONTHS, st.sampled_from([None, 1, 2, 3]), st.sampled_from("xyz")),
)
EVERYTHING = st.lists(ROWS, max_size=6, unique_by=lambda row: row.id)
RUNS = st.one_of(
    st.tuples(st.just("some"), st.lists(ROWS, max_size=6, unique_by=lambda row: (row.id, row.updated_at))),
    st.tuples(st.just("whole"), EVERYTHING),
    st.tuples(st.just("replaces"), EVERYTHING),
)
History = list[tuple[tuple[str, list[Row]], bool]]
"""Runs, how much each has read, and whether all that waits is merged after it."""


class Model:
    """Per key the newest version; `waiting` runs are merged by `compact`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows: dict[tuple[str, ...], tuple[tuple[int, ...], Row]] = {}
        self.waiting: list[tuple[str, int, Sequence[Row]]] = []

    def version(self, row: Row, run: int) -> tuple[int, ...]:
        cursor = -1 if row.updated_at is None else row.updated_at
        return (cursor, run) if self._table.reads_by_window else (run, cursor)

    def key(self, row: Row) -> tuple[str, ...]:
        return tuple(getattr(row, name) for name in self._table.primary_key)

    def compact(self) -> None:
        starts = [number for number, (kind, _, _) in enumerate(self.waiting) if kind == "replaces"]
        if starts:
            self.waiting, self.rows = self.waiting[starts[-1] :], {}
        for _, run, rows in self.waiting:
            for row in rows:
                version = self.version(row, run)
                if self.key(row) not in self.rows or version >= self.rows[self.key(row)][0]:
                    self.rows[self.key(row)] = (version, row)
        self.waiting = []


@settings(max_examples=effort(8, 250))
@given(
    way=st.sampled_from(WAYS),
    split=st.booleans(),
    one_process=st.booleans(),
    history=st.lists(st.tuples(RUNS, st.booleans()), min_size=1, max_size=6),
)
def test_each_key_is_left_once_in_its_newest_version_and_month(
    way: tuple[Table, bool], split: bool, one_process: bool, history: History
) -> None:
    check(*way, history, split=split, one_process=one_process)


@pytest.mark.parametrize(("split", "one_process"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("table", "counted"), WAYS)
def test_rows_move_in_each_way_of_finding_them(table: Table, counted: bool, split: bool, one_process: bool) -> None:
    """What few random examples may miss: rows of two months go to the third, one of a nearly equal key comes back."""
    stored = [Row(id, month, 1, "x", owner) for (id, owner), month in zip(KEYS, [0, 0, 1, 1, 2, 2], strict=True)]
    moved = [row._replace(month=2, updated_at=2) for row in (stored[1], stored[2])]
    back = [moved[0]._replace(month=0, updated_at=3)]
    history = [(("some", stored), True), (("some", moved), True), (("some", back), True)]
    check(table, counted, history, split=split, one_process=one_process)


def check(table: Table, counted: bool, history: History, *, split: bool, one_process: bool) -> None:
    with tempfile.TemporaryDirectory() as url:
        lake, model = StagedTable(url, table, counted=counted, split=split, one_process=one_process), Model(table)
        for (kind, rows), compact in [*history, (("some", []), True)]:
            lake.stage(rows, whole=kind == "whole", replaces=kind == "replaces")
            model.waiting.append((kind, lake.runs, rows))
            if not compact:
                continue
            before = {model.key(row): row for row in lake.rows()}
            keys = {model.key(row) for _, _, rows in model.waiting for row in rows}
            done = lake.compact(WatchedLake(lake))
            model.compact()
            assert sorted(lake.rows(), key=str) == sorted((row for _, row in model.rows.values()), key=str)
            after = {model.key(row): row for row in lake.rows()}
            assert done.new == len(after.keys() - before.keys())
            assert done.removed == len(before.keys() - after.keys())
            assert done.new + done.changed + done.unchanged == len(keys & after.keys())
            assert done.changed >= sum(before[key] != after[key] for key in before.keys() & after.keys())


# -- the decisions --------------------------------------------------------------------------------------------------

VERSIONS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("MNO"), st.integers(0, 2), st.integers(0, 2), st.booleans()),
    max_size=8,
)


@settings(max_examples=effort(20, 600))
@given(versions=VERSIONS, replaces=st.booleans())
def test_of_each_key_the_newest_version_and_nothing_of_other_months_is_left(
    versions: list[tuple[str, str, int, int, bool]], replaces: bool
) -> None:
    order = SEARCHED.newest_by
    places = [0 if one[-1] else place for place, one in enumerate(versions)]
    columns = [list(values) for values in zip(*versions, strict=True)] or [[]] * 5
    schema = versions_schema(order)
    arrays = [pa.array(values, kind.type) for values, kind in zip([*columns, places], schema, strict=True)]
    table = pa.table(arrays, schema=schema)
    found = decide(table, order, replaces=replaces)
    for key in "ab":
        rows = [(*one, place) for one, place in zip(versions, places, strict=True) if one[0] == key]
        if not rows:
            continue
        best = max(rows, key=lambda one: (replaces and not one[4], *one[2:], one[1]))
        home, stored = best[1], {one[1] for one in rows if one[4]}
        staged = {one[1] for one in rows if not one[4]}
        assert {month for month, keys in found.left_out.items() if key in keys} == staged - {home}
        assert {month for month, keys in found.evicted.items() if key in keys} == stored - {home}
        moved = not best[4] and home not in stored and bool(stored)
        assert {month for month, keys in found.gained.items() if key in keys} == ({home} if moved else set())


@settings(max_examples=effort(13, 400))
@given(
    staged=st.dictionaries(st.sampled_from("MNO"), st.lists(st.integers(-9, 9))),
    stored=st.dictionaries(st.sampled_from("MNO"), st.lists(st.integers(-9, 9))),
    at_a_time=st.sampled_from([1, 4, 1 << 20]),
)
def test_hashes_in_two_months_are_found_in_whatever_shares(
    staged: dict[str, list[int]], stored: dict[str, list[int]], at_a_time: int
) -> None:
    def arrays(months: dict[str, list[int]]) -> dict[str, Any]:
        return {month: pa.array(hashes, pa.int64()) for month, hashes in months.items()}

    found = in_two_months(arrays(staged), arrays(stored), at_a_time=at_a_time).to_pylist()
    lies = {value: {month for months in (staged, stored) for month, values in months.items() if value in values}
            for values in staged.values() for value in values}  # fmt: skip
    assert sorted(found) == sorted(value for value, months in lies.items() if len(months) > 1)
