"""Finds out whether the run that holds a table has ended: by its process, else by watching its heartbeat.

A run has ended if its process is certainly gone, or if its heartbeat did not change for the whole expiry, by the
watcher's own clock. File times are not used, because the clock of a disk or a store may be changed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intercom.errors import LakeError
from intercom.lake.locks.files import LockFiles, heartbeat_path
from intercom.lake.process import Process
from intercom.lake.storage import Lake

log = logging.getLogger(__name__)


def boot_clock() -> float:
    """Seconds of a clock that also counts while the machine sleeps, if the system has one; else the monotonic clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class LockTiming:
    """Times of locks, in seconds: a run writes its heartbeat every `heartbeat`, and its lock expires after `expiry`.

    `margin` is the pause between two looks at the heartbeat of another run. Other runs are watched for `expiry` +
    `margin`. A run stops relying on its own lock one `heartbeat` before `expiry`.
    """

    heartbeat: float = 15.0
    expiry: float = 60.0
    margin: float = 3.0
    clock: Callable[[], float] = boot_clock
    sleep: Callable[[float], None] = time.sleep


_released: set[str] = set()


def released(attempt: str) -> None:
    """Note that an attempt of this process has ended, because its heartbeat file may be left behind."""
    _released.add(attempt)


class OtherRuns:
    """Judges, for one attempt, whether other runs have ended."""

    def __init__(self, files: LockFiles, process: Process, timing: LockTiming) -> None:
        self._files, self._process, self._timing = files, process, timing
        self._seen: dict[str, tuple[Mapping[str, Any], float]] = {}
        """Attempt -> the heartbeat that was first seen, and the value of `_watched` then."""
        self._watched = 0.0

    def await_end(
        self, others: Mapping[str, str], stay_alive: Callable[[], None]
    ) -> dict[str, Mapping[str, Any] | None]:
        """Wait until all `others` (attempt -> one of its tables) have ended; gives their last heartbeats.

        A heartbeat is None if its file is gone. Raises LakeError if one of the runs lives. All runs are watched at the
        same time, and `stay_alive` is called after each pause.
        """
        ended: dict[str, Mapping[str, Any] | None] = {}
        while True:
            for attempt in others.keys() - ended.keys():
                last = self._files.read(heartbeat_path(attempt))
                if self._has_ended(attempt, others[attempt], last):
                    ended[attempt] = last
            if len(ended) == len(others):
                return ended
            self._watch()
            stay_alive()

    def _has_ended(self, attempt: str, table: str, last: Mapping[str, Any] | None) -> bool:
        if last is None or attempt in _released:
            return True
        owner = Process.from_json(last.get("process") or {})
        if self._process.has_outlived(owner):
            return True
        if self._process.sees_at_work(owner):
            raise LakeError(_already_running(table, last))
        longest = self._timing.expiry + self._timing.margin
        if attempt not in self._seen:
            self._seen[attempt] = last, self._watched
            log.info(
                "%s. It is watched for up to %d s: if it does not show that it lives, its lock is taken over.",
                *(_running(table, last), math.ceil(longest)),
            )
        seen, since = self._seen[attempt]
        if last != seen:
            raise LakeError(_already_running(table, last))
        return self._watched - since >= longest

    def _watch(self) -> None:
        """Pause. Each pause counts at most one heartbeat: if this machine slept, a run on it has slept as well."""
        began = self._timing.clock()
        self._timing.sleep(self._timing.margin)
        self._watched += min(self._timing.clock() - began, self._timing.heartbeat)


class IdleCheck:
    """Whether no run works on a connection's tables, judged by the heartbeats in the lake, without taking a lock."""

    def __init__(self, lake: Lake, connection: str, timing: LockTiming | None = None) -> None:
        self._files, self._timing = LockFiles(lake, connection), timing or LockTiming()
        self._seen: Mapping[str, Mapping[str, Any]] | None = None
        self._seen_at = 0.0

    def lasts(self) -> bool:
        """True if no heartbeat has changed or appeared since a call that is at least `expiry` seconds ago.

        False at the first call, if the store does not support locks, and if it cannot be read.
        """
        now = self._timing.clock()
        if self._seen is not None and now - self._seen_at < self._timing.expiry:
            return False
        try:
            if not self._files.lake.creates_exclusively():
                return False
            beats, self._seen_at = self._files.heartbeats(), now
        except LakeError as error:
            log.warning("The lake cannot tell whether another run is at work: %s", error)
            return False
        before, self._seen = self._seen, beats
        return before is not None and all(path in before and before[path] == beat for path, beat in beats.items())


def _running(table: str, heartbeat: Mapping[str, Any]) -> str:
    owner = Process.from_json(heartbeat.get("process") or {})
    return (
        f"{table}: already running since {heartbeat.get('since', 'an unknown time')} "
        f"by run {heartbeat.get('run_id', 'unknown')} (on {owner.host})"
    )


def _already_running(table: str, heartbeat: Mapping[str, Any]) -> str:
    return f"{_running(table, heartbeat)}. Nothing was read or written; run again when that run has ended."
