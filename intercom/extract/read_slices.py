"""Reads a long search as slices by time in parallel: the rate limit bounds their speed, and not the latency."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock

from intercom.errors import RequestRejectedError
from intercom.extract.completeness import Completeness
from intercom.extract.cursor_pages import (
    CursorSearch,
    FirstPage,
    describe_slice,
    first_row,
    range_query,
    read_cursor_pages,
)
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.search_slices import PlannedSlice, SliceCount, SlicePlan, Splitter, in_order
from intercom.extract.slice_size import Pace, slice_rows
from intercom.extract.whole_search import CREATED, BegunSearch, all_have_created, everything, window_bounds
from intercom.extract.windows import DAYS, SECONDS, Bounds, Slice, Window

log = logging.getLogger(__name__)

ReadSlice = Callable[[Extraction, SlicePlan, PlannedSlice], None]
"""Reads one slice of a plan; the extraction has the slice's own completeness."""


def read_in_slices(extraction: Extraction, begun: BegunSearch, window: Window) -> SlicePlan:
    """Split the rows of a search by created_at on a first load, else by the cursor field, and read the slices.

    Slices are read as soon as they are settled, while others are still being cut. The plan is saved once it is
    complete; an attempt that ends earlier leaves nothing to resume from.
    """
    search, cursor_field = begun.search, str(extraction.table.cursor_field)
    outline = SlicePlan(cursor_field, cursor_field, window_bounds(extraction, window), (), by_day=extraction.by_day)
    if window == Window() and all_have_created(extraction, begun):
        outline = replace(outline, field=CREATED, sort_field=search.field, whole=Bounds(None, None))
    splitter = Splitter(
        grid=DAYS if extraction.by_day else SECONDS,
        lowest=_lowest(extraction, outline, begun, window),
        highest=_highest(extraction, outline, begun, window),
        narrowed_by=extraction.table.narrowed_by if extraction.by_day else (),
        count=partial(_count, extraction, outline),
        last=partial(_last, extraction, outline),
        smallest=slice_rows(
            search.counted,
            extraction.table.per_page,
            Pace(begun.first.answer.seconds, extraction.api.allowed_per_second, extraction.api.most_in_flight),
            extraction.limits.smallest_slice,
        ),
    )
    extraction.expect(search.counted)
    return read_settled(extraction, outline, splitter.split(search.counted), _read_slice)


def read_planned(extraction: Extraction, plan: SlicePlan) -> None:
    """Read the parts of a search's plan that no earlier attempt at this run has read."""
    read_missing(extraction, plan, _read_slice)


def read_settled(
    extraction: Extraction, outline: SlicePlan, rounds: Iterable[Sequence[PlannedSlice]], read: ReadSlice
) -> SlicePlan:
    """Read slices as they are settled, round by round; the plan of all is kept when the last round has come."""
    ends = _SliceEnds(extraction)
    parts: list[PlannedSlice] = []
    with extraction.side_by_side() as submit:
        for settled in rounds:
            parts += settled
            for part in _longest_first(settled):
                submit(partial(_read_to_its_end, extraction, outline, part, ends, read))
        plan = replace(outline, parts=in_order(parts))
        log.info("%s: %d rows in %d slices of %s", extraction.table.name, plan.rows, len(plan.parts), plan.field)
        extraction.resumable.keep(plan)
        ends.begin(plan)
    return plan


def read_missing(extraction: Extraction, plan: SlicePlan, read: ReadSlice) -> None:
    """Read the parts of a plan that no earlier attempt at this run has read."""
    finished = extraction.resumable.finished()
    missing = [part for place, part in enumerate(plan.parts) if place not in finished]
    extraction.expect(sum(part.rows for part in missing))
    ends = _SliceEnds(extraction)
    ends.begin(plan)
    extraction.in_parallel(
        [partial(_read_to_its_end, extraction, plan, part, ends, read) for part in _longest_first(missing)]
    )


def _longest_first(parts: Iterable[PlannedSlice]) -> list[PlannedSlice]:
    """The slices with most rows first, so that no long one is still being read when all others have ended."""
    return sorted(parts, key=lambda part: part.rows, reverse=True)


def _read_to_its_end(
    extraction: Extraction, plan: SlicePlan, part: PlannedSlice, ends: _SliceEnds, read: ReadSlice
) -> None:
    found = Completeness()
    read(replace(extraction, completeness=found), plan, part)
    extraction.completeness.add(found)
    ends.reached(part, found)


def _read_slice(extraction: Extraction, plan: SlicePlan, part: PlannedSlice) -> None:
    read_cursor_pages(extraction, _slice_search(extraction, plan, part.slice, part.rows))


class _SliceEnds:
    """Delivers the end of each slice with its place in the plan; ends that come before the plan is kept wait for it."""

    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction
        self._lock = Lock()
        self._places: dict[PlannedSlice, int] | None = None
        self._early: list[tuple[PlannedSlice, Completeness]] = []

    def reached(self, part: PlannedSlice, found: Completeness) -> None:
        """All pages of a slice were delivered."""
        with self._lock:
            places = self._places
            if places is None:
                self._early.append((part, found))
        if places is not None:
            self._extraction.deliver(SliceEnd(places[part], found))

    def begin(self, plan: SlicePlan) -> None:
        """The plan is kept: deliver the ends that have waited for it."""
        places = {part: place for place, part in enumerate(plan.parts)}
        with self._lock:
            self._places = places
        for part, found in self._early:
            self._extraction.deliver(SliceEnd(places[part], found))


def _lowest(extraction: Extraction, outline: SlicePlan, begun: BegunSearch, window: Window) -> int:
    """About the time of the first row, in unix seconds: slices are cut from here on, and the first one has no start."""
    if window.start is not None:
        return window.start
    first, search = begun.first, begun.search
    if search.order != "ascending":
        first = first_row(extraction.api, extraction.table, replace(search, order="ascending"))
    elif search.field != outline.field:
        return 0  # the API refuses to sort by it
    return _first_second(first, outline) or 0


def _highest(extraction: Extraction, outline: SlicePlan, begun: BegunSearch, window: Window) -> int:
    """About the time of the last row, in unix seconds; the last slice has no end. Imported rows may lie after now."""
    if window.end is not None:
        return min(window.end, extraction.run_start)
    if begun.search.order != "ascending" or begun.search.field != outline.field:
        return extraction.run_start
    return max(extraction.run_start, _first_second(begun.opposite, outline) or 0)


def _count(extraction: Extraction, outline: SlicePlan, slices: Sequence[Slice]) -> list[SliceCount | None]:
    def ask(part: Slice) -> SliceCount | None:
        try:
            found = first_row(extraction.api, extraction.table, _slice_search(extraction, outline, part))
        except RequestRejectedError as refused:
            log.info("%s: search refuses a window: %s", extraction.table.name, refused)
            return None
        return SliceCount(found.counted, _first_second(found, outline))

    return extraction.in_parallel([partial(ask, part) for part in slices])


def _last(extraction: Extraction, outline: SlicePlan, part: Slice) -> int | None:
    if outline.sort_field != outline.field:
        return None
    backwards = replace(_slice_search(extraction, outline, part), order="descending")
    return _first_second(first_row(extraction.api, extraction.table, backwards), outline)


def _first_second(found: FirstPage, outline: SlicePlan) -> int | None:
    """The time of a search's first row, in unix seconds; None when the search is not sorted by that time."""
    if outline.sort_field != outline.field:
        return None
    return next((value for value in found.page.seconds(outline.field) if value is not None), None)


def _slice_search(extraction: Extraction, plan: SlicePlan, part: Slice, counted: int = 0) -> CursorSearch:
    bounds = (DAYS if plan.by_day else SECONDS).bounds(part, plan.whole)
    if part == Slice() and plan.whole == Bounds(None, None):
        return replace(everything(extraction, plan.sort_field), counted=counted)
    return CursorSearch(
        what=f"{extraction.what}, window {plan.field} {describe_slice(part, bounds)}",
        query=range_query(plan.field, bounds, part.narrowed),
        field=plan.sort_field,
        order="ascending",
        counted=counted,
        until=extraction.run_start,
    )
