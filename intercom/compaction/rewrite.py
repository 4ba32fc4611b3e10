"""Rewrites a table's published files, row by row: the one way to change rows that no run has read again.

First the version of the new files is saved in the record, then each file is replaced in one step, and last the record
is saved with what was written. A run that dies in between leaves some files rewritten and some not. The version in a
file's footer tells which; readers find whole files at each moment, and each primary key once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import pyarrow as pa

from intercom.compaction.memory import MERGING
from intercom.config.redaction import one_line
from intercom.errors import DamagedFileError, SchemaError
from intercom.lake.parquet import (
    RowGroupWriter,
    check_footer,
    file_digests,
    is_damage,
    marked_rows_of,
    open_parquet,
    version_of,
)
from intercom.lake.published import PublishedFile
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.lake.table import LakeTable
from intercom.tables.schema import TableSchema
from intercom.tables.table import Table

ROWS_AT_A_TIME = 4096
CURE = "Run with --full-refresh: the table is read and written again; the watermark has not moved."

Change = Callable[[pa.RecordBatch], pa.Table]
"""Rows of a file -> the rows that take their place, with the columns of the new files, in the same order."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A month that was rewritten: its `partition`, and the `added` file, None if it was rewritten already."""

    partition: Partition
    added: PublishedFile | None = None


def rewrite_months(
    table: Table,
    lake_table: LakeTable,
    state: TableState,
    months: Mapping[str, str],
    change: Callable[[str], Change],
) -> TableState:
    """Rewrite files to the columns of `table`, by `change(month)`; gives the saved record. `months`: month -> stamp.

    The caller holds the table's lock and has merged all staged rows; `state` is the record, and names the columns that
    the files have. A file that a rewrite which died has given the same columns already is left as it is if the columns
    change, else it is rewritten like any other: so `change` may be applied to its own result. A month that has no row
    left is dropped, except the one file of a table without months.

    Raises DamagedFileError for a damaged file, which is noted in the record (the next run repairs it by reading
    everything), SchemaError for a file with other columns than the record says, and OvertakenError when another run has
    replaced a file of such a stamp.
    """
    columns = state.columns
    assert columns is not None
    state = lake_table.save(state.migrating(table.schema, uuid4().hex))  # before a file of this version appears
    rewriting = state.rewriting
    assert rewriting is not None
    work = _Rewrite(table, lake_table, state, columns, rewriting.version, change)
    with ThreadPoolExecutor(lake_table.lake.at_a_time, thread_name_prefix=f"rewrite-{table.name}") as pool:
        try:
            done = dict(zip(months, pool.map(work.one, months, months.values()), strict=True))
        except DamagedFileError as error:
            lake_table.note_damage(error.month)
            raise
    lake_table.commit_files([month.added for month in done.values() if month.added], [])
    partitions = {month: result.partition for month, result in done.items()}
    empty = {month: entry.stamp for month, entry in partitions.items() if entry.rows == 0 and month}
    kept = {month: None if month in empty else entry for month, entry in partitions.items()}
    state = state.migrated(table.schema, kept, saved_at=datetime.now(UTC))
    if not empty:
        return lake_table.save(state)
    # First the record lets go of the months, which it knows by the version until the end, then their files are dropped:
    # a run that dies in between never leaves a record of a file that is gone.
    state = lake_table.save(replace(state, rewriting=rewriting))
    for month, stamp in empty.items():
        lake_table.drop_file(month, stamp)
    lake_table.commit_files([], list(empty))
    return lake_table.save(replace(state, rewriting=None))


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """`old` are the columns that files have before, `version` is that of the new files."""

    table: Table
    lake_table: LakeTable
    state: TableState
    old: TableSchema
    version: str
    change: Callable[[str], Change]

    def one(self, month: str, stamp: str) -> Rewritten:
        """Rewrite a month's file, whose stamp is given, unless it is rewritten already."""
        new, lake_table = self.table.schema.arrow, self.lake_table
        with (
            lake_table.files.fetch(month) as stored,
            lake_table.lake.scratch() as written,
            self._named(month),
            open_parquet(stored) as file,
        ):
            columns, rows = file.schema_arrow, 0
            found = version_of(stored) or ""
            if found != self.version and month in self.state.partitions:
                check_footer(stored, self.state.partitions[month].footer)
            if found == self.version or (columns.equals(new) and not columns.equals(self.old.arrow)):
                stamp = lake_table.files.stamp(month)
                marked = marked_rows_of(stored)
                done = Partition(file.metadata.num_rows, found, stamp, *file_digests(stored), marked=marked)
                return Rewritten(done)
            if not columns.equals(self.old.arrow):
                raise SchemaError(
                    f"{_name(self.table, month)} does not have the columns that the table's record names. {CURE}"
                )
            change = self.change(month)
            with MERGING.rows_of([stored]), RowGroupWriter(written, new, self.version) as writer:
                for batch in file.iter_batches(ROWS_AT_A_TIME):
                    changed = change(batch)
                    rows += changed.num_rows
                    writer.add(changed)
            digests, marked = file_digests(written), marked_rows_of(written)
            added = lake_table.add_file(written, month, rows, stamp)
            return Rewritten(Partition(rows, self.version, added.stamp, *digests, marked=marked), added)

    @contextmanager
    def _named(self, month: str) -> Iterator[None]:
        """Turn Arrow's errors for a damaged file into DamagedFileError, which names the file and the cure."""
        try:
            yield
        except Exception as error:
            if not is_damage(error):
                raise
            table, lake_table = self.table, self.lake_table
            raise DamagedFileError(
                f"{table.name}: the file {lake_table.files.path(month)} of connection {lake_table.paths.connection!r} "
                f"in the lake {lake_table.lake.url} is damaged ({one_line(error).rstrip('.')}), so that it cannot be "
                "rewritten. It was left as it is. Run again: the whole table is read and written again.",
                month,
            ) from error


def settled(lake_table: LakeTable, state: TableState, intact: Mapping[str, Partition]) -> TableState:
    """The record without a rewrite that died and left the columns as they are; `intact` are the files there now.

    Its files are good, rewritten or not: who wanted rows changed begins again, and finds what is left to do.
    """
    return lake_table.save(state.settled(intact)) if state.rewrites_rows else state


def _name(table: Table, month: str) -> str:
    return f"Table {table.name!r}: the file of {month or 'the whole table'}"
