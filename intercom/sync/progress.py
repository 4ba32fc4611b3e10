"""Counters of one table that is being read. The terminal, Prefect and the log look at them when they want to."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_RECENT_SECONDS = 30.0
"""The speed is measured over this many last seconds, so a changed limit or a stalled server shows soon."""
_SAMPLE_SECONDS = 1.0
_ESTIMATE_AFTER_SECONDS = 3.0
"""No time left is estimated before this: the speed would depend mostly on the first answer."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One table at one moment.

    `expected` is what Intercom counts, None when it does not say; more may be read, since rows that change meanwhile
    come again. `seconds` is the time since the start, or what it took; `seconds_left` is None when it is unknown.
    `finished`: every page was read. `failed`: reading or committing ended in an error.
    """

    table: str
    rows: int
    pages: int
    expected: int | None
    seconds: float
    seconds_left: float | None
    finished: bool
    failed: bool

    @property
    def over(self) -> bool:
        """Nothing more will be read."""
        return self.finished or self.failed

    @property
    def percent(self) -> float | None:
        """How much of the table was read, 100 only when that is all; None when it is unknown."""
        if self.finished and not self.failed:
            return 100.0
        return None if self.expected is None else min(99.0, 100.0 * self.rows / max(1, self.expected))


class TableProgress:
    """Counters of one table of one run. Every method is cheap and may be called from any thread."""

    def __init__(self, table: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._started = clock()
        self._ended: float | None = None
        self._finished = self._failed = False
        self._rows = self._pages = self._staged = 0
        self._expected: int | None = None
        self._samples = deque([(self._started, 0)])  # (second, rows by then), about one a second

    def expect(self, rows: int) -> None:
        """Set the number of rows to be read, as far as it is known now."""
        with self._lock:
            self._expected = rows

    def page(self, rows: int) -> None:
        """A page with so many rows was read."""
        with self._lock:
            now = self._clock()
            self._rows += rows
            self._pages += 1
            if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
                self._samples.append((now, self._rows))
            self._forget(now)

    def staged(self, rows: int) -> None:
        """So many rows of it are durable: a run that goes on need not read them again."""
        with self._lock:
            self._staged = rows

    @property
    def staged_rows(self) -> int:
        """Rows that are staged, or merged already."""
        return self._staged

    def finish(self) -> None:
        """Every page was read."""
        with self._lock:
            self._finished = True
            self._end()

    def fail(self) -> None:
        """An error ended it, perhaps only after the last page."""
        with self._lock:
            self._failed = True
            self._end()

    def snapshot(self) -> Snapshot:
        """A consistent copy of the counters."""
        with self._lock:
            now = self._clock() if self._ended is None else self._ended
            return Snapshot(
                self.table, self._rows, self._pages, self._expected, now - self._started, self._seconds_left(now),
                self._finished, self._failed,
            )  # fmt: skip

    def _end(self) -> None:
        if self._ended is None:
            self._ended = self._clock()

    def _forget(self, now: float) -> None:
        """Keep the newest sample that is older than the recent past, and all younger ones."""
        while len(self._samples) > 1 and self._samples[1][0] <= now - _RECENT_SECONDS:
            self._samples.popleft()

    def _seconds_left(self, now: float) -> float | None:
        if self._ended is not None:
            return 0.0
        self._forget(now)
        since, rows = self._samples[0]
        if self._expected is None or self._rows <= rows or now - since < _ESTIMATE_AFTER_SECONDS:
            return None
        return max(0, self._expected - self._rows) * (now - since) / (self._rows - rows)
