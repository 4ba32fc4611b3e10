"""One table of one run: where to start, pages, staged parts, then the watermark, in that order.

The watermark moves last and only when every row is durable, so a run that dies anywhere is repaired by the next one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pyarrow.compute as pc

from intercom.client import TableClient
from intercom.errors import ConfigurationError, LakeError
from intercom.extract import read_pages
from intercom.lake import Lake
from intercom.ledger import Ledger
from intercom.normalise import Normaliser
from intercom.pages import Page
from intercom.paths import TablePaths
from intercom.staging import PartWriter
from intercom.tables import Access, Strategy, Table
from intercom.watermarks import (
    LOOKBACK_SECONDS,
    Findings,
    StagedRun,
    StartingPoint,
    TableState,
    WatermarkStore,
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
    state, findings = ledger.state(), ledger.findings()
    start = _start(table, ledger, state, findings, store, run)
    log.info("%s: %s", table.name, _described(table, start, run))
    notes: list[str] = []
    staging = _Staging(table, ledger, state, run)
    with staging.parts as parts:
        for page in read_pages(api, table, _window(table, state, start, run), run_start=run.run_start, notes=notes):
            staging.add(page)
    after = _next_state(table, ledger, state, findings, start, staging, run)
    _commit(table, ledger, after, staging, store)
    return Ingested(
        rows=parts.rows,
        requests=api.usage.requests,
        throttled=api.usage.throttled,
        watermark_before=start.watermark,
        watermark_after=after.watermark,
        reason=start.reason,
        notes=tuple(notes),
    )


def _start(
    table: Table, ledger: Ledger, state: TableState | None, findings: Findings, store: WatermarkStore, run: Run
) -> StartingPoint:
    """Where to start; refuses to mix two workspaces, or to take a part of a table for the whole."""
    if state is not None and run.workspace and state.workspace and run.workspace != state.workspace:
        raise ConfigurationError(
            f"Table {table.name} of connection {run.connection!r} in {ledger.lake.url} was read from the workspace "
            f"{state.workspace}, but the token belongs to {run.workspace}. Use another connection name or another "
            "lake; nothing was read and the watermark has not moved."
        )
    lake_id = ledger.lake.identity().id
    start = starting_point(
        state,
        store.load(run.connection, table.name, lake_id) if table.cursor_field is not None else None,
        findings,
        lake_id=lake_id,
        fingerprint=table.schema.fingerprint,
        full_refresh=run.full_refresh,
        history_from=run.history_from if run.until is None else (state.history_from if state else None),
    )
    if table.strategy is Strategy.REPLACE:
        return replace(start, replaces=True)
    if start.replaces and run.until is not None:
        raise ConfigurationError(
            f"Table {table.name} has to be written anew ({start.reason}), which a run with an end date cannot do. "
            "Run without an end date first; nothing was read and the watermark has not moved."
        )
    return start


def _window(table: Table, state: TableState | None, start: StartingPoint, run: Run) -> Window:
    """The rows to keep. With an end the asked range is read, whatever the watermark says: a backfill."""
    if table.cursor_field is None:
        return Window()
    if run.until is not None:
        return Window(run.history_from, run.until)
    if start.watermark is None or state is None:
        return Window(run.history_from)
    if table.access is not Access.SEARCH:  # read whole: the merge finds every change, also one that leaves the cursor
        return Window(state.history_from)
    return Window(start.watermark - LOOKBACK_SECONDS)


class _Staging:
    """Turns pages into staged parts and remembers the newest cursor value."""

    def __init__(self, table: Table, ledger: Ledger, state: TableState | None, run: Run) -> None:
        self.newest: int | None = None
        self.ingested_at = _later(run.started_at, None if state is None else state.ingested_at)
        self.run_id = _free_run_id(run.run_id, state)
        ledger.lake.delete(part.path for part in ledger.parts() if part.run_id == self.run_id)  # of a dead attempt
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

    def committed(self, *, replaces: bool) -> StagedRun:
        """This run as the table's record knows it."""
        return StagedRun(self.run_id, self.parts.parts, replaces)


def _next_state(
    table: Table,
    ledger: Ledger,
    state: TableState | None,
    findings: Findings,
    start: StartingPoint,
    staging: _Staging,
    run: Run,
) -> TableState:
    """The table's record after this run's rows."""
    reached = start.watermark
    if table.cursor_field is not None and run.until is None:
        reached = next_watermark(start.watermark, staging.newest, run.run_start)
    kept = state or TableState(lake_id="", fingerprint="")
    after = replace(
        kept,
        lake_id=ledger.lake.identity().id,
        fingerprint=table.schema.fingerprint,
        watermark=reached,
        history_from=run.history_from if start.watermark is None and run.until is None else kept.history_from,
        workspace=run.workspace or kept.workspace,
        run_id=run.run_id,
        ingested_at=staging.ingested_at,
        saved_at=datetime.now(UTC),
        staged=tuple(old for old in kept.staged if findings.staged.get(old.run_id, 0) == old.parts),
    )
    staged = staging.committed(replaces=start.replaces)
    return after.with_staged(staged) if staged.parts or staged.replaces else after


def _commit(table: Table, ledger: Ledger, after: TableState, staging: _Staging, store: WatermarkStore) -> None:
    """Save the record in the lake, then the watermark outside it; both only for parts that are all there."""
    found = sum(part.run_id == staging.run_id for part in ledger.parts())
    if found != staging.parts.parts:
        raise LakeError(
            f"{table.name}: {staging.parts.parts} parts were staged, but {found} are in the lake {ledger.lake.url}. "
            "Another run over the same table may have removed them. Run again; the watermark has not moved."
        )
    ledger.save(after)
    if table.cursor_field is not None:
        store.save(ledger.watermark(table.cursor_field, after))


def _described(table: Table, start: StartingPoint, run: Run) -> str:
    if table.cursor_field is None:
        return "reading the whole table"
    if run.until is not None:
        return f"reading the range up to {datetime.fromtimestamp(run.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if start.watermark is None:
        return f"reading from the beginning, because {start.reason}"
    return f"reading what changed since {datetime.fromtimestamp(start.watermark, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _later(now: datetime, last: datetime | None) -> datetime:
    """`now`, or just after the last run's time where the clock was set back: later runs win by this value."""
    return now if last is None or now > last else last + timedelta(microseconds=1)


def _free_run_id(run_id: str, state: TableState | None) -> str:
    """The run's folder in staging; another one when the run, repeated, has rows there that wait for compaction."""
    taken = {run.run_id for run in state.staged} if state else set()
    names = (run_id if number == 1 else f"{run_id}.{number}" for number in count(1))
    return next(name for name in names if name not in taken)
