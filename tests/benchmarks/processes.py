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
from tests.support.prefect_server import AS_INSTALLED

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


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
        times = [int(ticks) / _TICKS for ticks in (folder / "stat").read_text().rpartition(")")[2].split()[11:15]]
        status = process.wait()
        output.seek(0)
        text = output.read()
    if status:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {status}:\n{text[-3000:]}")
    return Cost(wall, sum(times[:2]), sum(times[2:]), peak, text)


def sync(server: SandboxServer, lake: Path, *, tables: str | None = None) -> Cost:
    """``python flows/sync.py`` against this server, in a Prefect home of its own."""
    with _prefect_home() as home:
        file = Path(home, "connections.yml")
        file.write_text(
            "connections:\n  intercom:\n"
            f'    - {{name: bench, access_token: "{server.token}", base_url: "{server.base_url}"}}\n'
        )
        options = ["--connection", "bench", "--connections-file", str(file), "--lake", str(lake)]
        if tables is not None:
            options += ["--tables", tables]
        return cost_of(["flows/sync.py", *options], _prefect(home))


def compact(lake: Path, tables: str, environ: Mapping[str, str]) -> Cost:
    """``python flows/compact.py`` over this lake, in a Prefect home of its own."""
    options = ["--connection", "bench", "--lake", str(lake), "--tables", tables]
    with _prefect_home() as home:
        return cost_of(["flows/compact.py", *options], {**_prefect(home), **environ})


def bare_flow() -> Cost:
    """A flow of one task that does nothing: what Prefect takes by itself."""
    with _prefect_home() as home:
        return cost_of(["-m", "tests.benchmarks.bare_flow"], _prefect(home))


def told(cost: Cost) -> str:
    """CPU and wall seconds in words."""
    return (
        f"{cost.own_seconds:.1f} s and {cost.server_seconds:.1f} s of its server, {cost.wall_seconds:.0f} s on the wall"
    )


def load(server: SandboxServer, lake: Path, table: str) -> float:
    """Wall seconds of a run over one table without Prefect, from its first request until it is merged."""
    return float(cost_of(["-m", "tests.benchmarks.loading", server.base_url, server.token, str(lake), table]).output)


@contextmanager
def _prefect_home() -> Iterator[str]:
    """A copy of a home whose database is there: making one takes seconds, more or less, and on a first run only."""
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(_used_home(), home, dirs_exist_ok=True)
        yield home


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


def _peak(folder: Path) -> int:
    """The greatest size that the process has had in memory so far, in bytes; 0 when it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
