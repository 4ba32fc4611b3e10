"""Deleted rows against a model that knows one thing for each key: random histories of reads, removals and deaths.

A row is alive as long as the last thing that happened to it was that it was read; with `deleted: mark` it stays in the
lake in the version in which it was last alive, and else it is gone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.compaction.compact import compact_table
from intercom.compaction.remove import remove_rows
from intercom.lake.findings import missing_from
from intercom.lake.layout import TableFormat
from intercom.tables.table import Table
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import MemoryWatermarks
from tests.support.staged import COLUMNS, READ_WHOLE, SEARCHED, Row, StagedTable, read_at

MARKING = COLUMNS.configured(COLUMNS.rules, marks_deleted=True)
IDS = "abcd"
ROWS = st.builds(
    Row, st.sampled_from(IDS), st.sampled_from([0, 1, 2]), st.sampled_from([1, 2, 3]), st.sampled_from("xy")
)
SOME = st.lists(ROWS, max_size=3, unique_by=lambda row: row.id)


class Step(NamedTuple):
    """`rows` are read by a run of this kind, or the rows with these keys removed; it dies before the step `dies`."""

    kind: str
    rows: tuple[Row, ...] = ()
    keys: str = ""
    dies: int | None = None


DEATHS = st.none() | st.integers(1, 8)
STEPS = st.one_of(
    st.builds(Step, st.sampled_from(["some", "whole", "replaces", "waits"]), SOME.map(tuple), st.just(""), DEATHS),
    st.builds(Step, st.just("removed"), st.just(()), st.text(IDS, max_size=3), DEATHS),
)


class Model:
    """Key -> its newest version, with the run that has read it, and the time at which it was marked as deleted."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows: dict[str, tuple[tuple[int, int], Row, int | None]] = {}
        self.waiting: list[tuple[str, int, Sequence[Row]]] = []

    def merge(self) -> None:
        starts = [number for number, (kind, _, _) in enumerate(self.waiting) if kind == "replaces"]
        last = max((run for _, run, _ in self.waiting), default=0)
        if starts:
            self.waiting = self.waiting[starts[-1] :]
            read = {row.id for _, _, rows in self.waiting for row in rows}
            for id in self.rows.keys() - read:
                self._delete(id, last)
            self.rows = {id: entry for id, entry in self.rows.items() if entry[2] is not None}
        for _, run, rows in self.waiting:
            for row in rows:
                cursor = row.updated_at or 0
                version = (cursor, run) if self._table.reads_by_window else (run, cursor)
                there = self.rows.get(row.id)
                if there is None or version >= there[0] or (there[2] is not None and run > there[2]):
                    self.rows[row.id] = (version, row, None)
        self.waiting = []

    def remove(self, keys: str, time: int) -> None:
        for id in set(keys) & self.rows.keys():
            self._delete(id, time)

    def _delete(self, id: str, time: int) -> None:
        version, row, deleted = self.rows[id]
        self.rows[id] = (version, row, time if deleted is None else deleted)

    def seen(self, *, marks: bool) -> tuple[list[Row], dict[tuple[str], datetime | None]]:
        rows = {id: (row, at) for id, (_, row, at) in self.rows.items() if marks or at is None}
        times = {(id,): None if at is None else read_at(at) for id, (_, at) in rows.items()}
        return sorted(row for row, _ in rows.values()), times


def done(lake: StagedTable, step: Step, time: int, fuse: Fuse) -> None:
    """A merge or a removal, over a lake that dies before the chosen step."""
    store = FusedWatermarks(MemoryWatermarks(), fuse)
    lake_table = lake.lake_table(FusedLake(lake.url, fuse))
    with fused_commits(fuse):
        if step.kind == "removed":
            remove_rows(lake.table, lake_table, store, pa.array(list(step.keys), pa.string()), at=read_at(time))
        else:
            compact_table(lake.table, lake_table, store)


def lost_a_month(lake: StagedTable) -> bool:
    """Whether a merge died when it had dropped a month that its record names: the next run reads everything."""
    state, lake_table = lake.lake_table().state(), lake.lake_table()
    return state is not None and missing_from(state, lake_table.findings(state)) is not None


def check(table: Table, marks: bool, table_format: TableFormat, history: Sequence[Step]) -> None:
    table = replace(table, schema=MARKING) if marks else table
    with tempfile.TemporaryDirectory() as url:
        lake, model = StagedTable(url, table, table_format), Model(table)
        for step in [Step("some", (A, B)), *history, Step("some")]:
            if step.kind == "removed":
                lake.runs += 1
            else:
                lake.stage(step.rows, whole=step.kind == "whole", replaces=step.kind == "replaces")
                model.waiting.append((step.kind, lake.runs, step.rows))
                if step.kind == "waits":
                    continue
            if step.dies is not None:
                try:
                    done(lake, step, lake.runs, Fuse(step.dies))
                except Killed:
                    lake.deleted() if marks else lake.rows()  # a reader finds each key once
                    if step.kind == "removed" and lost_a_month(lake):
                        return
            done(lake, step, lake.runs, Fuse(None))
            model.merge()
            if step.kind == "removed":
                model.remove(step.keys, lake.runs)
                if not marks:
                    model.rows = {id: entry for id, entry in model.rows.items() if entry[2] is None}
            elif not marks:
                model.rows = {id: entry for id, entry in model.rows.items() if entry[2] is None}
            rows, times = model.seen(marks=marks)
            assert sorted(lake.rows()) == rows
            if marks:
                assert lake.deleted() == times
            state = lake.lake_table().state()
            assert state is not None
            if lost_a_month(lake):
                return
            assert (state.rows, state.alive) == (len(rows), sum(at is None for at in times.values()))


A, B = Row("a", 0, 2, "x"), Row("b", 1, 2, "x")
REMOVED_A = Step("removed", keys="a")
ways = given(
    table=st.sampled_from([SEARCHED, READ_WHOLE]),
    marks=st.booleans(),
    table_format=st.sampled_from([TableFormat.PARQUET] * 3 + [TableFormat.DELTA]),
    history=st.lists(STEPS, min_size=1, max_size=6),
)


@settings(max_examples=effort(8, 400), deadline=None)
@ways
def test_a_row_is_alive_if_it_was_read_since_it_was_deleted(
    table: Table, marks: bool, table_format: TableFormat, history: list[Step]
) -> None:
    check(table, marks, table_format, history)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([Step("some", (A,))], id="unchanged"),
        pytest.param([Step("some", (A._replace(updated_at=1),))], id="with an older cursor value"),
        pytest.param([Step("some", (A._replace(month=2, updated_at=1),))], id="in another month, older"),
        pytest.param(
            [Step("waits", (A._replace(month=2),)), Step("waits", (A._replace(month=0),))], id="in two months"
        ),
        pytest.param([Step("some", (A._replace(month=1),)), REMOVED_A, Step("some", (A,))], id="twice, in two months"),
        pytest.param([Step("whole", (A,))], id="in a read of everything"),
        pytest.param([Step("replaces", (A,))], id="in a full refresh that lacks others"),
        pytest.param([Step("replaces", (B,)), Step("replaces", (A, B))], id="after a full refresh that lacks it too"),
    ],
)
@pytest.mark.parametrize("marks", [True, False], ids=["mark", "remove"])
def test_a_row_that_comes_back_is_alive(marks: bool, then: list[Step]) -> None:
    for table in (SEARCHED, READ_WHOLE):
        check(table, marks, TableFormat.PARQUET, [REMOVED_A, *then])
