"""Quota: decides from what was sent and answered when the next request may leave. Pure: time is passed in.

Three rules hold at once. *Pace*: at most the limit in any ten seconds, evenly, so that other apps on the same quota
find room. *Count*: never more than the server says remain in its rate window, less all requests sent that it may not
have counted yet. *Fair share*: the requests of all clients in any ten seconds stay below the limit; see ``FairShare``.
The first rule alone cannot avoid a 429 while others use the quota, and the second alone would act too late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from intercom.api.headers import RateHeaders
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS, FairShare

# A private app has at least 1,000 requests a minute, one sixth of them in each window.
DEFAULT_LIMIT = 166
LONGEST_WAIT_SECONDS = 60.0  # until a reset; a header that says more is wrong, windows last ten seconds
LONGEST_RETRY_AFTER_SECONDS = 600.0
_SHORTEST_STOP_SECONDS = 1.0  # after a 429 whose reset has passed: both clocks show whole seconds only
# Factor on limit / 10 requests a second: what is lost at the turn of a window can be made up for within the next. That
# any ten seconds hold no more than the limit is counted apart.
_PACE = 1.1
# Before the first answer at most so many requests leave in so many seconds.
_FIRST_REQUESTS = 4
_FIRST_SECONDS = 2.0
RECHECK_SECONDS = 0.05  # between two looks whether a request may leave
_FULL_QUOTA_SECONDS = QUOTA_SECONDS + 0.001  # floats: ten seconds later may be a hair too early
# Seconds a second by which two computers' clocks part, at worst, while one of them is being corrected.
_DRIFT = 5e-4


@dataclass(frozen=True)
class Permit:
    """The right to send one request, given back by ``answered``, ``throttled`` or ``lost``; times in local seconds."""

    number: int
    sent_at: float


class ServerClock:
    """Range of the difference between the server's clock and the local one; every answer narrows it.

    The Date header is cut to whole seconds and the answer has travelled, so ``server - local`` lies between
    ``Date - received`` and ``Date + 1 - sent``. The lower end gives the latest local time for a server's time.
    """

    def __init__(self) -> None:
        self._low: float | None = None
        self._high = 0.0
        self._at = 0.0

    def observe(self, date: int, sent: float, received: float) -> None:
        """Take in an answer's Date header (unix seconds); ``sent`` and ``received`` are local seconds."""
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
    """One rate window of the server, as far as known."""

    reset: int  # its end in unix seconds by the server's clock; identifies the window
    since: float  # local time since when it is known
    ends_at: float  # local time, at the latest
    remaining: int  # requests; the least that an answer has said, since answers overtake each other
    lost: int = 0  # requests without an answer, or without its headers, that may have been counted
    over: bool = False  # it has ended by the clock, and no answer has named the next one yet


class Quota:
    """Decides when the next request may leave. Times are local seconds that never run backwards."""

    def __init__(self, cap: int | None = None) -> None:
        self._cap = cap
        self._server_limit = DEFAULT_LIMIT
        self._clock = ServerClock()
        self._window: _Window | None = None
        self._fair_share = FairShare()
        self._heard = False  # any answer or loss so far
        self._in_flight: dict[int, float] = {}
        self._sent: deque[float] = deque()  # within the last ten seconds
        self._excused = 0  # how many of `_sent`, from the oldest on, left under a higher limit, which has fallen since
        self._next_at = 0.0  # when an even pace would send the next request
        self._stopped_until = 0.0
        self._count = 0

    @property
    def limit(self) -> int:
        """Requests per ten seconds: the server's limit, or our cap where that is lower."""
        return self._server_limit if self._cap is None else min(self._cap, self._server_limit)

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered yet."""
        return len(self._in_flight)

    def others(self, now: float) -> int:
        """Requests of other clients per ten seconds, as far as the rate windows that were seen last tell."""
        begun = None if self._window is None else self._clock.latest(self._window.reset - int(QUOTA_SECONDS))
        return 0 if begun is None else self._fair_share.others(now - begun)

    def recent(self, now: float) -> int:
        """Requests sent in the last ten seconds."""
        self._forget(now)
        return len(self._sent)

    def reserve(self, now: float) -> float:
        """0.0 when a request may leave now, else the seconds after which to ask again; an answer may shorten them."""
        self._end_window(now)
        beside = self._fair_share.wait(self._server_limit, self._sent, len(self._in_flight), now)
        return max(0.0, self._stopped_until - now, self._pace_wait(now), self._count_wait(now), beside)

    def sent(self, now: float) -> Permit:
        """Report a request that leaves now."""
        self._count += 1
        self._in_flight[self._count] = now
        self._sent.append(now)
        self._next_at = max(self._next_at, now) + self._spacing
        return Permit(self._count, now)

    def answered(self, permit: Permit, headers: RateHeaders, now: float, *, counted: bool = True) -> None:
        """Report an answer with its headers. The server may have counted a request whose answer has none.

        `counted`: this request is among those that the server has counted; a 429 is not.
        """
        self._end_window(now)
        self._in_flight.pop(permit.number, None)
        self._heard = True
        if headers.date is not None:
            self._clock.observe(headers.date, permit.sent_at, now)
        if headers.remaining is None or headers.reset is None:
            self._believe_limit(headers.limit, remaining=None)
            self._count_lost()
        else:
            self._update_window(permit, headers, headers.reset, headers.remaining, now)
            used = (headers.limit or self._server_limit) - headers.remaining
            self._count_others(permit, headers.reset, used, counted, now)

    def lost(self, permit: Permit, now: float) -> None:
        """Report that no answer came. The request counts as sent until its window ends."""
        self._end_window(now)
        self._heard = True
        if self._in_flight.pop(permit.number, None) is not None:
            self._count_lost()

    def throttled(self, permit: Permit, headers: RateHeaders, retry_after: float | None, now: float) -> float:
        """Report a 429 over the quota. Returns the seconds until a request may leave again."""
        self.answered(permit, headers, now, counted=False)
        window = self._window
        pause = 0.0
        if retry_after is not None:
            pause = min(retry_after, LONGEST_RETRY_AFTER_SECONDS)
        elif window is None or headers.reset is None:
            pause = QUOTA_SECONDS
        elif not self._is_stale(permit, headers.reset, window):
            pause = max(_SHORTEST_STOP_SECONDS, window.ends_at - now)
        self._stopped_until = max(self._stopped_until, now + pause)
        return max(0.0, self._stopped_until - now)

    def _count_others(self, permit: Permit, reset: int, used: int, own: bool, now: float) -> None:
        window = self._window
        assert window is not None
        # Of our requests in flight, a window that is over holds none that left since the next one began.
        until = now if reset >= window.reset else window.since
        unsure = window.lost + sum(1 for sent in self._in_flight.values() if sent <= until)
        self._fair_share.counted(reset, used, own=own, unsure=unsure, sent=permit.sent_at, now=now)

    def _update_window(self, permit: Permit, headers: RateHeaders, reset: int, remaining: int, now: float) -> None:
        """Take in what an answer says about its window, which may be a new one."""
        window = self._window
        if window is not None and self._is_stale(permit, reset, window):
            return
        self._believe_limit(headers.limit, remaining)
        if window is None or reset != window.reset:
            # Requests without an answer since the old window's end may yet be counted in this one.
            lost = window.lost if window is not None and window.over else 0
            window = self._window = _Window(reset, now, now, remaining, lost)
        window.remaining = min(window.remaining, remaining)
        latest = self._clock.latest(reset)
        # Without any Date: a window that is first named now lasts ten seconds at most.
        ends_at = window.since + QUOTA_SECONDS if latest is None else latest
        window.ends_at = min(ends_at, now + LONGEST_WAIT_SECONDS)

    def _believe_limit(self, limit: int | None, remaining: int | None) -> None:
        """Adopt the server's limit. Under a lower one, only requests that its window has counted, or may yet, count.

        If earlier requests counted as well, nothing could leave for most of its first window.
        """
        before, self._server_limit = self.limit, limit or self._server_limit
        if self.limit < before and remaining is not None:
            counted = max(0, self._server_limit - remaining) + len(self._in_flight)
            self._excused = max(0, len(self._sent) - counted)
        elif self.limit > before:
            self._excused = 0

    def _is_stale(self, permit: Permit, reset: int, window: _Window) -> bool:
        """Whether this is a late answer of a window that has ended.

        Only requests that left before the present window was known can have one. A smaller Reset in answer to a later
        request means that the server's clock was set back, and must not be ignored for ever.
        """
        if window.over:
            return reset <= window.reset and permit.sent_at < window.since
        return reset < window.reset and permit.sent_at < window.since

    def _end_window(self, now: float) -> None:
        """Begin a new window when the present one has ended by the clock."""
        window = self._window
        if window is not None and now >= window.ends_at:
            window.over = True
            window.since = now
            window.remaining = self._server_limit
            window.lost = 0
            window.ends_at = now + QUOTA_SECONDS  # unless an answer says otherwise

    def _count_lost(self) -> None:
        """Count a request that the server may have counted without telling."""
        if self._window is not None:
            self._window.lost += 1

    def _count_wait(self, now: float) -> float:
        """Seconds to wait by the rule *count*."""
        # What left more than a window ago has been counted, in a window that is over.
        unsure = sum(1 for sent in self._in_flight.values() if sent > now - QUOTA_SECONDS)
        window = self._window
        if window is not None:
            free = window.remaining - unsure - window.lost > 0
            return 0.0 if free else window.ends_at - now
        # Before the first answer nobody knows the limit, or what others have left of it.
        recent = sum(1 for sent in self._sent if sent > now - _FIRST_SECONDS)
        return 0.0 if self._heard or recent < _FIRST_REQUESTS else RECHECK_SECONDS

    @property
    def _spacing(self) -> float:
        """Seconds between two requests at an even pace."""
        return QUOTA_SECONDS / (self.limit * _PACE)

    def _pace_wait(self, now: float) -> float:
        """Seconds to wait by the rule *pace*."""
        self._forget(now)
        burst = max(3, self.limit // 100)
        wait = self._next_at - (burst - 1) * self._spacing - now
        first = len(self._sent) - self.limit  # of those that must be ten seconds old before the next one leaves
        return max(wait, self._sent[first] + _FULL_QUOTA_SECONDS - now) if first >= self._excused else wait

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - _FULL_QUOTA_SECONDS:
            self._sent.popleft()
            self._excused = max(0, self._excused - 1)
