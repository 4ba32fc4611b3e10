"""Identifies this process and its host, and finds out whether a process identified in a file still runs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

_PROC = Path("/proc")
_ENDED = ("Z", "X", "x")
"""States in ``/proc`` of a process that has ended, but whose parent has not yet read its exit status."""

_STOPPED = ("T", "t")
"""States in ``/proc`` of a process that is stopped, and may never continue."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, identified so that other processes can look for it.

    `space` says where `pid` is valid: the boot id of the machine, and the process namespace (each container has its
    own). It is empty on systems other than Linux, where the host's name alone counts. It is None on a Linux where
    ``/proc`` does not tell it; then the process counts as one of another host. `started` is the start time in clock
    ticks since the boot, or None if unknown; it tells the process from a later one with the same `pid`.
    """

    host: str
    space: str | None
    pid: int
    started: int | None

    @classmethod
    def current(cls) -> Self:
        """The calling process."""
        return cls(socket.gethostname(), *_own(os.getpid(), _PROC))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. An invalid record gives a process of an unknown host, which no process can see."""
        try:
            return cls(str(record["host"]), record["space"], int(record["pid"]), record["started"])
        except (KeyError, TypeError, ValueError):
            return cls("unknown host", None, 0, None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def can_see(self, other: Process) -> bool:
        """Whether the other process's `pid` is valid here: same host and same `space`."""
        return self.space is not None and (self.host, self.space) == (other.host, other.space) and os.name == "posix"

    def has_outlived(self, other: Process) -> bool:
        """Whether the other process has certainly ended; False also when this cannot be found out from here."""
        if not self.can_see(other):
            return False
        try:
            os.kill(other.pid, 0)  # signal 0 only tests whether the process exists
        except ProcessLookupError:
            return True
        except OSError:  # it exists, but belongs to another user
            pass
        state, started = _stat(other.pid)
        return state in _ENDED or (None not in (started, other.started) and started != other.started)

    def sees_at_work(self, other: Process) -> bool:
        """Whether the other process certainly runs and is not stopped; False also when this cannot be found out."""
        if not self.can_see(other) or other.started is None:
            return False
        state, started = _stat(other.pid)
        return started == other.started and state not in (*_ENDED, *_STOPPED)


@lru_cache(maxsize=1)
def _own(pid: int, _proc: Path) -> tuple[str | None, int, int | None]:
    """`space`, `pid` and `started` of the calling process: they are its own for its life, and each file asks for them.

    Kept for one process id, because a forked process has others.
    """
    return _space(), pid, _started(pid)


def _space() -> str | None:
    if sys.platform != "linux":
        return ""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> int | None:
    return _stat(pid)[1]


def _stat(pid: int) -> tuple[str | None, int | None]:
    """State and start time (clock ticks since the boot) of a process from ``/proc``; None where unknown."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None, None
