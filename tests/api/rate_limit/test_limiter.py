"""The limiter's rules, one by one, on a clock that the test owns."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import pytest

from intercom.api.headers import RateHeaders
from intercom.api.rate_limit.limiter import RateLimiter, RateUsage
from intercom.api.rate_limit.quota import Permit, Quota

T0 = 1_700_000_000  # a window of the server begins here


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock=clock, sleep=clock.sleep)


def headers(remaining: int, *, limit: int = 166, reset: int = T0 + 10, date: int = T0) -> RateHeaders:
    return RateHeaders(limit, remaining, reset, date)


def seconds_for(limiter: RateLimiter, clock: Clock, requests: int, answer: RateHeaders | None = None) -> float:
    start = clock.now
    for _ in range(requests):
        permit = limiter.acquire()
        limiter.answered(permit, answer or RateHeaders())
    return clock.now - start


def eventually(happened: Callable[[], object]) -> bool:
    """Whether it happens in another thread within ten seconds."""
    end = time.monotonic() + 10
    while not happened() and time.monotonic() < end:
        time.sleep(0.001)
    return bool(happened())


def test_without_headers_166_leave_in_ten_seconds(limiter: RateLimiter, clock: Clock) -> None:
    assert seconds_for(limiter, clock, 166) < 10
    assert seconds_for(limiter, clock, 1) + clock.now - 50 >= 10
    assert seconds_for(limiter, clock, 166 * 5) == pytest.approx(50, rel=0.02)


def test_a_limit_without_a_window_sets_the_pace(limiter: RateLimiter, clock: Clock) -> None:
    assert seconds_for(limiter, clock, 1000, RateHeaders(limit=1000)) == pytest.approx(10, rel=0.1)


def test_until_the_first_answer_only_a_few_leave(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock, sleep=clock.sleep)
    permits = [limiter.acquire() for _ in range(4)]
    assert clock.now - 50 < 0.2
    limiter.acquire()
    assert clock.now - 50 == pytest.approx(2.0, abs=0.1)
    for permit in permits:
        limiter.answered(permit, headers(160))
    before = clock.now
    limiter.acquire()
    assert clock.now - before < 0.1


def test_nothing_remaining_means_sleep_to_the_reset_of_the_servers_clock(limiter: RateLimiter, clock: Clock) -> None:
    # The local clock shows 50, the server's 1.7 billion: only the difference of two headers counts.
    limiter.answered(limiter.acquire(), headers(0, date=T0 + 4))
    assert seconds_for(limiter, clock, 1) == pytest.approx(6.0, abs=0.06)


def test_remaining_is_less_what_is_in_flight(limiter: RateLimiter, clock: Clock) -> None:
    first, slow = limiter.acquire(), limiter.acquire()
    limiter.answered(first, headers(3, date=T0 + 2))
    for _ in range(2):
        limiter.acquire()
    assert clock.now - 50 < 0.5
    limiter.answered(slow, headers(4, date=T0 + 2))  # counted before the first one: it frees its own place
    limiter.acquire()
    assert clock.now - 50 < 1
    limiter.acquire()
    assert clock.now - 50 == pytest.approx(8.0, abs=0.1)


def test_a_late_answer_of_an_older_window_changes_nothing() -> None:
    budget = Quota()
    late, next_one = budget.sent(9.0), budget.sent(9.5)
    budget.answered(next_one, headers(0, reset=T0 + 20, date=T0 + 10), 10.0)
    budget.answered(late, headers(100, limit=500, reset=T0 + 10, date=T0 + 10), 10.1)
    assert budget.reserve(10.2) == pytest.approx(9.8)
    assert budget.limit == 166


def test_after_the_reset_the_limit_is_there_again_less_what_is_in_flight() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), headers(2, limit=3), 0.0)
    budget.sent(9.1)
    budget.sent(9.4)
    assert budget.reserve(9.9) > 0
    assert budget.reserve(10.5) == 0.0  # 3 less 2
    budget.sent(10.5)
    assert budget.reserve(19.0) > 0


def test_requests_without_an_answer_count_until_their_window_ends() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), headers(2), 0.0)
    for _ in range(2):
        budget.lost(budget.sent(1.0), 2.0)
    assert budget.reserve(3.0) == pytest.approx(7.0)
    assert budget.reserve(10.0) == 0.0


def test_a_server_that_stops_sending_headers_does_not_stop_us(limiter: RateLimiter, clock: Clock) -> None:
    limiter.answered(limiter.acquire(), headers(100))
    assert seconds_for(limiter, clock, 166 * 3) < 45


def test_requests_that_hang_do_not_use_up_later_windows() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), headers(19, limit=20), 0.0)
    for _ in range(19):
        budget.sent(1.0)
    assert budget.reserve(5.0) > 0
    for now in (11.5, 13.5):
        assert budget.reserve(now) == 0.0
        budget.sent(now)


def test_a_429_stops_everybody_until_the_reset() -> None:
    budget = Quota()
    other = budget.sent(0.0)
    assert budget.throttled(budget.sent(0.0), headers(0, date=T0 + 3), None, 0.0) == pytest.approx(7.0)
    budget.answered(other, headers(50, date=T0 + 3), 0.1)
    assert budget.reserve(6.9) > 0
    assert budget.reserve(7.1) == 0.0


@pytest.mark.parametrize(
    ("answer", "retry_after", "pause"),
    [
        (headers(0, reset=T0 + 3600), None, 60.0),
        (headers(0, reset=T0 - 50), None, 1.0),
        (headers(9), 3.0, 3.0),
        (headers(9), 1e9, 600.0),
        (RateHeaders(), None, 10.0),
        (RateHeaders(), 0.0, 0.0),
    ],
)
def test_the_pause_after_a_429(answer: RateHeaders, retry_after: float | None, pause: float) -> None:
    budget = Quota()
    assert budget.throttled(budget.sent(0.0), answer, retry_after, 0.0) == pytest.approx(pause)
    assert (budget.reserve(max(0.0, pause - 0.1)) > 0) is (pause > 0)
    assert budget.reserve(pause + 0.2) == 0.0


def test_a_429_of_a_window_that_has_passed_stops_nobody() -> None:
    budget = Quota()
    late, next_one = budget.sent(9.0), budget.sent(9.5)
    budget.answered(next_one, headers(150, reset=T0 + 20, date=T0 + 10), 10.0)
    assert budget.throttled(late, headers(0, date=T0 + 9), None, 10.1) == 0.0
    assert budget.reserve(10.2) == 0.0


def test_a_servers_clock_that_is_set_back_is_followed() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), headers(100, reset=T0 + 3610, date=T0 + 3600), 0.0)
    budget.answered(budget.sent(1.0), headers(0, reset=T0 + 10, date=T0 + 1), 1.0)
    assert budget.reserve(1.1) == pytest.approx(8.9)


def test_a_reset_without_any_date_lasts_one_window() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), RateHeaders(166, 0, 12345, None), 0.0)
    assert budget.reserve(1.0) == pytest.approx(9.0)


@pytest.mark.parametrize("outcome", ["answered", "lost", "throttled"])
def test_every_outcome_gives_the_place_back(outcome: str) -> None:
    budget = Quota()
    permit = budget.sent(0.0)
    if outcome == "answered":
        budget.answered(permit, headers(1), 0.0)
    elif outcome == "lost":
        budget.lost(permit, 0.0)
    else:
        budget.throttled(permit, headers(1), 0.0, 0.0)
    assert budget.reserve(1.0) == 0.0


def test_a_stop_reaches_threads_that_are_waiting_already() -> None:
    clock = Clock()
    waiting, go = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        assert go.wait(10)
        clock.now += seconds

    limiter = RateLimiter(clock=clock, sleep=sleep)
    first, second = limiter.acquire(), limiter.acquire()
    limiter.answered(first, headers(0, reset=T0 + 1))
    left: list[Permit] = []
    thread = threading.Thread(target=lambda: left.append(limiter.acquire()), daemon=True)
    thread.start()
    assert waiting.wait(10)
    assert limiter.throttled(second, headers(0, reset=T0 + 1), 30.0) == 30.0  # while the other thread sleeps
    go.set()
    thread.join(10)
    assert left[0].sent_at >= 80.0


def test_an_answer_frees_a_place_before_the_reset() -> None:
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now > 52 and slow:
            limiter.answered(slow.pop(), headers(2, date=T0 + 2))

    slow: list[Permit] = []
    limiter = RateLimiter(clock=clock, sleep=sleep)
    first = limiter.acquire()
    slow.append(limiter.acquire())
    limiter.answered(first, headers(1))
    limiter.acquire()
    assert clock.now == pytest.approx(52, abs=0.2)


def test_one_absurd_reset_does_not_hide_the_windows_after_it() -> None:
    budget = Quota()
    budget.answered(budget.sent(0.0), headers(0, reset=T0 + 99_999), 0.0)
    assert budget.reserve(1.0) == pytest.approx(59.0)
    assert budget.reserve(60.0) == 0.0
    budget.answered(budget.sent(60.0), headers(0, reset=T0 + 65, date=T0 + 60), 60.1)
    assert budget.reserve(61.0) == pytest.approx(4.0, abs=0.1)


def test_many_threads_share_one_pace() -> None:
    clock, lock = Clock(), threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            clock.now += seconds

    limiter = RateLimiter(cap=100, clock=clock, sleep=sleep)
    sent: list[float] = []

    def work() -> None:
        for _ in range(30):
            permit = limiter.acquire()
            sent.append(permit.sent_at)
            limiter.answered(permit, RateHeaders())

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    sent.sort()
    assert len(sent) == 300
    assert all(later - earlier >= 10 for earlier, later in zip(sent, sent[100:], strict=False))


@pytest.mark.parametrize("outcome", ["answered", "lost", "throttled"])
def test_a_thread_that_waits_for_a_place_gets_the_one_that_is_given_back(outcome: str, clock: Clock) -> None:
    limiter = RateLimiter(most_in_flight=1, clock=clock, sleep=clock.sleep)
    permit = limiter.acquire()
    assert limiter.try_acquire() == math.inf
    left: list[Permit] = []
    thread = threading.Thread(target=lambda: left.append(limiter.acquire()), daemon=True)
    thread.start()
    if outcome == "answered":
        limiter.answered(permit, headers(9))
    elif outcome == "lost":
        limiter.lost(permit)
    else:
        limiter.throttled(permit, headers(9), 1.0)
    thread.join(10)
    assert [permit.number for permit in left] == [2]


def test_an_urgent_chain_waits_for_nobody(clock: Clock) -> None:
    naps, wake = threading.Semaphore(0), threading.Event()

    def sleep(seconds: float) -> None:
        naps.release()
        assert wake.wait(10)
        clock.now += seconds

    def greedy() -> None:
        held.append(limiter.acquire())

    def chain() -> None:
        for _ in range(10):
            before = clock.now
            permit = limiter.acquire(urgent=True)
            pages.append(permit.number)
            if permit.number > 2:  # the first waited for the reset as everybody did
                waits.append(permit.sent_at - before)
            limiter.answered(permit, headers(160, reset=T0 + 20, date=T0 + 11))
            full.wait(10)

    limiter = RateLimiter(most_in_flight=8, clock=clock, sleep=sleep)
    held: list[Permit] = []
    pages: list[int] = []
    waits: list[float] = []
    full = threading.Event()
    limiter.answered(limiter.acquire(), headers(0))
    threads = [threading.Thread(target=greedy, daemon=True) for _ in range(32)]
    for thread in threads:
        thread.start()
    assert naps.acquire(timeout=10)  # one of them waits for the reset, the others for it
    reader = threading.Thread(target=chain, daemon=True)
    reader.start()
    assert naps.acquire(timeout=10)
    clock.now += 10.5
    assert limiter.try_acquire() == math.inf  # while the urgent one has not left
    wake.set()
    assert eventually(lambda: len(held) == 8)
    full.set()
    reader.join(10)
    # The first of all at the reset; then, with every place taken and 24 threads waiting, one after the other.
    assert pages == [2, *range(11, 20)]
    assert max(waits) < 0.1
    for _ in threads:
        assert eventually(lambda: held)
        limiter.answered(held.pop(), RateHeaders())
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_second_urgent_request_is_not_above_the_number(clock: Clock) -> None:
    limiter = RateLimiter(most_in_flight=2, clock=clock, sleep=clock.sleep)
    for urgent in (False, False, True):
        limiter.acquire(urgent=urgent)
    clock.now += 2
    assert limiter.try_acquire(urgent=True) == math.inf


def test_usage_counts_ten_seconds_and_what_is_under_way(clock: Clock, limiter: RateLimiter) -> None:
    assert limiter.usage() == RateUsage(sent=0, limit=166, in_flight=0)
    first = limiter.acquire()
    limiter.acquire()
    limiter.answered(first, headers(80, limit=100))
    assert limiter.usage() == RateUsage(sent=2, limit=100, in_flight=1)
    clock.now += 10.1
    assert limiter.usage() == RateUsage(sent=0, limit=100, in_flight=1)


def test_requests_of_others_are_told_by_what_the_windows_count(clock: Clock, limiter: RateLimiter) -> None:
    assert limiter.others() == 0
    limiter.answered(limiter.acquire(), headers(125, date=T0 + 5))  # 41 of 166 in five seconds, one of them ours
    assert limiter.others() == 80
    clock.now += 5
    limiter.answered(
        limiter.acquire(), headers(161, reset=T0 + 20, date=T0 + 10)
    )  # 4 more, and the window has just begun
    assert limiter.others() == round(44 / 13 * 10)


def test_what_left_under_a_higher_limit_does_not_count_against_a_lower_one() -> None:
    budget = Quota()
    for tenth in range(90):
        budget.answered(budget.sent(tenth / 10), headers(166 - tenth), tenth / 10)
    budget.answered(budget.sent(10.0), headers(49, limit=50, reset=T0 + 20, date=T0 + 10), 10.0)
    assert budget.reserve(10.5) == 0.0
    budget.answered(budget.sent(10.5), headers(48, limit=166, reset=T0 + 20, date=T0 + 10), 10.5)
    assert budget.recent(10.5) == 92 - 5  # of those within ten seconds, whatever the limit was


def test_what_the_last_answer_has_said_of_the_quota_is_kept(limiter: RateLimiter) -> None:
    assert limiter.told() == RateHeaders()
    for told in (headers(160), headers(12, limit=100)):
        limiter.answered(limiter.acquire(), told)
        assert limiter.told() == told
