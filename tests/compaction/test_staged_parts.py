"""Staged parts as one sequence of rows, and rows laid aside."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.compaction.merge import POSITION
from intercom.compaction.spill import SpillBuffer
from intercom.compaction.staged_parts import StagedParts
from tests.support.effort import effort

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])
SIZES = st.lists(st.integers(0, 6), max_size=6)  # rows of each part
HELD = st.sampled_from([0, 100, 1 << 20])


@contextmanager
def staged(sizes: Sequence[int], held_bytes: int = 0, row_group_size: int = 2) -> Iterator[tuple[StagedParts, Path]]:
    """Parts of rows whose id is their position, and the folder in which they lie."""
    with TemporaryDirectory() as folder:
        paths, first = [], 0
        for number, size in enumerate(sizes):
            ids = [str(position) for position in range(first, first + size)]
            rows = pa.table([ids, [name * 9 for name in ids]], schema=SCHEMA)
            paths.append(Path(folder, f"{number}.parquet"))
            pq.write_table(rows, paths[-1], row_group_size=row_group_size)
            first += size
        yield StagedParts(paths, SCHEMA, held_bytes), Path(folder)


def ids(rows: Any) -> list[int]:
    assert rows.schema.equals(SCHEMA)
    assert rows.column("text").to_pylist() == [name * 9 for name in rows.column("id").to_pylist()]
    return [int(name) for name in rows.column("id").to_pylist()]


@settings(max_examples=effort(13, 400))
@given(sizes=SIZES, held=HELD, data=st.data())
def test_rows_are_those_at_the_positions_whatever_is_held(sizes: list[int], held: int, data: st.DataObject) -> None:
    wanted = sorted(data.draw(st.sets(st.integers(0, sum(sizes) - 1)))) if sum(sizes) else []
    with staged(sizes, held) as (parts, _):
        keys = parts.keys(["id"])
        assert [int(name) for name in keys.column("id").to_pylist()] == keys.column(POSITION).to_pylist()
        assert keys.num_rows == sum(sizes)
        assert [each for rows in parts.rows(pa.array(wanted, pa.int64())) for each in ids(rows)] == wanted


@settings(max_examples=effort(20, 600))
@given(sizes=SIZES, held=HELD, spill=HELD, data=st.data())
def test_each_list_gets_its_rows_in_its_order_whatever_has_to_wait(
    sizes: list[int], held: int, spill: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(sum(sizes))))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=4))) if order else []
    wanted = [list(order[start:end]) for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    wanted = [positions for positions in wanted if positions]
    with staged(sizes, held) as (parts, folder):
        parts.keys(["id"])
        before = set(folder.iterdir())
        with SpillBuffer(folder / "target.parquet", spill) as aside:
            found = dict(parts.lists([pa.array(positions, pa.int64()) for positions in wanted], aside))
        assert {number: ids(rows) for number, rows in found.items()} == dict(enumerate(wanted))
        assert set(folder.iterdir()) == before


def test_interleaved_lists_read_each_row_group_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four lists that each want rows of every part: reading a part for each list would be 40 reads."""
    reads = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group, *args: reads.append(group) or read(file, group, *args)
    )
    with staged([8] * 10, row_group_size=8) as (parts, folder), SpillBuffer(folder / "target.parquet", 0) as spill:
        parts.keys(["id"])
        lists = [pa.array(range(79 - number, -1, -4), pa.int64()) for number in range(4)]
        assert sorted(len(rows) for _, rows in parts.lists(lists, spill)) == [20] * 4
    assert len(reads) == 10


def test_a_part_without_wanted_rows_is_not_opened() -> None:
    with staged([3, 3, 3]) as (parts, folder):
        parts.keys(["id"])
        (folder / "0.parquet").unlink()
        (folder / "2.parquet").unlink()
        assert [ids(rows) for rows in parts.rows(pa.array([4], pa.int64()))] == [[4]]


def test_small_parts_are_read_once_and_large_ones_are_not_kept() -> None:
    with staged([3, 3], held_bytes=1 << 20) as (parts, folder):
        parts.keys(["id"])
        for path in folder.iterdir():
            path.unlink()
        assert [each for rows in parts.rows(pa.array([1, 5], pa.int64())) for each in ids(rows)] == [1, 5]
    with staged([3, 3], held_bytes=1) as (parts, folder):
        parts.keys(["id"])
        (folder / "0.parquet").unlink()
        with pytest.raises(FileNotFoundError):
            list(parts.rows(pa.array([1], pa.int64())))


def test_hundreds_of_parts_need_few_open_files() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with staged([2] * 300) as (parts, _):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_highest_file() + 20, before[1]))
        try:
            keys = parts.keys(["id"])
            assert sum(rows.num_rows for rows in parts.rows(keys.column(POSITION).combine_chunks())) == 600
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _highest_file() -> int:
    with Path("/dev/null").open() as file:
        return max(file.fileno(), *(int(path.name) for path in Path("/dev/fd").iterdir()))


def test_tables_come_back_from_the_spill_buffer_and_its_files_go(tmp_path: Path) -> None:
    tables = [pa.table([[str(number)], ["x" * 50]], schema=SCHEMA) for number in range(6)]
    with SpillBuffer(tmp_path / "target.parquet", held_bytes=150) as spill:
        for number, rows in enumerate(tables):
            spill.put(number % 2, rows)
        assert list(tmp_path.iterdir())
        for number in (1, 0):
            found = pa.concat_tables(spill.take(number)).column("id").to_pylist()
            assert sorted(found) == [str(each) for each in range(number, 6, 2)]
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_spill_buffer_go_after_an_error_too(tmp_path: Path) -> None:
    def fail() -> None:
        with SpillBuffer(tmp_path / "target.parquet", held_bytes=0) as spill:
            spill.put(0, pa.table([["a"], ["x"]], schema=SCHEMA))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert list(tmp_path.iterdir()) == []
