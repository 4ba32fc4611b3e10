"""Merge one partition: local Parquet files in, a new local Parquet file out, streaming.

Two passes over the stored file. The first reads key columns only and decides which rows stay; where a stored row was
merely read again, the full rows are compared, so that an unchanged table is not rewritten. The second copies what
stays, row group by row group, and adds the staged winners. Memory holds key columns of the staged rows and a few row
groups, whatever the size of the partition.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intercom.errors import LakeError, SchemaError
from intercom.merge import POSITION, Contest, contest, key_columns, newest_positions, same_content
from intercom.parquet import ParquetFile

ROW_GROUP_BYTES = 32 << 20
ROW_GROUP_ROWS = 122_880
_CURE = "Run with --full-refresh: the table is read again and written anew; nothing was changed now."
_COMPARE_ROWS = 50_000
"""Rows whose content is compared at a time; each batch reads the staged parts once."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge found; `rows` of the new file, or of the old one when nothing `written`."""

    rows: int
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    written: bool = False


@dataclass(frozen=True, slots=True)
class _Match:
    """The contest of one stored row group; `beaten` marks the rows that a staged version replaces."""

    group: int
    contest: Contest
    beaten: Any


class PartitionMerge:
    """Merge staged `parts`, in the order in which they were read, into the file `stored` (None: there is none).

    With `replaces` the parts are the whole new partition: stored rows that they do not hold are removed, and of rows
    that differ the staged one wins whatever its cursor value. With `whole` the parts hold every row that Intercom
    has, so that a stored file which cannot be read may be left out; without it that is a LakeError.
    """

    def __init__(
        self,
        stored: Path | None,
        parts: Sequence[Path],
        schema: Any,
        *,
        primary_key: str,
        cursor_field: str,
        replaces: bool = False,
        whole: bool = False,
    ) -> None:
        self._key, self._cursor, self._schema, self._replaces = primary_key, cursor_field, schema, replaces
        self._paths = parts
        self._parts = [pq.ParquetFile(path) for path in parts]
        self._stored = self._open_stored(stored, whole=whole or replaces)
        self._unusable = stored is not None and self._stored is None

    def close(self) -> None:
        """Close the files."""
        for file in [*self._parts, *([self._stored] if self._stored else [])]:
            file.close()

    def write(self, target: Path, version: str) -> Merged:
        """Write the merged partition to `target`, unless nothing changed; then `target` is not made."""
        winners = self._winners()
        matches = [self._decide(match, winners) for match in self._matches(winners)]
        rivals = _concat([match.contest.rival for match in matches], pa.int32())
        losers = _concat([match.contest.rival.filter(pc.invert(match.beaten)) for match in matches], pa.int32())
        write = _all_but(winners.num_rows, losers)
        stored_rows = self._stored.metadata.num_rows if self._stored else 0
        removed = stored_rows - len(rivals) if self._replaces else 0
        merged = Merged(
            rows=stored_rows - removed + winners.num_rows - len(rivals),
            new=winners.num_rows - len(rivals),
            changed=len(rivals) - len(losers),
            unchanged=len(losers),
            removed=removed,
            written=bool(len(write) or removed or self._unusable),
        )
        if merged.written:
            self._write(target, version, matches, winners.column(POSITION).take(write))
        return merged

    # -- first pass ---------------------------------------------------------------------------------------------

    def _winners(self) -> Any:
        """Key columns and position of the newest staged version of each key."""
        columns = key_columns(self._key, self._cursor)
        tables = [part.read(columns=columns) for part in self._parts]
        keys = pa.concat_tables(tables) if tables else self._schema.empty_table().select(columns)
        keys = keys.append_column(POSITION, pa.array(range(keys.num_rows), pa.int64()))
        return keys.take(newest_positions(keys, self._key, self._cursor))

    def _matches(self, winners: Any) -> Iterator[tuple[int, Contest]]:
        for group in range(self._stored.num_row_groups if self._stored else 0):
            keys = self._stored.read_row_group(group, columns=key_columns(self._key, self._cursor))
            met = contest(keys, winners, self._key, self._cursor)
            if len(met.row) or self._replaces:
                yield group, met

    def _decide(self, match: tuple[int, Contest], winners: Any) -> _Match:
        group, met = match
        everything = pa.array([True] * len(met.row), pa.bool_())
        compare = everything if self._replaces else met.tie
        differs = self._differs(group, met, compare, winners)
        return _Match(group, met, differs if self._replaces else pc.or_(met.newer, differs))

    def _differs(self, group: int, met: Contest, compare: Any, winners: Any) -> Any:
        """For each matched row: to be compared, and its content is not that of its rival."""
        chosen = pc.indices_nonzero(compare)
        if not len(chosen):
            return pa.array([False] * len(met.row), pa.bool_())
        stored = self._stored.read_row_group(group)
        differing = []
        for start in range(0, len(chosen), _COMPARE_ROWS):
            batch = chosen.slice(start, _COMPARE_ROWS)
            rivals = self._staged_rows(winners.column(POSITION).take(met.rival.take(batch)))
            same = same_content(stored.take(met.row.take(batch)), rivals)
            differing.append(batch.filter(pc.invert(same)))
        positions = _concat(differing, pa.uint64())
        return pc.is_in(pa.array(range(len(met.row)), pa.uint64()), value_set=positions)

    def _staged_rows(self, positions: Any) -> Any:
        """Full staged rows at `positions`, in that order."""
        ordered = pc.sort_indices(positions)
        rows = pa.concat_tables([self._schema.empty_table(), *self._staged_in_order(positions.take(ordered))])
        return rows.take(pc.sort_indices(ordered))

    def _staged_in_order(self, positions: Any) -> Iterator[Any]:
        """Staged rows at sorted `positions`, row group by row group."""
        first = 0
        for part in self._parts:
            for group in range(part.num_row_groups):
                size = part.metadata.row_group(group).num_rows
                inside = pc.and_(pc.greater_equal(positions, first), pc.less(positions, first + size))
                wanted = pc.subtract(positions.filter(inside), first)
                if len(wanted):
                    yield part.read_row_group(group).take(wanted).select(self._schema.names).cast(self._schema)
                first += size

    # -- second pass --------------------------------------------------------------------------------------------

    def _write(self, target: Path, version: str, matches: Sequence[_Match], positions: Any) -> None:
        if self._stored is None and [part.metadata.num_rows for part in self._parts] == [len(positions)]:
            shutil.copyfile(self._paths[0], target)  # a new month in one part is the finished file already
            return
        beaten = {match.group: match for match in matches}
        with RowGroupWriter(target, self._schema, version) as writer:
            for group in range(self._stored.num_row_groups if self._stored else 0):
                writer.add(self._kept(group, beaten.get(group)))
            for rows in self._staged_in_order(positions):
                writer.add(rows)

    def _kept(self, group: int, match: _Match | None) -> Any:
        rows = self._stored.read_row_group(group)
        if self._replaces:
            stay = match.contest.row.filter(pc.invert(match.beaten)) if match else pa.array([], pa.uint64())
            return rows.take(stay)
        gone = match.contest.row.filter(match.beaten) if match else ()
        return rows.take(_all_but(rows.num_rows, gone)) if len(gone) else rows

    def _open_stored(self, path: Path | None, *, whole: bool) -> Any:
        if path is None:
            return None
        try:
            stored = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            if whole:
                return None
            raise LakeError(f"{_name(path)} is damaged ({error}). {_CURE}") from error
        if stored.schema_arrow.equals(self._schema):
            return stored
        stored.close()
        if self._replaces:  # nothing of it is kept, so its columns do not matter
            return None
        raise SchemaError(f"{_name(path)} does not have the table's declared columns. {_CURE}")


class RowGroupWriter:
    """Writes tables of one schema to a Parquet file in row groups of a bounded number of bytes."""

    def __init__(self, path: Path, schema: Any, version: str) -> None:
        self._file = ParquetFile(path, schema, version)
        self._waiting: list[Any] = []
        self._rows = 0
        self._bytes = 0

    def __enter__(self) -> RowGroupWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._file:
            if error is None:
                self._flush()

    def add(self, rows: Any) -> None:
        """Take rows; a row group is written when enough of them wait."""
        if rows.num_rows == 0:
            return
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._bytes >= ROW_GROUP_BYTES or self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._waiting, self._rows, self._bytes = [], 0, 0


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _all_but(size: int, left_out: Any) -> Any:
    """The indices 0..size-1 without `left_out`."""
    indices = pa.array(range(size), pa.int64())
    return indices.filter(pc.invert(pc.is_in(indices, value_set=left_out.cast(pa.int64()))))


def _concat(arrays: Sequence[Any], kind: Any) -> Any:
    flat = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    return pa.concat_arrays([pa.array([], kind), *[array.cast(kind) for array in flat]])
