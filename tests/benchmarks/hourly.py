"""What a schedule costs: a first load, a run after 1 % of the rows changed, an idle run, beside a running server.

Everything is told beyond a flow of one task that does nothing, measured in the same round: ``python -m
tests.benchmarks.hourly 1`` for a single round of 33,500 rows in nine tables and seven years of months.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from intercom.sandbox import SandboxServer, Workspace
from tests.benchmarks.load import UNLIMITED, serving
from tests.benchmarks.processes import Cost, bare_flow, cpu_of, cpu_when_quiet, prefect_server, sync
from tests.benchmarks.table import Row
from tests.benchmarks.volume import change_some
from tests.support.prefect_server import Prefect

ROUNDS = 5
IDLE_SECONDS = 10
HISTORY_DAYS = 7 * 365  # 84 months
FIRST, INCREMENT, IDLE = "a first load", "a run after 1 % of the rows changed", "an idle run"
RUNS = (FIRST, INCREMENT, IDLE)
MOST_CPU = {FIRST: 6.0, INCREMENT: 2.5, IDLE: 1.0}
MOST_WALL = {INCREMENT: 2.5, IDLE: 1.5}
MOST_SERVER_CPU = 1.5
MOST_TO_REQUEST = 1.5
MOST_PEAK_MEGABYTES = 250


@dataclass(frozen=True, slots=True)
class _Run:
    """One process, CPU seconds of Prefect's server beyond what that takes by itself, seconds to the first request."""

    cost: Cost
    server_seconds: float
    to_request: float = 0.0


@dataclass(frozen=True, slots=True)
class _Round:
    bare: _Run
    runs: Mapping[str, _Run]

    def beyond(self, run: str, of: Callable[[_Run], float]) -> float:
        """So much more of it than of the bare flow."""
        return of(self.runs[run]) - of(self.bare)


def measure(rounds: int = ROUNDS) -> Iterator[Row]:
    """In rounds, each over a new lake: both sides go up and down with the machine."""
    with prefect_server() as prefect:
        bare_flow(prefect)  # what Prefect makes on its first run only
        by_itself = _by_itself(prefect)
        measured = [_round(prefect, by_itself) for _ in range(rounds)]
    yield from _rows(measured)


def _by_itself(prefect: Prefect) -> float:
    """CPU seconds that Prefect's server takes in a second of doing nothing for anybody."""
    before, started = cpu_when_quiet(prefect.process.pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (cpu_of(prefect.process.pid) - before) / (time.monotonic() - started)


def _round(prefect: Prefect, by_itself: float) -> _Round:
    workspace = Workspace.seeded(
        contacts=20_000, companies=3_000, conversations=10_000, articles=500, history_days=HISTORY_DAYS
    )
    with serving(workspace, rate_limit=UNLIMITED) as (server, lake):
        bare = _measured(prefect, by_itself, lambda: bare_flow(prefect))
        runs = {}
        for run in RUNS:
            if run == INCREMENT:
                change_some(workspace)
            runs[run] = _measured(prefect, by_itself, lambda: sync(server, lake, prefect=prefect), server)
            workspace.travel(3_600)
    return _Round(bare, runs)


def _measured(prefect: Prefect, by_itself: float, run: Callable[[], Cost], server: SandboxServer | None = None) -> _Run:
    if server is not None:
        server.clear_log()
    before, started = cpu_when_quiet(prefect.process.pid), time.monotonic()
    cost = run()
    spent = cpu_when_quiet(prefect.process.pid) - before - by_itself * (time.monotonic() - started)
    return _Run(cost, spent, server.requests()[0].time - started if server is not None else 0.0)


def _rows(rounds: list[_Round]) -> Iterator[Row]:
    def row(what: str, run: str, of: Callable[[_Run], float], most: float | None) -> Row:
        beyond = median(each.beyond(run, of) for each in rounds)
        whole, bare = median(of(each.runs[run]) for each in rounds), median(of(each.bare) for each in rounds)
        reach, met = ("", None) if most is None else (f"<= {most} s beyond a bare flow", beyond <= most)
        return Row(f"{what} of {run}", f"{beyond:.1f} s beyond a bare flow ({whole:.1f} s; {bare:.1f} s)", reach, met)

    for run in RUNS:
        yield row("CPU", run, lambda each: each.cost.cpu_seconds, MOST_CPU[run])
    for run in RUNS:
        yield row("wall", run, lambda each: each.cost.wall_seconds, MOST_WALL.get(run))
    for run in RUNS:
        yield row("CPU of Prefect's server", run, lambda each: each.server_seconds, MOST_SERVER_CPU)
    waited = median(run.to_request for each in rounds for run in each.runs.values())
    yield Row("from the shell to the first request", f"{waited:.2f} s", "<= 1.5 s", waited <= MOST_TO_REQUEST)
    peak = median(each.runs[FIRST].cost.peak_megabytes for each in rounds)
    yield Row(
        "peak memory of a first load", f"{peak:.0f} MB", f"<= {MOST_PEAK_MEGABYTES} MB", peak <= MOST_PEAK_MEGABYTES
    )


if __name__ == "__main__":
    for found in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
        print(f"{found.what}: {found.figure}  [{found.reach}]".replace("  []", ""), flush=True)
