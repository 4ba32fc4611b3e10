"""How far a table is: the counters and the estimate, on a clock that the test owns."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.sync.progress import TableProgress
from tests.support.counted import Clock, read, snapshot


def test_pages_and_rows_are_counted_until_the_end() -> None:
    clock = Clock()
    progress = TableProgress("tags", clock)
    read(progress, clock, 3, seconds_each=2.0, rows=50)
    seen = progress.snapshot()
    assert (seen.table, seen.rows, seen.pages, seen.expected, seen.seconds) == ("tags", 150, 3, None, 6.0)
    assert not seen.over
    progress.finish()
    clock.now += 100
    assert progress.snapshot() == snapshot(
        table="tags", rows=150, pages=3, expected=None, seconds=6.0, seconds_left=0.0, finished=True
    )


def test_no_page_is_lost_between_threads() -> None:
    progress = TableProgress("contacts")
    threads = [threading.Thread(target=lambda: [progress.page(3) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (progress.snapshot().pages, progress.snapshot().rows) == (16_000, 48_000)


@given(
    pages=st.integers(min_value=1, max_value=400),
    seconds_each=st.floats(min_value=0.005, max_value=90),
    rows=st.integers(min_value=1, max_value=150),
    more=st.integers(min_value=0, max_value=10_000),
)
def test_at_an_even_speed_the_time_left_is_that_of_the_rest(
    pages: int, seconds_each: float, rows: int, more: int
) -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    read(progress, clock, pages, seconds_each=seconds_each, rows=rows)
    progress.expect((pages + more) * rows)
    left = progress.snapshot().seconds_left
    if pages * seconds_each < 3:
        assert left is None or pages * seconds_each == pytest.approx(3)
    else:
        assert left == pytest.approx(more * seconds_each, rel=1e-6)


def test_the_estimate_follows_the_speed_of_the_last_half_minute() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    progress.expect(1_000_000)
    read(progress, clock, 600, seconds_each=1.0)
    read(progress, clock, 400, seconds_each=0.1)
    left = progress.snapshot().seconds_left
    assert left == pytest.approx((1_000_000 - 150_000) / 1500, rel=0.05)


def test_a_table_that_stalls_gives_no_estimate_until_it_goes_on() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    progress.expect(3000)
    read(progress, clock, 10, seconds_each=1.0)
    assert progress.snapshot().seconds_left == pytest.approx(10)
    clock.now += 15
    assert progress.snapshot().seconds_left == pytest.approx(25)
    clock.now += 30
    assert progress.snapshot().seconds_left is None
    read(progress, clock, 1, seconds_each=5.0)
    assert progress.snapshot().seconds_left == pytest.approx(1350 * 50 / 150)


def test_a_better_number_replaces_the_first() -> None:
    progress = TableProgress("contacts")
    progress.expect(100)
    progress.expect(300)
    progress.page(150)
    assert progress.snapshot().percent == 50.0


def test_only_a_finished_table_is_at_100_percent() -> None:
    assert snapshot(rows=500, expected=1000).percent == 50.0
    assert snapshot(rows=0, expected=0).percent == 0.0
    assert snapshot(rows=1200, expected=1000).percent == 99.0
    assert snapshot(rows=900, expected=1000, finished=True).percent == 100.0
    assert snapshot(expected=None).percent is None
    assert snapshot(expected=None, finished=True).percent == 100.0
    assert snapshot(rows=1000, expected=1000, finished=True, failed=True).percent == 99.0
    assert snapshot(failed=True).over
    assert snapshot(finished=True).over


def test_a_failure_after_the_last_page_is_a_failure_and_takes_no_more_time() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    read(progress, clock, 1, seconds_each=4.0)
    progress.finish()
    clock.now += 60
    progress.fail()
    seen = progress.snapshot()
    assert (seen.finished, seen.failed, seen.seconds) == (True, True, 4.0)
