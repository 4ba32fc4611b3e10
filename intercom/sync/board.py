"""What this process is at: the tables that it reads and what it waits for, for whoever shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from intercom.api.rate_limit.limiter import RateUsage
from intercom.sync.progress import TableProgress
from intercom.sync.time_text import duration


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
