"""Children that a parent has no more: after an answer that had all, or the newest, they go, and the others stay."""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.compaction import column_reader
from intercom.compaction.compact import Compacted, compact_table
from intercom.compaction.marks import are_marks
from intercom.compaction.publish import MergeWork, PartitionResult, publish_partitions
from intercom.compaction.schema_change import migrate_columns
from intercom.errors import DamagedFileError
from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.read_marks import SIGN
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, Killed, fused_commits
from tests.support.rig import MemoryWatermarks, in_both_formats
from tests.support.staged import WatchedLake, folder
from tests.support.staged_children import COLUMNS, PARENT, PARTS, Child, Mark, StagedChildren, as_batch

A, B, C = 0, 1, 2
Answer = list[Child | Mark]


@pytest.fixture
def staged(tmp_path: Path, table_format: TableFormat) -> StagedChildren:
    """An empty table."""
    return StagedChildren(str(tmp_path / "lake"), PARTS, table_format)


def answer(parent: str, ids: str, month: int | None = A, *, mark: bool = True, body: str = "") -> Answer:
    """All children of a parent: one for each letter; they were created one second after the other, from "a" at 1."""
    children = [Child(id, parent, month, ord(id) - ord("a") + 1, body) for id in ids]
    return [*([Mark(parent, month)] if mark else []), *children]


def newest(parent: str, ids: str, month: int | None = A) -> Answer:
    """An answer that has only the newest children, from the first letter on."""
    return [Mark(parent, month, ord(ids[0]) - ord("a") + 1), *answer(parent, ids, month, mark=False)]


def merged(staged: StagedChildren, *answers: Answer, **kind: bool) -> Compacted:
    """Stage the answers as one run and merge, while a reader looks."""
    staged.stage([row for answer in answers for row in answer], **kind)
    state = staged.lake_table().state()
    return staged.compact(WatchedLake(staged) if state and state.rows else None)


def counts(done: Compacted) -> tuple[int, int, int, int]:
    return done.new, done.changed, done.unchanged, done.removed


# -- one parent -----------------------------------------------------------------------------------------------------


@in_both_formats
def test_a_child_that_an_answer_with_all_children_lacks_is_removed_and_counted(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc"), answer("Q", "xyz"))
    done = merged(staged, answer("P", "acd"))
    assert staged.ids() == ["a", "c", "d", "x", "y", "z"]
    assert (counts(done), done.rows, done.files) == ((1, 0, 2, 1), 6, 1)


@in_both_formats
def test_answers_with_what_is_stored_write_no_file(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    before = {path: path.read_bytes() for path in Path(staged.url).glob("data/**/*.parquet")}
    done = merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    assert (counts(done), done.rows, done.files) == ((0, 0, 6, 0), 6, 0)
    assert {path: path.read_bytes() for path in Path(staged.url).glob("data/**/*.parquet")} == before


def test_a_changed_child_is_changed_and_not_removed(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc"))
    done = merged(staged, answer("P", "abc", body="redacted"))
    assert counts(done) == (0, 3, 0, 0)
    assert {row.body for row in staged.rows()} == {"redacted"}


@in_both_formats
def test_a_parent_without_children_has_none_in_the_lake_and_a_month_without_rows_no_file(
    staged: StagedChildren,
) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B), answer("R", "", C))
    done = merged(staged, answer("P", "", A))
    assert (counts(done), done.rows) == ((0, 0, 0, 3), 3)
    assert staged.ids() == ["x", "y", "z"]
    assert {row.month for row in staged.rows()} == {B}
    if staged.table_format is TableFormat.PARQUET:
        assert [path.parent.name for path in Path(staged.url).glob("data/**/*.parquet")] == [folder(B)]


def test_an_answer_without_a_mark_removes_nothing(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc"))
    assert counts(merged(staged, answer("P", "cd", mark=False))) == (1, 0, 1, 0)
    assert staged.ids() == ["a", "b", "c", "d"]


def test_rows_of_an_answer_without_a_mark_go_with_the_next_that_has_one(staged: StagedChildren) -> None:
    staged.stage(answer("P", "ab", mark=False))
    assert counts(merged(staged, answer("P", "bc"))) == (2, 0, 0, 0)
    assert staged.ids() == ["b", "c"]


def test_620_children_of_which_an_answer_has_the_newest_500(staged: StagedChildren) -> None:
    def some(first: int, last: int, *, without: int | None = None, oldest: int | None = None) -> Answer:
        ids = [number for number in range(first, last) if number != without]
        return [Mark("P", A, oldest), *[Child(f"{number:03}", "P", A, number) for number in ids]]

    assert counts(merged(staged, some(0, 480))) == (480, 0, 0, 0)
    assert counts(merged(staged, some(120, 620, oldest=120))) == (140, 0, 360, 0)
    assert staged.ids() == [f"{number:03}" for number in range(620)]
    assert counts(merged(staged, some(119, 620, without=300, oldest=119))) == (0, 0, 500, 1)
    assert staged.ids() == [f"{number:03}" for number in range(620) if number != 300]
    assert counts(merged(staged, some(0, 300))) == (0, 0, 300, 319)


@in_both_formats
def test_of_children_in_the_second_of_the_oldest_one_none_is_taken_for_gone(staged: StagedChildren) -> None:
    tied = [Child("d", "P", A, 2), Child("e", "P", A, 2)]
    merged(staged, [*answer("P", "abc"), *tied])  # b, d and e at 2, c at 3
    done = merged(staged, [Mark("P", A, 2), Child("d", "P", A, 2), Child("f", "P", A, 4)])
    assert staged.ids() == ["a", "b", "d", "e", "f"]
    assert counts(done) == (1, 0, 1, 1)


def test_a_child_without_a_time_goes_only_if_all_came(staged: StagedChildren) -> None:
    merged(staged, [Mark("P"), Child("a", "P", A, None), Child("b", "P", A, 5)])
    merged(staged, [Mark("P", A, 1)])
    assert staged.ids() == ["a"]
    merged(staged, [Mark("P")])
    assert staged.ids() == []


def test_a_table_whose_answers_have_no_time_has_only_answers_with_all_children(tmp_path: Path) -> None:
    table = replace(PARTS, parent=replace(PARENT, cut_by=""))
    staged = StagedChildren(str(tmp_path / "lake"), table)
    merged(staged, answer("P", "abc"), answer("Q", "xyz"))
    assert counts(merged(staged, answer("P", "c"))) == (0, 0, 1, 2)


# -- a parent that is read twice ------------------------------------------------------------------------------------


@in_both_formats
@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
def test_of_a_parent_that_was_read_twice_the_second_answer_counts(staged: StagedChildren, counted: bool) -> None:
    staged.counted = counted
    done = merged(staged, answer("P", "abc"), answer("Q", "xyz"), answer("P", "bd"))
    assert staged.ids() == ["b", "d", "x", "y", "z"]
    assert counts(done) == (5, 0, 0, 0)


@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
@pytest.mark.parametrize("whole", [True, False])
def test_of_two_runs_that_wait_the_second_counts(staged: StagedChildren, counted: bool, whole: bool) -> None:
    staged.counted = counted
    merged(staged, answer("P", "abcd"), answer("Q", "xyz"))
    staged.stage(answer("P", "ace"))
    assert counts(merged(staged, answer("P", "af"), answer("R", "u"), whole=whole)) == (2, 0, 1, 3)
    assert staged.ids() == ["a", "f", "u", "x", "y", "z"]


def test_a_child_that_comes_back_is_there(staged: StagedChildren) -> None:
    merged(staged, answer("P", "ab"))
    staged.stage(answer("P", "a"))
    assert counts(merged(staged, answer("P", "ab"))) == (0, 0, 2, 0)


@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
def test_a_child_that_goes_to_another_parent_stays(staged: StagedChildren, counted: bool) -> None:
    """As the notes of a lead go to the user that it becomes: the lead has none any more."""
    staged.counted = counted
    merged(staged, answer("P", "ab", A), answer("Q", "x", B))
    assert counts(merged(staged, answer("Q", "axb", B), answer("P", "", A))) == (0, 2, 1, 0)
    assert {(row.id, row.parent, row.month) for row in staged.rows()} == {("a", "Q", B), ("b", "Q", B), ("x", "Q", B)}


@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
def test_a_child_that_goes_to_another_parent_in_the_same_run_stays(staged: StagedChildren, counted: bool) -> None:
    staged.counted = counted
    merged(staged, answer("P", "ab"), answer("P", "b"), answer("Q", "a"))
    assert {(row.id, row.parent) for row in staged.rows()} == {("a", "Q"), ("b", "P")}


def test_a_full_refresh_leaves_what_was_read_last(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    done = merged(staged, answer("P", "abd"), answer("P", "bd"), replaces=True)
    assert staged.ids() == ["b", "d"]
    assert counts(done) == (1, 0, 1, 5)


# -- a parent whose month changes -----------------------------------------------------------------------------------


@in_both_formats
def test_children_move_with_their_parent_and_those_that_are_gone_go(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", A))
    done = merged(staged, answer("P", "ac", B))
    assert {(row.id, row.month) for row in staged.rows() if row.parent == "P"} == {("a", B), ("c", B)}
    assert (counts(done), done.rows) == ((0, 2, 0, 1), 5)


@in_both_formats
def test_a_parent_that_moves_and_has_no_children_leaves_none_behind(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    done = merged(staged, answer("P", "", B))
    assert (counts(done), staged.ids()) == ((0, 0, 0, 3), ["x", "y", "z"])


@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
def test_a_parent_that_moves_between_two_runs_that_wait(staged: StagedChildren, counted: bool) -> None:
    staged.counted = counted
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", A))
    staged.stage(answer("P", "abcd", B))
    assert counts(merged(staged, answer("P", "ade", C))) == (2, 1, 0, 2)
    assert {(row.id, row.month) for row in staged.rows() if row.parent == "P"} == {("a", C), ("d", C), ("e", C)}


@pytest.mark.parametrize("counted", [True, False], ids=["few rows", "any number of rows"])
def test_marks_in_two_months_are_not_taken_for_rows_that_move(staged: StagedChildren, counted: bool) -> None:
    """There may be a million of them, which are never held one by one."""
    staged.counted = counted
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", A))
    staged.stage(answer("P", "abcd", B))
    staged.stage(answer("P", "ade", C))
    seen: list[str] = []

    def publish(table: Table, lake_table: Any, work: MergeWork) -> Sequence[PartitionResult]:
        seen.extend(key for month in work.months for key in (*month.left_out, *month.evicted, *month.stale))
        return publish_partitions(table, lake_table, work)

    compact_table(PARTS, staged.lake_table(), MemoryWatermarks(), publish=publish)
    assert set(seen) == {"a", "b", "c", "d"}


def test_a_parent_that_moves_leaves_behind_what_an_answer_could_not_have(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abcd", A))
    merged(staged, newest("P", "bd", B))
    assert {(row.id, row.month) for row in staged.rows()} == {("a", A), ("b", B), ("d", B)}


# -- crashes --------------------------------------------------------------------------------------------------------


@in_both_formats
def test_a_compaction_that_dies_at_any_step_is_repaired_by_the_next_one(staged: StagedChildren, tmp_path: Path) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "wxyz", B), answer("R", "lm", C))
    staged.stage([*answer("P", "ad", B), *answer("Q", "wx", A), *answer("R", "", C), *answer("Q", "wv", A)])
    expected = [("P", "a", B), ("P", "d", B), ("Q", "v", A), ("Q", "w", A)]
    stride = effort(3, 1)
    for burns_at in range(random.randint(1, stride), 60, stride):
        copy = replace(staged, url=str(tmp_path / f"copy-{burns_at}"))
        shutil.copytree(staged.url, copy.url)
        fuse = Fuse(burns_at)
        try:
            with fused_commits(fuse):
                copy.compact(FusedLake(copy.url, fuse))
        except Killed:
            assert len(copy.ids()) == len(set(copy.ids())), burns_at
            copy.compact()
            assert sorted((row.parent, row.id, row.month) for row in copy.rows()) == expected, burns_at
        else:
            assert burns_at > 5
            return
    pytest.fail("it never came to its end")


def test_merging_the_same_parts_again_changes_nothing(staged: StagedChildren) -> None:
    """As after a crash between the files and the record."""
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    staged.stage([*answer("P", "ad", B), *answer("Q", "x", B)])
    state, parts = staged.lake_table().state(), Path(staged.url) / "_staging"
    assert state is not None
    shutil.copytree(parts, parts.with_name("kept"))
    staged.compact()
    rows = sorted(staged.rows())
    now = staged.lake_table().state()
    assert now is not None
    staged.lake_table().save(replace(now, staged=state.staged))
    shutil.rmtree(parts, ignore_errors=True)
    parts.with_name("kept").rename(parts)
    done = staged.compact()
    assert (sorted(staged.rows()), done.files, counts(done)) == (rows, 0, (0, 0, 3, 0))


# -- marks ----------------------------------------------------------------------------------------------------------


@in_both_formats
@pytest.mark.parametrize("split", [True, False])
def test_no_mark_is_in_a_file_or_in_a_count(staged: StagedChildren, split: bool) -> None:
    staged.split = split
    done = merged(staged, answer("P", "a", A), answer("Q", "x", B), answer("R", "", C), answer("S", "", None))
    assert (counts(done), done.rows) == ((2, 0, 0, 0), 2)
    assert staged.ids() == ["a", "x"]
    state = staged.lake_table().state()
    assert state is not None
    assert sorted(state.partitions) == [folder(A).partition("=")[2], folder(B).partition("=")[2]]


def test_a_part_is_copied_as_the_file_of_a_new_month_only_if_it_has_no_mark(staged: StagedChildren) -> None:
    staged.split = True
    merged(staged, answer("P", "ab", A, mark=False), answer("Q", "xy", B))
    files = {
        path.parent.name: pq.read_table(path, partitioning=None).column("id").to_pylist()
        for path in Path(staged.url).glob("data/**/*.parquet")
    }
    assert files == {folder(A): ["a", "b"], folder(B): ["x", "y"]}


def test_marks_are_told_by_the_column_that_is_not_the_parents() -> None:
    rows = as_batch([Mark("P"), Child("a", "P"), Child("b", SIGN)], 1)
    assert are_marks(rows, PARTS).to_pylist() == [True, False, False]
    both = replace(PARTS, primary_key=("conversation_id", "id"))
    assert are_marks(rows, both).to_pylist() == [True, False, False]
    assert are_marks(rows, TABLES["conversations"]).to_pylist() == [False] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primary_key": ("conversation_id",)}, "has no key column of its own"),
        ({"parent": replace(PARENT, cut_by="body")}, "goes by times that are no timestamp: body"),
        ({"parent": replace(PARENT, cut_by="sent_at")}, "needs undeclared columns: sent_at"),
    ],
)
def test_a_table_that_cannot_have_marks_is_no_table(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARTS, **change)


# -- how it is read -------------------------------------------------------------------------------------------------


def test_only_row_groups_that_may_have_a_marked_parent_are_read(
    staged: StagedChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged(staged, answer("P1", "a", A), answer("Q1", "b", B), answer("Q2", "c", B), answer("R1", "d", C))
    opened: list[str] = []

    class Counting(pq.ParquetFile):  # type: ignore[misc]
        def __init__(self, source: Path) -> None:
            super().__init__(source, page_checksum_verification=True)
            self.of = source.parent.name if "data" in source.parts else ""

        def read_row_group(self, group: int, **options: Any) -> Any:
            opened.append(self.of)
            return super().read_row_group(group, **options)

    monkeypatch.setattr(column_reader, "open_parquet", Counting)
    merged(staged, answer("Q1", "", B))
    assert set(opened) == {folder(B)}


def test_a_damaged_file_that_may_have_stale_rows_is_named_with_its_cure(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    path = next(Path(staged.url).glob(f"data/*/*/{folder(A)}/data.parquet"))
    path.write_bytes(b"PAR1 nothing PAR1")
    staged.stage(answer("P", "", B))
    with pytest.raises(DamagedFileError, match=r"2026-01.*Run again: the whole table is read"):
        staged.compact()
    merged_again = merged_whole(staged)
    assert (staged.ids(), merged_again.rows) == (["x", "y", "z"], 3)


def merged_whole(staged: StagedChildren) -> Compacted:
    staged.stage([*answer("Q", "xyz", B), *answer("P", "", B)], whole=True)
    return staged.compact()


def test_months_are_merged_in_pieces_elsewhere(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    staged.stage([*answer("P", "ad", B), *answer("Q", "x", B)])

    def publish(table: Table, lake_table: Any, work: MergeWork) -> Sequence[PartitionResult]:
        pieces = pickle.loads(pickle.dumps(list(work.shared_out(1))))
        return [done for piece in pieces for done in publish_partitions(table, staged.lake_table(), piece)]

    done = compact_table(PARTS, staged.lake_table(), MemoryWatermarks(), publish=publish)
    assert (counts(done), staged.ids()) == ((1, 1, 1, 4), ["a", "d", "x"])


@in_both_formats
def test_marks_that_wait_count_before_the_columns_change(staged: StagedChildren) -> None:
    merged(staged, answer("P", "abc", A), answer("Q", "xyz", B))
    staged.stage(answer("P", "ad", A))
    state = staged.lake_table().state()
    assert state is not None
    wider = replace(PARTS, schema=TableSchema((*COLUMNS.fields, Column("part_type", ColumnKind.STRING))))
    migrate_columns(wider, staged.lake_table(), state, MemoryWatermarks())
    assert staged.ids() == ["a", "d", "x", "y", "z"]
    assert all(pa.types.is_string(rows.schema.field("part_type").type) for _, rows in staged._files())
