"""What a benchmark says: rows of one table, and the clock that all of them use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure; `reach` is what it is to be, `met` whether it is (None: there is no target)."""

    what: str
    figure: str
    reach: str = ""
    met: bool | None = None


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of this process for one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def paired(work: Callable[[], Any], floor: Callable[[], Any], rounds: int = 5) -> tuple[float, float]:
    """Median CPU seconds of both in alternating rounds, so that a busy machine slows both alike."""
    measured = [(cpu_seconds(work), cpu_seconds(floor)) for _ in range(rounds)]
    return median(ours for ours, _ in measured), median(theirs for _, theirs in measured)
