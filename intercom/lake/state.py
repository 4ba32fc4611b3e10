"""A table's record in the lake: what is published and staged, how far it was read, how complete that is.

A watermark says that everything that changed up to here is in *this* lake. It is kept twice: in a `WatermarkStore`
(Prefect blocks) and in the lake itself as part of the table's `TableState`. Both are written after the rows are
durable. The smaller one counts, the lake's own when the store has none, and none when the lake's own is gone or
does not match what lies in the lake: reading too much is repaired by the merge, reading too little by nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from intercom.errors import LakeError
from intercom.lake.layout import FIRST_FORMAT, FORMAT
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.watermark import iso_text
from intercom.tables.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Partition:
    """A published file as it was when the table was last compacted.

    `version` is in its footer and travels with it; `stamp` is what the storage says of it, and is free to ask. `footer`
    is the footer's digest, "" when it is not known.
    """

    rows: int
    version: str
    stamp: str
    footer: str = ""


@dataclass(frozen=True, slots=True)
class ColumnMigration:
    """A change of columns under way: files of this `version` have the columns `to` already."""

    version: str
    to: TableSchema


@dataclass(frozen=True, slots=True)
class FinishedRead:
    """What a run that has read a table says of it; fields are those of the record that it becomes a part of.

    `staged` are the parts of the attempt that got to the end, `earlier` those of attempts that it builds on. `columns`
    are the declared ones, in which all of these parts are. `to_replace`: it was meant to replace the table, which it
    does when it covers it.
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


@dataclass(frozen=True, slots=True)
class Generation:
    """Which of a table's records one is: its number, and what the store or its content tells it by."""

    number: int
    mark: str


@dataclass(frozen=True, slots=True)
class TableState:
    """A table's own record in the lake, ``_state/<connection>/<table>.json``.

    `partitions` maps month (``""`` for the one file of a replace table) to what was published; `staged` lists
    committed runs that are not compacted yet, oldest first; `compaction` is the version of the files that the last
    compaction has published, or was about to; `history_from` is the start date (unix seconds) that limited the first
    load, None when everything was read; `complete` is False when run `run_id` found fewer rows than Intercom counts by
    more than an index may be wrong, and `notes` has a line for each search or list that stayed short at all, and
    for records that could not be rows.
    `search_check` says how the table's search compares dates (`intercom.extract.date_comparison.SearchCheck` as JSON),
    None where nobody has looked. `refused` is why run `run_id` failed although it has read everything: a large part
    of the table would have been removed. `columns` is the declaration that all files and waiting parts were written
    by, but for those that `rewriting` has done; None when it is not known, and when files of two declarations
    lie in the lake. `damaged` are months whose file is not to be merged any more, because it cannot be read or holds
    rows that are not the table's: the table is read from the beginning, and they are written anew without it.
    `digests` is the mark of the row digests that are true of the table (`intercom.lake.row_digests`), None without any.
    `generation` is the record that this one was read from and is saved over, None when there was none; it is no part
    of what a record says.
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
    generation: Generation | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        """Rows in the published table."""
        return sum(partition.rows for partition in self.partitions.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times in ISO 8601, UTC."""
        fields = asdict(replace(self, columns=None, rewriting=None))
        del fields["generation"]
        fields["staged"] = [run.to_json() for run in self.staged]
        for name in ("ingested_at", "saved_at"):
            fields[name] = iso_text(fields[name])
        for name in ("watermark", "history_from"):
            fields[name] = None if fields[name] is None else iso_text(datetime.fromtimestamp(fields[name], UTC))
        if self.columns is not None:
            fields["columns"] = self.columns.to_json()
        if self.rewriting is not None:
            fields["rewriting"] = {"version": self.rewriting.version, "to": self.rewriting.to.to_json()}
        # Beside the partitions, since versions of this package without it take no other field there.
        fields["footers"] = {month: entry.pop("footer") for month, entry in fields["partitions"].items()}
        waiting = any(run.parts for run in self.staged)
        return {"format": FORMAT if waiting else FIRST_FORMAT, "rows": self.rows, **fields}

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
                month: Partition(**entry, footer=str(record.get("footers", {}).get(month, "")))
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
        )

    # -- what becomes of a record: each gives the next one ---------------------------------------------------------

    def committed(self, read: FinishedRead, intact: Mapping[str, Partition], waiting: Collection[str]) -> TableState:
        """A run has read the table, and its parts are in the lake.

        `intact` are the partitions, and `waiting` the names of the staged runs, of this record that lie in the lake as
        they should: where everything was read, the others are not missed any more. Rows that were to replace the table
        and cannot lie beside files that may have other columns: then no declaration is the columns of all.
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
            workspace=read.workspace or self.workspace,
            complete=read.complete,
            notes=read.notes,
            refused=read.refused,
            digests=read.digests,
            search_check=read.search_check or self.search_check,
            run_id=read.run_id,
            ingested_at=read.ingested_at,
            saved_at=read.saved_at,
            partitions=intact if everything else self.partitions,
            staged=tuple(run for run in self.staged if not everything or run.run_id in waiting),
        )
        return after.with_staged(read.staged, *read.earlier)

    def with_staged(self, run: StagedRun, *earlier: StagedRun) -> TableState:
        """The state with one more run to compact; a run that replaces the table supersedes those before it.

        `earlier` are attempts at the same run whose parts it builds on.
        """
        replaces, whole = run.coverage is Coverage.REPLACES, run.coverage is not Coverage.SOME
        added = (*earlier, run) if run.parts or replaces or (earlier and whole) else earlier
        names = {entry.run_id for entry in added}
        kept = () if replaces else tuple(entry for entry in self.staged if entry.run_id not in names)
        return replace(self, staged=(*kept, *added))

    def compacting(self, version: str, found: Mapping[str, Partition]) -> TableState:
        """A compaction into files of this version begins; `found` are the files that it finds, as they lie there."""
        return replace(self, partitions={**self.partitions, **found}, compaction=version)

    def only_with(self, months: Collection[str]) -> TableState:
        """The partitions of these months, since the files of others have gone."""
        return replace(self, partitions={month: entry for month, entry in self.partitions.items() if month in months})

    def compacted(
        self, merged: Mapping[str, Partition | None], *, foreign: Collection[str], lost: bool, saved_at: datetime
    ) -> TableState:
        """All that waited is merged; `merged` are the months that this has met, None for one without rows.

        `foreign` months had a file that is not the table's before: their rows are in the table now, unless staged rows
        were all of it. `lost`: files were not there any more, so that the next run has to read everything.
        """
        kept = {month: entry for month, entry in self.partitions.items() if month not in merged}
        return replace(
            self,
            watermark=None if lost else self.watermark,
            digests=None if lost else self.digests,
            partitions=kept | {month: entry for month, entry in merged.items() if entry is not None},
            staged=(),
            compaction=None,
            damaged=() if self.read_whole else tuple(sorted({*self.damaged, *foreign})),
            saved_at=saved_at,
        )

    def migrating(self, columns: TableSchema, version: str) -> TableState:
        """The files are to be rewritten with these columns, as files of this version; one under way goes on."""
        if self.rewriting is not None:
            return self
        return replace(self, rewriting=ColumnMigration(version, columns), digests=None)

    def migrated(self, columns: TableSchema, rewritten: Mapping[str, Partition], *, saved_at: datetime) -> TableState:
        """All files have these columns; `rewritten` are the partitions that were there."""
        return replace(
            self,
            fingerprint=columns.fingerprint,
            columns=columns,
            rewriting=None,
            partitions={month: rewritten.get(month, entry) for month, entry in self.partitions.items()},
            saved_at=saved_at,
        )

    def with_damage(self, month: str) -> TableState:
        """A month's file is damaged: the next run reads the table from the beginning."""
        return self if month in self.damaged else replace(self, damaged=(*self.damaged, month), digests=None)

    # -- what it says ----------------------------------------------------------------------------------------------

    def knows(self, month: str, version: str | None) -> bool:
        """Whether a published file of this version is ours: recorded, or of work on the files that died half-way."""
        pending = {run.run_id for run in self.staged} | ({self.compaction} if self.staged else set())
        if self.rewriting is not None:
            pending.add(self.rewriting.version)
        recorded = self.partitions.get(month)
        return version is not None and (version in pending or (recorded is not None and version == recorded.version))

    @property
    def coverage(self) -> Coverage:
        """How much of the table all rows are that wait to be merged."""
        return max((run.coverage for run in self.staged), default=Coverage.SOME)

    @property
    def read_whole(self) -> bool:
        """Whether rows wait to be merged that make the table whole, whatever lies there."""
        return self.coverage is not Coverage.SOME


def _rewriting(record: Mapping[str, Any]) -> ColumnMigration:
    return ColumnMigration(str(record["version"]), TableSchema.from_json(record["to"]))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _second(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
