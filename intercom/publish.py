"""Partitions of one table merged and published: the part of a compaction that can be shared out.

What goes in and comes out are plain values, so that groups of partitions can be merged anywhere that reaches the lake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Semaphore

import pyarrow as pa

from intercom.errors import LakeError
from intercom.files import Placed
from intercom.ledger import Ledger
from intercom.parquet import is_whole, version_of
from intercom.partition import Merged, PartitionMerge
from intercom.replacing import replace_file
from intercom.room import Room
from intercom.schemas import TableSchema
from intercom.tables import Strategy, Table
from intercom.watermarks import Partition

_ROOM = Room(64 << 20)
"""For the rows of all partitions that are merged in this process at the same time, whatever their table."""

_IN_WORK = Semaphore(8)
"""Partitions in work in this process at the same time: of a store each has its files on the local disk meanwhile."""

_UNPACKED = 10
"""Bytes that rows take in memory for each byte of their file."""


@dataclass(frozen=True, slots=True)
class Month:
    """One partition to be merged: the staged `parts` in the order of reading, the stamp of the `stored` file, if any.

    `size` is in bytes, of all these files. `left_out` are keys of staged rows that are not taken, `evicted` those of
    stored rows that go, since the rows belong to another partition.
    """

    month: str
    parts: tuple[str, ...]
    stored: str | None
    size: int
    left_out: tuple[str, ...] = ()
    evicted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """Partitions to be merged into files of one `version`, with the `columns` that files and parts have.

    `replaces`: the staged rows are the whole table; `whole`: they hold every row that Intercom has.
    """

    version: str
    columns: TableSchema
    replaces: bool
    whole: bool
    months: tuple[Month, ...]

    def shared_out(self, size: int) -> Iterator[Work]:
        """The same work in pieces of about `size` bytes, each of one month at least."""
        months: list[Month] = []
        for month in self.months:
            months.append(month)
            if sum(each.size for each in months) >= size:
                yield replace(self, months=tuple(months))
                months = []
        if months:
            yield replace(self, months=tuple(months))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a partition; `partition` is None for one that holds no row any more, `placed` a file just made."""

    month: str
    merged: Merged
    partition: Partition | None
    placed: Placed | None = None


def publish_months(table: Table, ledger: Ledger, work: Work) -> list[Outcome]:
    """Merge and publish partitions, several at the same time."""
    table = replace(table, schema=work.columns)
    with ThreadPoolExecutor(ledger.lake.at_a_time, thread_name_prefix=f"compact-{table.name}") as pool:
        return list(pool.map(lambda month: _publish_one(table, ledger, work, month), work.months))


def _publish_one(table: Table, ledger: Ledger, work: Work, month: Month) -> Outcome:
    with _IN_WORK, ExitStack() as stack:
        old = stack.enter_context(ledger.files.fetch(month.month)) if month.stored is not None else None
        parts = [stack.enter_context(ledger.lake.fetch(path)) for path in month.parts]
        new = stack.enter_context(ledger.lake.scratch())
        with _ROOM.taken(_UNPACKED * sum(path.stat().st_size for path in ([old] if old else []) + parts)):
            try:
                if table.strategy is Strategy.REPLACE:
                    merged = replace_file(table, old, parts, new, work.version)
                else:
                    merged = _merge(table, old, parts, new, work, month)
            except (pa.ArrowException, OSError) as error:
                remove_damaged(table, ledger, dict(zip(month.parts, parts, strict=True)), error)
                raise
        ledger.still_ours()
        if merged.written and merged.rows == 0 and month.month:
            if month.stored is not None:
                ledger.files.remove(month.month, month.stored)
            return Outcome(month.month, merged, None)
        if not merged.written:
            kept = (
                None
                if month.stored is None or old is None
                else Partition(merged.rows, version_of(old) or "", month.stored)
            )
            return Outcome(month.month, merged, kept)
        version = version_of(new) or ""  # a part that is taken as it is has its own
        placed = ledger.files.place(new, month.month, merged.rows, month.stored)
        return Outcome(month.month, merged, Partition(merged.rows, version, placed.stamp), placed)


def remove_damaged(table: Table, ledger: Ledger, parts: Mapping[str, Path], error: Exception) -> None:
    """Take staged parts that cannot be read out of the lake, since nothing else would make the next run read again."""
    damaged = [path for path, local in parts.items() if not is_whole(local)]
    if not damaged:
        return
    ledger.still_ours()
    ledger.lake.delete(damaged)
    raise LakeError(
        f"{table.name}: staged files were damaged: {len(damaged)}, the first is {damaged[0]} ({error}). They were "
        "removed, and nothing else was changed: run again, the whole table will be read."
    ) from error


def _merge(table: Table, old: Path | None, parts: Sequence[Path], new: Path, work: Work, month: Month) -> Merged:
    (key,) = table.primary_key
    merge = PartitionMerge(
        old,
        parts,
        table.schema.arrow,
        primary_key=key,
        newest_by=table.newest_by,
        replaces=work.replaces,
        whole=work.whole,
        left_out=month.left_out,
        evicted=month.evicted,
    )
    try:
        return merge.write(new, work.version)
    finally:
        merge.close()
