"""The summary that each run leaves in the lake, a JSON object. Pure; where it is kept: `intercom.lake.run_summaries`.

Times are ISO 8601 in UTC, counts are numbers. ``null`` stands for what is not known, as the counts of a table that
failed. Fields may be added without a new `VERSION`.

    version                        1
    run_id, flow, kind             flow: intercom-sync, intercom-reconcile, intercom-compact; kind: sync, full refresh,
                                   backfill, reconcile, compact
    connection, lake               the connection's name, the lake's URL
    package_version                of intercom-lake
    started_at, ended_at, seconds  by Intercom's clock where it was told, else by this machine's
    state, message                 completed or failed, and how it ended in words, as Prefect's final state says it
    asked                          tables, full_refresh, start_date and end_date (days, both included), compact
    traffic                        of all its tables, without those that failed
        requests, throttled, bytes_received
        seconds                    from the first request to the last answer
        limit_per_10s, share       requests that are allowed, and what share of them was sent in that time (1.0: all)
    tables                         one entry for each table of the run; all failed if it ended before it read
        table, status, reason      status: synced, compacted, skipped, failed; reason: why it was read from where it
                                   was, or why it was skipped: it was not named, and Intercom refuses it
        complete                   false if rows stayed missing that Intercom counts
        rows_read, new, changed, unchanged, removed
        kept, undecided            rows that were not read: there by their own address; until another sweep agrees
        rows, waiting              rows in the table, and staged rows that are not merged yet
        requests, throttled        requests sent, those of them that were answered with 429
        bytes_received, seconds
        watermark_before, watermark_after
        warnings, hints            lines
        rejected, rejected_file    records that could not be rows; where they are, a path in the lake
        error                      why it failed
    lake_tables                    every table that the lake has of the connection, as the run left it, also those that
                                   it did not touch
        table, rows, watermark
        synced_at                  when it last had all that Intercom had
        last_run_at, last_run_id, last_status
        last_error_at, last_error_run_id, last_error      the latest error, also after runs that went well
    pruned_on                      the day on which old summaries were last deleted
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

from intercom.api.traffic import total
from intercom.lake.state import TableState
from intercom.lake.watermark import iso_text
from intercom.sync.run import ALL, Run, RunRequest
from intercom.sync.summary import TableResult, failures, verdict
from intercom.tables.catalogue import TABLES

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run beside its tables.

    `request` is None for a run that only compacts, `run` until it holds its tables. `started_at` is by this machine's
    clock; `lake` is a URL.
    """

    run_id: str
    connection: str
    lake: str
    tables: tuple[str, ...]
    compact: str
    started_at: datetime
    request: RunRequest | None = None
    run: Run | None = None

    @property
    def kind(self) -> str:
        """What the run is for, in a word or two."""
        if self.request is None:
            return "compact"
        if self.request.until is not None:
            return "backfill"
        if self.request.reconciles:
            return "reconcile"
        return "full refresh" if self.request.full_refresh else "sync"

    def by_intercoms_clock(self, time: datetime) -> datetime | None:
        """A time of this machine by the clock of Intercom's server; None if the run was not told the time."""
        if self.run is None or self.run.doubt:
            return None
        return datetime.fromtimestamp(self.run.run_start, UTC) + (time - self.run.started_at)


def run_summary(
    facts: RunFacts,
    tables: Sequence[TableResult],
    *,
    ended_at: datetime,
    lake_tables: Sequence[Mapping[str, Any]] = (),
    error: str | None = None,
    pruned_on: str | None = None,
) -> dict[str, Any]:
    """The summary of a run that has ended, see this module.

    `ended_at` is by this machine's clock; `lake_tables` are the entries of the tables before the run; `error` is why it
    ended before its tables were read.
    """
    began, ended = (facts.by_intercoms_clock(time) or time for time in (facts.started_at, ended_at))
    request = facts.request or RunRequest()
    run: dict[str, Any] = {
        "version": VERSION,
        "run_id": facts.run_id,
        "flow": f"intercom-{facts.kind if facts.kind in ('compact', 'reconcile') else 'sync'}",
        "kind": facts.kind,
        "connection": facts.connection,
        "lake": facts.lake,
        "package_version": _package_version(),
        "started_at": _second(began),
        "ended_at": _second(ended),
        "seconds": round((ended_at - facts.started_at).total_seconds(), 3),
        "state": "failed" if error or failures(tables) else "completed",
        "message": error or verdict(tables),
        "asked": {
            "tables": list(facts.tables),
            "full_refresh": request.full_refresh,
            "start_date": _day(request.history_from),
            "end_date": _day(None if request.until is None else request.until - 1),
            "compact": facts.compact,
        },
        "traffic": _traffic(tables),
        "tables": [_entry(facts, table) for table in tables],
    }
    return {**run, "lake_tables": _after(facts, tables, lake_tables, run["ended_at"]), "pruned_on": pruned_on}


def recorded_table(table: str, state: TableState) -> dict[str, Any]:
    """The entry of `lake_tables` for a table of which only its record in the lake tells."""
    return _lake_table(
        table,
        rows=state.rows,
        watermark=_unix(state.watermark),
        synced_at=_second(state.ingested_at) if state.ingested_at and state.complete else None,
        last_run_at=_second(state.saved_at) if state.saved_at else None,
        last_run_id=state.run_id or None,
        last_status="synced" if state.refused is None else "failed",
        last_error=state.refused,
    )


def known_tables(summary: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """The entries of `lake_tables` in a summary; None for one of a later version, or that is damaged."""
    if summary is None or not isinstance(summary.get("version"), int) or summary["version"] > VERSION:
        return None
    entries = summary.get("lake_tables")
    if not isinstance(entries, list):
        return None
    return [_lake_table(**one) for one in entries if isinstance(one, dict) and isinstance(one.get("table"), str)]


def _after(
    facts: RunFacts, tables: Iterable[TableResult], before: Iterable[Mapping[str, Any]], ended_at: str
) -> list[dict[str, Any]]:
    """`lake_tables` as the run has left them, in the order of the catalogue."""
    entries = {str(one["table"]): _lake_table(**one) for one in before}
    for table in tables:
        if (facts.request is None or table.skipped is not None) and table.table not in entries:
            continue  # it was asked for, and the lake does not have it
        entry = entries.setdefault(table.table, _lake_table(table.table))
        entry |= {"last_run_at": ended_at, "last_run_id": facts.run_id, "last_status": _status(facts, table)}
        if table.error is not None:
            entry |= {"last_error_at": ended_at, "last_error_run_id": facts.run_id, "last_error": table.error}
        if not _has_counts(table):
            continue
        entry["rows"] = table.compacted.rows
        if table.ingested is not None:  # also None: a short read from the beginning leaves a table without one
            entry["watermark"] = _unix(table.read.watermark_after)
        if (second := _in_step_since(facts, table)) is not None:
            entry["synced_at"] = _unix(second)
    order = {name: place for place, name in enumerate(TABLES)}
    return sorted(entries.values(), key=lambda one: order.get(one["table"], len(order)))


def _in_step_since(facts: RunFacts, table: TableResult) -> int | None:
    """When the run began, if the table now has all that Intercom had then; what an earlier try has read is older."""
    if facts.run is None or facts.run.until is not None or table.read.earlier_try:
        return None
    return facts.run.run_start if table.error is None and table.read.complete else None


def _traffic(tables: Iterable[TableResult]) -> dict[str, Any]:
    """What the run has asked of Intercom, as far as its tables have counts."""
    sent = total(table.read.traffic for table in tables if _has_counts(table))
    return {
        "requests": sent.requests,
        "throttled": sent.throttled,
        "bytes_received": sent.received,
        "seconds": round(sent.seconds, 3),
        "limit_per_10s": sent.limit or None,
        "share": None if sent.share is None else round(sent.share, 4),
    }


def _lake_table(
    table: str,
    rows: int | None = None,
    watermark: str | None = None,
    synced_at: str | None = None,
    last_run_at: str | None = None,
    last_run_id: str | None = None,
    last_status: str | None = None,
    last_error_at: str | None = None,
    last_error_run_id: str | None = None,
    last_error: str | None = None,
    **_of_later_versions: Any,
) -> dict[str, Any]:
    return {
        "table": table,
        "rows": rows,
        "watermark": watermark,
        "synced_at": synced_at,
        "last_run_at": last_run_at,
        "last_run_id": last_run_id,
        "last_status": last_status,
        "last_error_at": last_error_at,
        "last_error_run_id": last_error_run_id,
        "last_error": last_error,
    }


def _entry(facts: RunFacts, table: TableResult) -> dict[str, Any]:
    """One table of the run."""
    read, merged, known = table.read, table.compacted, _has_counts(table)
    counts = {
        "rows_read": read.rows,
        "new": merged.new,
        "changed": merged.changed,
        "unchanged": read.unchanged + merged.unchanged,
        "removed": merged.removed,
        "kept": read.kept,
        "undecided": read.undecided,
        "rows": merged.rows,
        "waiting": merged.waiting,
        "requests": read.traffic.requests,
        "throttled": read.traffic.throttled,
        "bytes_received": read.traffic.received,
        "seconds": round(table.seconds, 3),
    }
    return {
        "table": table.table,
        "status": _status(facts, table),
        "reason": table.ingested.reason if table.ingested else table.skipped,
        "complete": read.complete if known and table.ingested else None,
        **{name: count if known else None for name, count in counts.items()},
        "watermark_before": _unix(read.watermark_before),
        "watermark_after": _unix(read.watermark_after),
        "warnings": list(read.notes),
        "hints": list(table.hints),
        "rejected": read.rejected if known else None,
        "rejected_file": read.rejected_file,
        "error": table.error,
    }


def _has_counts(table: TableResult) -> bool:
    """False for a table that was skipped or has failed, unless it was read: its removals or its block were refused."""
    return table.skipped is None and (table.failure is None or table.ingested is not None)


def _status(facts: RunFacts, table: TableResult) -> str:
    if table.error is not None:
        return "failed"
    if table.skipped is not None:
        return "skipped"
    return "compacted" if facts.request is None else "synced"


def _package_version() -> str | None:
    try:
        return version("intercom-lake")
    except PackageNotFoundError:  # run from a source tree
        return None


def _second(time: datetime) -> str:
    """ISO 8601, UTC, to the second."""
    return str(iso_text(time.replace(microsecond=0)))


def _unix(second: int | None) -> str | None:
    return None if second is None else _second(datetime.fromtimestamp(second, UTC))


def _day(second: int | Literal["all"] | None) -> str | None:
    """A day as it is asked for: None where none is, ``all`` as it is."""
    return second if second is None or second == ALL else datetime.fromtimestamp(second, UTC).date().isoformat()
