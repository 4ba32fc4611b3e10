"""Rate limiter: makes requests wait until they may leave. One for each token and process, shared by all threads.

It is the blocking loop around ``Quota``, which decides how fast, and ``AdaptiveConcurrency``, which decides how many at
once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from intercom.api.headers import RateHeaders
from intercom.api.rate_limit.concurrency import AdaptiveConcurrency
from intercom.api.rate_limit.quota import RECHECK_SECONDS, Permit, Quota
from intercom.config.connection import MOST_IN_FLIGHT
from intercom.errors import AbandonedError

_LOOK_SECONDS = 0.2
"""Seconds after which a thread that waits for the answer of another one checks whether it is stopped."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class RateUsage:
    """How much of its quota a token uses."""

    sent: int  # requests of the last ten seconds
    limit: int  # requests per ten seconds, with our own cap
    in_flight: int  # requests without an answer yet


class RateLimiter:
    """Lets requests of one token leave as fast as the API allows; safe for any number of threads.

    ``cap`` is a limit per ten seconds below the API's own, None for none. ``most_in_flight`` bounds the requests in
    flight; an urgent one may exceed it by one. ``clock`` and ``sleep`` are in seconds.
    """

    def __init__(
        self,
        cap: int | None = None,
        *,
        most_in_flight: int = MOST_IN_FLIGHT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.most_in_flight = most_in_flight
        self._quota = Quota(cap)
        self._concurrency = AdaptiveConcurrency(most_in_flight)
        self._clock = clock
        self._sleep = sleep
        # One thread of each kind waits for time or a place, the others for these locks: so not all wake up at once.
        self._turn = threading.Lock()
        self._urgent_turn = threading.Lock()
        self._urgent = False  # an urgent request waits
        self._changed = threading.Condition()  # its lock is for all but the turns; never held while sleeping
        self._told = RateHeaders()

    def acquire(self, *, urgent: bool = False, stopped: Callable[[], bool] = _never) -> Permit:
        """Wait until a request may leave, and give its permit.

        The request must be sent at once, and the permit be given back whatever becomes of it, by ``answered``,
        ``lost`` or ``throttled``. Urgent requests leave before all that wait. They are for a chain of requests that
        decides how long a run takes; two such chains would wait for each other. Raises AbandonedError, and lets
        nothing leave, once ``stopped``.
        """
        if not urgent:
            with self._turn:
                return self._wait(stopped, urgent=False)
        with self._urgent_turn:
            self._announce(True)
            try:
                return self._wait(stopped, urgent=True)
            finally:
                self._announce(False)

    def try_acquire(self, *, urgent: bool = False) -> Permit | float:
        """A permit, or the seconds after which to ask again; inf when an answer must come first."""
        with self._changed:
            if self._urgent and not urgent:
                return math.inf
            now = self._clock()
            wait = self._quota.reserve(now)
            if wait <= 0.0 and not self._concurrency.has_place(self._quota.in_flight, urgent=urgent):
                wait = math.inf
            permit = self._quota.sent(now) if wait <= 0.0 else None
            self._concurrency.level(self._quota.in_flight, now, rate_holds=0.0 < wait < math.inf)
            return wait if permit is None else permit

    def answered(self, permit: Permit, headers: RateHeaders) -> None:
        """Report an answer, other than a 429 over the quota."""
        with self._changed:
            now = self._clock()
            self._told = headers
            self._quota.answered(permit, headers, now)
            self._came_back(now)
            self._concurrency.answered(now, permit.sent_at)

    def lost(self, permit: Permit) -> None:
        """Report that no answer came; the server may or may not have counted the request."""
        with self._changed:
            now = self._clock()
            self._quota.lost(permit, now)
            self._came_back(now)

    def throttled(self, permit: Permit, headers: RateHeaders, retry_after: float | None) -> float:
        """Report a 429 over the quota: all threads stop until the reset, or for ``retry_after`` seconds.

        Returns the seconds until a request may leave again; 0.0 if the 429 belongs to a window that has ended since.
        """
        with self._changed:
            now = self._clock()
            pause = self._quota.throttled(permit, headers, retry_after, now)
            self._came_back(now)
            return pause

    def told(self) -> RateHeaders:
        """What the last answer has said about the quota; nothing before the first one."""
        with self._changed:
            return self._told

    def usage(self) -> RateUsage:
        """Use of the quota now."""
        with self._changed:
            return RateUsage(self._quota.recent(self._clock()), self._quota.limit, self._quota.in_flight)

    def others(self) -> int:
        """Requests of other clients per ten seconds, as far as the latest rate windows tell."""
        with self._changed:
            return self._quota.others(self._clock())

    def _wait(self, stopped: Callable[[], bool], *, urgent: bool) -> Permit:
        while True:
            if stopped():
                raise AbandonedError
            with self._changed:
                outcome = self.try_acquire(urgent=urgent)
                if isinstance(outcome, Permit):
                    return outcome
                if outcome == math.inf:
                    self._changed.wait(_LOOK_SECONDS)
                    continue
            # In short naps: an answer may shorten the wait, a 429 of another thread may lengthen it.
            self._sleep(min(outcome, RECHECK_SECONDS))

    def _announce(self, urgent: bool) -> None:
        with self._changed:
            self._urgent = urgent
            self._changed.notify_all()

    def _came_back(self, now: float) -> None:
        self._concurrency.level(self._quota.in_flight, now)
        self._changed.notify_all()
