"""What the tasks of a run share: a `Job` of plain names, which travels between processes, and a process's clients."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.workspace import identify
from intercom.compaction.policy import CompactionMode
from intercom.config.connection import Connection
from intercom.config.lookup import find_connection
from intercom.config.storage_options import checked_options
from intercom.errors import PrefectError
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.locks.files import LockToken
from intercom.lake.locks.liveness import IdleCheck
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.orchestration.server.documents import load_connection, load_storage_options
from intercom.orchestration.server.limits import scroll_turn, sync_turn
from intercom.orchestration.server.slots import SlotState
from intercom.orchestration.server.watermark_store import BlockWatermarks, RunWatermarks, document_name
from intercom.orchestration.summaries import leaving_summary
from intercom.sync.board import BOARD
from intercom.sync.run import Run, RunRequest
from intercom.sync.run_summary import RunFacts
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_held: dict[str, TableLocks] = {}
"""By attempt: the locks that this process holds."""

_watermarks: dict[str, RunWatermarks] = {}
"""By attempt: the watermarks of the runs that hold tables in this process."""

_lakes: dict[str, Lake] = {}
"""By attempt: the lakes of the runs that hold tables in this process."""


class Clients:
    """This process's clients of Intercom's API: one for each run under way, and one limiter for each token.

    A run finds its connection anew, so that a rotated token is taken up. A limiter stays when its runs have ended: the
    quota that they used still counts for the next one. It is kept by a digest, so that no token is.
    """

    def __init__(self, load_block: Callable[[str], Connection | None] = load_connection) -> None:
        self._load_block = load_block
        self._limiters: dict[str, RateLimiter] = {}
        self._clients: dict[str, IntercomClient] = {}
        self._lock = Lock()

    def for_run(self, run_id: str, connection: str, connections_file: str | None) -> IntercomClient:
        """The run's client, the same for all of its threads; ConfigurationError when there is no such connection."""
        with self._lock:
            if run_id not in self._clients:
                self._clients[run_id] = self._make(connection, connections_file)
            return self._clients[run_id]

    def stop(self, run_id: str) -> None:
        """Let no other request of the run leave, whatever of it begins later: its client is kept for that."""
        with self._lock:
            client = self._clients.get(run_id)
        if client is not None:
            client.stop()

    def close(self, run_id: str) -> None:
        """Close the run's sockets, and forget its client unless it was stopped."""
        with self._lock:
            client = self._clients.get(run_id)
            if client is not None and not client.stopped:
                del self._clients[run_id]
        if client is not None:
            client.close()

    def _make(self, connection: str, connections_file: str | None) -> IntercomClient:
        found = find_connection(
            connection,
            connections_file=None if connections_file is None else Path(connections_file),
            environ=os.environ,
            load_block=self._load_block,
        )
        if found.remark:
            log.warning("%s", found.remark)
        key = hashlib.sha256(f"{found.base_url} {found.access_token.get_secret_value()}".encode()).hexdigest()
        limiter = RateLimiter(found.requests_per_10s, most_in_flight=found.requests_in_flight)
        return IntercomClient(found, self._limiters.setdefault(key, limiter))


CLIENTS = Clients()


@dataclass(frozen=True, slots=True)
class Job:
    """What every task of a run needs, without a secret: names, from which each process finds the rest.

    `request` is what is asked of a run that reads, None where nothing is read; `settings` are what the connection says
    of its tables, None where no connection is asked and the tables' records say it; `storage_options` are fsspec's, or
    name a block; `lake_url` is the lake's whole URL, to be shown; `started_at` is by this machine's clock. `named` are
    those of the tables that were named, and not only selected by a group. `holding_tables`
    adds the rest: the `run` that has begun, the `lock` on its tables, and whether it is `limited`, since Prefect has a
    limit for runs over the connection.
    """

    run_id: str
    connection: str
    lake: str
    tables: tuple[str, ...]
    named: frozenset[str] = frozenset()
    compact: CompactionMode = CompactionMode.AUTO
    settings: CopySettings | None = None
    storage_options: dict[str, Any] | str | None = None
    table_format: TableFormat = TableFormat.PARQUET
    connections_file: str | None = None
    request: RunRequest | None = None
    lake_url: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    run: Run | None = None
    lock: LockToken | None = None
    limited: bool = False

    def open_lake(self) -> Lake:
        """The lake; ConfigurationError for a URL or options that cannot be used."""
        return Lake(self.lake, _options(self.storage_options))

    def held_lake(self) -> Lake:
        """The lake that `holding_tables` has opened; opened anew in another process."""
        held = _lakes.get(self.lock.attempt) if self.lock else None
        return held or self.open_lake()

    def facts(self) -> RunFacts:
        """What the run's summary tells of it beside its tables."""
        return RunFacts(
            run_id=self.run_id,
            connection=self.connection,
            lake=self.lake_url or self.lake,
            tables=self.tables,
            compact=self.compact.value,
            started_at=self.started_at,
            request=self.request,
            run=self.run,
        )

    def lake_table(self, table: str) -> LakeTable:
        """One table's record and files, written only while this run holds the table."""
        lake = self.open_lake()
        return LakeTable(lake, TablePaths(self.connection, table), self._still_ours(lake, table), self.table_format)

    def table(self, name: str) -> Table:
        """A table of the catalogue as the connection has it copied; as the lake's records have it without settings."""
        entry = TABLES[name]
        if self.settings is not None:
            return entry.configured(self.settings)
        found = [entry, entry.made_of] if entry.made_of else [entry]
        states = {one.name: self.lake_table(one.name).state() for one in found}
        columns = {table: state.columns for table, state in states.items() if state and state.columns}
        marks = name in columns and columns[name].marks_deleted
        return entry.configured(CopySettings(marks, tuple((table, one.rules) for table, one in columns.items())))

    def recorded(self) -> tuple[str, ...]:
        """Those of the tables that the lake has a record of: the others were never synced into it."""
        return tuple(table for table in self.tables if self.lake_table(table).state() is not None)

    def client(self) -> IntercomClient:
        """The run's client, one in each process."""
        client = CLIENTS.for_run(self.run_id, self.connection, self.connections_file)
        if self.settings is not None and self.settings.rules:
            client.withhold_texts()
        return client

    def watermarks(self) -> BlockWatermarks:
        """The watermarks of the run's tables, all read by one request in the process that holds the tables."""
        return self._run_watermarks() or BlockWatermarks()

    def save_watermarks(self) -> dict[str, PrefectError]:
        """Save the watermarks that were kept for the end; the error of each table whose block the server refuses."""
        held = self._run_watermarks()
        return held.save_kept() if held else {}

    def _run_watermarks(self) -> RunWatermarks | None:
        return _watermarks.get(self.lock.attempt) if self.lock else None

    def turn(self, table: Table, sleep: Callable[[float], None]) -> AbstractContextManager[SlotState]:
        """Waits until a table may be read: a workspace can have one open scroll over its companies at a time.

        Waits only if the connection has a limit: on a server that nobody has set up, nothing would free a slot that a
        dead run has left.
        """
        if table.may_wait or not self.limited or self.run is None or self.run.workspace is None:
            return nullcontext(SlotState.NONE)
        return scroll_turn(self.run.workspace, sleep)

    def _still_ours(self, lake: Lake, table: str) -> Callable[[], None]:
        """A check that raises LakeError when the lock is lost; its holder looks in memory, others in the store."""
        if self.lock is None:
            return lambda: None
        held, lock = _held.get(self.lock.attempt), self.lock
        return held.check if held else lambda: lock.check(lake, table)


@contextmanager
def holding_tables(job: Job) -> Iterator[Job]:
    """The job while other runs are kept from its tables.

    Waits for a run over the same connection where Prefect has a limit for it, and raises BusyError when that takes
    hours. Raises LakeError when a run that holds one of the tables is at work all the same. The run begins when it has
    its tables: what changed while it waited is older than its start.
    """
    lake = job.open_lake()
    with ExitStack() as stack:
        stack.callback(CLIENTS.close, job.run_id)
        BOARD.stage(f"Locking the tables of connection {job.connection!r}")
        with leaving_summary(lambda: lake, job.facts()):
            hold = stack.enter_context(sync_turn(job.connection, IdleCheck(lake, job.connection).lasts))
            locks = stack.enter_context(TableLocks(lake, job.connection, job.tables, job.run_id))
            stack.enter_context(lake.keeping_scratch())
        _held[locks.attempt], _watermarks[locks.attempt] = locks, _watermarks_of(job, lake)
        _lakes[locks.attempt] = lake
        try:
            with leaving_summary(lambda: lake, job.facts()):
                run = _begun(job, job.request) if job.request else None
            BOARD.stage("Waiting for Prefect to start the tasks")
            tables = job.tables if job.request else job.recorded()  # now: a run that was waited for may have made some
            if others := [table for table in job.tables if table not in tables]:
                log.info("Left out, since nothing was synced of them into this lake: %s", ", ".join(others))
            yield replace(job, tables=tables, lock=locks.token, limited=hold is not SlotState.NONE, run=run)
        except BaseException:
            # A signal, a cancelled run: they reach this thread only, and tasks that were submitted would read on.
            CLIENTS.stop(job.run_id)
            raise
        finally:
            _held.pop(locks.attempt, None)
            _lakes.pop(locks.attempt, None)
            _watermarks.pop(locks.attempt, None)  # of a run that was interrupted without a save: it should end at once


def _watermarks_of(job: Job, lake: Lake) -> RunWatermarks:
    marked = [table for table in job.tables if TABLES[table].cursor_field is not None]
    return RunWatermarks([document_name(job.connection, table, lake.identity().id) for table in marked])


def _begun(job: Job, request: RunRequest) -> Run:
    BOARD.stage("Asking Intercom for its time")
    workspace = identify(job.client())
    return Run(
        run_id=job.run_id,
        connection=job.connection,
        started_at=datetime.now(UTC),
        run_start=workspace.server_time,
        full_refresh=request.full_refresh,
        history_from=request.history_from,
        until=request.until,
        workspace=workspace.code,
        allow_mass_removal=request.allow_mass_removal,
        refill_lists=request.refill_lists,
        plain_text=request.plain_text,
        lookback=request.lookback,
        reconciles=request.reconciles,
        doubt=workspace.doubt,
    )


def _options(given: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(given, str):
        return load_storage_options(given)
    return checked_options(given or {})
