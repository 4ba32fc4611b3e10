"""Where a run starts to read a table, and the watermark that it leaves. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.lake.findings import Findings, missing_from
from intercom.lake.state import TableState
from intercom.lake.watermark import Watermark
from intercom.sync.history import change_of
from intercom.tables.schema import TableSchema


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
    reconciles: bool = False,
) -> StartingPoint:
    """Decide from where to read, believing only what the lake's own record and its files agree on.

    `columns` are the declared ones; a table whose files have others, and could not be rewritten, is replaced.
    `history_from` is where the table's history begins after this run. `reconciles`: all is read for what is missing.
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
    if state.backfills_only:
        return StartingPoint(None, "only runs with an end date have read the table")
    if history_from != state.history_from:
        return StartingPoint(None, change_of(state.history_from, history_from))
    if reconciles:
        return StartingPoint(None, "it is compared with what the workspace has")
    watermark = _smaller(state, saved)
    unread = "its rows have to be read again" if state.rows else "no row was seen in earlier runs"
    return StartingPoint(watermark, unread if watermark is None else "incremental")


def watermark_before(
    state: TableState | None, saved: Watermark | None, findings: Findings, *, lake_id: str
) -> int | None:
    """The watermark that counts when a run begins, also where the run reads from the beginning in spite of it.

    None where there is none, and where files are missing that it speaks of.
    """
    believed = state is not None and state.lake_id == lake_id and missing_from(state, findings) is None
    return _smaller(state, saved) if state is not None and believed else None


def _smaller(state: TableState, saved: Watermark | None) -> int | None:
    values = [state.watermark] if saved is None else [state.watermark, saved.value]
    return None if None in values else min(value for value in values if value is not None)


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

    `start` is where the run began, None from the beginning; `newest_seen` is None when the run must not move the
    watermark. The record's watermark may be later than `start`, because Prefect's copy was older, or because another
    run has saved a later one meanwhile: an incremental run never lowers either.
    """
    reached = next_watermark(start, newest_seen, run_start)
    return reached if start is None or reached is None or latest is None else max(reached, latest)


def _has_columns(state: TableState, columns: TableSchema) -> bool:
    """Whether every file has these columns; records of older versions do not distinguish JSON from other texts."""
    same = state.fingerprint == columns.fingerprint and state.columns in (None, columns)
    return same and (state.rewriting is None or state.rewrites_rows)
