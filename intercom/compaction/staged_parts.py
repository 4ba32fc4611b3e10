"""The staged parts of one partition as one sequence of rows. A row's position is its place in the order of reading.

There may be hundreds of parts. Their files are opened one at a time. If all parts fit into memory, each is read only
once, because opening a small part takes longer than reading its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import joined, numbers, slice_between, taken
from intercom.compaction.merge import POSITION
from intercom.compaction.spill import SpillBuffer
from intercom.lake.own_parts import OwnPart
from intercom.lake.parquet import ParquetReader, is_whole, noted_checksums, open_parquet, version_of

RETAINED_BYTES = 32 << 20
"""Most Arrow bytes of staged rows that are kept in memory between the two passes of a merge."""

_BLOCK_BYTES = 16 << 20
_PLACE = "_place"


@dataclass(frozen=True, slots=True)
class OwnFile:
    """The file of a part that this process has written, and has just compared with what it wrote: it is undamaged."""

    path: Path
    part: OwnPart


Part: TypeAlias = Path | OwnFile | pa.Table
"""A staged part: its file, or its rows."""


class StagedParts:
    """Parts in the order in which they were read, with the columns of `schema`: files, or rows in memory.

    The rows of files are kept in memory if they take at most `held_bytes` (Arrow bytes).
    """

    def __init__(self, parts: Sequence[Part], schema: pa.Schema, held_bytes: int = RETAINED_BYTES) -> None:
        self._schema = schema
        self._own = {number: part.part for number, part in enumerate(parts) if isinstance(part, OwnFile)}
        files = (part.path if isinstance(part, OwnFile) else part for part in parts)
        self._files = {number: part for number, part in enumerate(files) if isinstance(part, Path)}
        self._given = {number: self._typed(part) for number, part in enumerate(parts) if isinstance(part, pa.Table)}
        self._held: dict[int, pa.Table] = {}
        self._free_bytes = held_bytes
        self._ends: list[int] = []
        self._checkable = True

    def keys(self, columns: list[str]) -> pa.Table:
        """These columns of all rows, and POSITION (int64). Call it before `rows` and `lists`, which need its sizes."""
        found = [pa.schema([self._schema.field(name) for name in columns]).empty_table()]
        for number in range(len(self._files) + len(self._given)):
            if number in self._given:
                found.append(self._given[number].select(columns))
            elif (known := self._known(number, columns)) is not None:
                found.append(known.cast(found[0].schema))
            else:
                with open_parquet(self._files[number]) as file:
                    self._checkable = self._checkable and noted_checksums(file.metadata)
                    rows = self._hold(number, file)
                    found.append(
                        (file.read(columns=columns) if rows is None else rows.select(columns)).cast(found[0].schema)
                    )
            self._ends.append((self._ends[-1] if self._ends else 0) + found[-1].num_rows)
        keys = pa.concat_tables(found)
        return keys.append_column(POSITION, numbers(keys.num_rows).cast(pa.int64()))

    def rows(self, positions: pa.Array) -> Iterator[pa.Table]:
        """Rows at sorted `positions`, in tables of at most one row group. A part without such rows is not opened."""
        first = 0
        for number, last in enumerate(self._ends):
            wanted = slice_between(positions, first, last)
            if len(wanted):
                yield from self._rows_of(number, wanted)
            first = last

    def lists(self, wanted: Sequence[pa.Array], waiting: SpillBuffer) -> Iterator[tuple[int, pa.Table]]:
        """For each list of positions in `wanted`: its index, and the rows at these positions, in the list's order.

        A list is yielded as soon as its rows are complete. Rows of incomplete lists are kept in `waiting`, so that no
        part is read twice, however the lists are interleaved.
        """
        if len(self._given) + len(self._held) == len(self._ends):
            yield from ((number, self._in_memory(positions)) for number, positions in enumerate(wanted))
            return
        missing = [len(positions) for positions in wanted]
        owner = joined([pa.repeat(number, size) for number, size in enumerate(missing)], pa.int64())
        positions = joined(wanted, pa.int64())
        order = pc.sort_indices(positions)
        done = 0
        for block in _blocks(self.rows(positions.take(order))):
            places = order.slice(done, block.num_rows)
            done += block.num_rows
            for number, rows in _split(block.append_column(_PLACE, places), owner.take(places)):
                missing[number] -= rows.num_rows
                if missing[number]:
                    waiting.put(number, rows)
                else:
                    rows = pa.concat_tables([*waiting.take(number), rows])
                    rows = taken(rows, pc.sort_indices(rows.column(_PLACE))).drop_columns([_PLACE])
                    yield number, rows

    def holds_only(self, positions: pa.Array) -> Path | None:
        """The only part, if these sorted positions are all its rows and its file is undamaged; else None."""
        if self._ends != [len(positions)] or self._given or not self._checkable:
            return None
        # Held rows were read with page checksums verified. For a damaged file, None lets `rows` raise the error.
        return self._files[0] if 0 in self._held or 0 in self._own or is_whole(self._files[0]) else None

    def version_of_only(self) -> str:
        """The version in the footer of the only part."""
        return self._own[0].version if 0 in self._own else version_of(self._files[0]) or ""

    def _known(self, number: int, columns: list[str]) -> pa.Table | None:
        """These columns of a part, if they are known without its file, which need not be read for its rows either."""
        return self._own[number].only(columns) if number in self._own and not self._free_bytes else None

    def _in_memory(self, positions: pa.Array) -> pa.Table:
        """Rows at these positions, in the order of `positions`, if all parts are in memory."""
        tables = [self._given.get(number, self._held.get(number)) for number in range(len(self._ends))]
        return taken(pa.concat_tables([table for table in tables if table is not None]), positions)

    def _hold(self, number: int, file: ParquetReader) -> pa.Table | None:
        """All rows of a part, kept in memory. If the parts so far do not fit, all kept rows are dropped."""
        encoded = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
        rows = self._typed(file.read()) if encoded <= self._free_bytes else None
        if rows is None or rows.nbytes > self._free_bytes:
            self._held, self._free_bytes = {}, 0
        else:
            self._held[number] = rows
            self._free_bytes -= rows.nbytes
        return rows

    def _rows_of(self, number: int, wanted: pa.Array) -> Iterator[pa.Table]:
        rows = self._given.get(number, self._held.get(number))
        if rows is not None:
            yield taken(rows, wanted)
            return
        with open_parquet(self._files[number]) as file:
            first = 0
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                inside = slice_between(wanted, first, last)
                if len(inside):
                    yield taken(self._typed(file.read_row_group(group)), inside)
                first = last

    def _typed(self, rows: pa.Table) -> pa.Table:
        return rows if rows.schema.equals(self._schema) else rows.select(self._schema.names).cast(self._schema)


def _blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Consecutive tables, joined to blocks of at least 16 Arrow MiB, so that fixed costs per block are small."""
    waiting: list[pa.Table] = []
    size = 0
    for rows in tables:
        waiting.append(rows)
        size += rows.nbytes
        if size >= _BLOCK_BYTES:
            yield pa.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _split(block: pa.Table, owner: pa.Array) -> Iterator[tuple[int, pa.Table]]:
    """(owner, its rows) for each owner; `owner` has the owner of each row of the block."""
    owners = [number.as_py() for number in pc.unique(owner)]
    if len(owners) == 1:
        yield owners[0], block
        return
    block = block.combine_chunks()
    for number in owners:
        yield number, block.filter(pc.equal(owner, pa.scalar(number)))
