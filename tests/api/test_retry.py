"""The retry policy by itself: what it says of a tally, without a request. Waits and bounds are literals."""

from __future__ import annotations

import pytest

from intercom.api.response import Failure
from intercom.api.retry import RetryPolicy, Tally, is_too_heavy

POLICY = RetryPolicy()
BROKEN = Failure("broken body", 200)
BAD_GATEWAY = Failure("status 502", 502, heavy=True)
OVER_QUOTA = Failure("status 429", 429, "rate_limit_exceeded", wait_seconds=3.0)
LOADED = Failure("status 429", 429, "too_many_requests")
ANNOUNCED = Failure("status 503", 503, wait_seconds=20.0)


def after(*attempts: Failure) -> Tally:
    tally = Tally()
    for attempt in attempts:
        tally = tally.after(attempt)
    return tally


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backoff is random: here always its whole."""
    monkeypatch.setattr("random.uniform", lambda _least, most: most)


def test_a_429_is_counted_apart_from_failures() -> None:
    tally = after(BROKEN, OVER_QUOTA, LOADED)
    assert tally == Tally(failures=1, throttles=2, heavy_in_a_row=0, last=LOADED)
    assert tally.attempts == 3


@pytest.mark.parametrize(
    ("attempts", "in_a_row"),
    [
        ([BAD_GATEWAY], 1),
        ([BAD_GATEWAY, BAD_GATEWAY], 2),
        ([BAD_GATEWAY, OVER_QUOTA, BAD_GATEWAY], 2),
        ([BAD_GATEWAY, BROKEN, BAD_GATEWAY], 1),
        ([BAD_GATEWAY, BAD_GATEWAY, BROKEN], 0),
    ],
)
def test_heavy_failures_in_a_row(attempts: list[Failure], in_a_row: int) -> None:
    tally = after(*attempts)
    assert tally.heavy_in_a_row == in_a_row
    assert is_too_heavy(tally) is (in_a_row == 2)
    assert POLICY.is_over(tally, 0.0, heavy=True) is (in_a_row == 2)
    assert not POLICY.is_over(tally, 0.0)


@pytest.mark.parametrize(("failures", "over"), [(1, False), (6, False), (7, True)])
def test_seven_failures_are_the_end(failures: int, over: bool) -> None:
    assert POLICY.is_over(after(*[BROKEN] * failures), 0.0) is over


@pytest.mark.parametrize("throttle", [OVER_QUOTA, LOADED])
def test_no_number_of_429s_is_the_end(throttle: Failure) -> None:
    assert not POLICY.is_over(after(*[throttle] * 500), 900.0)
    assert not POLICY.is_over(after(*[throttle] * 500, BROKEN), 900.0)


@pytest.mark.parametrize("attempt", [BROKEN, OVER_QUOTA])
@pytest.mark.parametrize(("seconds", "over"), [(0.0, False), (900.0, False), (900.1, True)])
def test_the_total_time_is_the_end_of_any_request(attempt: Failure, seconds: float, over: bool) -> None:
    assert POLICY.is_over(after(attempt), seconds) is over


def test_a_request_that_moves_a_position_ends_with_its_first_failure() -> None:
    assert POLICY.is_over(after(BROKEN), 0.0, once=True)
    assert POLICY.is_over(after(OVER_QUOTA, BROKEN), 0.0, once=True)
    assert not POLICY.is_over(after(OVER_QUOTA, LOADED), 0.0, once=True)


@pytest.mark.parametrize("attempt", [BROKEN, LOADED])
@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (1000, 60.0)])
def test_the_backoff_doubles_up_to_its_cap(longest: None, attempt: Failure, attempts: int, seconds: float) -> None:
    assert POLICY.wait(after(*[attempt] * attempts)) == seconds


def test_failures_and_429s_back_off_by_their_own_count(longest: None) -> None:
    assert POLICY.wait(after(BROKEN, BROKEN, BROKEN, LOADED)) == 1.0
    assert POLICY.wait(after(LOADED, LOADED, LOADED, BROKEN)) == 1.0


def test_the_backoff_is_random_from_one_half_to_the_whole() -> None:
    waits = [POLICY.wait(after(BROKEN, BROKEN, BROKEN)) for _ in range(200)]
    assert 2.0 <= min(waits) < 2.5
    assert 3.5 < max(waits) <= 4.0


@pytest.mark.parametrize("before", [0, 6])
def test_a_429_over_the_quota_waits_exactly_as_the_limiter_says(before: int) -> None:
    assert POLICY.wait(after(*[BROKEN] * before, OVER_QUOTA)) == 3.0


def test_an_announced_pause_is_the_least_wait(longest: None) -> None:
    assert POLICY.wait(after(ANNOUNCED)) == 20.0
    assert POLICY.wait(after(*[ANNOUNCED] * 6)) == 32.0
