"""What it costs to find the children that parents have no more: merges of a child table, against plain merges.

``python -m tests.benchmarks.children children|merge LAKE`` is the process that is measured: it prints its CPU seconds.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from intercom.compaction.compact import compact_table
from intercom.lake.layout import TablePaths
from intercom.lake.staged_run import StagedRun
from intercom.lake.staging import PartWriter
from intercom.lake.state import TableState
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.tables.table import Strategy
from tests.benchmarks.processes import cost_of
from tests.benchmarks.table import Row
from tests.support.rig import MemoryWatermarks
from tests.support.staged_children import PARTS, Child, Mark, as_batch

TABLES = {"children": PARTS, "merge": replace(PARTS, strategy=Strategy.MERGE)}
CHILDREN, MONTHS, AT_A_TIME = 20, 24, 200
MOST_RATIO, MOST_MEGABYTES = 1.4, 400
_WORDS = random.Random(1).choices([f"word{number}" for number in range(5_000)], k=200_000)


def measure() -> Iterator[Row]:
    """CPU and peak memory of a first load, and of an increment into it, with marks and without."""
    yield from _compared(parents=5_000, again=50)
    yield from _compared(parents=50_000, again=500)


def _compared(*, parents: int, again: int) -> Iterator[Row]:
    costs: dict[str, list[tuple[float, float]]] = {}
    for strategy in TABLES:
        with tempfile.TemporaryDirectory() as root:
            lake = Lake(root)
            _stage(lake, "load", range(parents), marked=strategy == "children")
            first = _cost(strategy, root)
            _stage(lake, "increment", range(0, parents, parents // again), marked=strategy == "children")
            costs[strategy] = [first, _cost(strategy, root)]
    (first, later), (plain_first, plain_later) = costs["children"], costs["merge"]
    # A plain merge copies the only part of a new month, and does not decode it: no target for the CPU.
    yield Row(
        f"a first load of {parents * CHILDREN:,} children of {parents:,} parents",
        _figure(first, plain_first),
        f"<= {MOST_MEGABYTES} MB",
        first[1] <= MOST_MEGABYTES,
    )
    yield Row(
        f"then {again * CHILDREN:,} children of {again:,} parents again",
        _figure(later, plain_later),
        f"<= {MOST_RATIO}x, <= {MOST_MEGABYTES} MB",
        later[0] <= MOST_RATIO * plain_later[0] and later[1] <= MOST_MEGABYTES,
    )


def _figure(cost: tuple[float, float], plain: tuple[float, float]) -> str:
    """Both are CPU seconds and peak megabytes."""
    return f"{cost[0]:.2f} s of CPU, {cost[0] / plain[0]:.2f}x a plain merge; {cost[1]:.0f} MB, {plain[1]:.0f} MB"


def _cost(strategy: str, root: str) -> tuple[float, float]:
    cost = cost_of(["-m", "tests.benchmarks.children", strategy, root])
    return float(cost.output.split()[-1]), cost.peak_megabytes


def _stage(lake: Lake, run_id: str, parents: range, *, marked: bool) -> None:
    """Stage the children of these parents, each of them with a mark if `marked`."""
    lake_table, rows = LakeTable(lake, TablePaths("bench", PARTS.name)), 0
    writer = PartWriter(lake, lake_table.paths, run_id, PARTS.schema.arrow, partition_field=str(PARTS.month_field))
    with writer:
        for first in range(0, len(parents), AT_A_TIME):
            events: list[Any] = []
            for number in parents[first : first + AT_A_TIME]:
                parent, month = f"{number:09}", number * MONTHS // (parents[-1] + 1)
                events += [Mark(parent, month)] if marked else []
                events += [
                    Child(f"{parent}{child:03}", parent, month, child, _body(number, child))
                    for child in range(CHILDREN)
                ]
            writer.add(as_batch(events, 2 if run_id == "increment" else 1))
            rows += len(events)
    columns = PARTS.schema
    state = lake_table.state() or TableState(lake.identity().id, columns.fingerprint, columns=columns)
    lake_table.save(state.with_staged(StagedRun(run_id, writer.parts, rows=rows, committed_at=1)))


def _body(parent: int, child: int) -> str:
    return " ".join(_WORDS[(first := (parent * 31 + child * 7) % 199_900) : first + 40])


if __name__ == "__main__":
    opened = LakeTable(Lake(sys.argv[2]), TablePaths("bench", PARTS.name))
    started = time.process_time()
    compact_table(TABLES[sys.argv[1]], opened, MemoryWatermarks())
    print(Path(sys.argv[2]).name, time.process_time() - started)
