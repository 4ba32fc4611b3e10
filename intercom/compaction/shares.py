"""Replaces the rows of a large file in shares, so that memory does not grow with it: all rows of a key are in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.keys import hashes_of
from intercom.compaction.partition import PartitionMerge
from intercom.compaction.row_counts import RowCounts
from intercom.lake.parquet import ParquetFile, RowGroupWriter, open_parquet, rows_of
from intercom.tables.table import Table

ROWS_OF_A_SHARE = 200_000
"""Rows whose keys are compared at once; they take some 100 MiB while they are."""

Scratch = Callable[[], AbstractContextManager[Path]]
"""A path for a local file, for the time of the block."""


def replace_rows(table: Table, old: Path | None, part: Path, new: Path, version: str, scratch: Scratch) -> RowCounts:
    """Write the rows of `part` to `new`, in place of those in `old`, as `PartitionMerge` does with `replaces`."""
    schema, first_key = table.schema.arrow, table.primary_key[0]

    def merged(stored: Path | None, rows: Path, target: Path) -> RowCounts:
        merge = PartitionMerge(
            stored, [rows], schema, primary_key=table.primary_key, newest_by=table.newest_by, replaces=True
        )
        try:
            return merge.write(target, version)
        finally:
            merge.close()

    shares = math.ceil(max(rows_of(path) for path in (part, old) if path is not None) / ROWS_OF_A_SHARE)
    if shares <= 1:
        return merged(old, part, new)
    other = old is not None and not _has_columns(old, schema)
    with ExitStack() as stack:
        paths = [[stack.enter_context(scratch()) for _ in range(3)] for _ in range(shares)]
        _split(part, [rows for rows, _, _ in paths], first_key, schema, version)
        if old is not None and not other:
            _split(old, [stored for _, stored, _ in paths], first_key, schema, version)
        kept = None if old is None or other else old
        counts = [merged(kept and stored, rows, target) for rows, stored, target in paths]
        done = sum(counts, RowCounts())
        if not done.files and not other:
            return done
        with RowGroupWriter(new, schema, version) as writer:
            for (_, stored, target), count in zip(paths, counts, strict=True):
                if count.rows:
                    _append(target if count.files else stored, writer)
        return RowCounts(done.rows, done.new, done.changed, done.unchanged, done.removed, files=1)


def _split(source: Path, targets: Sequence[Path], column: str, schema: pa.Schema, version: str) -> None:
    """Write each row of a file to one of the targets, by a hash of a column."""
    with ExitStack() as stack, open_parquet(source) as file:
        writers = [stack.enter_context(ParquetFile(target, schema, version)) for target in targets]
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            values = flat(rows.column(column)).dictionary_encode()
            hashes = hashes_of(values.dictionary).take(values.indices)
            share = pc.bit_wise_and(hashes, pa.scalar((1 << 62) - 1, pa.int64()))
            share = pc.subtract(share, pc.multiply(pc.divide(share, len(targets)), len(targets)))
            for number, writer in enumerate(writers):
                chosen = rows.filter(pc.equal(share, pa.scalar(number, pa.int64())))
                if chosen.num_rows:
                    writer.write(chosen)


def _append(source: Path, writer: RowGroupWriter) -> None:
    with open_parquet(source) as file:
        for group in range(file.num_row_groups):
            writer.add(file.read_row_group(group))


def _has_columns(path: Path, schema: pa.Schema) -> bool:
    with open_parquet(path) as file:
        return bool(file.schema_arrow.equals(schema))
