"""Names this process and its host, and tells whether the process that left its name in a file is gone."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

_PROC = Path("/proc")
_ENDED = ("Z", "X", "x")
"""States of a process that runs no more, but that its parent has not asked about yet."""

_STOPPED = ("T", "t")
"""States of a process that somebody has stopped, and may never let go on."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process as others can look for it.

    `space` is where its number means something: the boot of a machine and the process namespace (each container has its
    own). Where there is no ``/proc`` it is empty and the host's name alone counts; on a Linux that does not tell it is
    None, and the process counts as one of another host. `started` (clock ticks since the boot) tells it from a later
    one of the same number; None where it is not known.
    """

    host: str
    space: str | None
    pid: int
    started: int | None

    @classmethod
    def current(cls) -> Self:
        """The process that asks."""
        return cls(socket.gethostname(), _space(), os.getpid(), _started(os.getpid()))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; of a record that is none, a process of no host, of which nothing is known."""
        try:
            return cls(str(record["host"]), record["space"], int(record["pid"]), record["started"])
        except (KeyError, TypeError, ValueError):
            return cls("unknown host", None, 0, None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def can_see(self, other: Process) -> bool:
        """Whether the other one's number means the same process here."""
        return self.space is not None and (self.host, self.space) == (other.host, other.space) and os.name == "posix"

    def has_outlived(self, other: Process) -> bool:
        """Whether the other one is certainly gone; False also when that cannot be seen from here."""
        if not self.can_see(other):
            return False
        try:
            os.kill(other.pid, 0)  # asks whether there is one; sends nothing
        except ProcessLookupError:
            return True
        except OSError:  # somebody else's process
            pass
        state, started = _stat(other.pid)
        return state in _ENDED or (None not in (started, other.started) and started != other.started)

    def sees_at_work(self, other: Process) -> bool:
        """Whether the other one is certainly there and not stopped; False also when that cannot be seen from here."""
        if not self.can_see(other) or other.started is None:
            return False
        state, started = _stat(other.pid)
        return started == other.started and state not in (*_ENDED, *_STOPPED)


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
    """State and start of a process, as far as ``/proc`` tells."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None, None
