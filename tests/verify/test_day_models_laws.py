"""Laws: a reading says of a search which rows it returns, as the sandbox's search does; the right one is chosen."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.extract.windows import DAY_SECONDS, DAYS, SECONDS, Bounds, Slice
from intercom.sandbox.options import Options
from intercom.sandbox.search.fields import CONTACT_FIELDS, CONVERSATION_FIELDS
from intercom.sandbox.search.query import QueryReader, Span
from intercom.verify.day_models import ByDay, BySecond, Reading, likeliest, readings, zone_of

BEGIN, END = 1_577_836_800, 1_893_456_000  # 2020-01-01 and 2030-01-01, UTC
ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Apia", "America/Havana", "Asia/Kathmandu")
seconds = st.integers(BEGIN, END)
zones = st.sampled_from(ZONES)


def span_of_sandbox(operator: str, value: int, options: Options, *, contacts: bool) -> tuple[float, float]:
    fields = CONTACT_FIELDS if contacts else CONVERSATION_FIELDS
    span = QueryReader(fields, options).read({"field": "created_at", "operator": operator, "value": value})
    assert isinstance(span, Span)
    return span.low, span.high


def span_of(reading: Reading, above: int | None, below: int | None) -> tuple[float, float]:
    return reading.span(Bounds(above, below))


@given(seconds, zones, zones)
def test_a_search_of_days_returns_what_its_reading_says(second: int, of_value: str, of_index: str) -> None:
    reading = ByDay(ZoneInfo(of_value), ZoneInfo(of_index))
    options = Options(timezone=of_value, index_timezone=of_index)
    assert span_of(reading, second, None) == span_of_sandbox(">", second, options, contacts=True)
    assert span_of(reading, None, second) == span_of_sandbox("<", second, options, contacts=True)


@given(seconds, st.booleans())
def test_a_search_of_seconds_returns_what_its_reading_says(second: int, inclusive: bool) -> None:
    reading, options = BySecond(inclusive), Options(inclusive_bounds=inclusive)
    assert span_of(reading, second, None) == span_of_sandbox(">", second, options, contacts=False)
    assert span_of(reading, None, second) == span_of_sandbox("<", second, options, contacts=False)


@given(st.integers(BEGIN // DAY_SECONDS, END // DAY_SECONDS), zones)
def test_neighbouring_windows_of_days_leave_no_day_out(cell: int, zone: str) -> None:
    """They may overlap, in a few zones, where a window is counted with the day that both have."""
    reading, whole = ByDay(ZoneInfo(zone), ZoneInfo(zone)), Bounds(None, None)
    left = reading.span(DAYS.bounds(Slice(cell - 30, cell), whole))
    right = reading.span(DAYS.bounds(Slice(cell, cell + 30), whole))
    assert right[0] <= left[1] <= right[0] + 25 * 3_600


@given(seconds)
def test_neighbouring_windows_of_seconds_have_each_second_once(second: int) -> None:
    left = BySecond().span(SECONDS.bounds(Slice(None, second), Bounds(None, None)))
    right = BySecond().span(SECONDS.bounds(Slice(second, None), Bounds(None, None)))
    assert left[1] == right[0]


def test_the_workspaces_own_zone_is_tried_first_and_one_that_nobody_knows_is_none() -> None:
    first = readings("Pacific/Auckland", by_day=True)[0]
    assert first == ByDay(ZoneInfo("Pacific/Auckland"), ZoneInfo("Pacific/Auckland"))
    assert readings("Nowhere/At all", by_day=True)[0] == ByDay(UTC, UTC)
    assert zone_of(None) is None
    assert readings("Pacific/Auckland", by_day=False)[0] == BySecond()


@pytest.mark.parametrize(
    ("differing", "chosen"), [([1, 0], 0), ([2, 0], 0), ([3, 1], 1), ([3, 2], 0), ([8, 4], 1), ([0, 0], 0)]
)
def test_another_reading_is_believed_only_if_several_windows_speak_for_it(differing: list[int], chosen: int) -> None:
    tried = readings(None, by_day=False)
    assert likeliest(tried, differing) is tried[chosen]
