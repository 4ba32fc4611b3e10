"""Window bounds against a model of Intercom's searches: whatever belongs to a window is returned.

The model. A search that cuts times to days returns a row of second t for ``> v`` when t's date in the zone of the
index is later than v's date in the zone of the filter, and for ``< v`` when it is earlier. A search that compares
seconds returns it for t > v or, by another reading of the specification, t >= v; likewise for ``<``. Which of these
a workspace does is not known, so the bounds have to be right under each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from intercom.extract.windows import DAY_SECONDS, Bounds, Window, day_bounds, second_bounds
from tests.support.effort import effort

BEGIN, END = 1_577_836_800, 1_893_456_000  # 2020-01-01 and 2030-01-01, UTC: ten years
HOUR = 3_600

ODD_ZONES = [
    "Pacific/Kiritimati",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Pago_Pago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "America/Los_Angeles",
    "America/Havana",
    "America/Nuuk",
]
ZONES = st.one_of(st.sampled_from(ODD_ZONES), st.sampled_from(sorted(available_timezones())))
SECONDS = st.integers(BEGIN, END - 1)


def day(second: int, zone: ZoneInfo) -> int:
    return datetime.fromtimestamp(second, zone).toordinal()


def hours_ahead(second: int, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return offset.total_seconds() / HOUR


@dataclass(frozen=True)
class ByDay:
    """A search that compares dates: the filter's value in one zone, the stored time in the same or another one."""

    filter_zone: ZoneInfo
    index_zone: ZoneInfo

    def returns(self, second: int, bounds: Bounds) -> bool:
        stored = day(second, self.index_zone)
        if bounds.below is not None and not stored < day(bounds.below, self.filter_zone):
            return False
        return stored > day(bounds.above, self.filter_zone)


@dataclass(frozen=True)
class BySecond:
    """A search that compares seconds; each operator strictly or inclusively."""

    above_includes: bool
    below_includes: bool

    def returns(self, second: int, bounds: Bounds) -> bool:
        above = second > bounds.above or (self.above_includes and second == bounds.above)
        if bounds.below is None:
            return above
        return above and (second < bounds.below or (self.below_includes and second == bounds.below))


BY_SECOND = [BySecond(above, below) for above in (False, True) for below in (False, True)]


@st.composite
def members(draw: st.DrawFn) -> tuple[Window, int]:
    """A window, open or closed on either side, and a second in it: often its first or its last."""
    second = draw(SECONDS)
    near = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 3 * DAY_SECONDS))
    start = draw(st.one_of(st.none(), near.map(lambda back: second - back)))
    end = draw(st.one_of(st.none(), near.map(lambda ahead: second + 1 + ahead)))
    return Window(start, end), second


@settings(max_examples=effort(83, 2500))
@given(member=members(), zone=ZONES, mix=st.sampled_from(["both", "filter", "index"]))
def test_a_search_by_day_returns_every_second_of_the_window_in_any_zone(
    member: tuple[Window, int], zone: str, mix: str
) -> None:
    """The zone of the workspace for the filter, the index or both, and UTC for the other."""
    window, second = member
    search = ByDay(ZoneInfo("UTC" if mix == "index" else zone), ZoneInfo("UTC" if mix == "filter" else zone))
    assert window.holds(second)
    assert search.returns(second, day_bounds(window))


@settings(max_examples=effort(83, 2500))
@given(member=members(), filter_zone=ZONES, index_zone=ZONES)
def test_a_search_by_day_returns_every_second_in_any_two_zones_up_to_a_day_apart(
    member: tuple[Window, int], filter_zone: str, index_zone: str
) -> None:
    """Only islands on both sides of the date line lie farther apart; no workspace is in two zones."""
    window, second = member
    bounds = day_bounds(window)
    search = ByDay(ZoneInfo(filter_zone), ZoneInfo(index_zone))
    for sent in (bounds.above, bounds.below):
        if sent is not None:
            assume(abs(hours_ahead(sent, search.filter_zone) - hours_ahead(second, search.index_zone)) <= 24)
    assert search.returns(second, bounds)


@settings(max_examples=effort(50, 1500))
@given(member=members())
def test_a_search_by_second_returns_every_second_of_the_window(member: tuple[Window, int]) -> None:
    """With bounds for either kind of search: those by day are the wider ones."""
    window, second = member
    for search in BY_SECOND:
        assert search.returns(second, second_bounds(window))
        assert search.returns(second, day_bounds(window))


@settings(max_examples=effort(50, 1500))
@given(start=SECONDS, length=st.integers(1, 400 * DAY_SECONDS), second=SECONDS)
@example(start=BEGIN + 7, length=1, second=BEGIN + 6)
@example(start=BEGIN + 7, length=1, second=BEGIN + 8)
def test_what_a_search_reads_beyond_the_window_is_little(start: int, length: int, second: int) -> None:
    """One second on either side for searches by second; less than four days for those by day."""
    window = Window(start, start + length)
    assert not window.holds(window.start - 1)
    assert not window.holds(window.end)
    if any(search.returns(second, second_bounds(window)) for search in BY_SECOND):
        assert start - 1 <= second <= start + length
    assert start - 4 * DAY_SECONDS < day_bounds(window).above < start
    assert start + length < day_bounds(window).below < start + length + 4 * DAY_SECONDS


def midnights(zone: ZoneInfo) -> Iterator[int]:
    """The first second of each day of the ten years; a midnight that comes twice or never included."""
    today = date(2020, 1, 1)
    while today < date(2030, 1, 1):
        yield int(datetime(today.year, today.month, today.day, tzinfo=zone).timestamp())
        today += timedelta(days=1)


def clock_changes(zone: ZoneInfo) -> Iterator[int]:
    """The first second with another offset from UTC."""
    for morning in range(BEGIN, END, DAY_SECONDS):
        before = hours_ahead(morning, zone)
        if hours_ahead(morning + DAY_SECONDS, zone) != before:
            yield morning + bisect_left(
                range(DAY_SECONDS), True, key=lambda ahead, at=morning, was=before: hours_ahead(at + ahead, zone) != was
            )


def windows_that_begin_and_end_around(moments: Iterator[int]) -> Iterator[int]:
    """Seconds at each of these moments, and where the bounds that are sent fall on them."""
    for moment in moments:
        for shift in (-2 * DAY_SECONDS, 0, 2 * DAY_SECONDS):
            yield from (moment + shift - 1, moment + shift, moment + shift + 1)


@pytest.mark.parametrize("zone", ODD_ZONES)
def test_no_day_change_of_ten_years_loses_a_second(zone: str) -> None:
    """At each midnight of the zone and of UTC, for the first second and the last second of a window."""
    here, utc = ZoneInfo(zone), ZoneInfo("UTC")
    searches = [ByDay(here, here), ByDay(here, utc), ByDay(utc, here)]
    # Every day is met; which search meets which second of it rotates from day to day.
    for number, second in enumerate(windows_that_begin_and_end_around(midnights(here))):
        search = searches[(number + number // 9) % 3]
        assert search.returns(second, day_bounds(Window(start=second, end=second + 1))), (second, search)
    for number, second in enumerate(windows_that_begin_and_end_around(midnights(utc))):
        search = searches[1 + (number + number // 9) % 2]
        assert search.returns(second, day_bounds(Window(start=second, end=second + 1))), (second, search)


@pytest.mark.parametrize("zone", [*ODD_ZONES, "Europe/Berlin", "Pacific/Auckland", "Africa/Cairo", "America/Sao_Paulo"])
def test_no_change_of_clocks_in_ten_years_loses_a_second(zone: str) -> None:
    """Where the days around have 23, 25 or 24 1/2 hours: every quarter of an hour of four days, to the second."""
    here, utc = ZoneInfo(zone), ZoneInfo("UTC")
    for change in clock_changes(here):
        for quarter in range(change - 2 * DAY_SECONDS, change + 2 * DAY_SECONDS, HOUR // 4):
            for second in (quarter - 1, quarter):
                bounds = day_bounds(Window(start=second, end=second + 1))
                for search in (ByDay(here, here), ByDay(here, utc), ByDay(utc, here)):
                    assert search.returns(second, bounds), (second, search)


# -- windows themselves -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(cuts=st.lists(SECONDS, unique=True, max_size=6).map(sorted), second=SECONDS, near=st.integers(-1, 1))
def test_windows_side_by_side_hold_each_second_once(cuts: list[int], second: int, near: int) -> None:
    edges = [None, *cuts, None]
    windows = [Window(start, end) for start, end in pairwise(edges)]
    for moment in (second, *(cut + near for cut in cuts)):
        assert sum(window.holds(moment) for window in windows) == 1


@settings(deadline=None)
@given(start=st.none() | SECONDS, end=st.none() | SECONDS)
def test_a_row_without_a_cursor_value_is_in_every_window(start: int | None, end: int | None) -> None:
    assert Window(start, end).holds(None)


@settings(deadline=None)
@given(start=st.none() | st.integers(-(10**9), 3 * DAY_SECONDS), end=st.none() | SECONDS)
def test_bounds_are_never_negative_and_open_ends_stay_open(start: int | None, end: int | None) -> None:
    for bounds in (day_bounds(Window(start, end)), second_bounds(Window(start, end))):
        assert bounds.above >= 0
        assert (bounds.below is None) == (end is None)


def test_the_model_knows_the_day_trap() -> None:
    """``> v`` begins with the day after v's: a search with the window's own start loses the rest of that day."""
    noon = int(datetime(2026, 11, 3, 12, tzinfo=UTC).timestamp())
    search = ByDay(ZoneInfo("UTC"), ZoneInfo("UTC"))
    assert not search.returns(noon, Bounds(above=noon - 1, below=None))
    assert search.returns(noon, Bounds(above=noon - DAY_SECONDS, below=None))
    assert not search.returns(noon, Bounds(above=0, below=noon + 1))
