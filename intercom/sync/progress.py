"""Progress of a run: counters of each table, what is being waited for beside them, and the texts that show both.

Nothing is drawn or sent from here: the terminal, Prefect and the log read the counters when they want to.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from intercom.api.rate_limit.limiter import RateUsage

_RECENT_SECONDS = 30.0
"""The speed is measured over this many last seconds, so a changed limit or a stalled server shows soon."""
_SAMPLE_SECONDS = 1.0
_ESTIMATE_AFTER_SECONDS = 3.0
"""No time left is estimated before this: the speed would depend mostly on the first answer."""

_SHOWN_WAIT_SECONDS = 1.0
"""Waits beside a stage, or beside tables that are read, are shown from this age on: the line should not flicker."""
_NOTHING_YET = "Starting"
_NO_MORE = "Waiting for Prefect"
"""All tables are read and merged, and their tasks end."""


LOGGER = "intercom.sync.progress"
"""Name of the logger of progress lines, which say in the log what a terminal shows."""


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


@dataclass(frozen=True, slots=True)
class Tracked:
    """A table that is being read: for which run and connection, how far, and how busy its token is."""

    run_id: str
    connection: str
    progress: TableProgress
    usage: Callable[[], RateUsage]


@dataclass(frozen=True, slots=True)
class Wait:
    """What is being waited for, in words without dots at their end, and for how many seconds until now.

    `is_stage`: it is the stage of the whole run, and not of some tables only.
    """

    text: str
    seconds: float
    is_stage: bool = False

    def __str__(self) -> str:
        """``Merging contacts, tags ... 12 s``."""
        if self.seconds < 1:
            return f"{self.text} ..."
        return (
            f"{self.text} ... {int(self.seconds)} s"
            if self.seconds < 10
            else f"{self.text} ... {duration(self.seconds)}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    text: str
    about: str
    at: float


class ProgressBoard:
    """What this process is at: the tables that it reads, and what it waits for, so that one display can show it all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tracked: dict[tuple[str, str, str], Tracked] = {}
        self._listeners: list[Callable[[], None]] = []
        self._done: set[tuple[str, str]] = set()
        self._reached = (0, 0)
        self._stage: _Begun | None = None
        self._waiting: list[_Begun] = []

    def __reduce__(self) -> tuple[Callable[[], ProgressBoard], tuple[()]]:
        """Pickled, it is the board of the process that unpickles it: tasks that go to a cluster refer to theirs."""
        return _of_this_process, ()

    def stage(self, text: str | None) -> None:
        """Say what is being waited for from now on, until the next stage or until a table is read; None for nothing.

        `text` is what is being done, such as ``Starting Prefect's temporary server``.
        """
        with self._lock:
            self._stage = None if text is None else _Begun(text, "", self._clock())

    @contextmanager
    def waiting(self, text: str, about: str = "") -> Iterator[None]:
        """Say that this is being waited for while the block lasts, beside the stage and other waits.

        Waits with the same text are shown as one, with what each is `about` behind it: ``Merging contacts, tags``.
        """
        begun = _Begun(text, about, self._clock())
        with self._lock:
            self._waiting.append(begun)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.remove(begun)

    def waits(self) -> list[Wait]:
        """What is being waited for now: the stage first, then other waits by their beginnings."""
        with self._lock:
            now, stage, waiting = self._clock(), self._stage, list(self._waiting)
        together: dict[str, list[_Begun]] = {}
        for begun in waiting:
            together.setdefault(begun.text, []).append(begun)
        return [
            *([Wait(stage.text, now - stage.at, is_stage=True)] if stage else []),
            *[
                Wait(f"{text} {', '.join(one.about for one in some)}".rstrip(), now - some[0].at)
                for text, some in together.items()
            ],
        ]

    def done(self, run_id: str, table: str) -> None:
        """A table of the run is in the lake, with its watermark."""
        with self._lock:
            self._done.add((run_id, table))

    def reached(self) -> tuple[int, int]:
        """How many tables of the runs under way are in the lake, and how many rows of others are staged.

        Where no run is under way, those of the last one when it was closed.
        """
        with self._lock:
            return self._reach() if self._tracked or self._done else self._reached

    def _reach(self) -> tuple[int, int]:
        others = [tracked.progress for key, tracked in self._tracked.items() if (key[0], key[2]) not in self._done]
        return len(self._done), sum(progress.staged_rows for progress in others)

    def add(self, tracked: Tracked) -> None:
        """Show a table, which ends the stage before; one that was read before in the same run is replaced."""
        with self._lock:
            self._stage = None
            self._tracked[tracked.run_id, tracked.connection, tracked.progress.table] = tracked

    def tracked(self) -> list[Tracked]:
        """All tables, the one that began first in front."""
        with self._lock:
            return list(self._tracked.values())

    def close(self, run_id: str) -> None:
        """A run is over: tell the listeners, which may still look, then forget its tables."""
        self.end()
        with self._lock:
            self._reached = self._reach()
            self._stage = None
            self._tracked = {key: tracked for key, tracked in self._tracked.items() if tracked.run_id != run_id}
            self._done = {done for done in self._done if done[0] != run_id}

    def end(self) -> None:
        """Tell the listeners that nothing more is to be shown."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    @contextmanager
    def on_close(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call the listener, in the closing thread, whenever a run is over while the block lasts."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)


def _of_this_process() -> ProgressBoard:
    return BOARD


BOARD = ProgressBoard()
"""The board of this process: runs add tables and stages to it, the display draws it."""


def whole_run(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    """What the run is at, in a line: ``Reading contacts (4,800 of about 9,000 rows); 160 of 166 requests per 10 s``.

    "" if it has not begun.
    """
    reading = [(one, seen) for one in tables if not (seen := one.progress.snapshot()).over]
    if not reading:
        return _waited_for(tables, waits) if tables or waits else ""
    named = [f"{seen.table} ({rows_read(seen, 'about ')}, {time_left(seen, 'about ')})" for _, seen in reading]
    return "; ".join([f"Reading {', '.join(named)}", last_line(tables, waits)])


def last_line(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    """What a display says below its tables: how busy the token is while one is read, and what is being waited for."""
    reading = [one for one in tables if not one.progress.snapshot().over]
    if not reading:
        return _waited_for(tables, waits)
    return "; ".join([requests_sent(reading[0].usage()), *map(str, _lasting(waits))])  # the token is the same for all


def _waited_for(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    return "; ".join(map(str, _lasting(waits) or waits)) or f"{_NO_MORE if tables else _NOTHING_YET} ..."


def _lasting(waits: Sequence[Wait]) -> list[Wait]:
    return [wait for wait in waits if wait.is_stage or wait.seconds >= _SHOWN_WAIT_SECONDS]


def described(snapshot: Snapshot, usage: RateUsage) -> str:
    """``48,150 of about 1,000,000 rows, 321 pages, 160 of 166 requests per 10 s, about 6 min left``; then the end."""
    read = f"{rows_read(snapshot, 'about ')}, {pages_read(snapshot)}"
    if snapshot.failed:
        return f"failed after {read}"
    if snapshot.finished:
        return f"{read}, read in {duration(snapshot.seconds)}"
    return f"{read}, {requests_sent(usage)}, {time_left(snapshot, 'about ')}"


def rows_read(snapshot: Snapshot, about: str) -> str:
    """``48,150 of about 1,000,000 rows`` while it is read and the end is known, else ``48,150 rows``."""
    if snapshot.over or snapshot.expected is None:
        return _counted(snapshot.rows, "row")
    return f"{snapshot.rows:,} of {about}{_counted(snapshot.expected, 'row')}"


def pages_read(snapshot: Snapshot) -> str:
    """``321 pages``."""
    return _counted(snapshot.pages, "page")


def requests_sent(usage: RateUsage) -> str:
    """``160 of 166 requests per 10 s``."""
    return f"{usage.sent:,} of {usage.limit:,} requests per 10 s"


def time_left(snapshot: Snapshot, about: str) -> str:
    """``about 6 min left``, or why nobody knows."""
    if snapshot.expected is None:
        return "total unknown" if snapshot.pages else "no page yet"
    if snapshot.rows >= snapshot.expected:
        return "nearly done"
    if snapshot.seconds_left is None:
        return "time unknown"
    return f"{about}{duration(max(10.0, snapshot.seconds_left))} left"  # a guess; seconds would only flicker


def duration(seconds: float) -> str:
    """``0.7 s``, ``40 s``, ``6 min``, ``1 h 20 min``: as exact as anybody needs."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shown_time(second: int | None) -> str:
    """``2026-11-03 11:59:59``, in UTC; a dash for none."""
    return "-" if second is None else datetime.fromtimestamp(second, UTC).isoformat(" ").removesuffix("+00:00")
