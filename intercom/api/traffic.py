"""What reading costs the API: requests, bytes, time, and how much of the allowance they were. Pure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

QUOTA_SECONDS: Final = 10.0
"""Intercom deals its limit out over so many seconds."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Attempts sent, those among them that were answered with 429, and bytes of the answers, unpacked.

    They were sent from `began` to `ended` (unix seconds, None when there were none), at a limit of so many per ten
    seconds.
    """

    requests: int = 0
    throttled: int = 0
    received: int = 0
    limit: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """From the first request to the last answer; never negative, also where a clock was set back."""
        return 0.0 if self.began is None or self.ended is None else max(0.0, self.ended - self.began)

    @property
    def share(self) -> float | None:
        """Requests sent of those that were allowed in that time, 1.0 for all; None when there was no limit or request.

        The allowance of ten seconds is there from the first moment, so that shorter times count as ten seconds.
        """
        if not self.limit or not self.requests:
            return None
        return self.requests / (self.limit * max(self.seconds, QUOTA_SECONDS) / QUOTA_SECONDS)


def total(all_traffic: Iterable[Traffic]) -> Traffic:
    """The sum of what tables cost that are read at the same time, with one token."""
    parts = list(all_traffic)
    return Traffic(
        requests=sum(part.requests for part in parts),
        throttled=sum(part.throttled for part in parts),
        received=sum(part.received for part in parts),
        limit=max((part.limit for part in parts), default=0),
        began=min((part.began for part in parts if part.began is not None), default=None),
        ended=max((part.ended for part in parts if part.ended is not None), default=None),
    )


@dataclass
class TrafficCounter:
    """What one table has cost: attempts sent, those among them that were answered with 429, bytes of the answers."""

    requests: int = 0
    throttled: int = 0
    received: int = field(default=0, compare=False)
    _began: float | None = field(default=None, init=False, repr=False, compare=False)
    _ended: float | None = field(default=None, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def count(self, *, requests: int = 0, throttled: int = 0, received: int = 0) -> None:
        """Add to the counters; safe from any thread."""
        now = time.time()
        with self._lock:
            self.requests += requests
            self.throttled += throttled
            self.received += received
            self._began = now if self._began is None else self._began
            self._ended = now

    def traffic(self, limit: int) -> Traffic:
        """The counters as they are together, at a limit of so many requests per ten seconds."""
        with self._lock:
            return Traffic(self.requests, self.throttled, self.received, limit, self._began, self._ended)
