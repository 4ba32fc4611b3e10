"""Merges one partition: reads local Parquet files and writes a new local Parquet file, streaming.

There are two passes over the stored file. The first pass reads key columns and decides which rows are kept. If a staged
row has the same version as the stored one, the full rows are compared, so that an unchanged table is not rewritten. The
second pass copies the kept rows, one row group after the other, and appends the newest staged rows. Memory holds the
key columns of the staged rows and a few row groups, whatever the size of the partition. Each file is read at most once
per pass.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined, numbers, slice_between, taken
from intercom.compaction.deleted import alive, marked
from intercom.compaction.keys import KEY, keys_of
from intercom.compaction.marks import begins_with_sign
from intercom.compaction.merge import (
    POSITION,
    KeyMatches,
    key_columns,
    match_in_order,
    match_keys,
    newest_positions,
    same_content,
    versions_of,
)
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.spill import SpillBuffer
from intercom.compaction.staged_parts import RETAINED_BYTES, Part, StagedParts
from intercom.errors import SchemaError
from intercom.lake.parquet import ParquetReader, RowGroupWriter, Written, noted_checksums, open_parquet
from intercom.tables.schema import DELETED_AT

_CURE = "Run with --full-refresh: the table is read and written again; nothing was changed now."
SMALL_BYTES = 4 << 20
"""A stored file of at most this many uncompressed bytes is read as a whole, once."""


class PartitionMerge:
    """Merges staged `parts`, in the order in which they were read, into the file `stored` (None: there is none).

    Parts are files, or rows that are in memory already.

    Of two versions of a row the newer one is kept, by the columns `newest_by` (see `merge`).
    With `replaces` the parts are the whole new partition: stored rows without a staged row are removed, and a staged
    row that differs from the stored one replaces it, even if it is older.
    Staged rows with keys in `left_out` are ignored. Stored rows with keys in `evicted` are removed, because they belong
    to other partitions, and those with keys in `stale`, which count as removed. These keys are as `keys_of` gives them.
    With `deleted_at`, a row that would count as removed stays instead, and is marked as deleted at this time, if it is
    not marked yet.
    `marks` is the column that tells marks among the staged rows, if they have any; marks are ignored.

    A damaged file raises an error for which `parquet.is_damage` is True. A stored file with other columns raises
    SchemaError unless `replaces`. A stored file without page checksums is rewritten even if nothing else changes.
    """

    def __init__(
        self,
        stored: Path | None,
        parts: Sequence[Part],
        schema: pa.Schema,
        *,
        primary_key: tuple[str, ...],
        newest_by: Sequence[str],
        replaces: bool = False,
        left_out: Sequence[str] = (),
        evicted: Sequence[str] = (),
        stale: Sequence[str] = (),
        marks: str | None = None,
        deleted_at: datetime | None = None,
    ) -> None:
        self._primary_key, self._newest_by, self._schema = primary_key, newest_by, schema
        self._replaces = replaces
        self._left_out, self._evicted = (pa.array(keys, pa.string()) for keys in (left_out, evicted))
        self._stale = pa.array(stale, pa.string())
        self._marks = marks
        self._deleted_at = deleted_at
        self._stored = self._open_stored(stored)
        # The one part of a new month is copied as it is, and only its keys are read: no rows are held.
        self._parts = StagedParts(parts, schema, RETAINED_BYTES if self._stored or len(parts) > 1 else 0)
        self._rewrites = stored is not None and (self._stored is None or not noted_checksums(self._stored.metadata))
        self._columns = key_columns(primary_key, newest_by)
        self._stored_columns = [*self._columns, *(name for name in schema.names if name == DELETED_AT)]
        sizes = _row_group_sizes(self._stored) if self._stored else []
        self._groups = len(sizes)
        self._firsts = list(accumulate(sizes, initial=0))  # first row of each row group; last: all rows
        self._whole = self._read_small()
        self.version = ""
        """The version of the written file: that of the part if the file is an unchanged copy of one."""
        self.wrote: Written | None = None
        """What was written or copied; None if nothing was."""

    def close(self) -> None:
        """Close the stored file."""
        if self._stored:
            self._stored.close()

    def write(self, target: Path, version: str) -> RowCounts:
        """Write the merged partition to `target`. If nothing changed, `target` is not written."""
        winners = self._winners()
        met = self._met(winners)
        beaten = self._beaten(met, winners, target)
        evicted, stale = self._stored_with(self._evicted), self._stored_with(self._stale)
        to_mark = self._to_mark(met, evicted, stale)
        gone = evicted if self._deleted_at else joined([evicted, stale], pa.uint64())
        stored_rows = self._firsts[-1] - len(gone)
        positions = flat(winners.column(POSITION))
        not_taken = positions.take(met.staged.filter(pc.invert(beaten)))
        write = positions.filter(pc.invert(pc.is_in(positions, value_set=not_taken)))
        only_met = self._replaces and self._deleted_at is None
        removed = stored_rows - len(met.stored) if only_met else 0
        merged = RowCounts(
            rows=stored_rows - removed + winners.num_rows - len(met.stored),
            new=winners.num_rows - len(met.stored),
            changed=len(met.stored) - len(not_taken),
            unchanged=len(not_taken),
            removed=len(to_mark) if self._deleted_at else removed + len(stale),
            files=int(bool(len(write) or len(gone) or len(to_mark) or removed or self._rewrites)),
        )
        if merged.files:
            rows = met.stored.filter(pc.invert(beaten)) if only_met else _sorted(met.stored.filter(beaten), gone)
            self._write(target, version, _Fate(rows, only_met, to_mark), write)
        return merged

    # -- first pass ---------------------------------------------------------------------------------------------

    def _winners(self) -> pa.Table:
        """The newest staged version of each key, sorted by position, without marks."""
        rows = self._parts.keys(self._columns)
        versions = self._versions(rows)
        positions = newest_positions(versions)
        if self._marks is not None:
            are_marks = begins_with_sign(rows.column(self._marks))
            positions = positions.filter(pc.invert(are_marks.take(positions)))
        winners = versions.take(positions)
        if len(self._left_out) == 0:
            return winners
        return winners.filter(pc.invert(pc.is_in(winners.column(KEY), value_set=self._left_out)))

    def _met(self, winners: pa.Table) -> KeyMatches:
        """The matches of all stored rows; row numbers count through the whole file.

        At least as many stored keys are matched at a time as there are staged keys, because each time the staged keys
        are hashed again.
        """
        found: list[tuple[int, KeyMatches]] = []
        waiting: list[pa.Table] = []
        first = 0
        for group, last in enumerate(self._firsts[1:] if winners.num_rows else []):
            waiting.append(self._read_group(group, self._stored_columns))
            if last - first >= winners.num_rows or last == self._firsts[-1]:
                stored = self._versions(pa.concat_tables(waiting))
                found.append((first, match_keys(stored, winners, self._newest_by)))
                waiting, first = [], last
        return match_in_order(found)

    def _stored_with(self, keys: pa.Array) -> pa.Array:
        """Row numbers of the stored rows with these keys, which no staged row that is taken has."""
        found = []
        for group in range(self._groups if len(keys) else 0):
            stored = self._read_group(group, list(self._primary_key))
            rows = pc.indices_nonzero(pc.is_in(flat(keys_of(stored, self._primary_key)), value_set=keys))
            found.append(pc.add(rows, pa.scalar(self._firsts[group], pa.uint64())))
        return joined(found, pa.uint64())

    def _to_mark(self, met: KeyMatches, evicted: pa.Array, stale: pa.Array) -> pa.Array:
        """Row numbers of the stored rows that are alive, and are to be marked as deleted."""
        if self._deleted_at is None or not (self._replaces or len(stale)):
            return pa.array([], pa.uint64())
        found = []
        for group in range(self._groups):
            inside = pc.indices_nonzero(alive(self._read_group(group, [DELETED_AT])))
            found.append(pc.add(inside, pa.scalar(self._firsts[group], pa.uint64())))
        rows = joined(found, pa.uint64())
        if not self._replaces:
            return rows.filter(pc.is_in(rows, value_set=stale))
        return rows.filter(pc.invert(pc.is_in(rows, value_set=joined([met.stored, evicted], pa.uint64()))))

    def _beaten(self, met: KeyMatches, winners: pa.Table, target: Path) -> pa.Array:
        """For each matched row: whether the staged version replaces the stored one."""
        if self._replaces:
            return self._differs(met, numbers(len(met.stored)), winners, target)
        beaten: pa.Array = pc.or_(met.newer, self._differs(met, pc.indices_nonzero(met.tie), winners, target))
        return beaten

    def _differs(self, met: KeyMatches, chosen: pa.Array, winners: pa.Table, target: Path) -> pa.Array:
        """For each matched row: whether it is `chosen` and differs in content from the staged version."""
        if not len(chosen):
            return pa.repeat(pa.scalar(False), len(met.stored))
        rows = met.stored.take(chosen)
        staged = flat(winners.column(POSITION)).take(met.staged.take(chosen))
        cuts = [bisect_left(rows, first, key=lambda row: row.as_py()) for first in self._firsts]
        lists = [(group, low, high - low) for group, (low, high) in enumerate(pairwise(cuts)) if high > low]
        differing = []
        with SpillBuffer(target) as waiting:
            wanted = [staged.slice(low, size) for _, low, size in lists]
            for number, theirs in self._parts.lists(wanted, waiting):
                group, low, size = lists[number]
                ours = taken(self._read_group(group), self._inside(rows, group))
                differing.append(chosen.slice(low, size).filter(pc.invert(same_content(ours, theirs))))
        return pc.is_in(numbers(len(met.stored)), value_set=joined(differing, pa.uint64()))

    # -- second pass --------------------------------------------------------------------------------------------

    def _write(self, target: Path, version: str, fate: _Fate, positions: pa.Array) -> None:
        """Write stored rows and the staged rows at `positions`."""
        only = self._parts.holds_only(positions) if self._stored is None else None
        if only is not None:
            shutil.copyfile(only, target)  # a new month in one part is the finished file already
            self.version = self._parts.version_of_only()
            self.wrote = Written(len(positions), only.stat().st_size)
            return
        self.version = version
        with RowGroupWriter(target, self._schema, version) as writer:
            for group in range(self._groups):
                writer.add(self._kept(group, fate))
            for staged in self._parts.rows(positions):
                writer.add(staged)
        self.wrote = writer.written

    def _kept(self, group: int, fate: _Fate) -> pa.Table:
        """The kept rows of a stored row group."""
        size, rows = self._firsts[group + 1] - self._firsts[group], self._inside(fate.rows, group)
        if len(rows) == (0 if fate.stay else size):
            return self._schema.empty_table()
        stored = self._read_group(group)
        if fate.stay:
            return taken(stored, rows)
        if self._deleted_at and len(deleted := self._inside(fate.marked, group)):
            stored = marked(stored, pc.is_in(numbers(size), value_set=deleted), self._deleted_at)
        return stored.filter(pc.invert(pc.is_in(numbers(size), value_set=rows))) if len(rows) else stored

    def _versions(self, rows: pa.Table) -> pa.Table:
        return versions_of(rows, self._primary_key, self._newest_by)

    def _read_group(self, group: int, columns: list[str] | None = None) -> pa.Table:
        if self._whole is not None:
            rows = self._whole.slice(self._firsts[group], self._firsts[group + 1] - self._firsts[group])
            return rows if columns is None else rows.select(columns)
        assert self._stored is not None  # else there are no row groups
        return self._stored.read_row_group(group, columns=columns)

    def _read_small(self) -> pa.Table | None:
        """All rows of a small stored file, so that it is read once instead of several times; None for other files."""
        if self._stored is None:
            return None
        groups = [self._stored.metadata.row_group(group) for group in range(self._groups)]
        if sum(group.total_byte_size for group in groups) > SMALL_BYTES:
            return None
        return self._stored.read(use_threads=False)

    def _inside(self, rows: pa.Array, group: int) -> pa.Array:
        """The sorted row numbers that are in a row group, counted from its first row."""
        return slice_between(rows, self._firsts[group], self._firsts[group + 1])

    def _open_stored(self, path: Path | None) -> ParquetReader | None:
        if path is None:
            return None
        stored = open_parquet(path)
        if stored.schema_arrow.equals(self._schema):
            return stored
        stored.close()
        if self._replaces:  # no row of it is kept, so its columns do not matter
            return None
        raise SchemaError(f"{_name(path)} does not have the table's declared columns. {_CURE}")


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of the stored rows, by sorted row numbers.

    `rows` are those that `stay`, or else those that go; `marked` those of the others that are marked as deleted.
    """

    rows: pa.Array
    stay: bool
    marked: pa.Array


def _sorted(*arrays: pa.Array) -> pa.Array:
    """Row numbers of several arrays in one, sorted."""
    rows = joined(arrays, pa.uint64())
    return rows.take(pc.sort_indices(rows))


def _row_group_sizes(file: ParquetReader) -> list[int]:
    return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
