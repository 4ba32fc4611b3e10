"""Whether another run that has taken a table has ended: at once where that can be seen, else by its heartbeat.

Ages are differences of two times that the store itself has given, never of clocks of two machines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intercom.errors import LakeError
from intercom.lake import Lake
from intercom.lockfiles import LockFiles, heartbeat_path
from intercom.process import Process

log = logging.getLogger(__name__)


def awake_and_asleep() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a run shows that it lives, and how long it may be silent before others take its tables, in seconds.

    `margin` is how often a silent run is looked at, and what is allowed for times that stores cut to whole seconds.
    A run stops believing in its own lock one heartbeat before others do.
    """

    heartbeat: float = 15.0
    expiry: float = 60.0
    margin: float = 3.0
    clock: Callable[[], float] = awake_and_asleep
    sleep: Callable[[float], None] = time.sleep


class Rivals:
    """Other runs, judged from one attempt, whose own heartbeat has just been written."""

    def __init__(self, files: LockFiles, attempt: str, process: Process, timing: Timing) -> None:
        self._files, self._attempt, self._process, self._timing = files, attempt, process, timing
        self._ended: dict[str, Mapping[str, Any] | None] = {}

    def await_end(self, attempt: str, table: str, stay_alive: Callable[[], None]) -> Mapping[str, Any] | None:
        """The last heartbeat of a run that has ended; None when it has taken it away.

        Raises LakeError when it lives. Until a silent one has expired `stay_alive` is called every now and then.
        """
        last = self._files.read(heartbeat_path(attempt))
        if attempt not in self._ended or self._ended[attempt] != last:
            self._ended[attempt] = self._outwaited(attempt, table, last, stay_alive)
        return self._ended[attempt]

    def _outwaited(
        self, attempt: str, table: str, last: Mapping[str, Any] | None, stay_alive: Callable[[], None]
    ) -> Mapping[str, Any] | None:
        timing, read_at = self._timing, self._timing.clock()
        if last is None or self._process.has_outlived(owner := Process.from_json(last.get("process") or {})):
            return last
        age = self._age(attempt)
        silent_since = read_at - (age or 0.0)
        expires_at = silent_since + timing.expiry + timing.margin
        if age is not None and self._process.can_see(owner) and read_at < expires_at:
            raise LakeError(_already_running(table, last))
        told = False
        while timing.clock() < expires_at:
            if not told and timing.clock() > silent_since + timing.heartbeat + timing.margin:
                log.info("%s. It has gone silent: waiting until its lock expires.", _running(table, last))
                told = True
            timing.sleep(timing.margin)
            stay_alive()
            found = self._files.read(heartbeat_path(attempt))
            if found is None:
                return None
            if found != last:
                raise LakeError(_already_running(table, found))
        return last

    def _age(self, attempt: str) -> float | None:
        """Seconds from a run's last heartbeat to our own; None when the store does not tell times."""
        theirs = self._files.lake.modified(heartbeat_path(attempt))
        ours = self._files.lake.modified(heartbeat_path(self._attempt))
        return None if theirs is None or ours is None else max(0.0, (ours - theirs).total_seconds())


class Stillness:
    """Whether anybody is at work on a connection's tables, by the heartbeats in the lake; nothing is taken."""

    def __init__(self, lake: Lake, connection: str, timing: Timing | None = None) -> None:
        self._files, self._timing = LockFiles(lake, connection), timing or Timing()
        self._seen: Mapping[str, Mapping[str, Any]] | None = None
        self._seen_at = 0.0

    def lasts(self) -> bool:
        """True when no run has shown that it lives since a look that is longer ago than locks last.

        False on the first look, where the store is no place for locks, and where it cannot be asked.
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
