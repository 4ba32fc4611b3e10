"""Runs in processes of their own that can be killed. They are cheap: a process with all imports done forks them.

``python -m tests.support.nursery`` reads one JSON order per line and answers with one JSON line when its process has
ended: the seconds that it took, or null if it was killed. A run does what the flow does, without Prefect.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.workspace import identify
from intercom.compaction.compact import compact_table
from intercom.config.connection import make_connection
from intercom.lake.layout import TablePaths
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark
from intercom.sync.ingest import ingest_table
from intercom.sync.remove_gone import remove_gone
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from tests.support.prefect_server import inherited
from tests.support.service_models import share_service_models


@dataclass(frozen=True)
class Order:
    """One run; it is killed after `seconds`, if given."""

    run_id: str
    connection: str
    base_url: str
    token: str
    lake: str
    watermarks: str
    tables: list[str]
    storage: dict[str, Any] = field(default_factory=dict)
    full_refresh: bool = False
    seconds: float | None = None


class FileWatermarks:
    """Watermarks that outlive the process, as Prefect's blocks do: one file each, whole or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        try:
            found: Watermark = pickle.loads((self._folder / f"{connection}-{table}-{lake_id}").read_bytes())
        except FileNotFoundError:
            return None
        return found

    def save(self, watermark: Watermark) -> None:
        path = self._folder / f"{watermark.connection}-{watermark.table}-{watermark.lake_id}"
        aside = path.with_suffix(".tmp")
        aside.write_bytes(pickle.dumps(replace(watermark)))
        aside.replace(path)


class Nursery:
    """The forking process, to be used as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"], env=inherited(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def run(self, order: Order) -> float | None:
        """Seconds that the run took, None when it was killed; AssertionError when it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(order)), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "failed" not in answer, answer
        return None if answer["seconds"] is None else float(answer["seconds"])


def _serve() -> None:
    import botocore.session
    import s3fs  # noqa: F401 -- once, instead of in each fork, as the description of S3

    share_service_models()
    botocore.session.get_session().create_client("s3", region_name="us-east-1")
    for line in sys.stdin:
        order = Order(**json.loads(line))
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _end(order)
        if order.seconds is not None:
            _kill_after(child, order.seconds)
        _, status = os.waitpid(child, 0)
        seconds = None if os.WIFSIGNALED(status) else time.monotonic() - started
        answer = {"seconds": seconds} if not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0 else {"failed": status}
        print(json.dumps(answer), flush=True)


def _kill_after(child: int, seconds: float) -> None:
    """Kill the child after `seconds`, unless it has ended before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)


def _end(order: Order) -> None:
    """The child process: run, then exit without the parent's exit handlers."""
    status = 1
    try:
        _sync(order)
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _sync(order: Order) -> None:
    lake = Lake(order.lake, order.storage)
    store = FileWatermarks(Path(order.watermarks))
    connection = make_connection(
        name=order.connection, access_token=order.token, base_url=order.base_url, place="tests"
    )
    client = IntercomClient(connection, RateLimiter())
    workspace = identify(client)
    run = Run(
        run_id=order.run_id,
        connection=order.connection,
        started_at=datetime.now(UTC),
        run_start=workspace.server_time,
        workspace=workspace.code,
        full_refresh=order.full_refresh,
    )
    with TableLocks(lake, order.connection, order.tables, order.run_id) as locks:
        for name in order.tables:
            lake_table = LakeTable(lake, TablePaths(order.connection, name), locks.check)
            ingest_table(TABLES[name], client.for_table(name, TABLES[name].scope), lake_table, store, run)
            remove_gone(TABLES[name], lake_table, store, compact_table(TABLES[name], lake_table, store))
    client.close()


if __name__ == "__main__":
    _serve()
