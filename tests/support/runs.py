"""One run as the flow does it, without Prefect, in a process of its own: what it is told, and what befalls it."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import identify
from intercom.compaction.compact import compact_table
from intercom.compaction.policy import CompactionMode
from intercom.config.connection import make_connection
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.lake.delta.log import DeltaLog
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.local_store import LocalStore
from intercom.lake.locks.liveness import LockTiming
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.lake.store import Store
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark
from intercom.sync.derived import derive
from intercom.sync.ingest import ingest_table
from intercom.sync.remove_gone import remove_gone
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.table import Access
from tests.support.hosts import become_host


@dataclass(frozen=True)
class Order:
    """One run, and what befalls it, as plain values. `marks`: rows that are gone are marked, and not removed.

    It is killed after `seconds`. Before its `at_step`-th step that changes the lake or a watermark, of those below
    `at_path`, it sends itself `at_step_signal`. No file of it grows beyond `file_bytes`. It is on another `host`, whose
    clock is `clock` seconds ahead. `locks` are the heartbeat, expiry and margin of its locks; `threads` tables are read
    at a time; `scratch` is its temporary folder; `log` is the file for its log.
    """

    run_id: str
    connection: str
    base_url: str
    token: str
    lake: str
    watermarks: str
    tables: list[str]
    storage: dict[str, Any] = field(default_factory=dict)
    full_refresh: bool = False
    reconciles: bool = False
    seconds: float | None = None
    table_format: str = "parquet"
    marks: bool = False
    compact: str = "always"
    smallest_slice: int | None = None
    threads: int = 1
    locks: tuple[float, float, float] | None = None
    host: str | None = None
    clock: float = 0.0
    at_step: int | None = None
    at_step_signal: int = signal.SIGKILL
    at_path: str = ""
    file_bytes: int | None = None
    scratch: str | None = None
    log: str | None = None


class FileWatermarks:
    """Watermarks that outlive the process, as Prefect's blocks do: one file each, whole or absent."""

    def __init__(self, folder: Path, step: Callable[[str], None] = lambda path: None) -> None:
        self._folder, self._step = folder, step

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        try:
            found: Watermark = pickle.loads((self._folder / f"{connection}-{table}-{lake_id}").read_bytes())
        except FileNotFoundError:
            return None
        return found

    def save(self, watermark: Watermark) -> None:
        self._step("watermarks")
        path = self._folder / f"{watermark.connection}-{watermark.table}-{watermark.lake_id}"
        aside = path.with_suffix(f".{os.getpid()}.tmp")
        aside.write_bytes(pickle.dumps(replace(watermark)))
        aside.replace(path)


class Steps:
    """Counts the steps that change something below a path; before the chosen one, the process sends itself a signal."""

    def __init__(self, order: Order) -> None:
        self._left, self._signal, self._below = order.at_step, order.at_step_signal, order.at_path
        self._counting = threading.Lock()

    def __call__(self, path: str) -> None:
        if self._left is None or not path.startswith(self._below):
            return
        with self._counting:
            self._left -= 1
            now = self._left == 0
        if now:
            os.kill(os.getpid(), self._signal)

    def watch(self, store: Store) -> None:
        """Let what changes a store's files be steps: after all checks that come before, and just before it is done."""
        put, create, delete, conditional = store.put, store.create, store.delete, store.conditional

        def delete_each(paths: Iterable[str]) -> None:
            for some in [list(paths)] if conditional else [[path] for path in paths]:
                self(some[0] if some else "")
                delete(some)

        def before(done: Callable[..., Any], place: int) -> Callable[..., Any]:
            def stepped(*given: Any, **options: Any) -> Any:
                self(str(given[place]))
                return done(*given, **options)

            return stepped

        for name, done in (("put", before(put, 1)), ("create", before(create, 1)), ("delete", delete_each)):
            setattr(store, name, done)
        if isinstance(store, LocalStore):
            store.move_out = before(store.move_out, 0)  # type: ignore[method-assign]
        if conditional is not None:
            conditional.replace = before(conditional.replace, 0)  # type: ignore[method-assign]
        commit = DeltaLog.commit

        def commit_later(log: DeltaLog, *given: Any) -> None:
            self(log._paths.delta_log)
            commit(log, *given)

        DeltaLog.commit = commit_later  # type: ignore[method-assign, assignment]


def do_run(order: Order) -> None:
    """Do a run in this process, which is for nothing else. Raises what the run raises."""
    _prepare(order)
    lake, step = Lake(order.lake, order.storage), Steps(order)
    if order.at_step is not None:
        step.watch(lake.store)
    store = FileWatermarks(Path(order.watermarks), step)
    connection = make_connection(
        name=order.connection, access_token=order.token, base_url=order.base_url, place="tests"
    )
    client = IntercomClient(connection, RateLimiter(), policy=RetryPolicy(read_seconds=20.0))
    timing = LockTiming(*order.locks) if order.locks else LockTiming()
    with TableLocks(lake, order.connection, order.tables, order.run_id, timing=timing) as locks:
        workspace = identify(client)
        run = Run(
            run_id=order.run_id,
            connection=order.connection,
            started_at=_now(order),
            run_start=workspace.server_time,
            workspace=workspace.code,
            full_refresh=order.full_refresh,
            reconciles=order.reconciles,
            allow_mass_removal=order.full_refresh or order.reconciles,
            doubt=workspace.doubt,
            limits=DEFAULT_LIMITS if order.smallest_slice is None else ReadLimits(order.smallest_slice, 0),
        )
        work = partial(_table, order=order, client=client, lake=lake, store=store, run=run, locks=locks)
        of_api = [name for name in order.tables if TABLES[name].access is not Access.DERIVED]
        for some in (of_api, [name for name in order.tables if name not in of_api]):
            if order.threads == 1:
                for name in some:
                    work(name)
            else:
                with ThreadPoolExecutor(order.threads) as pool:
                    list(pool.map(work, some))
    client.close()


def _table(
    name: str,
    *,
    order: Order,
    client: IntercomClient,
    lake: Lake,
    store: FileWatermarks,
    run: Run,
    locks: TableLocks,
) -> None:
    def of(one: str) -> LakeTable:
        paths = TablePaths(order.connection, one)
        return LakeTable(lake, paths, locks.check, TableFormat(order.table_format))

    table = TABLES[name].configured(CopySettings(order.marks))
    if table.made_of is not None:
        derive(table, of(name), of(table.made_of.name), run)
        return
    ingest_table(table, client.for_table(name, table.scope), of(name), store, run)
    merged = compact_table(table, of(name), store, when=CompactionMode(order.compact), committed=True)
    remove_gone(table, of(name), store, merged)


def _prepare(order: Order) -> None:
    if order.host is not None or order.clock:
        become_host(order.host, order.clock)
    if order.scratch is not None:
        tempfile.tempdir = order.scratch
    if order.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes, order.file_bytes))


def _now(order: Order) -> datetime:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + order.clock, UTC)
