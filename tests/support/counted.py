"""Counters of tables that are read, on a clock that the test owns."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.sync.board import Tracked
from intercom.sync.progress import Snapshot, TableProgress


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Requests:
    sent: int = 160
    limit: int = 166


def read(progress: TableProgress, clock: Clock, pages: int, *, seconds_each: float, rows: int = 150) -> None:
    for _ in range(pages):
        clock.now += seconds_each
        progress.page(rows)


def snapshot(**changes: object) -> Snapshot:
    values = {
        "table": "contacts", "rows": 48_150, "pages": 321, "expected": 1_000_000, "seconds": 20.0,
        "seconds_left": 360.0, "finished": False, "failed": False, **changes,
    }  # fmt: skip
    return Snapshot(**values)  # type: ignore[arg-type]


def tracked(run_id: str, table: str) -> Tracked:
    return Tracked(run_id, "acme", TableProgress(table), Requests)  # type: ignore[arg-type]
