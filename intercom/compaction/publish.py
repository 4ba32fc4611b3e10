"""Merges and publishes partitions of one table: the part of a compaction that several processes can share.

Arguments and results are plain values, so that any process that reaches the lake can merge some of the partitions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Semaphore

from intercom.compaction.memory import MERGING
from intercom.compaction.partition import PartitionMerge, RowCounts
from intercom.compaction.replace import replace_file
from intercom.config.redaction import one_line
from intercom.errors import DamagedFileError, LakeError, SchemaError
from intercom.lake.parquet import ChangedFooterError, check_footer, footer_digest, is_damage, is_whole, version_of
from intercom.lake.published import PublishedFile
from intercom.lake.staged_run import Coverage
from intercom.lake.state import Partition
from intercom.lake.table import LakeTable
from intercom.tables.schema import TableSchema
from intercom.tables.table import Strategy, Table

log = logging.getLogger(__name__)

_IN_WORK = Semaphore(8)
"""Partitions in work in this process at a time; each has its files on the local disk, also those of an object store."""


@dataclass(frozen=True, slots=True)
class PartitionWork:
    """One partition to be merged: the staged `parts` in the order of reading, the stamp of the `stored` file, if any.

    `size` is in bytes, of all these files. `left_out` are keys of staged rows that are not taken, `evicted` those of
    stored rows that go, since the rows belong to another partition. `discarded`: the stored file is replaced, and
    nothing of it is merged.
    `footer` is the digest of its footer, "" where none is recorded.
    """

    month: str
    parts: tuple[str, ...]
    stored: str | None
    size: int
    left_out: tuple[str, ...] = ()
    evicted: tuple[str, ...] = ()
    discarded: bool = False
    footer: str = ""


@dataclass(frozen=True, slots=True)
class MergeWork:
    """Partitions to be merged into files of one `version`, with the `columns` that files and parts have.

    Unless the `coverage` of the staged rows is SOME, a stored file that cannot be used may be left out.
    """

    version: str
    columns: TableSchema
    coverage: Coverage
    months: tuple[PartitionWork, ...]

    def shared_out(self, size: int) -> Iterator[MergeWork]:
        """The same work in pieces of about `size` bytes, each of one month at least."""
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
    """What became of a partition; `partition` is None for one that holds no row any more, `added` a file just made."""

    month: str
    counts: RowCounts
    partition: Partition | None
    added: PublishedFile | None = None


def publish_partitions(table: Table, lake_table: LakeTable, work: MergeWork) -> list[PartitionResult]:
    """Merge and publish partitions, several at the same time."""
    table = replace(table, schema=work.columns)
    with ThreadPoolExecutor(lake_table.lake.at_a_time, thread_name_prefix=f"compact-{table.name}") as pool:
        return list(pool.map(lambda month: _publish_one(table, lake_table, work, month), work.months))


def _publish_one(table: Table, lake_table: LakeTable, work: MergeWork, month: PartitionWork) -> PartitionResult:
    with _IN_WORK, ExitStack() as stack:
        old = None
        if month.stored is not None and not month.discarded:
            old = stack.enter_context(lake_table.files.fetch(month.month))
        parts = [stack.enter_context(lake_table.lake.fetch(path)) for path in month.parts]
        new = stack.enter_context(lake_table.lake.scratch())
        with MERGING.rows_of([old, *parts] if old else parts):
            try:
                if old is not None:
                    check_footer(old, month.footer)
                counts = _merged(table, old, parts, new, work, month)
            except Exception as error:
                if not is_damage(error) and not isinstance(error, SchemaError):
                    raise
                remove_damaged(table, lake_table, dict(zip(month.parts, parts, strict=True)), error)
                if old is None or (is_whole(old) and not isinstance(error, (SchemaError, ChangedFooterError))):
                    raise
                raise damaged_file(table, lake_table, month.month, error) from error
        if month.discarded:
            counts = replace(counts, files=1)
        if counts.files and counts.rows == 0 and month.month:
            if month.stored is not None:
                lake_table.drop_file(month.month, month.stored)
            return PartitionResult(month.month, counts, None)
        if not counts.files:
            kept = None if month.stored is None or old is None else _partition(counts.rows, old, month.stored)
            return PartitionResult(month.month, counts, kept)
        partition = _partition(counts.rows, new, "")  # a local file is no longer there when it is added
        added = lake_table.add_file(new, month.month, counts.rows, month.stored)
        return PartitionResult(month.month, counts, replace(partition, stamp=added.stamp), added)


def _partition(rows: int, file: Path, stamp: str) -> Partition:
    """What is recorded of a file. Its version is in its footer: a part that was published as it is has its run's."""
    return Partition(rows, version_of(file) or "", stamp, footer_digest(file))


def remove_damaged(table: Table, lake_table: LakeTable, parts: Mapping[str, Path], error: Exception) -> None:
    """Delete staged parts that cannot be read, and raise LakeError if there are any: so the next run reads again."""
    damaged = [path for path, local in parts.items() if not is_whole(local)]
    if not damaged:
        return
    lake_table.delete_staged(damaged)
    raise LakeError(
        f"{table.name}: staged files were damaged: {len(damaged)}, the first is {damaged[0]} ({one_line(error)}). "
        "They were removed, and nothing else was changed: run again, the whole table will be read."
    ) from error


def damaged_file(table: Table, lake_table: LakeTable, month: str, error: Exception) -> DamagedFileError:
    """The error for a published file whose reading has raised this one."""
    reason = "other columns than declared" if isinstance(error, SchemaError) else one_line(error)
    return DamagedFileError(
        f"{table.name}: the file {lake_table.files.path(month)} of connection {lake_table.paths.connection!r} in the "
        f"lake {lake_table.lake.url} is damaged ({reason.rstrip('.')}). It was left as it is, and the rows that were "
        "read wait to be merged. Run again: the whole table is read, and the file is written anew.",
        month,
    )


def _merged(
    table: Table, old: Path | None, parts: Sequence[Path], new: Path, work: MergeWork, month: PartitionWork
) -> RowCounts:
    if table.strategy is Strategy.REPLACE:
        return replace_file(table, old, parts, new, work.version)
    merge = PartitionMerge(
        old,
        parts,
        table.schema.arrow,
        primary_key=table.primary_key,
        newest_by=table.newest_by,
        replaces=work.coverage is Coverage.REPLACES,
        left_out=month.left_out,
        evicted=month.evicted,
    )
    try:
        return merge.write(new, work.version)
    finally:
        merge.close()
