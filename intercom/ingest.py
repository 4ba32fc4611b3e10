"""One table of one run: where to start, pages, staged parts, then the watermark, in that order.

The watermark moves last and only when every row is durable, so a run that dies anywhere is repaired by the next one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pyarrow.compute as pc

from intercom.client import TableClient
from intercom.errors import ConfigurationError, LakeError
from intercom.extract import read_pages
from intercom.lake import Lake
from intercom.ledger import Ledger
from intercom.normalise import Normaliser
from intercom.pages import Completeness, Page
from intercom.paths import TablePaths
from intercom.staging import PartWriter
from intercom.tables import Access, Strategy, Table
from intercom.watermarks import (
    LOOKBACK_SECONDS,
    StagedRun,
    StartingPoint,
    TableState,
    WatermarkStore,
    intact,
    next_watermark,
    starting_point,
)
from intercom.windows import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What all tables of a run share.

    `started_at` becomes ``_ingested_at``; `run_start` is the server's clock before the first page, in unix seconds;
    `history_from` and `until` limit the cursor field, unix seconds, ``[from, until)``; `workspace` is Intercom's code
    of the workspace, None when it could not be asked.
    """

    run_id: str
    connection: str
    started_at: datetime
    run_start: int
    full_refresh: bool = False
    history_from: int | None = None
    until: int | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run read of one table. Watermarks in unix seconds; `notes` are lines for the end of the run."""

    rows: int
    requests: int
    throttled: int
    watermark_before: int | None
    watermark_after: int | None
    reason: str
    notes: tuple[str, ...] = ()


def ingest_table(table: Table, api: TableClient, lake: Lake, store: WatermarkStore, run: Run) -> Ingested:
    """Read what is new of a table, stage it, and commit.

    Raises ApiError, SchemaError or LakeError; the watermark has not moved then. Rows that were staged by then do no
    harm: they are read again, and merged away if they are still there.
    """
    ledger = Ledger(lake, TablePaths(run.connection, table.name))
    plan = _plan(table, ledger, store, run)
    log.info("%s: %s", table.name, _described(table, plan, run))
    completeness = Completeness()
    staging = _Staging(table, ledger, plan, run)
    with staging.parts as parts:
        for page in read_pages(api, table, plan.window, run_start=run.run_start, completeness=completeness):
            staging.add(page)
    after = _commit(table, ledger, plan, staging, run, complete=completeness.complete)
    if table.cursor_field is not None:
        store.save(ledger.watermark(table.cursor_field, after))
    return Ingested(
        rows=parts.rows,
        requests=api.usage.requests,
        throttled=api.usage.throttled,
        watermark_before=plan.start.watermark,
        watermark_after=after.watermark,
        reason=plan.start.reason,
        notes=tuple(completeness.notes),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a run will read of a table, and the record that this was decided by.

    `history_from` is the start date of the table's history after this run, unix seconds.
    """

    state: TableState | None
    start: StartingPoint
    window: Window
    history_from: int | None
    lake_id: str


def _plan(table: Table, ledger: Ledger, store: WatermarkStore, run: Run) -> _Plan:
    state = ledger.state()
    _check_workspace(table, ledger, state, run)
    lake_id = ledger.lake.identity().id
    kept = state.history_from if state else None
    start = starting_point(
        state,
        store.load(run.connection, table.name, lake_id) if table.cursor_field is not None else None,
        ledger.findings(state),
        lake_id=lake_id,
        fingerprint=table.schema.fingerprint,
        full_refresh=run.full_refresh,
        history_from=run.history_from if run.until is None else kept,
    )
    if start.replaces and run.until is not None:
        raise ConfigurationError(
            f"Table {table.name} has to be written anew ({start.reason}), which a run with an end date cannot do. "
            "Run without an end date first; nothing was read and the watermark has not moved."
        )
    history = _history(state, start, run)
    return _Plan(state, start, _window(table, start, run, history), history, lake_id)


def _check_workspace(table: Table, ledger: Ledger, state: TableState | None, run: Run) -> None:
    """Refuse to mix two workspaces in one table."""
    if state is not None and run.workspace and state.workspace and run.workspace != state.workspace:
        raise ConfigurationError(
            f"Table {table.name} of connection {run.connection!r} in {ledger.lake.url} was read from the workspace "
            f"{state.workspace}, but the token belongs to {run.workspace}. Use another connection name or another "
            "lake; nothing was read and the watermark has not moved."
        )


def _history(state: TableState | None, start: StartingPoint, run: Run) -> int | None:
    """From which second on the table's history is complete after this run; None: from the beginning.

    A repair reads what the record says was there, also where this run by itself would ask for less.
    """
    if state is not None and (start.watermark is not None or run.until is not None):
        return state.history_from
    if state is None or run.full_refresh:
        return run.history_from
    asked = (run.history_from, state.history_from)
    return None if None in asked else min(second for second in asked if second is not None)


def _window(table: Table, start: StartingPoint, run: Run, history: int | None) -> Window:
    """The rows to keep. With an end the asked range is read, whatever the watermark says: a backfill."""
    if table.cursor_field is None:
        return Window()
    if run.until is not None:
        return Window(run.history_from, run.until)
    if start.watermark is None or table.access is not Access.SEARCH:
        return Window(history)  # where all is read anyway, the merge finds every change, also one behind the cursor
    return Window(start.watermark - LOOKBACK_SECONDS)


class _Staging:
    """Turns pages into staged parts and remembers the newest cursor value."""

    def __init__(self, table: Table, ledger: Ledger, plan: _Plan, run: Run) -> None:
        self.newest: int | None = None
        self.ingested_at = _later(run.started_at, plan.state.ingested_at if plan.state else None)
        # Two attempts at one run may both be alive, a worker that was given up and its successor: no shared folder.
        self.run_id = f"{run.run_id}.{uuid4().hex[:8]}"
        by_month = table.strategy is Strategy.MERGE
        self.parts = PartWriter(ledger.lake, ledger.paths, self.run_id, table.schema.arrow, by_month=by_month)
        self._cursor_field = table.cursor_field
        self._normaliser = Normaliser(table, self.ingested_at)

    def add(self, page: Page) -> None:
        """Stage a page's records."""
        if not page.records:
            return
        batch = self._normaliser.batch(page.records, where=page.where)
        self.parts.add(batch)
        newest = pc.max(batch.column(self._cursor_field)).as_py() if self._cursor_field else None
        if newest is not None:
            self.newest = max(int(newest.timestamp()), self.newest or 0)


def _commit(table: Table, ledger: Ledger, plan: _Plan, staging: _Staging, run: Run, *, complete: bool) -> TableState:
    """Save the table's record, on top of what another run may have saved meanwhile, once every part is there.

    An incomplete read is merged like any other, but it moves no watermark and removes no row.
    """
    latest = ledger.state()
    findings = ledger.findings(latest)
    if findings.staged.get(staging.run_id, 0) != staging.parts.parts:
        raise LakeError(
            f"{table.name}: {staging.parts.parts} parts were staged, but {findings.staged.get(staging.run_id, 0)} are "
            f"in the lake {ledger.lake.url}. Another run over the same table may have removed them. Run again; the "
            "watermark has not moved."
        )
    everything = plan.start.watermark is None and run.until is None and complete
    staged = StagedRun(
        staging.run_id,
        staging.parts.parts,
        replaces=complete and (plan.start.replaces or table.strategy is Strategy.REPLACE),
        whole=everything and plan.window == Window(),
    )
    kept = latest or TableState(lake_id=plan.lake_id, fingerprint=table.schema.fingerprint)
    after = replace(
        kept,
        lake_id=plan.lake_id,
        fingerprint=kept.fingerprint if plan.start.replaces and not everything else table.schema.fingerprint,
        watermark=_reached(plan, latest, staging, run, complete=complete),
        history_from=plan.history_from,
        workspace=run.workspace or kept.workspace,
        run_id=run.run_id,
        ingested_at=staging.ingested_at,
        saved_at=datetime.now(UTC),
        partitions=intact(kept, findings) if everything else kept.partitions,
        staged=tuple(old for old in kept.staged if not everything or findings.staged.get(old.run_id) == old.parts),
    )
    if staged.parts or staged.replaces:
        after = after.with_staged(staged)
    ledger.save(after)
    return after


def _reached(plan: _Plan, latest: TableState | None, staging: _Staging, run: Run, *, complete: bool) -> int | None:
    """The watermark after this run; another run's, saved while this one read, is only ever raised."""
    reached = plan.start.watermark
    if complete and run.until is None:
        reached = next_watermark(reached, staging.newest, run.run_start)
    overtaken = latest is not None and plan.state is not None and latest.run_id != plan.state.run_id
    if overtaken and plan.start.watermark is not None and latest is not None and latest.watermark is not None:
        return latest.watermark if reached is None else max(reached, latest.watermark)
    return reached


def _described(table: Table, plan: _Plan, run: Run) -> str:
    if table.cursor_field is None:
        return "reading the whole table"
    if run.until is not None:
        return f"reading the range up to {datetime.fromtimestamp(run.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if plan.start.watermark is None:
        return f"reading from the beginning, because {plan.start.reason}"
    return f"reading what changed since {datetime.fromtimestamp(plan.start.watermark, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _later(now: datetime, last: datetime | None) -> datetime:
    """`now`, or just after the last run's time where the clock was set back: later runs win by this value."""
    return now if last is None or now > last else last + timedelta(microseconds=1)
