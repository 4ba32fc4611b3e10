"""Reads a log between two times: page after page if it is short, as slices of time in parallel if it is long.

A page of a log has few entries, and names the next one, so that one chain of requests is as slow as the latency makes
it. Slices lie in the past, where nothing is added, so their pages keep their places. The present is cut off at the
second in which the run began: what comes later is the next run's.

    pages are counted                       `Splitter` cuts until the slices have some tens of pages
    they are not                            a slice for each 30 days, from the first entry on

Source of the API facts: Intercom REST API reference 2.14, "List all activity logs".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Protocol

from intercom.errors import RequestRejectedError
from intercom.extract.extraction import Extraction
from intercom.extract.limits import ReadLimits
from intercom.extract.log_pages import LogAnswer, ask_log, read_range
from intercom.extract.read_slices import read_missing, read_settled
from intercom.extract.search_slices import PlannedSlice, SliceCount, SlicePlan, Splitter
from intercom.extract.slice_size import Pace, slice_rows
from intercom.extract.windows import DAY_SECONDS, SECONDS, Bounds, Slice, Window, second_bounds
from intercom.tables.table import MOST_PER_PAGE

log = logging.getLogger(__name__)

FOUNDED = 1_293_840_000
"""2011-01-01, before the first workspace: where a log without a known beginning is thought to begin."""
_SLICE_SECONDS = 30 * DAY_SECONDS
_RECENT_SECONDS = 3_600
_LIMIT_MOVES_SECONDS = 2
_BACK_OFF_SECONDS = DAY_SECONDS
"""Distance that is kept from a limit which moves on while the log is read."""


def read_time_log(extraction: Extraction, window: Window) -> None:
    """Deliver every entry of the window up to the start of the run, and perhaps others, which the receiver drops."""
    plan = extraction.resumable.plan()
    if plan is None:
        begun = begin_log(extraction, window)
        if begun is None:
            return
        if not begun.is_long(extraction):
            extraction.expect(begun.first.rows or begun.first.elements)
            read_range(extraction, extraction.table.name, begun.bounds, begun.first)
            return
        plan = _read_in_slices(extraction, begun, window)
    else:
        read_missing(extraction, plan, _read_slice)
    _hold_against_the_whole(extraction, plan)


@dataclass(frozen=True, slots=True)
class BegunLog:
    """A range of a log, and its first page."""

    bounds: Bounds
    first: LogAnswer

    def is_long(self, extraction: Extraction) -> bool:
        """Whether it is worth being cut into slices: by its pages, or by its length where they are not counted."""
        above, below = self.bounds.above or 0, self.bounds.below or extraction.run_start
        if self.first.total_pages is not None:
            return self.first.total_pages > most_in_a_chain(extraction.limits)
        full = self.first.elements >= extraction.table.per_page
        return below - above > _SLICE_SECONDS and (full or bool(self.first.following))

    def is_sorted(self, extraction: Extraction, *, descending: bool) -> bool:
        """Whether the first page shows this order."""
        times = self.first.times(extraction.table)
        return bool(times) and times[0] != times[-1] and times == sorted(times, reverse=descending)


def most_in_a_chain(limits: ReadLimits) -> int:
    """Pages up to which a log is read page after page."""
    return max(1, limits.smallest_slice // MOST_PER_PAGE)


def log_bounds(window: Window, run_start: int) -> Bounds:
    """What to send for a window: its bounds, up to the second in which the run began."""
    end = run_start + 1
    return second_bounds(Window(window.start, end if window.end is None else min(window.end, end)))


def begin_log(extraction: Extraction, window: Window) -> BegunLog | None:
    """Ask for the first page; None where the window has nothing that can be asked for.

    An API that refuses times so long ago is asked for the earliest that it takes, and a note says so.
    """
    bounds = log_bounds(window, extraction.run_start)
    if _is_empty(bounds):
        return None
    try:
        return BegunLog(bounds, ask_log(extraction.api, extraction.table, bounds))
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        earliest = _earliest_accepted(extraction, bounds.above or 0, refused)
    extraction.completeness.notes.append(
        f"{extraction.table.name}: Intercom refuses times before {_day_of(earliest)}, so older entries were not read"
    )
    bounds = replace(bounds, above=earliest)
    return None if _is_empty(bounds) else BegunLog(bounds, ask_log(extraction.api, extraction.table, bounds))


def _day_of(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _is_empty(bounds: Bounds) -> bool:
    return bounds.above is not None and bounds.below is not None and bounds.above + 1 >= bounds.below


def _earliest_accepted(extraction: Extraction, refused_at: int, refused: RequestRejectedError) -> int:
    """The earliest lower bound that the API takes. Raises `refused` if it does not even take the last hour."""

    def accepts(second: int) -> bool:
        try:
            ask_log(extraction.api, extraction.table, Bounds(second, extraction.run_start + 1))
        except RequestRejectedError as error:
            if error.status != 400:
                raise
            return False
        return True

    low, high = refused_at, extraction.run_start - _RECENT_SECONDS
    if low >= high or not accepts(high):
        raise refused
    if low < FOUNDED < high:
        low, high = (low, FOUNDED) if accepts(FOUNDED) else (FOUNDED, high)
    high = _first_second(low, high, accepts)
    # A limit such as "a year ago" moves on while the log is read.
    extraction.api.sleep(_LIMIT_MOVES_SECONDS)
    return high if accepts(high) else min(high + _BACK_OFF_SECONDS, extraction.run_start - _RECENT_SECONDS)


def _first_second(low: int, high: int, holds: Callable[[int], bool], steps_of: int = 1) -> int:
    """The first second after `low`, up to `high`, from which on `holds` is true; it is for `high`, not for `low`."""
    while high - low > steps_of:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


# -- slices -------------------------------------------------------------------------------------------------------


def _read_in_slices(extraction: Extraction, begun: BegunLog, window: Window) -> SlicePlan:
    cursor_field = str(extraction.table.cursor_field)
    outline = SlicePlan(cursor_field, cursor_field, begun.bounds, ())
    rows = begun.first.most_rows
    if rows is None:
        parts = _by_days(extraction, begun, window)
        return read_settled(extraction, outline, [parts], _read_slice)
    extraction.expect(rows)
    rounds = log_splitter(extraction, begun, _Counts(extraction, outline)).split(rows)
    return read_settled(extraction, outline, rounds, _read_slice)


def _read_slice(extraction: Extraction, plan: SlicePlan, part: PlannedSlice) -> None:
    bounds = SECONDS.bounds(part.slice, plan.whole)
    what = f"{extraction.table.name}, {plan.field} from {(bounds.above or 0) + 1} to {bounds.below}"
    read_range(extraction, what, bounds)


def _hold_against_the_whole(extraction: Extraction, plan: SlicePlan) -> None:
    """Compare the rows of all slices with the pages of the whole range, which is a question of its own."""
    whole = ask_log(extraction.api, extraction.table, plan.whole)
    found, completeness = extraction.completeness.counted, extraction.completeness
    if not whole.total_pages or whole.total_pages < 2:
        return
    least = (whole.total_pages - 1) * min(whole.elements, whole.per_page) + 1
    if found < least:
        completeness.counted -= found - completeness.missing
        completeness.short(extraction.table.name, least - completeness.missing, found - completeness.missing, reads=1)


class SliceCounts(Protocol):
    """What a `Splitter` asks of slices."""

    def counts(self, slices: Sequence[Slice]) -> list[SliceCount | None]:
        """The rows of each slice; None where they are not known."""

    def last(self, part: Slice) -> int | None:
        """The time of the slice's newest entry, None if it is not known."""


@dataclass(slots=True)
class _Counts:
    """Counts slices by the first page of each, whose entries also show where the slice's rows begin or end."""

    extraction: Extraction
    outline: SlicePlan
    _last: dict[Slice, int] = field(default_factory=dict)

    def counts(self, slices: Sequence[Slice]) -> list[SliceCount | None]:
        """The rows of each slice if its last page is full; None where the API does not say."""
        return self.extraction.in_parallel([partial(self._count, part) for part in slices])

    def last(self, part: Slice) -> int | None:
        """The time of the slice's newest entry, None if it is not known."""
        return self._last.get(part)

    def _count(self, part: Slice) -> SliceCount | None:
        bounds = SECONDS.bounds(part, self.outline.whole)
        answer = ask_log(self.extraction.api, self.extraction.table, bounds)
        if answer.most_rows is None:
            return None
        begun = BegunLog(bounds, answer)
        times = answer.times(self.extraction.table)
        if begun.is_sorted(self.extraction, descending=True):
            self._last[part] = times[0]
        ascending = begun.is_sorted(self.extraction, descending=False)
        return SliceCount(answer.most_rows, times[0] if ascending else None)


def log_splitter(extraction: Extraction, begun: BegunLog, counted: SliceCounts) -> Splitter:
    """Cuts a log whose pages are counted."""
    times = begun.first.times(extraction.table)
    per_page = begun.first.per_page
    lowest, highest = max((begun.bounds.above or 0) + 1, FOUNDED), (begun.bounds.below or extraction.run_start) - 1
    if begun.is_sorted(extraction, descending=True):
        highest = min(highest, times[0])
    elif begun.is_sorted(extraction, descending=False):
        lowest = times[0]
    most = max(1, extraction.limits.smallest_slice * per_page // MOST_PER_PAGE)
    pace = Pace(begun.first.seconds, extraction.api.allowed_per_second, extraction.api.most_in_flight)
    return Splitter(
        grid=SECONDS,
        lowest=min(lowest, highest),
        highest=highest,
        narrowed_by=(),
        count=counted.counts,
        last=counted.last,
        smallest=slice_rows(begun.first.most_rows or 0, per_page, pace, most),
    )


def _by_days(extraction: Extraction, begun: BegunLog, window: Window) -> tuple[PlannedSlice, ...]:
    """A slice for each 30 days from the first entry on; nothing is known of their rows."""
    lowest, end = (begun.bounds.above or 0) + 1, begun.bounds.below or extraction.run_start
    if window.start is None:
        lowest = _beginning(extraction, begun, end)
    cuts = range(lowest + _SLICE_SECONDS, end, _SLICE_SECONDS)
    return tuple(PlannedSlice(part, 0) for part in _between(cuts))


def _between(cuts: Sequence[int]) -> Iterator[Slice]:
    edges = [None, *cuts, None]
    return (Slice(start, end) for start, end in pairwise(edges))


def _beginning(extraction: Extraction, begun: BegunLog, end: int) -> int:
    """About the time of the first entry. If it is wrong, the first slice is longer than others, and nothing is lost."""
    if begun.is_sorted(extraction, descending=False):
        return begun.first.times(extraction.table)[0]

    def has_entries(before: int) -> bool:
        bounds = Bounds(begun.bounds.above, before)
        return ask_log(extraction.api, extraction.table, bounds).elements > 0

    low = max(FOUNDED, (begun.bounds.above or 0) + 1)
    return max(low, _first_second(low, end, has_entries, _SLICE_SECONDS) - _SLICE_SECONDS)
