"""Traffic of the API: requests, bytes, time, and the share of the quota that they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from intercom.api.rate_limit.fair_share import QUOTA_SECONDS


@dataclass(frozen=True, slots=True)
class Traffic:
    """Attempts sent (`requests`), those answered with 429 (`throttled`), bytes of the answers, unpacked (`received`).

    They were sent from `began` to `ended`, in unix seconds, None when nothing was sent. `limit` is the quota in
    requests per ten seconds, 0 for none.
    """

    requests: int = 0
    throttled: int = 0
    received: int = 0
    limit: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds from the first attempt to the last answer; never negative, also when the clock was set back."""
        return 0.0 if self.began is None or self.ended is None else max(0.0, self.ended - self.began)

    @property
    def share(self) -> float | None:
        """Attempts sent, as a share of those allowed in that time: 1.0 for all; None without a limit or an attempt.

        A shorter time counts as ten seconds, since the quota of a whole window is there from its first moment.
        """
        if not self.limit or not self.requests:
            return None
        return self.requests / (self.limit * max(self.seconds, QUOTA_SECONDS) / QUOTA_SECONDS)


def total(all_traffic: Iterable[Traffic]) -> Traffic:
    """The sum of the traffic of tables that are read at the same time with one token, and so with one limit."""
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
    """Counters of one table's traffic, with the fields of `Traffic`."""

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
        """A consistent copy of the counters; `limit` is in requests per ten seconds."""
        with self._lock:
            return Traffic(self.requests, self.throttled, self.received, limit, self._began, self._ended)
