"""Watermarks: how far a table has been read into one lake, and what of that can be believed.

A watermark says that everything that changed up to here is in *this* lake. It is kept twice: in a `WatermarkStore`
(Prefect blocks) and in the lake itself as part of the table's `TableState`. Both are written after the rows are
durable. The smaller one counts, the lake's own when the store has none, and none when the lake's own is gone or
does not match what lies in the lake: reading too much is repaired by the merge, reading too little by nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from intercom.errors import LakeError
from intercom.tables.schema import TableSchema

FORMAT = 1
LOOKBACK_SECONDS = 3600
"""Intercom's search index may lag behind by minutes; an hour more is read each time and merged away."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """One table's watermark in one lake; `value` in unix seconds, UTC, None before any row was seen."""

    connection: str
    table: str
    lake_id: str
    lake_url: str
    cursor_field: str
    value: int | None
    run_id: str
    rows: int
    saved_at: datetime


class WatermarkStore(Protocol):
    """Where watermarks are kept outside the lake."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        """The saved watermark, or None when there is none for this table in this lake."""

    def save(self, watermark: Watermark) -> None:
        """Keep the watermark in place of an older one."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A published file as it was when the table was last compacted.

    `version` is in its footer and travels with it; `stamp` is what the storage says of it, and is free to ask. `footer`
    is the footer's digest, "" in records of older versions.
    """

    rows: int
    version: str
    stamp: str
    footer: str = ""


@dataclass(frozen=True, slots=True)
class StagedRun:
    """Parts that an attempt at a finished run has left for compaction, numbered below `parts`.

    `whole`: they hold every row that Intercom has of the table's history; `replaces`: and the table is to have no
    other. `rows` are those of
    the parts, `committed_at` is in unix seconds; both are 0 in records of older versions.
    """

    run_id: str
    parts: int
    replaces: bool = False
    whole: bool = False
    rows: int = 0
    committed_at: int = 0


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A change of columns under way: files of this `version` have the columns `to` already."""

    version: str
    to: TableSchema


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
    `search_check` says how the table's search compares dates (`intercom.extract.date_comparison.SearchCheck` as JSON), None where nobody
    has looked. `refused` is why run `run_id` failed although it has read everything: a large part of the table would
    have been removed. `columns` is the declaration that all files and waiting parts were written by, but for those that
    `rewriting` has done; None in records of older versions, and when files of two declarations lie in the lake.
    `damaged` are months whose file is not to be merged any more, because it cannot be read or holds rows that are not
    the table's: the table is read from the beginning, and they are written anew without it. `generation` is the record
    that this one was read from and is saved over, None when there was none; it is no part of what a record says.
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
    rewriting: Rewriting | None = None
    search_check: Mapping[str, Any] | None = None
    refused: str | None = None
    damaged: tuple[str, ...] = ()
    generation: Generation | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        """Rows in the published table."""
        return sum(partition.rows for partition in self.partitions.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times in ISO 8601, UTC."""
        fields = asdict(replace(self, columns=None, rewriting=None))
        del fields["generation"]
        for name in ("ingested_at", "saved_at"):
            fields[name] = _iso(fields[name])
        for name in ("watermark", "history_from"):
            fields[name] = None if fields[name] is None else _iso(datetime.fromtimestamp(fields[name], UTC))
        if self.columns is not None:
            fields["columns"] = self.columns.to_json()
        if self.rewriting is not None:
            fields["rewriting"] = {"version": self.rewriting.version, "to": self.rewriting.to.to_json()}
        # Beside the partitions, since versions of this package without it take no other field there.
        fields["footers"] = {month: entry.pop("footer") for month, entry in fields["partitions"].items()}
        return {"format": FORMAT, "rows": self.rows, **fields}

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
            staged=tuple(StagedRun(**entry) for entry in record["staged"]),
            compaction=record["compaction"],
            complete=bool(record.get("complete", True)),  # records of the first version do not say
            notes=tuple(map(str, record.get("notes", ()))),
            columns=None if record.get("columns") is None else TableSchema.from_json(record["columns"]),
            rewriting=None if record.get("rewriting") is None else _rewriting(record["rewriting"]),
            search_check=record.get("search_check"),
            refused=record.get("refused"),
            damaged=tuple(map(str, record.get("damaged", ()))),
        )

    def with_staged(self, run: StagedRun, *earlier: StagedRun) -> TableState:
        """The state with one more run to compact; a run that replaces the table supersedes those before it.

        `earlier` are attempts at the same run whose parts it builds on.
        """
        added = (*earlier, run) if run.parts or run.replaces or (earlier and run.whole) else earlier
        names = {entry.run_id for entry in added}
        kept = () if run.replaces else tuple(entry for entry in self.staged if entry.run_id not in names)
        return replace(self, staged=(*kept, *added))

    def knows(self, month: str, version: str | None) -> bool:
        """Whether a published file of this version is ours: recorded, or of work on the files that died half-way."""
        pending = {run.run_id for run in self.staged} | ({self.compaction} if self.staged else set())
        if self.rewriting is not None:
            pending.add(self.rewriting.version)
        recorded = self.partitions.get(month)
        return version is not None and (version in pending or (recorded is not None and version == recorded.version))

    @property
    def read_whole(self) -> bool:
        """Whether rows wait to be merged that make the table whole, whatever lies there."""
        return any(run.replaces or run.whole for run in self.staged)


@dataclass(frozen=True, slots=True)
class Findings:
    """What lies in the lake now.

    `published`: month -> stamp; `versions` and `rows`: month -> version and number of rows in the file's footer, for
    files that are not recorded with this stamp; `staged`: run -> number of parts.
    """

    published: Mapping[str, str]
    staged: Mapping[str, int]
    versions: Mapping[str, str | None] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Where a run starts to read.

    `watermark` None means from the beginning, because of `reason`. `replaces` says that what is read becomes the
    whole table, else it is merged into it.
    """

    watermark: int | None
    reason: str
    replaces: bool = False


def starting_point(
    state: TableState | None,
    saved: Watermark | None,
    findings: Findings,
    *,
    lake_id: str,
    columns: TableSchema,
    full_refresh: bool,
    history_from: int | None,
) -> StartingPoint:
    """Decide from where to read, believing only what the lake's own record and its files agree on.

    `columns` are the declared ones; files with others, that could not be rewritten, are replaced.
    """
    if full_refresh:
        return StartingPoint(None, "a full refresh was asked for", replaces=True)
    if state is None:
        return StartingPoint(None, "the lake has no record of this table")
    if state.lake_id != lake_id:
        return StartingPoint(None, "the record of this table belongs to another lake")
    if not _has_columns(state, columns):
        return StartingPoint(None, "the table's columns have changed since it was written", replaces=True)
    damage = missing_from(state, findings)
    if damage:
        return StartingPoint(None, damage)
    if _earlier_history(history_from, state.history_from):
        return StartingPoint(None, "rows from before the earlier start date are asked for")
    values = [state.watermark] if saved is None else [state.watermark, saved.value]
    if any(value is None for value in values):
        return StartingPoint(None, "no row was seen in earlier runs")
    return StartingPoint(min(value for value in values if value is not None), "incremental")


def missing_from(state: TableState, findings: Findings) -> str | None:
    """What the record promises and the lake does not hold, in words; None when all is there, and nothing beside it.

    Rows that wait to be merged and make the table whole mend what is there and should not be.
    """
    gone = sorted(month for month in state.partitions if month not in findings.published)
    if gone:
        return f"{_count(gone, 'published file')} of the table {_is_are(gone)} gone ({_list(gone)})"
    other = sorted(replaced_files(state, findings))
    if other:
        return f"{_count(other, 'published file')} {_is_are(other)} not as we left {_it_them(other)} ({_list(other)})"
    added = sorted(unknown_files(state, findings))
    if added and not state.read_whole:
        files = _count(added, "file")
        return f"{files} of the table {_is_are(added)} there that no run has left there ({_list(added)})"
    if state.damaged and not state.read_whole:
        return f"{_count(state.damaged, 'published file')} {_is_are(state.damaged)} damaged ({_list(state.damaged)})"
    lost = [run.run_id for run in state.staged if findings.staged.get(run.run_id, 0) != run.parts]
    if lost:
        return f"staged rows of {_count(lost, 'run')} are gone ({_list(lost)})"
    return None


def replaced_files(state: TableState, findings: Findings) -> set[str]:
    """Months whose file somebody else has put there, from a backup say."""
    changed = {month for month in state.partitions if findings.published.get(month) != state.partitions[month].stamp}
    return {m for m in changed & set(findings.published) if not state.knows(m, findings.versions.get(m))}


def unknown_files(state: TableState, findings: Findings) -> set[str]:
    """Months that the table does not have by its record, and that have a file: a removed one that is back, say."""
    added = findings.published.keys() - state.partitions.keys()
    return {month for month in added if not state.knows(month, findings.versions.get(month))}


def adopted(findings: Findings) -> dict[str, Partition]:
    """The files that lie there, for a table whose record is lost: nothing tells ours from others."""
    return {
        month: Partition(findings.rows.get(month, 0), version, findings.published[month])
        for month, version in findings.versions.items()
        if version is not None
    }


def not_to_be_merged(state: TableState, findings: Findings) -> set[str]:
    """Months whose file a run that has read everything leaves out: what is in there is not the table's any more."""
    return replaced_files(state, findings) | unknown_files(state, findings) | set(state.damaged)


def intact(state: TableState, findings: Findings) -> dict[str, Partition]:
    """The partitions as they lie there now, without those that are gone or were put there by somebody else.

    Among them are new ones that a compaction has published before it died.
    """
    other = replaced_files(state, findings)
    added = findings.published.keys() - state.partitions.keys() - unknown_files(state, findings)
    return {
        month: Partition(findings.rows.get(month, 0), findings.versions.get(month) or "", findings.published[month])
        for month in added
    } | {
        month: _as_found(entry, findings.versions.get(month) or entry.version, findings.published[month])
        for month, entry in state.partitions.items()
        if month in findings.published and month not in other
    }


def _as_found(entry: Partition, version: str, stamp: str) -> Partition:
    """The entry of a file that lies there now; one of another version has a footer that nobody has noted."""
    return replace(entry, version=version, stamp=stamp, footer=entry.footer if version == entry.version else "")


def next_watermark(previous: int | None, newest_seen: int | None, run_start: int) -> int | None:
    """The watermark after a complete read: ``min(newest cursor value seen, run_start)``, never below the previous one.

    Rows that change while they are read come again, since their new cursor value lies after `run_start`.
    """
    if newest_seen is None:
        return previous
    reached = min(newest_seen, run_start)
    return reached if previous is None else max(previous, reached)


def watermark_after(start: int | None, latest: int | None, newest_seen: int | None, run_start: int) -> int | None:
    """The watermark of the record that a run saves over `latest`; it moves back by a full refresh or for damage only.

    `start` is where the run began, None from the beginning; `newest_seen` is None when it moves no watermark. A run may
    begin before the record's watermark, where Prefect's copy is older, and another run may have saved a later one while
    it read: both are only ever raised.
    """
    reached = next_watermark(start, newest_seen, run_start)
    return reached if start is None or reached is None or latest is None else max(reached, latest)


def _has_columns(state: TableState, columns: TableSchema) -> bool:
    """Whether every file has these columns; older records do not tell texts that are JSON from others."""
    same = state.fingerprint == columns.fingerprint and state.columns in (None, columns)
    return same and state.rewriting is None


def _rewriting(record: Mapping[str, Any]) -> Rewriting:
    return Rewriting(str(record["version"]), TableSchema.from_json(record["to"]))


def _earlier_history(asked: int | None, kept: int | None) -> bool:
    return kept is not None and (asked is None or asked < kept)


def _count(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _it_them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _list(names: Sequence[str]) -> str:
    shown = [name or "data.parquet" for name in names[:3]]
    return ", ".join(shown) + (", ..." if len(names) > 3 else "")


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _second(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
