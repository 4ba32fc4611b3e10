"""Whole syncs as processes of their own, and what each of them cost; the simulated workspace stays in this one.

Linux only: peak memory is read from /proc, since the usual calls mix in the children of a process, such as Prefect's
temporary server, and what its parent had in memory when it was forked.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from intercom.sandbox import SandboxServer
from tests.support.prefect_server import AS_INSTALLED, Prefect, new_database

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = 0.05
_MOST_QUIET_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, and what it printed; `server_seconds` is CPU time of Prefect's temporary server."""

    wall_seconds: float
    own_seconds: float
    server_seconds: float
    peak_bytes: int
    output: str

    @property
    def cpu_seconds(self) -> float:
        return self.own_seconds + self.server_seconds

    @property
    def peak_megabytes(self) -> float:
        return self.peak_bytes / 1e6


def cost_of(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Cost:
    """Run this interpreter with these arguments in the project's folder; RuntimeError when that fails."""
    if "WARM_PYTHON" in (environ or {}):
        raise ValueError("a fork of a warm process would do the work, and its cost would not be seen")
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(AS_INSTALLED), str(ROOT))), **(environ or {})},
        )
        folder, peak = Path(f"/proc/{process.pid}"), 0
        # A process that has ended keeps its times, but not its peak, until it is waited for.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            peak = _peak(folder) or peak
            time.sleep(_POLL_SECONDS)
        wall = time.monotonic() - started
        times = _times(folder)
        status = process.wait()
        output.seek(0)
        text = output.read()
    if status:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {status}:\n{text[-3000:]}")
    return Cost(wall, sum(times[:2]), sum(times[2:]), peak, text)


def sync(server: SandboxServer, lake: Path, *, tables: str | None = None, prefect: Prefect | None = None) -> Cost:
    """``python flows/sync.py`` against this server, with this server of Prefect or in a Prefect home of its own."""
    with _prefect_home(prefect) as environ, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "connections.yml")
        file.write_text(
            "connections:\n  intercom:\n"
            f'    - {{name: bench, access_token: "{server.token}", base_url: "{server.base_url}"}}\n'
        )
        options = ["--connection", "bench", "--connections-file", str(file), "--lake", str(lake)]
        if tables is not None:
            options += ["--tables", tables]
        return cost_of(["flows/sync.py", *options], environ)


def compact(lake: Path, tables: str, environ: Mapping[str, str]) -> Cost:
    """``python flows/compact.py`` over this lake, in a Prefect home of its own."""
    options = ["--connection", "bench", "--lake", str(lake), "--tables", tables]
    with _prefect_home() as prefect:
        return cost_of(["flows/compact.py", *options], {**prefect, **environ})


def bare_flow(prefect: Prefect | None = None) -> Cost:
    """A flow of one task that does nothing: what Prefect takes by itself."""
    with _prefect_home(prefect) as environ:
        return cost_of(["-m", "tests.benchmarks.bare_flow"], environ)


@contextmanager
def prefect_server() -> Iterator[Prefect]:
    """A Prefect server that runs while the block lasts, on loopback, with a home and a database of its own."""
    with tempfile.TemporaryDirectory() as home:
        server = Prefect(Path(home), new_database(), warm=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def cpu_of(process: int) -> float:
    """CPU seconds of a running process, its ended children and its running ones."""
    folder = Path(f"/proc/{process}")
    own = sum(_times(folder))
    return own + sum(cpu_of(int(child)) for child in (folder / f"task/{process}/children").read_text().split())


def cpu_when_quiet(process: int) -> float:
    """CPU seconds of a process and of those that it started, once it has done what was asked of it.

    That is when a second of its time costs next to nothing, as what Prefect's server does by itself.
    """
    spent = cpu_of(process)
    for _ in range(_MOST_QUIET_SECONDS):
        time.sleep(1)
        before, spent = spent, cpu_of(process)
        if spent - before <= _QUIET:
            break
    return spent


def told(cost: Cost) -> str:
    """CPU and wall seconds in words."""
    return (
        f"{cost.own_seconds:.1f} s and {cost.server_seconds:.1f} s of its server, {cost.wall_seconds:.0f} s on the wall"
    )


def load(server: SandboxServer, lake: Path, table: str) -> float:
    """Wall seconds of a run over one table without Prefect, from its first request until it is merged."""
    return float(cost_of(["-m", "tests.benchmarks.loading", server.base_url, server.token, str(lake), table]).output)


@contextmanager
def _prefect_home(prefect: Prefect | None = None) -> Iterator[Mapping[str, str]]:
    """Settings of a process that uses this server, or a copy of a home for a temporary one.

    The copy has its database: making one takes seconds, more or less, and on a first run only.
    """
    if prefect is not None:
        yield prefect.environment
        return
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(_used_home(), home, dirs_exist_ok=True)
        yield _prefect(home)


@cache
def _used_home() -> str:
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home)
    cost_of(["-m", "tests.benchmarks.bare_flow"], _prefect(home))
    return home


def _prefect(home: str) -> dict[str, str]:
    return {
        "PREFECT_HOME": home,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def _times(folder: Path) -> list[float]:
    """CPU seconds: of the process in user and in system mode, then of its ended children in both."""
    return [int(ticks) / _TICKS for ticks in (folder / "stat").read_text().rpartition(")")[2].split()[11:15]]


def _peak(folder: Path) -> int:
    """The greatest size that the process has had in memory so far, in bytes; 0 when it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
