"""How many requests at once: against servers that are quick, slow, small, or get slower under way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intercom.api.rate_limit.concurrency import AdaptiveConcurrency
from intercom.config.connection import MOST_IN_FLIGHT
from tests.support.effort import effort
from tests.support.quota import Run, Setting

latencies = st.floats(0.05, 5.0)


def numbers(places: AdaptiveConcurrency, speed: Callable[[int], float], answers: int, *, at: float = 0.0) -> list[int]:
    """The number after each answer of a server that gives so many a second to so many at once; all are used."""
    taken = []
    for _ in range(answers):
        at += 1.0 / speed(places.number)
        places.level(places.number, at)
        places.answered(at)
        taken.append(places.number)
    return taken


@given(latency=latencies, capacity=st.floats(1.0, 400.0), most=st.integers(1, MOST_IN_FLIGHT))
@example(latency=0.3, capacity=400.0, most=32)
@example(latency=0.3, capacity=7.0, most=32)
@example(latency=5.0, capacity=4.0, most=32)
def test_the_number_settles_where_more_bring_nothing(latency: float, capacity: float, most: int) -> None:
    def speed(number: int) -> float:
        return min(number / latency, capacity)

    taken = numbers(AdaptiveConcurrency(most), speed, 3000)
    assert min(4, most) <= min(taken) <= max(taken) <= most
    settled = taken[1500:]
    reachable = speed(most)
    assert sum(map(speed, settled)) / len(settled) >= 0.85 * reachable
    useful = max(4.0, reachable * latency)
    assert sum(settled) / len(settled) <= 2.0 * useful


@given(latency=latencies)
def test_with_room_the_most_are_reached_in_eight_rounds(latency: float) -> None:
    taken = numbers(AdaptiveConcurrency(), lambda number: number / latency, 600)
    reached = taken.index(MOST_IN_FLIGHT)
    assert sum(latency / number for number in taken[:reached]) <= 8.5 * latency


@given(latency=st.floats(0.05, 1.0))
def test_a_server_that_gets_smaller_and_recovers_is_followed(latency: float) -> None:
    places = AdaptiveConcurrency()

    def roomy(number: int) -> float:
        return number / latency

    def small(number: int) -> float:
        return min(roomy(number), 6 / latency)

    assert numbers(places, roomy, 600)[-1] == MOST_IN_FLIGHT
    assert numbers(places, small, 400, at=600.0)[-1] <= 8
    assert numbers(places, roomy, 2000, at=5000.0)[-1] == MOST_IN_FLIGHT


@given(latency=st.floats(0.05, 1.0), heavier=st.floats(2.0, 20.0))
def test_heavier_pages_are_not_taken_for_a_full_server(latency: float, heavier: float) -> None:
    places = AdaptiveConcurrency()
    numbers(places, lambda number: number / latency, 600)
    taken = numbers(places, lambda number: number / latency / heavier, 2000, at=600.0)
    assert sum(taken) / len(taken) >= 0.9 * MOST_IN_FLIGHT


@pytest.mark.parametrize("latency", [(0.3, 0.3), (0.1, 0.5), (0.05, 2.0), (2.0, 2.0)])
@pytest.mark.parametrize("workers", [32, 40])
def test_all_places_are_used_where_the_rate_allows_more(latency: tuple[float, float], workers: int) -> None:
    run = Run(Setting(1666, latency, workers, windows=9), limiter=True).play()
    mean = sum(latency) / 2
    assert run.refusals == 0
    assert run.most_in_flight() == MOST_IN_FLIGHT
    assert run.speed(30, 100) >= 0.95 * MOST_IN_FLIGHT / mean
    assert run.most_in_flight(until=4.0 + 8 * mean) == MOST_IN_FLIGHT


@pytest.mark.parametrize("seed", range(3))
def test_the_first_answers_of_a_load_are_no_measure(seed: int) -> None:
    # They come after a latency in which nothing can come; held against that, twice the number would look better.
    run = Run(Setting(1666, (0.3, 0.3), 40, seed=seed, places=2, windows=2), limiter=True).play()
    assert run.most_in_flight() <= 16


def after_volleys(latency: float, volleys: int, *, places: int = 100, work: float = 0.5, held: float = 0.0) -> int:
    """The number after so many volleys of requests, to a server that works on some of them at the same time.

    `work` is the share of the latency in which a request has its place, `held` seconds for which the rate limit holds
    up the first volley, both as shares of the latency.
    """
    numbers, at = AdaptiveConcurrency(), 1000.0
    numbers.level(1, at, rate_holds=True)
    for _ in range(volleys):
        sent_at, sent = at, numbers.number
        numbers.level(sent, at + held * latency)
        answers = [at + latency * (1 + work * (place // places)) for place in range(sent)]
        for left, at in enumerate(answers, start=1):
            numbers.answered(at, sent_at)
            numbers.level(max(1, sent - left), at)
    return numbers.number


@given(latency=latencies, held=st.floats(0.0, 0.45))
def test_after_two_volleys_without_a_queue_the_most_may_be_in_flight(latency: float, held: float) -> None:
    assert [after_volleys(latency, volleys, held=held) for volleys in range(3)] == [8, 16, 32]


@given(latency=latencies, places=st.integers(1, 7), work=st.floats(0.55, 1.0))
def test_a_volley_that_queues_up_is_no_sign_of_room(latency: float, places: int, work: float) -> None:
    assert after_volleys(latency, 1, places=places, work=work) == 8


@given(latency=latencies, held=st.floats(0.55, 10.0))
def test_requests_that_the_rate_limit_held_apart_are_no_volley(latency: float, held: float) -> None:
    assert after_volleys(latency, 1, held=held) == 8


@given(latency=latencies, in_flight=st.integers(1, 8))
def test_a_number_that_holds_nobody_back_is_left_alone(latency: float, in_flight: int) -> None:
    places = AdaptiveConcurrency()
    for answer in range(1000):
        places.level(in_flight, answer * latency, rate_holds=True)
        places.answered(answer * latency)
        assert places.number == 8


@pytest.mark.parametrize(("places", "latency"), [(2, (0.3, 0.3)), (4, (0.05, 0.6)), (8, (0.05, 0.6)), (12, (0.2, 0.4))])
def test_a_small_server_is_kept_busy_and_not_flooded(places: int, latency: tuple[float, float]) -> None:
    counts: list[int] = []
    speed, flooded = 0.0, 0.0
    for seed in range(effort(2, 12)):
        setting = Setting(1666, latency, 40, seed=seed, places=places, windows=6)
        ours, flood = Run(setting, limiter=True).play(), Run(setting).play()
        speed, flooded = speed + ours.speed(30, 70), flooded + flood.speed(30, 70)
        counts += [count for when, count in ours.in_flight if when >= 30]
    assert speed >= 0.88 * flooded
    # About half of a request's time is spent on the way, so twice the places keep all of them busy.
    assert sum(counts) / len(counts) <= 2 * max(4, 2 * places)
