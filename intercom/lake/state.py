"""A table's record in the lake: what is published and staged, how far the table was read, how complete it is.

A watermark says that all changes up to this time are in *this* lake. It is kept twice: in a `WatermarkStore` (Prefect
blocks) and in the lake as part of the table's `TableState`. Both are written after the rows are durable. The smaller
value counts. If the store has none, the lake's value counts. If the lake's value is gone or does not match the files in
the lake, there is no watermark, and the table is read from the beginning: the merge removes duplicates of rows that are
read twice, but nothing restores rows that are never read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from intercom.errors import LakeError
from intercom.lake.layout import FIRST_FORMAT, FORMAT, PARTS_FORMAT
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.watermark import iso_text
from intercom.tables.column_rules import NO_RULES
from intercom.tables.owed import OwedParent
from intercom.tables.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Partition:
    """A published file as it was when the table was last compacted.

    `version` is written in the file's footer and stays with a copy. `stamp` comes from the storage's listing, without
    reading the file. `footer` is the digest of the footer, `content` that of the whole file, "" if unknown. `marked` of
    the rows are marked as deleted.
    """

    rows: int
    version: str
    stamp: str
    footer: str = ""
    content: str = ""
    marked: int = 0

    @property
    def alive(self) -> int:
        """The rows that are not marked as deleted."""
        return self.rows - self.marked


_BESIDE = {"footers": "footer", "contents": "content"}
"""Members of a record with one field of its partitions, each by month."""


@dataclass(frozen=True, slots=True)
class DerivedMonth:
    """A month of a parent table when rows were last derived of it: the `stamp` of its file, and what its lists lacked.

    `cut`: parents with more elements than Intercom has sent with them. `rejected`: elements that could not be rows.
    """

    stamp: str
    cut: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class ColumnMigration:
    """A rewrite of files that has begun: files of this `version` have the columns `to` already.

    If these are the columns that all files have, rows are being removed or changed.
    """

    version: str
    to: TableSchema


@dataclass(frozen=True, slots=True)
class SweepMark:
    """Names the sweep that is valid for a table: a complete read that lacked rows of the lake.

    `mark` is in the sweep's file as well (`intercom.lake.sweeps`). `at` is the ``_ingested_at`` of run `run_id`, which
    is never earlier than that of a row that it lacked; `workspace` and `fingerprint` are those of the read.
    """

    mark: str
    run_id: str
    at: datetime
    workspace: str | None
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "at": iso_text(self.at)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SweepMark:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for another object."""
        workspace = record["workspace"]
        return cls(
            mark=str(record["mark"]),
            run_id=str(record["run_id"]),
            at=datetime.fromisoformat(record["at"]),
            workspace=None if workspace is None else str(workspace),
            fingerprint=str(record["fingerprint"]),
        )


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

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times in ISO 8601, UTC."""
        fields = asdict(replace(self, columns=None, rewriting=None))
        del fields["generation"]
        fields["staged"] = [run.to_json() for run in self.staged]
        for name in ("ingested_at", "saved_at"):
            fields[name] = iso_text(fields[name])
        for name in ("watermark", "history_from", "backfilled_from"):
            fields[name] = None if fields[name] is None else iso_text(datetime.fromtimestamp(fields[name], UTC))
        fields["sweep"] = None if self.sweep is None else self.sweep.to_json()
        if self.columns is not None:
            fields["columns"] = self.columns.to_json()
        if self.rewriting is not None:
            fields["rewriting"] = {"version": self.rewriting.version, "to": self.rewriting.to.to_json()}
        # Not inside the partitions: older versions of this package fail on an unknown field there.
        for plural, name in _BESIDE.items():
            fields[plural] = {month: entry.pop(name) for month, entry in fields["partitions"].items()}
        marked = {month: entry.pop("marked") for month, entry in fields["partitions"].items()}
        if any(marked.values()):
            fields["marked"] = {month: rows for month, rows in marked.items() if rows}
        return {"format": self._format, "rows": self.rows, **fields}

    @property
    def _format(self) -> int:
        """The earliest format whose versions of this package keep to what the record says."""
        declared = [self.columns, self.rewriting.to if self.rewriting else None]
        if any(columns is not None and (columns.marks_deleted or columns.rules) for columns in declared):
            return FORMAT
        return PARTS_FORMAT if any(run.parts for run in self.staged) else FIRST_FORMAT

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TableState:
        """The inverse of `to_json`.

        Raises LakeError for a record of a later format; KeyError, TypeError or ValueError for one that is damaged.
        """
        if int(record["format"]) > FORMAT:
            raise LakeError(
                f"The lake was written by a later version of intercom-lake (format {record['format']}, "
                f"this version knows {FORMAT}). Upgrade intercom-lake; nothing was changed."
            )
        return cls(
            lake_id=str(record["lake_id"]),
            fingerprint=str(record["fingerprint"]),
            watermark=_second(record["watermark"]),
            history_from=_second(record["history_from"]),
            workspace=record["workspace"],
            run_id=str(record["run_id"]),
            ingested_at=_time(record["ingested_at"]),
            saved_at=_time(record["saved_at"]),
            partitions={
                month: Partition(
                    **entry,
                    **{name: _beside(record, plural, month) for plural, name in _BESIDE.items()},
                    marked=int(record.get("marked", {}).get(month, 0)),
                )
                for month, entry in record["partitions"].items()
            },
            staged=tuple(StagedRun.from_json(entry) for entry in record["staged"]),
            compaction=record["compaction"],
            complete=bool(record.get("complete", True)),
            notes=tuple(map(str, record.get("notes", ()))),
            columns=None if record.get("columns") is None else TableSchema.from_json(record["columns"]),
            rewriting=None if record.get("rewriting") is None else _rewriting(record["rewriting"]),
            search_check=record.get("search_check"),
            refused=record.get("refused"),
            damaged=tuple(map(str, record.get("damaged", ()))),
            digests=record.get("digests"),
            backfills_only=bool(record.get("backfills_only", False)),
            backfilled_from=_backfilled_from(record),
            derived_from={month: DerivedMonth(**entry) for month, entry in record.get("derived_from", {}).items()},
            derived_by=str(record.get("derived_by", "")),
            owed=tuple(map(OwedParent.from_json, record.get("owed", ()))),
            sweep=None if record.get("sweep") is None else SweepMark.from_json(record["sweep"]),
        )

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


def _beside(record: Mapping[str, Any], plural: str, month: str) -> Any:
    return str(record.get(plural, {}).get(month, ""))


def _rewriting(record: Mapping[str, Any]) -> ColumnMigration:
    return ColumnMigration(str(record["version"]), TableSchema.from_json(record["to"]))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _backfilled_from(record: Mapping[str, Any]) -> int | None:
    """The record's own; records of earlier versions do not say what backfills have copied: perhaps everything."""
    if "backfilled_from" in record:
        return _second(record["backfilled_from"])
    return None if record["history_from"] is None else 0


def _second(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
