"""Merges and publishes partitions of one table: the part of a compaction that several processes can share.

Arguments and results are plain values, so that any process that reaches the lake can merge some of the partitions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Semaphore

import pyarrow as pa

from intercom.compaction.damage import damaged_file, remove_damaged
from intercom.compaction.marks import mark_column
from intercom.compaction.memory import MERGING
from intercom.compaction.partition import PartitionMerge
from intercom.compaction.replace import replace_file
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.shared_parts import SharedParts
from intercom.compaction.staged_parts import OwnFile, Part
from intercom.errors import SchemaError
from intercom.lake.parquet import (
    ChangedFooterError,
    Written,
    check_footer,
    file_digests,
    is_damage,
    is_whole,
    marked_rows_of,
    version_of,
)
from intercom.lake.published import PublishedFile
from intercom.lake.staged_run import Coverage
from intercom.lake.state_entries import Partition
from intercom.lake.storage_errors import overtaken
from intercom.lake.table import LakeTable
from intercom.tables.schema import TableSchema
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_IN_WORK = Semaphore(8)
"""Most partitions that this process merges at a time; the files of each are on the local disk meanwhile."""


@dataclass(frozen=True, slots=True)
class PartitionWork:
    """One partition to be merged: the staged `parts` in the order of reading, the stamp of the `stored` file, if any.

    Of a part with rows of several months, only the rows of this month are merged.
    `size` is the bytes of all these files. `left_out` are keys of staged rows that are ignored, `evicted` keys of
    stored rows that are removed, because the rows belong to another partition, `stale` keys of stored rows that are
    removed because their parents have them no more. `discarded`: the stored file is replaced
    without being merged.
    `recorded` is the record's entry of the stored file, None if the stored file is not the recorded one.
    """

    month: str
    parts: tuple[str, ...]
    stored: str | None
    size: int
    left_out: tuple[str, ...] = ()
    evicted: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    discarded: bool = False
    recorded: Partition | None = None


@dataclass(frozen=True, slots=True)
class MergeWork:
    """Partitions to be merged into files of one `version`, with the `columns` that files and parts have.

    If the `coverage` of the staged rows is WHOLE or REPLACES, a stored file that cannot be used may be left out.
    `deleted_at`: the time that rows get which would be removed, where these columns mark deleted rows.
    """

    version: str
    columns: TableSchema
    coverage: Coverage
    months: tuple[PartitionWork, ...]
    deleted_at: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(month.size for month in self.months)

    def shared_out(self, size: int) -> Iterator[MergeWork]:
        """The work, split into pieces of at least one month and about `size` bytes."""
        months: list[PartitionWork] = []
        for month in self.months:
            months.append(month)
            if sum(each.size for each in months) >= size:
                yield replace(self, months=tuple(months))
                months = []
        if months:
            yield replace(self, months=tuple(months))


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """The result for one partition: `partition` is None if no row is left; `added` is the file if one was written."""

    month: str
    counts: RowCounts
    partition: Partition | None
    added: PublishedFile | None = None


def publish_partitions(table: Table, lake_table: LakeTable, work: MergeWork) -> list[PartitionResult]:
    """Merge and publish partitions, several at the same time."""
    table = replace(table, schema=work.columns)
    shared = SharedParts(table, lake_table)
    return lake_table.lake.each(
        lambda month: _publish_one(table, lake_table, work, month, shared), work.months, work.size
    )


def _publish_one(
    table: Table, lake_table: LakeTable, work: MergeWork, month: PartitionWork, shared: SharedParts
) -> PartitionResult:
    with _IN_WORK, ExitStack() as stack:
        old = None
        if month.stored is not None and not month.discarded:
            old = stack.enter_context(lake_table.files.fetch(month.month))
        files = {}
        for path in month.parts:
            if not shared.has(path):
                stack.enter_context(lake_table.lake.still_there(path))
                files[path] = stack.enter_context(lake_table.lake.fetch(path))
        new = stack.enter_context(lake_table.lake.scratch())
        with MERGING.rows_of([old, *files.values()] if old else files.values()):
            try:
                if old is not None and month.recorded is not None:
                    check_footer(old, month.recorded.footer)
                parts = [_part(lake_table, path, files, shared, month.month) for path in month.parts]
                counts, version, wrote = _merged(table, old, parts, new, work, month)
            except Exception as error:
                if not is_damage(error) and not isinstance(error, SchemaError):
                    raise
                remove_damaged(table, lake_table, files, error)
                if old is None or (is_whole(old) and not isinstance(error, (SchemaError, ChangedFooterError))):
                    raise
                if lake_table.files.stamp(month.month) != month.stored:  # written by another run since it was listed
                    raise overtaken(lake_table.lake.url, lake_table.files.path(month.month)) from error
                raise damaged_file(table, lake_table, month.month, error) from error
        if month.discarded:
            counts = replace(counts, files=1)
        if counts.files and counts.rows == 0 and month.month:
            if month.stored is not None:
                lake_table.drop_file(month.month, month.stored)
            return PartitionResult(month.month, counts, None)
        if not counts.files:
            return PartitionResult(month.month, counts, _kept(table, month, old, counts.rows))
        digests, dead = file_digests(new), _marked_in(new, table)  # before add_file, which moves the local file
        added = lake_table.add_file(new, month.month, counts.rows, month.stored, wrote)
        written = Partition(counts.rows, version, added.stamp, *digests, marked=dead)
        return PartitionResult(month.month, counts, written, added)


def _part(lake_table: LakeTable, path: str, files: Mapping[str, Path], shared: SharedParts, month: str) -> Part:
    """A part as the merge takes it; ChangedFileError if its file is not what this process has written."""
    if path not in files:
        return shared.rows(path, month)
    own = lake_table.lake.own_parts
    own.check(path, files[path])
    known = own.get(path)
    return files[path] if known is None else OwnFile(files[path], known)


def _file_of(part: Path | OwnFile) -> Path:
    return part.path if isinstance(part, OwnFile) else part


def _marked_in(path: Path, table: Table) -> int:
    return marked_rows_of(path) if table.schema.marks_deleted else 0


def _kept(table: Table, month: PartitionWork, old: Path | None, rows: int) -> Partition | None:
    """The record's entry of a stored file that is not rewritten; None if there is no stored file."""
    if month.stored is None or old is None:
        return None
    if month.recorded is not None and month.recorded.footer:  # `check_footer` has compared the footer
        return replace(month.recorded, rows=rows)
    return Partition(rows, version_of(old) or "", month.stored, *file_digests(old), marked=_marked_in(old, table))


def _merged(
    table: Table, old: Path | None, parts: Sequence[Part], new: Path, work: MergeWork, month: PartitionWork
) -> tuple[RowCounts, str, Written | None]:
    """Merge into `new`; gives the row counts, the version of the written file, and what its writer says of it."""
    if table.is_replaced:
        files = [_file_of(part) for part in parts if not isinstance(part, pa.Table)]  # no shared parts here
        keeps = work.coverage is Coverage.SOME
        counts = replace_file(table, old, files, new, work.version, keeps=keeps, deleted_at=work.deleted_at)
        return counts, work.version, None
    merge = PartitionMerge(
        old,
        parts,
        table.schema.arrow,
        primary_key=table.primary_key,
        newest_by=table.newest_by,
        replaces=work.coverage is Coverage.REPLACES,
        left_out=month.left_out,
        evicted=month.evicted,
        stale=month.stale,
        marks=mark_column(table),
        deleted_at=work.deleted_at,
    )
    try:
        return merge.write(new, work.version), merge.version, merge.wrote
    finally:
        merge.close()
