"""The merge of one partition, with literal rows, and the sizes at which it streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intercom.compaction.partition import PartitionMerge
from intercom.compaction.row_counts import RowCounts
from intercom.errors import SchemaError
from intercom.lake.parquet import ROW_GROUP_BYTES, ROW_GROUP_ROWS, RowGroupWriter
from tests.support.parquet import write_parquet

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("id", pa.string()), ("updated_at", TIME), ("name", pa.string()), ("_ingested_at", TIME)])
NEWEST_BY = ("updated_at", "_ingested_at")
DAY = 24 * 60 * 60 * 10**6

Row = tuple[str, int | None, str | None, int]  # id, day of the change, name, day of the ingestion
Write = Callable[..., Path]
Merge = Callable[..., tuple[RowCounts, list[Row]]]


def table(rows: Sequence[Row]) -> Any:
    ids, changed, names, ingested = zip(*rows, strict=True) if rows else ((), (), (), ())
    days = [[None if day is None else day * DAY for day in column] for column in (changed, ingested)]
    times = [pa.array(column, pa.int64()).cast(TIME) for column in days]
    return pa.table([pa.array(ids, pa.string()), times[0], pa.array(names, pa.string()), times[1]], schema=SCHEMA)


def rows_of(path: Path) -> list[Row]:
    read = pq.read_table(path)
    assert read.schema.equals(SCHEMA)

    def day(time: datetime | None) -> int | None:
        return None if time is None else (time - datetime(1970, 1, 1, tzinfo=UTC)).days

    return [(r["id"], day(r["updated_at"]), r["name"], day(r["_ingested_at"]) or 0) for r in read.to_pylist()]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_rows(name: str, rows: Sequence[Row], row_group_size: int = 1_000_000) -> Path:
        return write_parquet(tmp_path / name, table(rows), row_group_size)

    return write_rows


@pytest.fixture
def merge(write: Write, tmp_path: Path) -> Merge:
    """Merges parts into stored rows; gives what the merge found and the rows of the partition after it."""

    def merged(
        stored: Sequence[Row] | None, *parts: Sequence[Row], replaces: bool = False, row_group_size: int = 1_000_000
    ) -> tuple[RowCounts, list[Row]]:
        old = None if stored is None else write("stored.parquet", stored, row_group_size)
        paths = [write(f"part-{number}.parquet", rows, row_group_size) for number, rows in enumerate(parts)]
        (tmp_path / "new.parquet").unlink(missing_ok=True)
        result = run(old, paths, tmp_path / "new.parquet", replaces=replaces)
        assert (tmp_path / "new.parquet").exists() == bool(result.files)
        after = tmp_path / "new.parquet" if result.files else old
        return result, [] if after is None else rows_of(after)

    return merged


def run(stored: Path | None, parts: Sequence[Path], target: Path, *, replaces: bool = False) -> RowCounts:
    merge = PartitionMerge(stored, parts, SCHEMA, primary_key=("id",), newest_by=NEWEST_BY, replaces=replaces)
    try:
        return merge.write(target, "v1")
    finally:
        merge.close()


# -- which version stays ------------------------------------------------------------------------------------------


def test_a_newer_row_takes_the_place_of_the_stored_one(merge: Merge) -> None:
    result, rows = merge([("a", 1, "old", 1), ("b", 1, "kept", 1)], [("a", 2, "new", 2)])
    assert sorted(rows) == [("a", 2, "new", 2), ("b", 1, "kept", 1)]
    assert result == RowCounts(rows=2, changed=1, files=1)


def test_an_older_row_that_arrives_late_is_dropped(merge: Merge) -> None:
    result, rows = merge([("a", 2, "new", 1)], [("a", 1, "old", 9)])
    assert rows == [("a", 2, "new", 1)]
    assert result == RowCounts(rows=1, unchanged=1)


def test_a_row_that_was_merely_read_again_keeps_its_time_of_ingestion(merge: Merge) -> None:
    result, rows = merge([("a", 1, "same", 1)], [("a", 1, "same", 2)])
    assert rows == [("a", 1, "same", 1)]
    assert result == RowCounts(rows=1, unchanged=1)


def test_a_change_that_did_not_move_the_cursor_is_taken_from_the_later_run(merge: Merge) -> None:
    result, rows = merge([("a", 1, "old", 1)], [("a", 1, "new", 2)])
    assert rows == [("a", 1, "new", 2)]
    assert result.changed == 1


@pytest.mark.parametrize("ingested", [1, 2])
def test_a_row_that_was_not_read_later_does_not_take_the_place_of_its_equal(merge: Merge, ingested: int) -> None:
    _, rows = merge([("a", 1, "stored", 2)], [("a", 1, "staged", ingested)])
    assert rows == [("a", 1, "stored", 2)]


def test_the_last_row_read_wins_among_equal_versions_of_one_run(merge: Merge) -> None:
    _, rows = merge(None, [("a", 1, "first", 1), ("a", 1, "second", 1)], [("a", 1, "third", 1)])
    assert rows == [("a", 1, "third", 1)]


def test_a_row_with_a_cursor_value_beats_one_without(merge: Merge) -> None:
    assert merge([("a", None, "none", 1)], [("a", -9_000, "some", 1)])[1] == [("a", -9_000, "some", 1)]
    assert merge([("a", -9_000, "some", 1)], [("a", None, "none", 2)])[1] == [("a", -9_000, "some", 1)]


def test_rows_without_cursor_values_are_decided_by_ingestion(merge: Merge) -> None:
    _, rows = merge([("a", None, "old", 1)], [("a", None, "new", 2)])
    assert rows == [("a", None, "new", 2)]


def test_new_and_changed_and_unchanged_keys_are_counted_once_each(merge: Merge) -> None:
    stored: list[Row] = [("same", 1, "x", 1), ("changed", 1, "x", 1), ("alone", 1, "x", 1)]
    staged: list[Row] = [("same", 1, "x", 2), ("changed", 2, "y", 2), ("changed", 3, "z", 2), ("new", 1, "x", 2)]
    result, rows = merge(stored, staged, staged)
    assert result == RowCounts(rows=4, new=1, changed=1, unchanged=1, files=1)
    assert len(rows) == 4


@pytest.mark.parametrize("order", ["abcd", "dcba", "bcda", "dabc", "cabd", "bdac"])
@pytest.mark.parametrize("replaces", [False, True])
def test_rows_are_compared_with_their_own_key_whatever_the_order(merge: Merge, order: str, replaces: bool) -> None:
    stored: list[Row] = [(key, 1, f"name of {key}", 1) for key in "abcd"]
    again: list[Row] = [(key, 1, f"name of {key}", 2) for key in order]
    assert merge(stored, again[:3], again[3:], replaces=replaces, row_group_size=3)[0] == RowCounts(rows=4, unchanged=4)
    changed: list[Row] = [("c", 1, "other", 2) if row[0] == "c" else row for row in again]
    _, rows = merge(stored, changed, replaces=replaces)
    assert sorted(rows) == sorted([*(row for row in stored if row[0] != "c"), ("c", 1, "other", 2)])


def test_stored_rows_keep_their_order_and_new_ones_follow(merge: Merge) -> None:
    stored: list[Row] = [("d", 1, None, 1), ("c", 1, None, 1), ("b", 1, None, 1), ("a", 1, None, 1)]
    _, rows = merge(stored, [("c", 2, None, 2), ("e", 2, None, 2)], row_group_size=2)
    assert [row[0] for row in rows] == ["d", "b", "a", "c", "e"]


@pytest.mark.parametrize("parts", [[], [[]], [[], []]])
def test_parts_without_rows_change_nothing(merge: Merge, parts: list[list[Row]]) -> None:
    assert merge([("a", 1, "x", 1)], *parts) == (RowCounts(rows=1), [("a", 1, "x", 1)])
    assert merge(None, *parts) == (RowCounts(rows=0), [])


def test_an_empty_stored_file_takes_every_row(merge: Merge) -> None:
    assert merge([], [("a", 1, "x", 1)]) == (RowCounts(rows=1, new=1, files=1), [("a", 1, "x", 1)])


# -- replacing ----------------------------------------------------------------------------------------------------


def test_replacing_removes_what_was_not_read_and_takes_older_rows_too(merge: Merge) -> None:
    stored: list[Row] = [("gone", 1, "x", 1), ("same", 1, "x", 1), ("back", 5, "later", 1)]
    staged: list[Row] = [("same", 1, "x", 2), ("back", 2, "earlier", 2), ("new", 1, "x", 2)]
    result, rows = merge(stored, staged, replaces=True, row_group_size=1)
    assert sorted(rows) == [("back", 2, "earlier", 2), ("new", 1, "x", 2), ("same", 1, "x", 1)]
    assert result == RowCounts(rows=3, new=1, changed=1, unchanged=1, removed=1, files=1)


def test_replacing_by_the_same_rows_writes_nothing(merge: Merge) -> None:
    result, _ = merge([("a", 1, "x", 1), ("b", 1, None, 1)], [("b", 1, None, 2), ("a", 1, "x", 2)], replaces=True)
    assert result == RowCounts(rows=2, unchanged=2)


def test_replacing_by_nothing_leaves_an_empty_file_of_the_same_columns(merge: Merge) -> None:
    assert merge([("a", 1, "x", 1)], replaces=True) == (RowCounts(rows=0, removed=1, files=1), [])


# -- files --------------------------------------------------------------------------------------------------------


def with_other_columns(path: Path) -> Path:
    pq.write_table(table([("a", 1, "x", 1), ("gone", 1, "x", 1)]).drop_columns(["name"]), path)
    return path


def test_a_stored_file_of_other_columns_is_refused_and_the_cure_is_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "created_month=2026-01").mkdir()
    old = with_other_columns(tmp_path / "created_month=2026-01" / "data.parquet")
    with pytest.raises(SchemaError, match=r"created_month=2026-01/data\.parquet .*--full-refresh"):
        run(old, [write("part.parquet", [("a", 2, "y", 2)])], tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()


def test_a_stored_file_of_other_columns_is_written_anew_when_replaced(write: Write, tmp_path: Path) -> None:
    old = with_other_columns(tmp_path / "old.parquet")
    part = write("part.parquet", [("a", 1, "x", 2)])
    result = run(old, [part], tmp_path / "new.parquet", replaces=True)
    assert result.files
    assert result.rows == 1
    assert rows_of(tmp_path / "new.parquet") == [("a", 1, "x", 2)]


def test_a_stored_file_of_other_columns_is_written_anew_when_it_is_replaced_by_nothing(tmp_path: Path) -> None:
    old = with_other_columns(tmp_path / "old.parquet")
    result = run(old, [], tmp_path / "new.parquet", replaces=True)
    assert result.files
    assert rows_of(tmp_path / "new.parquet") == []


def test_merging_reads_its_inputs_and_leaves_them_as_they_are(write: Write, tmp_path: Path) -> None:
    stored, part = write("stored.parquet", [("a", 1, "x", 1)]), write("part.parquet", [("a", 2, "y", 2)])
    before = (stored.read_bytes(), part.read_bytes())
    run(stored, [part], tmp_path / "new.parquet")
    run(None, [part], tmp_path / "copy.parquet")
    (tmp_path / "copy.parquet").write_bytes(b"")
    assert (stored.read_bytes(), part.read_bytes()) == before


def test_a_new_month_in_one_part_is_the_part_itself(write: Write, tmp_path: Path) -> None:
    part = write("part.parquet", [("b", 1, "x", 1), ("a", 1, "y", 1)])
    run(None, [part], tmp_path / "new.parquet")
    assert (tmp_path / "new.parquet").read_bytes() == part.read_bytes()


def test_many_small_parts_of_a_new_month_become_one_row_group(merge: Merge, tmp_path: Path) -> None:
    result, rows = merge(None, *[[(f"{number:03}", 1, "x", 1)] for number in range(120)])
    assert result == RowCounts(rows=120, new=120, files=1)
    assert [row[0] for row in rows] == [f"{number:03}" for number in range(120)]
    assert pq.read_metadata(tmp_path / "new.parquet").num_row_groups == 1


def many(count: int, *, changed: Callable[[int], bool], ingested: int) -> Any:
    names = pa.array(["changed" if changed(number) else "same" for number in range(count)])
    ids = pa.array([f"{number:06}" for number in range(count)])
    times = [pa.array([day * DAY] * count).cast(TIME) for day in (1, ingested)]
    return pa.table([ids, times[0], names, times[1]], schema=SCHEMA)


@pytest.mark.parametrize("replaces", [False, True])
def test_more_rows_than_are_compared_at_a_time_are_all_compared(tmp_path: Path, replaces: bool) -> None:
    """All keys meet with equal cursor values; only the first and the last row of the partition differ."""
    count = 100_001
    stored, part = tmp_path / "stored.parquet", tmp_path / "part.parquet"
    pq.write_table(many(count, changed=lambda number: False, ingested=1), stored)
    pq.write_table(many(count, changed=lambda number: number in (0, count - 1), ingested=2).take(
        pa.array(range(count - 1, -1, -1))), part)  # fmt: skip
    result = run(stored, [part], tmp_path / "new.parquet", replaces=replaces)
    assert result == RowCounts(rows=count, changed=2, unchanged=count - 2, files=1)
    names = pq.read_table(tmp_path / "new.parquet").column("name").to_pylist()
    assert sorted(names)[:2] == ["changed", "changed"]
    assert names.count("changed") == 2


def test_rows_that_were_read_in_another_order_are_compared_beyond_memory(tmp_path: Path) -> None:
    """68 MB in four stored row groups; every part has rows of all of them, so that rows have to be laid aside."""
    (tmp_path / "new").mkdir()
    stored: list[Row] = [(f"{number:02}", 1, f"{number:02}" * 850_000, 1) for number in range(40)]
    again: list[Row] = [(key, 1, "changed" if key == "17" else name, 2) for key, _, name, _ in stored]
    paths = [tmp_path / f"part-{number}.parquet" for number in range(4)]
    for number, path in enumerate(paths):
        pq.write_table(table(again[number::4]), path)
    pq.write_table(table(stored), tmp_path / "stored.parquet", row_group_size=10)
    result = run(tmp_path / "stored.parquet", paths, tmp_path / "new" / "new.parquet")
    assert result == RowCounts(rows=40, changed=1, unchanged=39, files=1)
    expected = [again[17] if row[0] == "17" else row for row in stored]
    assert sorted(rows_of(tmp_path / "new" / "new.parquet")) == expected
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["new.parquet"]


# -- the writer ---------------------------------------------------------------------------------------------------


def row_groups(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_row_groups_are_bounded_in_rows(tmp_path: Path) -> None:
    rows = many(ROW_GROUP_ROWS // 2, changed=lambda number: False, ingested=1)
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        for _ in range(5):
            writer.add(rows)
    assert row_groups(tmp_path / "x.parquet") == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, ROW_GROUP_ROWS // 2]


def test_row_groups_are_bounded_in_bytes(tmp_path: Path) -> None:
    long = table([("a", 1, "x" * (ROW_GROUP_BYTES // 2), 1)])
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        for _ in range(3):
            writer.add(long)
    assert row_groups(tmp_path / "x.parquet") == [2, 1]


def test_slices_of_large_rows_count_as_what_they_hold(tmp_path: Path) -> None:
    rows = table([(str(number), 1, "x" * (ROW_GROUP_BYTES // 8), 1) for number in range(12)])
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        for number in range(12):
            writer.add(rows.slice(number, 1))
    assert row_groups(tmp_path / "x.parquet") == [8, 4]


def test_row_groups_that_lost_some_rows_are_not_joined(tmp_path: Path) -> None:
    shrunk = table([("a", 1, "x" * (ROW_GROUP_BYTES * 9 // 10), 1)])
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        for _ in range(3):
            writer.add(shrunk)
    assert row_groups(tmp_path / "x.parquet") == [1, 1, 1]


def test_rows_of_more_bytes_than_a_row_group_are_cut_evenly(tmp_path: Path) -> None:
    rows = table([(str(number), 1, "x" * (ROW_GROUP_BYTES // 4), 1) for number in range(9)])
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        writer.add(table([("a", 1, "x", 1)]))
        writer.add(rows)
    assert row_groups(tmp_path / "x.parquet") == [5, 5]


def test_a_writer_without_rows_makes_an_empty_file_of_the_schema(tmp_path: Path) -> None:
    with RowGroupWriter(tmp_path / "x.parquet", SCHEMA, "v1") as writer:
        writer.add(table([]))
    assert rows_of(tmp_path / "x.parquet") == []
