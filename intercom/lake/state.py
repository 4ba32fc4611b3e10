"""A table's record in the lake: what is published and staged, how far the table was read, how complete it is.

A watermark says that all changes up to this time are in *this* lake. It is kept twice: in a `WatermarkStore` (Prefect
blocks) and in the lake as part of the table's `TableState`. Both are written after the rows are durable. The smaller
value counts. If the store has none, the lake's value counts. If the lake's value is gone or does not match the files in
the lake, there is no watermark, and the table is read from the beginning: the merge removes duplicates of rows that are
read twice, but nothing restores rows that are never read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state_entries import ColumnMigration, DerivedMonth, Partition, SweepMark
from intercom.tables.column_rules import NO_RULES
from intercom.tables.owed import OwedParent
from intercom.tables.schema import TableSchema


@dataclass(frozen=True, slots=True)
class FinishedRead:
    """The result of a run that has read a table, to be committed to the table's record (`TableState.committed`).

    `staged` are the parts of the attempt that finished, `earlier` the parts of attempts that it continues. `columns` is
    the declaration that all these parts were written with. `to_replace`: the run was meant to replace the table. It
    does so only if the coverage of `staged` says that it read the whole table.
    """

    staged: StagedRun
    earlier: tuple[StagedRun, ...]
    to_replace: bool
    lake_id: str
    columns: TableSchema
    watermark: int | None
    history_from: int | None
    workspace: str | None
    run_id: str
    ingested_at: datetime
    saved_at: datetime
    complete: bool
    notes: tuple[str, ...]
    search_check: Mapping[str, Any] | None
    refused: str | None
    digests: str | None = None
    backfills_only: bool = False
    backfilled_from: int | None = None
    owed: tuple[OwedParent, ...] = ()
    sweep: SweepMark | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """Identifies one version of a table's record: its number, and its ETag or the digest of its content (`mark`)."""

    number: int
    mark: str


@dataclass(frozen=True, slots=True)
class TableState:
    """A table's own record in the lake, ``_state/<connection>/<table>.json``.

    `partitions` maps month (``""`` for the one file of a replace table) to what was published; `staged` lists
    committed runs that are not compacted yet, oldest first; `compaction` is the version of the files that the last
    compaction has published, or was about to; `history_from` is the start date (unix seconds) of the table's
    history, None from the beginning; `complete` is False when run `run_id` found fewer rows than Intercom counts by
    more than an index may be wrong, and `notes` has a line for each search or list that stayed short at all, and
    for records that could not be rows.
    `search_check` says how the table's search compares dates (`intercom.extract.date_comparison.SearchCheck` as JSON),
    None if it was never checked. `refused` is why run `run_id` failed although it has read everything: a large part
    of the table would have been removed. `columns` is the declaration that all files and waiting parts were written
    with, except files that `rewriting` has done; None when it is unknown, or when the lake has files of two
    declarations. `damaged` are months whose file is not merged any more, because it cannot be read or has
    rows that are not the table's: the table is read from the beginning, and these months are written without the file.
    `digests` is the mark of the row digests that are valid for the table (`intercom.lake.row_digests`), None if there
    are none. `backfills_only`: only runs with an end date have read the table, and `history_from` says nothing yet.
    `backfilled_from` is the earliest second (unix) from which such runs have copied rows since the table was last read
    as a whole; 0 from the beginning, None where there was none. `derived_from` is what a derived table was made of, by
    month of its parent, and `derived_by` the fingerprint of the code and the declaration that made it. `owed` are
    parents of a child table whose children each run asks for until it has them. `sweep` names the keys that the last
    complete read lacked, None if there are none.
    `generation` identifies the record that this one was read from and will replace, None if there was none;
    it is not saved as a field of the record.
    """

    lake_id: str
    fingerprint: str
    watermark: int | None = None
    history_from: int | None = None
    workspace: str | None = None
    run_id: str = ""
    ingested_at: datetime | None = None
    saved_at: datetime | None = None
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    staged: tuple[StagedRun, ...] = ()
    compaction: str | None = None
    complete: bool = True
    notes: tuple[str, ...] = ()
    columns: TableSchema | None = None
    rewriting: ColumnMigration | None = None
    search_check: Mapping[str, Any] | None = None
    refused: str | None = None
    damaged: tuple[str, ...] = ()
    digests: str | None = None
    backfills_only: bool = False
    backfilled_from: int | None = None
    derived_from: Mapping[str, DerivedMonth] = field(default_factory=dict)
    derived_by: str = ""
    owed: tuple[OwedParent, ...] = ()
    sweep: SweepMark | None = None
    generation: Generation | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        """Rows in the published files, those that are marked as deleted among them."""
        return sum(partition.rows for partition in self.partitions.values())

    @property
    def alive(self) -> int:
        """Rows in the published files that are not marked as deleted."""
        return sum(partition.alive for partition in self.partitions.values())

    # -- changes of a record: each gives the new record -----------------------------------------------------------

    def committed(self, read: FinishedRead, intact: Mapping[str, Partition], waiting: Collection[str]) -> TableState:
        """The record after a run that has read the table and staged its parts.

        `intact` are this record's partitions, and `waiting` the ids of its staged runs, whose files are undamaged in
        the lake. If the run has read everything, all others are dropped from the record. A run that was to replace the
        table but did not read all of it leaves files whose columns may differ from its parts'; `columns` is None then.
        """
        everything = read.staged.coverage is not Coverage.SOME
        fits = everything or not read.to_replace
        same = self.columns == read.columns and self.rewriting is None
        after = replace(
            self,
            lake_id=read.lake_id,
            fingerprint=read.columns.fingerprint if fits else self.fingerprint,
            columns=read.columns if fits or same else None,
            rewriting=None if everything else self.rewriting,
            watermark=read.watermark,
            history_from=read.history_from,
            backfills_only=read.backfills_only,
            backfilled_from=read.backfilled_from,
            workspace=read.workspace or self.workspace,
            complete=read.complete,
            notes=read.notes,
            refused=read.refused,
            digests=read.digests,
            owed=read.owed,
            sweep=read.sweep,
            search_check=read.search_check or self.search_check,
            run_id=read.run_id,
            ingested_at=read.ingested_at,
            saved_at=read.saved_at,
            partitions=intact if everything else self.partitions,
            staged=tuple(run for run in self.staged if not everything or run.attempt in waiting),
        )
        return after.with_staged(read.staged, *read.earlier)

    def with_staged(self, run: StagedRun, *earlier: StagedRun) -> TableState:
        """The record with one more run to compact; a run that replaces the table supersedes the runs before it.

        `earlier` are attempts at the same run whose parts it continues.
        """
        replaces, whole = run.coverage is Coverage.REPLACES, run.coverage is not Coverage.SOME
        added = (*earlier, run) if run.parts or replaces or (earlier and whole) else earlier
        names = {entry.attempt for entry in added}
        kept = () if replaces else tuple(entry for entry in self.staged if entry.attempt not in names)
        return replace(self, staged=(*kept, *added))

    def compacting(self, version: str, found: Mapping[str, Partition]) -> TableState:
        """The record when a compaction into files of this version begins; `found` are the partitions there are now."""
        after = replace(self, partitions={**self.partitions, **found}, compaction=version)
        return replace(after, rewriting=None) if self.rewrites_rows else after

    def only_with(self, months: Collection[str]) -> TableState:
        """The record with the partitions of these months only; the files of other months are gone."""
        return replace(self, partitions={month: entry for month, entry in self.partitions.items() if month in months})

    def compacted(
        self, merged: Mapping[str, Partition | None], *, foreign: Collection[str], lost: bool, saved_at: datetime
    ) -> TableState:
        """The record when all staged rows are merged; `merged` has each merged month's file, None if no row is left.

        `foreign` months had a file of another writer. Its rows are in the table now, unless the staged rows were the
        whole table; so the months count as damaged. `lost`: files were missing, so the next run has to read everything.
        """
        kept = {month: entry for month, entry in self.partitions.items() if month not in merged}
        return replace(
            self,
            watermark=None if lost else self.watermark,
            digests=None if lost else self.digests,
            sweep=None if lost else self.sweep,
            partitions=kept | {month: entry for month, entry in merged.items() if entry is not None},
            staged=(),
            compaction=None,
            damaged=() if self.staged_whole else tuple(sorted({*self.damaged, *foreign})),
            saved_at=saved_at,
        )

    def migrating(self, columns: TableSchema, version: str) -> TableState:
        """The record when files begin to be rewritten with these columns and version; a migration under way goes on."""
        if self.rewriting is not None:
            return self
        return replace(self, rewriting=ColumnMigration(version, columns), digests=None)

    def migrated(
        self, columns: TableSchema, rewritten: Mapping[str, Partition | None], *, saved_at: datetime
    ) -> TableState:
        """The record when all files have these columns; `rewritten` are the partitions now, None if no row is left.

        Where rules have taken away what these columns are to hold, the next run reads the table from the beginning,
        also what backfills have copied. The rows stay until then, and those that Intercom does not serve any more too.
        """
        partitions = {month: rewritten.get(month, entry) for month, entry in self.partitions.items()}
        before = NO_RULES if self.columns is None else self.columns.rules
        again = not columns.rules.only_adds_to(before)
        history = self.history_from
        if again and history is not None and self.backfilled_from is not None:
            history = min(history, self.backfilled_from) or None
        return replace(
            self,
            watermark=None if again else self.watermark,
            history_from=history,
            fingerprint=columns.fingerprint,
            columns=columns,
            rewriting=None,
            partitions={month: entry for month, entry in partitions.items() if entry is not None},
            saved_at=saved_at,
        )

    def settled(self, intact: Mapping[str, Partition]) -> TableState:
        """The record when a rewrite of rows that died is given up; `intact` are the partitions that there are now."""
        return replace(self, partitions=intact, rewriting=None)

    def with_damage(self, month: str) -> TableState:
        """The record with this month's file marked as damaged: the next run reads the table from the beginning."""
        return (
            self if month in self.damaged else replace(self, damaged=(*self.damaged, month), digests=None, sweep=None)
        )

    # -- questions -------------------------------------------------------------------------------------------------

    def knows(self, month: str, version: str | None) -> bool:
        """Whether a published file of this version is the table's: recorded, or of a merge or migration that died."""
        pending = {run.attempt for run in self.staged} | ({self.compaction} if self.staged else set())
        if self.rewriting is not None:
            pending.add(self.rewriting.version)
        recorded = self.partitions.get(month)
        return version is not None and (version in pending or (recorded is not None and version == recorded.version))

    @property
    def rewrites_rows(self) -> bool:
        """Whether rows are being removed or changed, in files whose columns stay."""
        return self.rewriting is not None and self.rewriting.to == self.columns

    @property
    def coverage(self) -> Coverage:
        """How much of the table the staged rows cover."""
        return max((run.coverage for run in self.staged), default=Coverage.SOME)

    @property
    def staged_whole(self) -> bool:
        """Whether the staged rows are the whole table, whatever is in the published files."""
        return self.coverage is not Coverage.SOME
