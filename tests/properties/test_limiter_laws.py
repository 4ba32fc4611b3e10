"""The limiter against a simulated server: fixed windows, whole-second headers, jitter, other users of the quota."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.limiter import WINDOW_SECONDS, Budget, Permit, RateHeaders, ServerClock

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
        return int((now + self.skew) // WINDOW_SECONDS)

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
        reset = SERVER_EPOCH + int((window + 1) * WINDOW_SECONDS)
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
    cap: int | None = None
    windows: int = 10


class Run:
    """Discrete events: workers that always want to send, and nothing sleeps."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.random = random.Random(setting.seed)
        self.first = int(setting.skew // WINDOW_SECONDS)
        changed = setting.new_limit or setting.limit
        self.server = Server(lambda w: setting.limit if w < self.first + 5 else changed, setting.skew)
        self.budget = Budget(setting.cap)
        self.sent: list[float] = []
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._waiting = setting.workers
        self._asking = False

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), action))

    def play(self) -> Run:
        self.at(0.0, self.ask)
        if self.setting.others_per_second:
            self.at(0.3, self.other)
        while self._events[0][0] < (self.setting.windows + 1) * WINDOW_SECONDS:
            self.now, _, action = heapq.heappop(self._events)
            action()
        return self

    def other(self) -> None:
        self.server.other_arrives(self.now)
        self.at(self.now + self.random.uniform(0.5, 1.5) / self.setting.others_per_second, self.other)

    def ask(self) -> None:
        self._asking = False
        while self._waiting:
            wait = self.budget.reserve(self.now)
            if wait > 0:
                return self.ask_at(self.now + min(wait, 0.05))
            self._waiting -= 1
            self.sent.append(self.now)
            self.send(self.budget.sent(self.now))
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

            def answer() -> None:
                headers = self.server.headers(window, remaining, self.now - back)
                if accepted:
                    self.budget.answered(permit, headers, self.now)
                else:
                    self.budget.throttled(permit, headers, None, self.now)
                self._waiting += 1
                self.ask_at(self.now)

            self.at(self.now + latency - there, answer)

        self.at(self.now + there, arrive)

    @property
    def refusals(self) -> int:
        return sum(self.server.refused.values())

    def utilisation(self, first: int = 1, last: int | None = None) -> float:
        """The share of what others left to us in these windows that was used."""
        numbers = range(self.first + first, self.first + (last or self.setting.windows))
        allowed = sum(self.server.limit_at(w) - self.server.others[w] for w in numbers)
        return sum(self.server.ours[w] for w in numbers) / allowed
