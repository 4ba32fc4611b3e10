"""Requests, bytes and time of tables that are read at the same time, and what share of the allowance that is."""

from __future__ import annotations

import pytest

from intercom.api.traffic import Traffic, TrafficCounter, total

CONTACTS = Traffic(requests=300, throttled=1, received=5_000, limit=166, began=100.0, ended=120.0)
TAGS = Traffic(requests=20, throttled=0, received=70, limit=166, began=101.0, ended=140.0)


def test_tables_that_are_read_at_the_same_time_take_the_time_of_the_whole() -> None:
    assert total([CONTACTS, TAGS]) == Traffic(320, 1, 5_070, 166, 100.0, 140.0)
    assert total([CONTACTS, TAGS]).seconds == 40.0


def test_tables_that_asked_nothing_change_nothing() -> None:
    assert total([Traffic(), CONTACTS, Traffic()]) == CONTACTS
    assert total([Traffic()]) == total([]) == Traffic()


def test_the_share_is_of_what_was_allowed_in_that_time() -> None:
    assert CONTACTS.share == pytest.approx(300 / 332)
    assert total([CONTACTS, TAGS]).share == pytest.approx(320 / 664)


def test_a_short_run_has_the_allowance_of_ten_seconds() -> None:
    assert Traffic(requests=83, limit=166, began=5.0, ended=5.1).share == 0.5


def test_without_requests_or_a_limit_there_is_no_share() -> None:
    assert Traffic(limit=166).share is None
    assert Traffic(requests=5, began=1.0, ended=2.0).share is None


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    set_back = Traffic(requests=5, limit=10, began=100.0, ended=40.0)
    assert (set_back.seconds, set_back.share) == (0.0, 0.5)


def test_the_counters_of_a_table_begin_with_its_first_request() -> None:
    counter = TrafficCounter()
    assert counter.traffic(166) == Traffic(limit=166)
    counter.count(requests=1)
    began = counter.traffic(166).began
    counter.count(requests=1, throttled=1)
    counter.count(received=250)
    counted = counter.traffic(100)
    assert (counted.requests, counted.throttled, counted.received, counted.limit) == (2, 1, 250, 100)
    assert counted.began == began is not None
    assert counted.ended is not None
    assert counted.ended >= began
