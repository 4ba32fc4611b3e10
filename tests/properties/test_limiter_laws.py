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

from intercom.budget import WINDOW_SECONDS, Budget, Permit, ServerClock
from intercom.headers import RateHeaders

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


def most_in_ten_seconds(times: list[float]) -> int:
    most, recent = 0, deque[float]()
    for time in times:
        recent.append(time)
        while recent[0] <= time - WINDOW_SECONDS:
            recent.popleft()
        most = max(most, len(recent))
    return most


@st.composite
def settings_of_runs(draw: st.DrawFn, *, busy: bool = False, slowest: float = 2.0, **fixed: float) -> Setting:
    limit = draw(st.integers(20, 2000) if not busy else st.integers(100, 600))
    low = draw(st.floats(0.05, slowest))
    high = draw(st.floats(low, slowest))
    enough = int(limit / 10 * high * 1.5) + 3
    workers = enough if busy else draw(st.integers(1, 64))
    seed, skew = draw(st.integers(0, 2**16)), draw(st.floats(0.0, 9.99))
    return Setting(limit, (low, high), workers, seed=seed, skew=skew, windows=5, **fixed)  # type: ignore[arg-type]


@given(setting=settings_of_runs())
@example(setting=Setting(20, (0.05, 2.0), 64))
@example(setting=Setting(166, (0.3, 0.3), 25, skew=9.99))
@example(setting=Setting(20, (2.0, 2.0), 64, skew=9.0))
@settings(max_examples=30, deadline=None)
def test_alone_on_the_quota_no_request_is_ever_refused(setting: Setting) -> None:
    run = Run(setting).play()
    assert run.refusals == 0
    assert most_in_ten_seconds(run.sent) <= setting.limit


@given(setting=settings_of_runs(busy=True, slowest=1.0))
@example(setting=Setting(166, (0.3, 0.3), 12))
@example(setting=Setting(166, (0.05, 2.0), 52))
@example(setting=Setting(1666, (0.05, 1.0), 256, windows=6))
@settings(max_examples=15, deadline=None)
def test_with_enough_work_at_least_97_percent_of_the_allowance_is_used(setting: Setting) -> None:
    run = Run(setting).play()
    assert run.refusals == 0
    assert run.utilisation(first=2) >= 0.97


@given(setting=settings_of_runs(), share=st.floats(0.05, 1.0))
@settings(max_examples=25, deadline=None)
def test_other_users_of_the_quota_cause_the_only_refusals(setting: Setting, share: float) -> None:
    shared = Setting(**{**setting.__dict__, "others_per_second": setting.limit / 10 * share})
    server = Run(shared).play().server
    for window in server.ours:
        assert server.ours[window] + server.refused[window] <= shared.limit
    # What one refusal costs others: nothing. What it costs us: everybody stops, so they stay as few as were in flight.
    assert all(refused <= shared.workers for refused in server.refused.values())


@given(setting=settings_of_runs(busy=True, slowest=0.6), new_limit=st.integers(100, 600))
@example(setting=Setting(1000, (0.05, 0.5), 80), new_limit=100)
@example(setting=Setting(100, (0.05, 0.5), 80), new_limit=1000)
@settings(max_examples=12, deadline=None)
def test_a_new_limit_is_followed_within_one_window(setting: Setting, new_limit: int) -> None:
    needed = int(max(setting.limit, new_limit) / 10 * setting.latency[1] * 1.5) + 3
    run = Run(Setting(**{**setting.__dict__, "new_limit": new_limit, "windows": 9, "workers": needed})).play()
    changed_in = run.first + 5
    assert all(window == changed_in for window in run.server.refused)
    assert run.utilisation(first=7) >= 0.97


@given(setting=settings_of_runs(), cap=st.integers(1, 100))
@settings(max_examples=15, deadline=None)
def test_a_cap_holds_in_any_ten_seconds(setting: Setting, cap: int) -> None:
    run = Run(Setting(**{**setting.__dict__, "cap": cap})).play()
    assert most_in_ten_seconds(run.sent) <= min(cap, setting.limit)


@given(
    offset=st.floats(-1e6, 1e6),
    trips=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 2.0), st.floats(0.0, 2.0)), min_size=1, max_size=30),
)
def test_a_reset_is_never_put_before_its_time(offset: float, trips: list[tuple[float, float, float]]) -> None:
    clock, now = ServerClock(), 1000.0
    for pause, there, back in trips:
        sent = now + pause
        stamped = sent + there
        now = stamped + back
        clock.observe(int((stamped + offset) // 1), sent, now)
    latest = clock.latest(now + offset + 5)
    assert latest is not None
    assert now + 5 - 1e-3 <= latest <= now + 5 + 3.1  # a second of rounding and the longest way back at worst
