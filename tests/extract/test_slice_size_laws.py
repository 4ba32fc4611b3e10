"""The size of a slice: small where pages are slow and much is allowed, large where that would bring nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.extract.limits import DEFAULT_LIMITS
from intercom.extract.slice_size import Pace, slice_rows

MOST = DEFAULT_LIMITS.smallest_slice
PER_PAGE = 150
paces = st.builds(Pace, st.floats(0.0, 30.0), st.floats(0.1, 100_000.0), st.integers(1, 32))
counts = st.integers(MOST + 1, 2_000_000)


@given(rows=counts, pace=paces, most=st.integers(1, MOST))
def test_a_slice_has_a_row_at_least_and_never_more_than_the_most(rows: int, pace: Pace, most: int) -> None:
    assert 1 <= slice_rows(rows, PER_PAGE, pace, most) <= most


@given(rows=counts, pace=paces)
def test_what_slices_cost_in_requests_is_a_small_part_of_the_pages(rows: int, pace: Pace) -> None:
    assert slice_rows(rows, PER_PAGE, pace, MOST) >= 8 * PER_PAGE


@given(rows=counts, pace=paces, slower=st.floats(1.0, 20.0), allowed=st.floats(1.0, 20.0))
def test_slower_pages_and_more_that_is_allowed_never_make_larger_slices(
    rows: int, pace: Pace, slower: float, allowed: float
) -> None:
    size = slice_rows(rows, PER_PAGE, pace, MOST)
    assert slice_rows(rows, PER_PAGE, replace(pace, page_seconds=pace.page_seconds * slower), MOST) <= size
    much = replace(pace, allowed_per_second=pace.allowed_per_second * allowed)
    assert slice_rows(rows, PER_PAGE, much, MOST) <= size


@given(rows=counts, pace=paces)
def test_slices_are_no_smaller_than_either_reason_asks_for(rows: int, pace: Pace) -> None:
    """Below the most: a slice takes seconds, and there are not many more slices than requests in flight."""
    size = slice_rows(rows, PER_PAGE, pace, MOST)
    if size < MOST:
        assert (size + 1) / PER_PAGE * pace.page_seconds >= 4.5
        assert rows / (size + 1) <= 1.5 * pace.in_flight


@pytest.mark.parametrize(
    ("rows", "pace", "pages"),
    [
        (15_000, Pace(0.3, 16.6, 32), 15),  # five in flight use that up
        (60_000, Pace(0.3, 166.6, 32), 15),
        (20_000, Pace(0.003, 100_000.0, 32), 34),  # a whole slice takes a tenth of a second
        (60_000, Pace(0.3, 3.0, 32), 34),  # one request in flight uses that up
        (15_000, Pace(6.0, 166.6, 32), 8),  # heavy pages
    ],
)
def test_sizes_of_ordinary_workspaces(rows: int, pace: Pace, pages: int) -> None:
    assert slice_rows(rows, PER_PAGE, pace, MOST) // PER_PAGE == pages
