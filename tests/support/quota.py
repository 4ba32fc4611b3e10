"""A simulated server with a quota, and workers that always want to send: discrete events, nothing sleeps.

Fixed windows on the server's own clock, whole-second headers, jitter, other users of the quota, a bounded capacity.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from intercom.api.headers import RateHeaders
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.rate_limit.quota import Permit, Quota

SERVER_EPOCH = 1_700_000_000


@dataclass
class Server:
    """Counts requests in windows of ten seconds, as Intercom does; its clock is ``skew`` ahead of the local one."""

    limit_at: Callable[[int], int]  # of a window's number
    skew: float
    ours: Counter[int] = field(default_factory=Counter)
    others: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)

    def window(self, now: float) -> int:
        return int((now + self.skew) // QUOTA_SECONDS)

    def remaining(self, window: int) -> int:
        return self.limit_at(window) - self.ours[window] - self.others[window]

    def arrive(self, now: float) -> tuple[bool, int, int]:
        window = self.window(now)
        accepted = self.remaining(window) > 0
        (self.ours if accepted else self.refused)[window] += 1
        return accepted, window, self.remaining(window)

    def other_arrives(self, now: float) -> None:
        window = self.window(now)
        if self.remaining(window) > 0:
            self.others[window] += 1

    def headers(self, window: int, remaining: int, departed: float) -> RateHeaders:
        date = SERVER_EPOCH + int((departed + self.skew) // 1)
        reset = SERVER_EPOCH + int((window + 1) * QUOTA_SECONDS)
        return RateHeaders(self.limit_at(window), remaining, reset, date)


@dataclass(frozen=True)
class Setting:
    limit: int
    latency: tuple[float, float]
    workers: int
    seed: int = 0
    skew: float = 3.7
    others_per_second: float = 0.0
    new_limit: int | None = None  # from the sixth window on
    newest_limit: int | None = None  # from the ninth window on
    cap: int | None = None
    windows: int = 10
    places: int | None = None  # requests that the server works on at the same time; the others queue up
    used_up: bool = False  # in the first window, by somebody else


class Events:
    """What happens next, and what time it is."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def play(self, until: float) -> None:
        while self._events[0][0] < until:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Run:
    """Workers against a server. With ``limiter``, a `RateLimiter` decides when to send; else a bare `Quota` does.

    A run ``beside`` another run simulates a second process with the same token: playing one of them plays both.
    """

    def __init__(
        self, setting: Setting, *, limiter: bool = False, beside: Run | None = None, begins: float = 0.0
    ) -> None:
        self.setting = setting
        self.random = random.Random(setting.seed)
        self.events: Events = beside.events if beside else Events()
        self.first = int(setting.skew // QUOTA_SECONDS)
        limits = {0: setting.limit, 5: setting.new_limit, 8: setting.newest_limit}
        self.server: Server = (
            beside.server
            if beside
            else Server(
                lambda w: [limit for since, limit in limits.items() if limit and since <= max(0, w - self.first)][-1],
                setting.skew,
            )
        )
        self.gate = (
            RateLimiter(setting.cap, clock=lambda: self.now) if limiter else _Bare(setting.cap, lambda: self.now)
        )
        self.sent: list[float] = []
        self.arrived: list[float] = []
        self.answered: list[float] = []
        self.in_flight: list[tuple[float, int]] = []  # after each request that left
        self._busy_until = [0.0] * (setting.places or 0)
        if setting.used_up:
            self.server.others[self.first] = setting.limit
        self._waiting = setting.workers
        self._asking = False
        self.at(begins, self.ask)
        if setting.others_per_second:
            self.at(0.3, self.other)

    @property
    def now(self) -> float:
        return self.events.now

    def at(self, when: float, action: Callable[[], None]) -> None:
        self.events.at(when, action)

    def play(self) -> Run:
        self.events.play((self.setting.windows + 1) * QUOTA_SECONDS)
        return self

    def other(self) -> None:
        self.server.other_arrives(self.now)
        self.at(self.now + self.random.uniform(0.5, 1.5) / self.setting.others_per_second, self.other)

    def ask(self) -> None:
        self._asking = False
        while self._waiting:
            outcome = self.gate.try_acquire()
            if not isinstance(outcome, Permit):
                # infinite: the next answer asks again
                return None if outcome == math.inf else self.ask_at(self.now + min(outcome, 0.05))
            self._waiting -= 1
            self.in_flight.append((self.now, self.setting.workers - self._waiting))
            self.sent.append(self.now)
            self.send(outcome)
        return None

    def ask_at(self, when: float) -> None:
        if not self._asking:
            self._asking = True
            self.at(when, self.ask)

    def send(self, permit: Permit) -> None:
        latency = self.random.uniform(*self.setting.latency)
        there, back = latency * self.random.uniform(0.05, 0.6), latency * self.random.uniform(0.05, 0.3)

        def arrive() -> None:
            accepted, window, remaining = self.server.arrive(self.now)
            self.arrived.append(self.now)

            def answer() -> None:
                headers = self.server.headers(window, remaining, self.now - back)
                if accepted:
                    self.gate.answered(permit, headers)
                else:
                    self.gate.throttled(permit, headers, None)
                self.answered.append(self.now)
                self._waiting += 1
                self.ask_at(self.now)

            queued = self.queue_for(latency - there - back)
            self.at(self.now + queued + latency - there, answer)

        self.at(self.now + there, arrive)

    def queue_for(self, work: float) -> float:
        """Reserve ``work`` seconds at one of the server's places; gives the seconds until that place is free."""
        if not self._busy_until:
            return 0.0
        begins = max(self.now, heapq.heappop(self._busy_until))
        heapq.heappush(self._busy_until, begins + work)
        return begins - self.now

    def speed(self, since: float, until: float) -> float:
        """Answers per second between ``since`` and ``until`` (seconds)."""
        return sum(since <= when < until for when in self.answered) / (until - since)

    def most_in_flight(self, since: float = 0.0, until: float = math.inf) -> int:
        return max(count for when, count in self.in_flight if since <= when < until)

    @property
    def refusals(self) -> int:
        return sum(self.server.refused.values())

    def utilisation(self, first: int = 1, last: int | None = None) -> float:
        """Our requests in these windows, divided by the quota that other users left."""
        numbers = range(self.first + first, self.first + (last or self.setting.windows))
        allowed = sum(self.server.limit_at(w) - self.server.others[w] for w in numbers)
        return sum(self.server.ours[w] for w in numbers) / allowed


class _Bare:
    """A `Quota` with the methods of the limiter, without a bound on requests in flight."""

    def __init__(self, cap: int | None, clock: Callable[[], float]) -> None:
        self._budget = Quota(cap)
        self._clock = clock

    def try_acquire(self) -> Permit | float:
        wait = self._budget.reserve(self._clock())
        return wait if wait > 0 else self._budget.sent(self._clock())

    def answered(self, permit: Permit, headers: RateHeaders) -> None:
        self._budget.answered(permit, headers, self._clock())

    def throttled(self, permit: Permit, headers: RateHeaders, retry_after: float | None) -> float:
        return self._budget.throttled(permit, headers, retry_after, self._clock())


def most_in_ten_seconds(times: list[float]) -> int:
    most, recent = 0, deque[float]()
    for time in times:
        recent.append(time)
        while recent[0] <= time - QUOTA_SECONDS:
            recent.popleft()
        most = max(most, len(recent))
    return most
