"""How fast requests may leave: one limiter for each token and process, shared by all threads.

The blocking loop around ``Budget``, which decides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from intercom.budget import RECHECK_SECONDS, Budget, Permit
from intercom.headers import RateHeaders


class RateLimiter:
    """Lets requests of one token leave as fast as the API allows; safe for any number of threads.

    ``cap`` is a limit per ten seconds below the API's own. ``clock`` and ``sleep`` are in seconds.
    """

    def __init__(
        self,
        cap: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._budget = Budget(cap)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()  # for the budget; never held while waiting
        self._next = threading.Lock()  # one thread waits for time, the others for their turn: no herd wakes up

    def acquire(self) -> Permit:
        """Wait until a request may leave. It must be sent at once, and its permit given back whatever becomes of it."""
        with self._next:
            while True:
                with self._lock:
                    now = self._clock()
                    wait = self._budget.reserve(now)
                    if wait <= 0.0:
                        return self._budget.sent(now)
                # In short naps: an answer may free a place before its time, a 429 may stop everybody meanwhile.
                self._sleep(min(wait, RECHECK_SECONDS))

    def answered(self, permit: Permit, headers: RateHeaders) -> None:
        """The request has an answer, other than a 429 over the quota."""
        with self._lock:
            self._budget.answered(permit, headers, self._clock())

    def lost(self, permit: Permit) -> None:
        """No answer came; the server may or may not have counted the request."""
        with self._lock:
            self._budget.lost(permit, self._clock())

    def throttled(self, permit: Permit, headers: RateHeaders, retry_after: float | None) -> float:
        """A 429 over the quota: stop every thread until the reset, or as long as ``retry_after`` says.

        Returns the seconds until a request may leave again; 0.0 when it was a window's that has passed meanwhile.
        """
        with self._lock:
            return self._budget.throttled(permit, headers, retry_after, self._clock())
