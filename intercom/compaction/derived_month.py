"""Makes the files of single months of a derived table, and publishes them so that no reader finds a row twice.

A parent whose month has changed takes its rows along. In a format whose files are replaced one by one, such rows leave
their old month before they appear in the new one: then some months are published twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.keys import hashes_of
from intercom.compaction.memory import MERGING
from intercom.compaction.move_steps import both
from intercom.compaction.moved_rows import in_two_months
from intercom.compaction.publish import PartitionResult
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.shares import replace_rows
from intercom.config.redaction import one_line
from intercom.errors import LakeError, SchemaError
from intercom.lake.parquet import (
    ParquetReader,
    RowGroupWriter,
    check_footer,
    file_digests,
    is_damage,
    marked_rows_of,
    open_parquet,
    rows_of,
    version_of,
)
from intercom.lake.state_entries import Partition
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.normalise.explode import Explode
from intercom.tables.table import Table

PARENTS_AT_ONCE = 512
"""Parents whose lists are read together; a row group has at most some 32 MiB, whatever is in the lists."""
_UNPACKED = 10
"""Estimated bytes in memory per byte of a parent's file."""

_NONE = pa.array([], pa.int64())


@dataclass(frozen=True, slots=True)
class MadeMonth:
    """A month that was made: its published file, its number of rows, and what `Explode` has found in the lists."""

    result: PartitionResult
    rows: int = 0
    cut: int = 0
    rejected: int = 0
    unknown: tuple[str, ...] = ()


class DerivedFiles:
    """Makes months of a derived table into files of one version, whose rows have this time of ingestion.

    `recorded` are the partitions of the table's record.
    """

    def __init__(
        self,
        table: Table,
        lake_table: LakeTable,
        parent_table: LakeTable,
        recorded: Mapping[str, Partition],
        version: str,
        ingested_at: datetime,
    ) -> None:
        assert table.parent is not None
        self._table, self._lake_table, self._parent_table = table, lake_table, parent_table
        self._parent = table.parent
        self._recorded, self._version, self._ingested_at = recorded, version, ingested_at

    def make(
        self, due: Sequence[str], gone: Sequence[str], sources: Mapping[str, str], stored: Mapping[str, str]
    ) -> dict[str, MadeMonth]:
        """Make the months that are `due`, and drop those that are `gone`.

        `sources` are the stamps of the parent's files, `stored` those of the table's own.
        """
        size = sum(stamped_size(sources[month]) for month in due)
        each = self._lake_table.lake.each
        moved, new = self._moved(due, gone, sources, stored)
        made = {month: self._dropped(month, stored[month]) for month in gone}
        first = each(lambda month: self._made(month, sources[month], stored.get(month), moved), due, size)
        made |= dict(zip(due, first, strict=True))
        gaining = [month for month in due if len(moved) and pc.any(pc.is_in(new[month], value_set=moved)).as_py()]

        def again(month: str) -> MadeMonth:
            before = made[month].result
            there = before.partition.stamp if before.partition else None
            made_again = self._made(month, sources[month], there, _NONE)
            return replace(made_again, result=both(before, made_again.result))

        return made | dict(zip(gaining, each(again, gaining, size), strict=True))

    def _moved(
        self, due: Sequence[str], gone: Sequence[str], sources: Mapping[str, str], stored: Mapping[str, str]
    ) -> tuple[pa.Array, Mapping[str, pa.Array]]:
        """Hashes of parents that are in a month now and have rows in the file of another one; and those of all parents.

        Only months that are made anew can have such parents: the file that a parent has left has changed, too.
        """
        before = [month for month in (*due, *gone) if month in stored]
        if self._lake_table.files.together or not before or len(due) + len(gone) < 2:
            return _NONE, {}
        new = {month: self._parents_in(self._parent_table, month, sources[month], self._parent.key) for month in due}
        column = self._table.parent_column
        old = {month: self._parents_in(self._lake_table, month, stored[month], column) for month in before}
        return in_two_months(new, old), new

    def _parents_in(self, files: LakeTable, month: str, stamp: str, column: str) -> pa.Array:
        """Hashes of the parents in a file; none in a file of ours that cannot be read, since no reader finds rows."""
        try:
            with files.files.open(month, stamp) as source, open_parquet(source) as file:
                if column not in file.schema_arrow.names:
                    return _NONE
                groups = (file.read_row_group(group, columns=[column]) for group in range(file.num_row_groups))
                return joined([hashes_of(pc.unique(flat(rows.column(0)))) for rows in groups], pa.int64())
        except Exception as error:
            if not is_damage(error):
                raise
            return _NONE

    def _dropped(self, month: str, stamp: str) -> MadeMonth:
        entry = self._recorded.get(month)
        rows = entry.rows if entry is not None and entry.stamp == stamp else 0
        self._lake_table.drop_file(month, stamp)
        return MadeMonth(PartitionResult(month, RowCounts(removed=rows, files=1), None))

    def _made(self, month: str, source: str, stored: str | None, without: pa.Array) -> MadeMonth:
        """Make a month of the parent's file, without the rows of some parents, and publish it over the stored file."""
        explode = Explode(self._table, self._ingested_at)
        with self._lake_table.lake.scratch() as part, self._lake_table.lake.scratch() as new, ExitStack() as stack:
            with MERGING.taken(_UNPACKED * stamped_size(source)):
                self._explode(explode, month, source, without, part)
            rows = rows_of(part)
            old = None if stored is None else stack.enter_context(self._lake_table.files.fetch(month))
            counts = self._merged(month, stored, old, part, new)
            result = self._published(month, counts, stored, old, new)
        return MadeMonth(result, rows, explode.cut, explode.rejected, tuple(explode.unknown))

    def _explode(self, explode: Explode, month: str, source: str, without: pa.Array, part: Path) -> None:
        with (
            self._named(month),
            self._parent_table.files.open(month, source) as opened,
            open_parquet(opened) as file,
            RowGroupWriter(part, self._table.schema.arrow, self._version) as writer,
        ):
            self._check_columns(explode, month, file)
            for parents in file.iter_batches(PARENTS_AT_ONCE, columns=list(explode.columns), use_threads=False):
                if len(without):
                    keys = hashes_of(parents.column(self._parent.key))
                    parents = parents.filter(pc.invert(pc.is_in(keys, value_set=without)))
                writer.add(explode.rows(parents))

    def _merged(self, month: str, stamp: str | None, old: Path | None, part: Path, new: Path) -> RowCounts:
        """Write the month's new rows to `new` if they differ from those in `old`, which may be damaged."""
        recorded = self._recorded.get(month)
        with MERGING.rows_of([part] if old is None else [part, old]):
            try:
                if old is not None and recorded is not None and recorded.stamp == stamp:
                    check_footer(old, recorded.footer)
                return self._merge(old, part, new)
            except Exception as error:
                if old is None or not is_damage(error):
                    raise
                return replace(self._merge(None, part, new), files=1)

    def _merge(self, old: Path | None, part: Path, new: Path) -> RowCounts:
        return replace_rows(self._table, old, part, new, self._version, self._lake_table.lake.scratch)

    def _published(
        self, month: str, counts: RowCounts, stored: str | None, old: Path | None, new: Path
    ) -> PartitionResult:
        if counts.rows == 0 and month:
            if stored is not None:
                self._lake_table.drop_file(month, stored)
            return PartitionResult(month, counts, None)
        if counts.rows == 0 and (counts.files or stored is None):
            # A table that is one file has it without rows, too: readers need its columns.
            counts = replace(counts, files=1)
            with RowGroupWriter(new, self._table.schema.arrow, self._version):
                pass
        if not counts.files:
            assert stored is not None
            assert old is not None
            kept = Partition(counts.rows, version_of(old) or "", stored, *file_digests(old), marked=marked_rows_of(old))
            return PartitionResult(month, counts, kept)
        digests, marked = file_digests(new), marked_rows_of(new)  # before add_file, which moves the local file
        added = self._lake_table.add_file(new, month, counts.rows, stored)
        made = Partition(counts.rows, self._version, added.stamp, *digests, marked=marked)
        return PartitionResult(month, counts, made, added)

    def _check_columns(self, explode: Explode, month: str, file: ParquetReader) -> None:
        if missing := [name for name in explode.columns if name not in file.schema_arrow.names]:
            raise SchemaError(
                f"{self._table.name}: {self._name(month)}, from which the table is made, has no column "
                f"{', '.join(missing)}. Sync {self._parent.table.name}: its files are rewritten then."
            )

    @contextmanager
    def _named(self, month: str) -> Iterator[None]:
        """Turn Arrow's errors for a damaged file of the parent into a LakeError that names it and the cure."""
        try:
            yield
        except Exception as error:
            if not is_damage(error):
                raise
            raise LakeError(
                f"{self._table.name}: {self._name(month)}, from which the table is made, is damaged "
                f"({one_line(error).rstrip('.')}). Sync {self._parent.table.name} with --full-refresh: it is read and "
                f"written again. The month stays as it was in {self._table.name}."
            ) from error

    def _name(self, month: str) -> str:
        return f"the file {self._parent_table.files.path(month)} in the lake {self._parent_table.lake.url}"
