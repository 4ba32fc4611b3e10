"""What a run costs before and beside its tables: `python flows/sync.py` for one small table, no API configured.

The floor is a flow with one task that makes one request, in the same environment and Prefect home, in alternating
rounds. Clocks are the arrival of the first request, and the CPU time of the process and its server together.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from intercom.sandbox import SandboxServer, Workspace
from tests.benchmarks.table import Row

ROUNDS = 5
SYNC = Path(__file__).parents[2] / "flows" / "sync.py"
BARE = """
import os
import urllib.request
from prefect import flow, task

@task
def ask():
    token = "Bearer " + os.environ["TOKEN"]
    headers = {"Authorization": token, "Accept": "application/json", "Intercom-Version": "2.14"}
    urllib.request.urlopen(urllib.request.Request(os.environ["BASE_URL"] + "/me", headers=headers)).close()

@flow
def bare():
    ask()

bare()
"""
CONNECTIONS = """
connections:
  intercom:
    - name: default
      access_token: ${TOKEN}
      base_url: ${BASE_URL}
"""


def measure() -> Iterator[Row]:
    """Seconds to the first request and CPU seconds of the whole, ours beyond the floor's; seconds of `--help`."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        Path(folder, "connections.yml").write_text(CONNECTIONS)
        sync = [str(SYNC), "--tables", "tags", "--connections-file", "connections.yml"]
        _first_request(Path(folder), str(bare))  # makes Prefect's database
        rounds = [(_first_request(Path(folder), *sync), _first_request(Path(folder), str(bare))) for _ in range(ROUNDS)]
        helped = min(_cpu_of_help() for _ in range(ROUNDS))
    for clock, what, reach in ((0, "to the first request", 1), (1, "CPU of a run of one small table", 4)):
        beyond = median(ours[clock] - floor[clock] for ours, floor in rounds)
        both = [median(side[clock] for side in sides) for sides in zip(*rounds, strict=True)]
        figure = f"{beyond:+.1f} s ({both[0]:.1f} s; a bare flow {both[1]:.1f} s)"
        yield Row(f"start: {what}", figure, f"<= {reach} s beyond a bare flow", beyond <= reach)
    yield Row("start: CPU of --help", f"{helped:.2f} s", "<= 1 s", helped <= 1)


def _first_request(folder: Path, *command: str) -> tuple[float, float]:
    """Seconds until the command's first request, and CPU seconds of its processes until they ended."""
    arrived: list[float] = []
    with SandboxServer(Workspace.seeded(contacts=0, companies=0, conversations=0, articles=0)) as server:
        server.before_request(lambda _: arrived.append(time.monotonic()))
        before, started = _children_cpu(), time.monotonic()
        _run(folder, *command, TOKEN=server.token, BASE_URL=server.base_url)
        return arrived[0] - started, _children_cpu() - before


def _cpu_of_help() -> float:
    before = _children_cpu()
    _run(Path(tempfile.gettempdir()), str(SYNC), "--help")
    return _children_cpu() - before


def _run(folder: Path, *command: str, **more: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "INTERCOM_"))}
    prefect = {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    subprocess.run(
        [sys.executable, *command], env={**kept, **prefect, **more}, cwd=folder,
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
