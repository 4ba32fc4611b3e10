"""Rows that are gone from Intercom, removed from the files or marked in them, in both formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.compaction.remove import find_keys, remove_rows, with_keys, with_parents
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.schema_change import migrate_columns
from intercom.errors import DamagedFileError, LakeError
from intercom.lake.findings import missing_from
from intercom.lake.layout import TableFormat
from intercom.lake.state import TableState
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import MemoryWatermarks, in_both_formats
from tests.support.staged import COLUMNS, SEARCHED, TWO_COLUMNS, Row, StagedTable, WatchedLake, read_at

MARKING = COLUMNS.configured(COLUMNS.rules, marks_deleted=True)
A, B, C, D = (Row(name, month, 1, "x") for name, month in (("a", 0), ("b", 0), ("c", 1), ("d", 2)))
both_ways = pytest.mark.parametrize("marks", [False, True], ids=["remove", "mark"])


def staged(tmp_path: Path, *, marks: bool, table_format: TableFormat = TableFormat.PARQUET) -> StagedTable:
    """Four rows in three months, read by the first run."""
    table = replace(SEARCHED, schema=MARKING) if marks else SEARCHED
    lake = StagedTable(str(tmp_path), table, table_format)
    lake.stage([A, B, C, D])
    lake.compact()
    return lake


def removed(lake: StagedTable, keys: Sequence[str], run: int = 5) -> RowCounts:
    chosen = pa.array(keys, pa.string())
    return remove_rows(lake.table, lake.lake_table(), MemoryWatermarks(), chosen, at=read_at(run))


def record(lake: StagedTable) -> TableState:
    state = lake.lake_table().state()
    assert state is not None
    return state


def assert_kept_well(lake: StagedTable) -> None:
    """The record is that of the files: stamps, rows, footers; and nothing is under way."""
    state, lake_table = record(lake), lake.lake_table()
    assert state.rewriting is None
    assert {month: entry.stamp for month, entry in state.partitions.items()} == lake_table.published()
    for month, entry in state.partitions.items():
        with lake_table.files.fetch(month) as path:
            assert entry.rows == pq.read_metadata(path).num_rows
    assert lake_table.findings(state).versions == {}


@in_both_formats
def test_rows_are_gone_and_a_month_without_rows_too(tmp_path: Path, table_format: TableFormat) -> None:
    lake = staged(tmp_path, marks=False, table_format=table_format)
    before = lake.lake_table().published()
    assert removed(lake, ["b", "c", "z"]) == RowCounts(rows=2, removed=2, files=2)
    assert sorted(lake.rows()) == [A, D]
    after = lake.lake_table().published()
    assert after.keys() == {"2026-01", "2026-03"}
    assert after["2026-03"] == before["2026-03"]
    assert_kept_well(lake)


@in_both_formats
def test_rows_are_marked_once_and_stay(tmp_path: Path, table_format: TableFormat) -> None:
    lake = staged(tmp_path, marks=True, table_format=table_format)
    assert removed(lake, ["b", "c"]) == RowCounts(rows=4, removed=2, files=2)
    assert removed(lake, ["b", "d"], run=6) == RowCounts(rows=4, removed=1, files=1)
    assert sorted(lake.rows()) == [A, B, C, D]
    assert lake.deleted() == {("a",): None, ("b",): read_at(5), ("c",): read_at(5), ("d",): read_at(6)}
    assert_kept_well(lake)


@both_ways
def test_what_is_staged_is_merged_first(tmp_path: Path, marks: bool) -> None:
    lake = staged(tmp_path, marks=marks)
    moved = B._replace(month=3, updated_at=2)
    lake.stage([moved])
    assert removed(lake, ["b"]).removed == 1
    assert sorted(lake.rows()) == ([A, moved, C, D] if marks else [A, C, D])


@both_ways
def test_a_row_that_was_read_since_stays(tmp_path: Path, marks: bool) -> None:
    lake = staged(tmp_path, marks=marks)
    lake.stage([B._replace(updated_at=2)])
    assert removed(lake, ["a", "b"], run=1).removed == 1
    assert Row("b", 0, 2, "x") in lake.rows()
    assert not marks or lake.deleted()["b",] is None


@both_ways
def test_nothing_is_written_when_no_row_is_there(tmp_path: Path, marks: bool) -> None:
    lake = staged(tmp_path, marks=marks)
    before = lake.lake().stamps("")
    assert removed(lake, ["z"]) == RowCounts(rows=4)
    assert removed(lake, []) == RowCounts(rows=4)
    assert lake.lake().stamps("") == before


@both_ways
def test_later_runs_read_after_the_time_and_stage_what_comes_unchanged(tmp_path: Path, marks: bool) -> None:
    lake = staged(tmp_path, marks=marks)
    lake_table = lake.lake_table()
    lake_table.save(replace(record(lake), digests="a mark"))
    removed(lake, ["b"], run=5)
    assert (record(lake).ingested_at, record(lake).digests) == (read_at(5), None)
    removed(lake, ["c"], run=4)
    assert record(lake).ingested_at == read_at(5)


def test_keys_of_several_columns(tmp_path: Path) -> None:
    lake = StagedTable(str(tmp_path), TWO_COLUMNS)
    lake.stage([Row("a", 0, 1, "x", "1"), Row("a", 0, 1, "x", "2"), Row("a1", 1, 1, "x", "")])
    lake.compact()
    assert removed(lake, ["a\x001"]).removed == 1
    assert sorted((row.id, row.owner_id) for row in lake.rows()) == [("a", "2"), ("a1", "")]


@both_ways
def test_children_of_parents_are_found_and_go(tmp_path: Path, marks: bool) -> None:
    """`owner_id` stands for the column with the parent's key."""
    lake = staged(tmp_path, marks=marks)
    lake.stage([Row("e", 1, 2, "x", "p1"), Row("f", 2, 2, "x", "p1"), Row("g", 2, 2, "x", "p2")])
    lake.compact()
    parents = pa.array(["p1", "p9"], pa.string())
    choice = replace(with_keys(lake.table, parents), columns=("owner_id",))
    choice = replace(choice, are_chosen=lambda rows: pa.compute.is_in(rows.column("owner_id"), value_set=parents))
    assert sorted(find_keys(lake.table, lake.lake_table(), choice).to_pylist()) == ["e", "f"]
    assert remove_rows(lake.table, lake.lake_table(), MemoryWatermarks(), choice, at=read_at(5)).removed == 2
    assert find_keys(lake.table, lake.lake_table(), choice).to_pylist() == []


def test_a_child_table_names_the_column_of_its_parents() -> None:
    choice = with_parents(TABLES["conversation_parts"], pa.array(["1"]))
    assert choice.columns == ("conversation_id",)
    rows = pa.table({"conversation_id": ["1", "2", None]})
    assert choice.are_chosen(rows).to_pylist() == [True, False, False]
    with pytest.raises(ValueError, match="no parent"):
        with_parents(TABLES["contacts"], pa.array(["1"]))


# -- runs that die --------------------------------------------------------------------------------------------------


def killed(lake: StagedTable, keys: Sequence[str], step: int) -> bool:
    """Whether a removal died before this step."""
    fuse = Fuse(step)
    with fused_commits(fuse):
        try:
            lake_table = lake.lake_table(FusedLake(lake.url, fuse))
            chosen = pa.array(keys, pa.string())
            remove_rows(lake.table, lake_table, FusedWatermarks(MemoryWatermarks(), fuse), chosen, at=read_at(5))
        except Killed:
            return True
    return False


PARQUET, DELTA = TableFormat.PARQUET, TableFormat.DELTA


@pytest.mark.parametrize(
    ("marks", "table_format", "then"),
    [
        *((False, PARQUET, "again"), (True, DELTA, "again")),
        *((True, PARQUET, "merge"), (False, PARQUET, "other columns")),
    ],
)
def test_a_removal_that_died_before_any_step_is_repaired(
    tmp_path: Path, marks: bool, table_format: TableFormat, then: str
) -> None:
    """One month loses a row, one all, one none; afterwards comes the same call, a migration, or a run with new rows."""
    for step in count(1):
        lake = staged(tmp_path / str(step), marks=marks, table_format=table_format)
        died = killed(lake, ["b", "c"], step)
        left = {row.id for row in lake.rows() if marks is False or lake.deleted()[row.id,] is None}
        assert {"a", "d"} <= left
        state, lake_table = record(lake), lake.lake_table()
        assert missing_from(state, lake_table.findings(state)) is None
        if then == "merge":
            lake.stage([Row("e", 1, 2, "x"), Row("a", 0, 2, "y")])
            lake.compact()
            assert {row.id for row in lake.rows()} >= left | {"e"}
        elif then == "other columns":
            wider = replace(lake.table.schema, fields=(*COLUMNS.fields, Column("more", ColumnKind.STRING)))
            table = replace(lake.table, schema=wider)
            migrate_columns(table, lake_table, state, MemoryWatermarks())
            assert {row.id for row in lake.rows()} >= left
            lake.table = table
        removed(lake, ["b", "c"], run=7)
        alive = [key for key, time in lake.deleted().items() if time is None] if marks else map(lake.key, lake.rows())
        assert {id for (id,) in alive} == {"a", "d"} | ({"e"} if then == "merge" else set())
        assert_kept_well(lake)
        if not died:
            assert step > 4
            return


@both_ways
def test_no_reader_finds_a_row_twice(tmp_path: Path, marks: bool) -> None:
    lake = staged(tmp_path, marks=marks)
    watched = WatchedLake(lake)
    remove_rows(lake.table, lake.lake_table(watched), MemoryWatermarks(), pa.array(["a", "d"]), at=read_at(5))
    assert watched.missing
    assert set().union(*watched.missing) == (set() if marks else {("a",), ("d",)})


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_nothing_is_removed_from_files_that_are_not_the_record_s(tmp_path: Path) -> None:
    lake = staged(tmp_path, marks=False)
    (tmp_path / lake.lake_table().paths.published("2026-02")).unlink()
    with pytest.raises(LakeError, match=r"contacts.*2026-02.*Nothing was changed"):
        removed(lake, ["a"])
    assert A in lake.rows()


def test_a_damaged_file_is_noted_and_left(tmp_path: Path) -> None:
    lake = staged(tmp_path, marks=False)
    path = tmp_path / lake.lake_table().paths.published("2026-01")
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    state = record(lake)
    entry = replace(state.partitions["2026-01"], stamp=lake.lake_table().files.stamp("2026-01"))
    lake.lake_table().save(replace(state, partitions={**state.partitions, "2026-01": entry}))
    with pytest.raises(DamagedFileError, match=r"2026-01.*damaged"):
        removed(lake, ["a"])


def test_a_table_that_the_lake_does_not_have(tmp_path: Path) -> None:
    assert removed(StagedTable(str(tmp_path)), ["a"]) == RowCounts()
