"""How fast requests may leave: one limiter for each token and process, shared by all threads.

Two rules hold at once. *Pace*: at most the limit in any ten seconds, evenly, so that other apps on the same quota find
room. *Count*: never more than the server says remain in its window, less everything sent that it may not have counted.
The second keeps us clear of 429 when other apps eat from the quota, the first alone cannot. Facts about the quota are
from Intercom's developer pages, "Rate limiting": windows of ten seconds, and the headers X-RateLimit-Limit, -Remaining
and -Reset (unix second at which the window refills).

``Budget`` decides, without clock, threads or sleep; ``RateLimiter`` is the blocking loop around it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

WINDOW_SECONDS = 10.0
# A private app has at least 1,000 requests a minute, one sixth of them in each window.
DEFAULT_LIMIT = 166
LONGEST_WAIT_SECONDS = 60.0  # for a reset; a header that says more is wrong, windows last ten seconds
LONGEST_RETRY_AFTER_SECONDS = 600.0
_SHORTEST_STOP_SECONDS = 1.0  # after a 429 whose reset has passed: both clocks show whole seconds only
# Faster than limit / 10 a second, else what is lost at the turn of a window could not be made up for within the next.
# Any ten seconds still hold no more than the limit: that is counted apart.
_PACE = 1.1
_FIRST_REQUESTS = 4
_FIRST_SECONDS = 2.0
_RECHECK_SECONDS = 0.05
_FULL_WINDOW_SECONDS = WINDOW_SECONDS + 0.001  # floats: ten seconds later may be a hair too early
# Two computers' clocks part by this much a second, at worst, while one of them is being corrected.
_DRIFT = 5e-4


@dataclass(frozen=True)
class RateHeaders:
    """What an answer says about the quota, None where it says nothing. Times are unix seconds by the server's clock."""

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    date: int | None = None

    @classmethod
    def from_http(cls, headers: Mapping[str, str]) -> RateHeaders:
        """Read X-RateLimit-* and Date; a header that is no number (or date) counts as absent."""
        limit, remaining, reset = (
            _whole(headers.get(f"X-RateLimit-{name}", "")) for name in ("Limit", "Remaining", "Reset")
        )
        return cls(limit, remaining, reset, http_date(headers.get("Date", "")))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header, seconds or an HTTP date (against the Date header); None without a valid one."""
    text = headers.get("Retry-After", "")
    if (seconds := _whole(text)) is not None:
        return float(seconds)
    until, now = http_date(text), http_date(headers.get("Date", ""))
    if until is None:
        return None
    return max(0.0, until - (time.time() if now is None else now))


def http_date(text: str) -> int | None:
    """An HTTP date as unix seconds, None when it is none."""
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


@dataclass(frozen=True)
class Permit:
    """The right to send one request, to be given back by ``answered``, ``throttled`` or ``lost``."""

    number: int
    sent_at: float


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
                self._sleep(min(wait, _RECHECK_SECONDS))

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


class ServerClock:
    """The server's clock on the local one, narrowed by every answer.

    Date is cut to whole seconds and the answer has travelled, so ``server - local`` lies between ``Date - received``
    and ``Date + 1 - sent``. Many answers leave a narrow range; its lower end puts a server's time at its latest.
    """

    def __init__(self) -> None:
        self._low: float | None = None
        self._high = 0.0
        self._at = 0.0

    def observe(self, date: int, sent: float, received: float) -> None:
        low, high = date - received, date + 1 - sent
        if self._low is not None:
            drift = _DRIFT * max(0.0, received - self._at)
            both = max(low, self._low - drift), min(high, self._high + drift)
            # No common time: one of the clocks was set, or another machine answered. Then the newest answer counts.
            low, high = both if both[0] < both[1] else (low, high)
        self._low, self._high, self._at = low, high, received

    def latest(self, server_time: float) -> float | None:
        """The latest local time at which the server's clock shows ``server_time``; None before any Date."""
        return None if self._low is None else server_time - self._low


@dataclass
class _Window:
    """One window of the server's quota, as far as known."""

    reset: int  # names the window
    since: float  # local time at which we knew of it
    ends_at: float  # local time, at the latest
    remaining: int  # the least that an answer has said: answers overtake each other
    lost: int = 0  # requests that may have been counted and have not told
    over: bool = False  # it has ended by the clock, and no answer has named the next one yet


class Budget:
    """Decides when the next request may leave. Times are local seconds that never run backwards."""

    def __init__(self, cap: int | None = None) -> None:
        self._cap = cap
        self._server_limit = DEFAULT_LIMIT
        self._clock = ServerClock()
        self._window: _Window | None = None
        self._heard = False  # something came back
        self._in_flight: dict[int, float] = {}
        self._sent: deque[float] = deque()  # within the last ten seconds
        self._next_at = 0.0  # when an even pace would send the next request
        self._stopped_until = 0.0
        self._count = 0

    @property
    def limit(self) -> int:
        """Requests per ten seconds that we allow ourselves."""
        return self._server_limit if self._cap is None else min(self._cap, self._server_limit)

    def reserve(self, now: float) -> float:
        """0.0 when a request may leave now, else the seconds after which to ask again, unless more is known before."""
        self._turn(now)
        return max(0.0, self._stopped_until - now, self._pace_wait(now), self._count_wait(now))

    def sent(self, now: float) -> Permit:
        """Note a request that leaves now."""
        self._count += 1
        self._in_flight[self._count] = now
        self._sent.append(now)
        self._next_at = max(self._next_at, now) + self._spacing
        return Permit(self._count, now)

    def answered(self, permit: Permit, headers: RateHeaders, now: float) -> None:
        """Believe an answer's headers; an answer without them may have been counted all the same."""
        self._turn(now)
        self._in_flight.pop(permit.number, None)
        self._heard = True
        if headers.date is not None:
            self._clock.observe(headers.date, permit.sent_at, now)
        if headers.remaining is None or headers.reset is None:
            self._server_limit = headers.limit or self._server_limit
            self._charge()
        else:
            self._learn(permit, headers, headers.reset, headers.remaining, now)

    def lost(self, permit: Permit, now: float) -> None:
        """The request counts until its window ends."""
        self._turn(now)
        self._heard = True
        if self._in_flight.pop(permit.number, None) is not None:
            self._charge()

    def throttled(self, permit: Permit, headers: RateHeaders, retry_after: float | None, now: float) -> float:
        """Stop until the reset; returns the seconds until then."""
        self.answered(permit, headers, now)
        window = self._window
        pause = 0.0
        if retry_after is not None:
            pause = min(retry_after, LONGEST_RETRY_AFTER_SECONDS)
        elif window is None or headers.reset is None:
            pause = WINDOW_SECONDS
        elif not self._is_stale(permit, headers.reset, window):
            pause = max(_SHORTEST_STOP_SECONDS, window.ends_at - now)
        self._stopped_until = max(self._stopped_until, now + pause)
        return max(0.0, self._stopped_until - now)

    def _learn(self, permit: Permit, headers: RateHeaders, reset: int, remaining: int, now: float) -> None:
        window = self._window
        if window is not None and self._is_stale(permit, reset, window):
            return
        self._server_limit = headers.limit or self._server_limit
        if window is None or reset != window.reset:
            # What went missing after the old window's end may yet be counted in this one.
            lost = window.lost if window is not None and window.over else 0
            window = self._window = _Window(reset, now, now, remaining, lost)
        window.remaining = min(window.remaining, remaining)
        latest = self._clock.latest(reset)
        # Without any Date: a window that we hear of now lasts ten seconds at most.
        ends_at = window.since + WINDOW_SECONDS if latest is None else latest
        window.ends_at = min(ends_at, now + LONGEST_WAIT_SECONDS)

    def _is_stale(self, permit: Permit, reset: int, window: _Window) -> bool:
        """Whether this is a late answer of a window that has ended.

        Only requests from before we knew the present window can bring one. A smaller Reset in answer to a later
        request means that the server's clock was set back, and must not be ignored for ever.
        """
        if window.over:
            return reset <= window.reset and permit.sent_at < window.since
        return reset < window.reset and permit.sent_at < window.since

    def _turn(self, now: float) -> None:
        """Begin a new window when the present one has ended by the clock."""
        window = self._window
        if window is not None and now >= window.ends_at:
            window.over = True
            window.since = now
            window.remaining = self._server_limit
            window.lost = 0
            window.ends_at = now + WINDOW_SECONDS  # unless an answer says otherwise

    def _charge(self) -> None:
        if self._window is not None:
            self._window.lost += 1

    def _count_wait(self, now: float) -> float:
        # What left more than a window ago has been counted, in a window that is over.
        unsure = sum(1 for sent in self._in_flight.values() if sent > now - WINDOW_SECONDS)
        window = self._window
        if window is not None:
            free = window.remaining - unsure - window.lost > 0
            return 0.0 if free else window.ends_at - now
        # Before the first answer nobody knows the limit, or what others have left of it.
        recent = sum(1 for sent in self._sent if sent > now - _FIRST_SECONDS)
        return 0.0 if self._heard or recent < _FIRST_REQUESTS else _RECHECK_SECONDS

    @property
    def _spacing(self) -> float:
        return WINDOW_SECONDS / (self.limit * _PACE)

    def _pace_wait(self, now: float) -> float:
        while self._sent and self._sent[0] <= now - _FULL_WINDOW_SECONDS:
            self._sent.popleft()
        burst = max(3, self.limit // 100)
        wait = self._next_at - (burst - 1) * self._spacing - now
        excess = len(self._sent) - self.limit
        return max(wait, self._sent[excess] + _FULL_WINDOW_SECONDS - now) if excess >= 0 else wait
