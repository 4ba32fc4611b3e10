"""A Prefect server of its own for tests, and processes that use it."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import certifi

from tests.support.ports import free_port
from tests.support.postgres import PROGRAMS, Postgres
from tests.support.rig import Rig
from tests.support.warm import WarmProcess, WarmPython

ROOT = Path(__file__).parents[2]


SHARED_WARM_PYTHON = "SHARED_WARM_PYTHON"
"""The variable with the address of the `WarmProcess` of the process that has started this one, if it has one."""
AS_INSTALLED = Path(__file__).with_name("as_installed")
WITHOUT_BLOCKS = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}
"""Settings of a server that saves no types of blocks by itself at its start: a second of CPU, and whoever saves a block
saves its type."""


def inherited() -> dict[str, str]:
    """The environment of a process under test: without settings of ours and Prefect's, and without numpy."""
    own = ("PREFECT_", "INTERCOM_", SHARED_WARM_PYTHON)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (str(AS_INSTALLED), kept.get("PYTHONPATH"))))}


def new_database() -> Path:
    """An empty database of Prefect's server, kept in the virtual environment, one per version of Prefect.

    Making one takes twenty seconds of CPU, more than the rest of the server's start.
    """
    with _made_once("prefect-database") as (home, is_made):
        if not is_made:
            _upgrade(home)
    return home / "prefect.db"


def new_postgres() -> Path:
    """The same in PostgreSQL, to be given to `Postgres`."""
    with _made_once(f"prefect-{PROGRAMS.parent.name if PROGRAMS else 'no'}-postgres") as (home, is_made):
        if not is_made:
            shutil.rmtree(home / "begun", ignore_errors=True)
            with Postgres() as server:
                _upgrade(home, PREFECT_API_DATABASE_CONNECTION_URL=server.url)
                server.keep(home / "begun")
    return home / "begun"


@contextmanager
def _made_once(name: str) -> Iterator[tuple[Path, bool]]:
    """A folder of the virtual environment for this version of Prefect, and whether the block has filled it before."""
    home = Path(sys.prefix) / f"{name}-{version('prefect')}"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home, (home / "made").exists()
        (home / "made").touch()


def _upgrade(home: Path, **settings: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**inherited(), "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", **settings},
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip


def forking(home: Path, **environment: str) -> dict[str, str]:
    """The environment of a process with the folder `home` for Prefect, whose Python processes are forks.

    No server is configured; a temporary one is a fork, too.
    """
    own = {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "WARM_PYTHON": warm_python().address}
    return {**inherited(), **own, **environment}


@cache
def few_certificates() -> str:
    """A file with one certificate.

    Each client that Prefect makes, and a run makes some, reads all that are trusted, which takes 20 ms of CPU. Servers
    under test have none.
    """
    end = "-----END CERTIFICATE-----\n"
    folder = tempfile.mkdtemp(prefix="certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder, "one.pem")
    file.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    return str(file)


def temporary_client(api: str, *, retries: bool = True) -> AbstractContextManager[object]:
    """Prefect's clients in this process use the API at that address; without `retries` they ask once."""
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES
    from prefect.settings import temporary_settings as temporary

    once = {} if retries else {PREFECT_CLIENT_MAX_RETRIES: 0}
    return temporary({PREFECT_API_URL: api, PREFECT_API_SSL_CERT_FILE: few_certificates(), **once})


@cache
def warm_python() -> WarmPython:
    """For all tests of this process; what forks is shared, or is stopped when this process ends."""
    if address := os.environ.get(SHARED_WARM_PYTHON):
        return WarmPython(address)
    process = WarmProcess(inherited(), ROOT)
    atexit.register(process.stop)
    return WarmPython(process.address)


@contextmanager
def shared_warm_python() -> Iterator[None]:
    """What this process starts in the block shares one process that forks."""
    process = WarmProcess(inherited(), ROOT)
    os.environ[SHARED_WARM_PYTHON] = process.address
    try:
        yield
    finally:
        del os.environ[SHARED_WARM_PYTHON]
        process.stop()


class Prefect:
    """A Prefect server of its own, and processes that use it."""

    def __init__(self, home: Path, database: Path | None = None, *, warm: bool = True, **settings: str) -> None:
        """`settings` are environment variables of the server and of all processes that use it.

        It begins with a copy of the `database`, which has all tables; without one it makes its own. With `warm` the
        server and processes with its environment are forks of a warm one, and leave out what is nothing to tests: their
        CPU time and memory are not those of processes of users.
        """
        self.home = home
        if database is not None:
            shutil.copyfile(database, home / "prefect.db")
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        if warm:
            self.environment["WARM_PYTHON"] = warm_python().address
            self.environment["PREFECT_API_SSL_CERT_FILE"] = few_certificates()
            self.environment["PREFECT_API_DATABASE_MIGRATE_ON_START"] = str(database is None).lower()
        self.environment |= settings

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**inherited(), **self.environment}, stdout=log, stderr=log, cwd=self.home
            )
        for _ in range(240):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{self.api}/health", timeout=5).close()
            except OSError:
                assert self.process.poll() is None, (self.home / "server.log").read_text()
            else:
                return
        self.stop()
        raise AssertionError("the Prefect server did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def run(self, *command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
        """A script, ``-c`` and a program, or ``-m`` and a module, in a process that uses this server."""
        env = {**inherited(), **self.environment, **environment}
        return warm_python().run(command, env=env, cwd=cwd, timeout=240)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST to Prefect's API."""
        headers = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode(), headers))

    def get(self, path: str) -> Any:
        """GET from Prefect's API."""
        return self._ask(urllib.request.Request(f"{self.api}/{path}"))

    def delete(self, path: str) -> None:
        """DELETE by Prefect's API."""
        self._ask(urllib.request.Request(f"{self.api}/{path}", method="DELETE"))

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """PATCH by Prefect's API."""
        headers = {"Content-Type": "application/json"}
        self._ask(urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode(), headers, method="PATCH"))

    def _ask(self, request: urllib.request.Request) -> Any:
        """The answer, None if it is empty.

        A server on SQLite says 503 while its database is locked, and Prefect's own clients ask again.
        """
        for _ in range(60):
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != 503:
                    raise
                time.sleep(0.5)
        raise AssertionError(f"{request.full_url} answered 503 for half a minute")

    def save_connection(self, name: str, rig: Rig) -> None:
        """A connection block for the rig's workspace."""
        from intercom.blocks import IntercomConnection  # Prefect is imported by tests that have a server alone

        given = {"access_token": rig.server.token, "base_url": rig.server.base_url}
        self._save(name, IntercomConnection.model_validate(given))

    def forget_connections(self, *names: str) -> None:
        """Delete connection blocks, all without names. `bootstrap.py` tries each, for a second if nobody answers."""
        kind = {"slug": {"any_": ["intercom-connection"]}}
        for document in self.post("block_documents/filter", {"block_types": kind, "limit": 200}):
            if not names or document["name"] in names:
                self.delete(f"block_documents/{document['id']}")

    def save_storage_options(self, name: str, options: dict[str, Any]) -> None:
        """A Secret block with options of a lake's store."""
        from prefect.blocks.system import Secret

        self._save(name, Secret.model_validate({"value": options}))

    def _save(self, name: str, block: Any) -> None:
        with temporary_client(self.api):
            block.save(name, overwrite=True)

    def state_of(self, flow_run: str) -> str:
        """The run's state type once it has ended, or after two minutes."""
        for _ in range(240):
            state = str(self.get(f"flow_runs/{flow_run}")["state_type"])
            if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            time.sleep(0.5)
        return state

    def newest_run(self) -> dict[str, Any]:
        """The flow run that began last, of those in state COMPLETED or FAILED."""
        ended = {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}}
        found = self.post("flow_runs/filter", {"flow_runs": ended, "sort": "START_TIME_DESC", "limit": 1})
        return dict(found[0])

    def tasks_named(self, beginning: str, flow_run: str) -> list[str]:
        """Names, beginning with `beginning`, of the task runs of a flow run."""
        found = self.post("task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [flow_run]}}, "limit": 200})
        return [run["name"] for run in found if run["name"].startswith(beginning)]

    def stored(self) -> bytes:
        """All bytes of Prefect's database: state, logs, artifacts, events."""
        return b"".join(path.read_bytes() for path in self.home.glob("prefect.db*"))
