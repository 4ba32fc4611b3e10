"""What the tasks of a run share: plain names that travel between processes, and what each process makes of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.workspace import identify
from intercom.compaction.policy import CompactionMode
from intercom.config.lookup import find_connection
from intercom.config.storage_options import checked_options
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.locks.files import LockToken
from intercom.lake.locks.liveness import IdleCheck
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.orchestration.server.documents import load_connection, load_storage_options
from intercom.orchestration.server.limits import scroll_turn, sync_turn
from intercom.orchestration.server.slots import SlotState
from intercom.sync.run import Run, RunRequest
from intercom.tables.table import Table

_limiters: dict[str, RateLimiter] = {}
"""By a digest of address and token: a worker that lives for months keeps no token of a run that has ended."""
_limiters_lock = Lock()
_held: dict[str, TableLocks] = {}


@dataclass(frozen=True, slots=True)
class Job:
    """What every task of a run needs, without a secret: names, from which each process finds the rest.

    `request` is what is asked of a run that reads, None where nothing is read; `storage_options` are fsspec's, or name
    a block; `lake_url` is the lake's whole URL, to be shown. `holding_tables` adds the rest: the `run` that has begun,
    the `lock` on its tables, and whether it is `limited`, since Prefect has a limit for runs over the connection.
    """

    run_id: str
    connection: str
    lake: str
    tables: tuple[str, ...]
    compact: CompactionMode = CompactionMode.AUTO
    storage_options: dict[str, Any] | str | None = None
    table_format: TableFormat = TableFormat.PARQUET
    connections_file: str | None = None
    request: RunRequest | None = None
    lake_url: str = ""
    run: Run | None = None
    lock: LockToken | None = None
    limited: bool = False

    def open_lake(self) -> Lake:
        """The lake; ConfigurationError for a URL or options that cannot be used."""
        return Lake(self.lake, _options(self.storage_options))

    def lake_table(self, table: str) -> LakeTable:
        """One table's record and files, written only while this run holds the table."""
        lake = self.open_lake()
        return LakeTable(lake, TablePaths(self.connection, table), self._still_ours(lake, table), self.table_format)

    def client(self) -> IntercomClient:
        """The run's client, one in each process."""
        return client_of(self.run_id, self.connection, self.connections_file)

    def turn(self, table: Table, sleep: Callable[[float], None]) -> AbstractContextManager[SlotState]:
        """Waits until a table may be read: of a workspace's companies one scroll can be open at a time.

        Only where the connection has a limit: on a server that nobody has set up nothing would free a slot left over.
        """
        if table.may_wait or not self.limited or self.run is None or self.run.workspace is None:
            return nullcontext(SlotState.NONE)
        return scroll_turn(self.run.workspace, sleep)

    def _still_ours(self, lake: Lake, table: str) -> Callable[[], None]:
        """What raises LakeError when the lock is lost: by memory in the process that holds it, else by the store."""
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
    with (
        closing(job.client()) if job.request else nullcontext(),
        sync_turn(job.connection, IdleCheck(lake, job.connection).lasts) as hold,
        TableLocks(lake, job.connection, job.tables, job.run_id) as locks,
    ):
        _held[locks.attempt] = locks
        try:
            limited = hold is not SlotState.NONE
            yield replace(job, lock=locks.token, limited=limited, run=_begun(job, job.request) if job.request else None)
        except BaseException:
            # A signal, a cancelled run: they reach this thread only, and tasks that were submitted would read on.
            if job.request is not None:
                job.client().stop()
            raise
        finally:
            _held.pop(locks.attempt, None)


def _begun(job: Job, request: RunRequest) -> Run:
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
        doubt=workspace.doubt,
    )


@lru_cache(maxsize=8)
def client_of(_run_id: str, connection: str, connections_file: str | None) -> IntercomClient:
    """One client per run and process: found anew for each run, so that a rotated token is taken up."""
    found = find_connection(
        connection,
        connections_file=None if connections_file is None else Path(connections_file),
        environ=os.environ,
        load_block=load_connection,
    )
    key = hashlib.sha256(f"{found.base_url} {found.access_token.get_secret_value()}".encode()).hexdigest()
    with _limiters_lock:
        limiter = _limiters.setdefault(
            key, RateLimiter(found.requests_per_10s, most_in_flight=found.requests_in_flight)
        )
    return IntercomClient(found, limiter)


def _options(given: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(given, str):
        return load_storage_options(given)
    return checked_options(given or {})
