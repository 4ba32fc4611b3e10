"""What a cluster costs and brings: one compaction flow over a large table, on threads, on Dask, on Ray.

All of it is on one machine, so no cluster can win here: two sizes of the table tell its fixed cost from its cost a
row, and with them from which size on so many machines, each as fast as this one, would be the sooner.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.lakes import grow, lay_out, names, update
from tests.benchmarks.processes import Cost, compact
from tests.benchmarks.table import Row

ROWS_A_MONTH = 208_334
MONTHS = (14, 28)
"""Of 20 MB each: seven of them are a piece of work for a cluster, so that there are two and four equal ones."""
UPDATES_A_MONTH = 400
MACHINES = (2, 4, 8)
WORKERS = 2


@dataclass(frozen=True, slots=True)
class _Line:
    """Wall seconds of a run by the rows of its table."""

    fixed: float
    a_million: float


def measure() -> Iterator[Row]:
    """Each runner over a small and a large table."""
    with tempfile.TemporaryDirectory() as folder:
        stored, part = Path(folder, "stored.parquet"), Path(folder, "part.parquet")
        grow(stored, ROWS_A_MONTH)
        update(stored, part, UPDATES_A_MONTH)
        lines: dict[str, _Line] = {}
        for runner in ("threads", "dask", "ray"):
            if runner != "threads" and find_spec(f"prefect_{runner}") is None:
                yield Row(f"{runner}", f"not installed: pip install -e '.[{runner}]'")
                continue
            costs = [_compacted(Path(folder), stored, part, months, runner) for months in MONTHS]
            for months, cost in zip(MONTHS, costs, strict=True):
                yield _told(runner, months, cost)
            lines[runner] = _line(*(cost.wall_seconds for cost in costs))
        yield from _compared(lines)


def _compacted(folder: Path, stored: Path, part: Path, months: int, runner: str) -> Cost:
    with tempfile.TemporaryDirectory(dir=folder) as root:
        lay_out(Path(root), {month: (stored, [part]) for month in names(months)})
        settings = {"INTERCOM_TASK_RUNNER": runner, "RAY_USAGE_STATS_ENABLED": "0"}
        if runner != "threads":
            settings["INTERCOM_TASK_RUNNER_WORKERS"] = str(WORKERS)
        return compact(Path(root), "contacts", settings)


def _told(runner: str, months: int, cost: Cost) -> Row:
    # Ray's workers are no children of the run, so their time is not known.
    counted = "" if runner == "ray" else f", {cost.cpu_seconds:.0f} s of CPU with Prefect's server and the workers"
    return Row(
        f"{runner}: {UPDATES_A_MONTH * months:,} updates into {ROWS_A_MONTH * months:,} rows in {months} months",
        f"{cost.wall_seconds:.0f} s{counted}",
    )


def _line(small: float, large: float) -> _Line:
    rows = [months * ROWS_A_MONTH / 1e6 for months in MONTHS]
    slope = (large - small) / (rows[1] - rows[0])
    return _Line(small - slope * rows[0], slope)


def _compared(lines: dict[str, _Line]) -> Iterator[Row]:
    """Fixed and growing costs, and where a cluster of several machines would meet the threads of one."""
    threads = lines.pop("threads")
    yield Row("threads", f"{threads.fixed:.0f} s + {threads.a_million:.1f} s a million rows ({os.cpu_count()} cores)")
    for runner, line in lines.items():
        even = []
        for machines in MACHINES:
            saved = threads.a_million - line.a_million / machines
            even.append(
                f"{machines} machines: never"
                if saved <= 0
                else f"{machines} machines: {max(0.0, line.fixed - threads.fixed) / saved:.1f} million rows"
            )
        yield Row(
            f"{runner}, {WORKERS} processes",
            f"{line.fixed:.0f} s + {line.a_million:.1f} s a million rows; reckoned to pay from: {', '.join(even)}",
        )
