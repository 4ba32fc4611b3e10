"""Reads a search: few rows by one page after the other, many as slices that are read at the same time.

A count that is asked for by itself tells how many rows there are; the first page of a search tells it again. Pages that
follow each other are bound by the server's latency; slices are bound by the rate limit alone.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts", "Search conversations", "Sorting".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

from intercom.errors import RequestRejectedError
from intercom.extract.completeness import Completeness
from intercom.extract.count_check import CountCheck
from intercom.extract.cursor_pages import (
    CursorSearch,
    FirstPage,
    count_again,
    describe_slice,
    first_page,
    first_row,
    range_query,
    read_cursor_pages,
    read_pass,
)
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.limits import ReadLimits
from intercom.extract.search_slices import PlannedSlice, SliceCount, SlicePlan, Splitter, in_order
from intercom.extract.slice_size import Pace, slice_rows
from intercom.extract.windows import DAY_SECONDS, DAYS, SECONDS, Bounds, Slice, Window, day_bounds, second_bounds

log = logging.getLogger(__name__)

_CREATED = "created_at"
_TIMES = (_CREATED, "updated_at")
_EARLY_END_SECONDS = 10 * DAY_SECONDS
_PASSES = (1.0, 2 / 3, 0.8)
"""Passes over the newest changes, each by pages of this share of a full one; the second and third only where the one
before is doubtful."""
_WORTH_IT = 4
"""A search that may end early is cut into slices only if it would read at least a quarter of the rows anyway."""


def read_search(extraction: Extraction, window: Window) -> None:
    """Deliver every row of the window, and others; the receiver filters.

    An open window is read by ``created_at``, which hardly ever changes, so that rows which are updated meanwhile keep
    their place. Where sorting by it is refused, ``updated_at`` serves: such rows then come again at the end.
    """
    plan = extraction.resumable.plan()
    if plan is not None:
        order = plan.sort_field
        _read_planned(extraction, plan)
    else:
        begun = _begin(extraction, window)
        order = begun.search.field
        if not _is_read_in_one(extraction, begun.search, begun.first, window):
            plan = _read_in_slices(extraction, begun, window)
    if extraction.exact and (order != _CREATED or (plan is not None and plan.field != _CREATED)):
        _read_moved(extraction)


def _read_moved(extraction: Extraction) -> None:
    """Rows that were read by a time that changes, and that moved on before they were met."""
    window = Window(extraction.run_start)
    query = range_query(str(extraction.table.cursor_field), _bounds(extraction, window))
    what = f"{extraction.table.name}, changed while it was read"
    read_cursor_pages(extraction, CursorSearch(what, query, str(extraction.table.cursor_field), "ascending"))


@dataclass(frozen=True, slots=True)
class _Begun:
    """The whole search, its first page, and its one row at the other end, asked for by itself.

    The two are different questions about the same rows: where an answer is well formed and wrong, such as an empty
    one, the other one's count tells. `with_created` are the rows that have a time of creation, None if not asked for.
    """

    search: CursorSearch
    first: FirstPage
    opposite: FirstPage
    with_created: int | None = None


def _begin(extraction: Extraction, window: Window) -> _Begun:
    """Ask what has to be known of the whole search, all at the same time."""
    table = extraction.table
    if window != Window():
        return _counted_and_begun(extraction, _changes(extraction, window))
    try:
        return _counted_and_begun(extraction, _everything(extraction, _CREATED))
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        log.info("%s: sorting by %s is refused (%s); reading by %s", table.name, _CREATED, refused, table.cursor_field)
    return _counted_and_begun(extraction, _everything(extraction, str(table.cursor_field)))


def _counted_and_begun(extraction: Extraction, search: CursorSearch) -> _Begun:
    api, table = extraction.api, extraction.table
    questions = [partial(first_row, api, table, search.backwards()), partial(first_page, api, table, search)]
    if search.field == _CREATED:
        questions.append(partial(first_row, api, table, _having_created(extraction)))
    opposite, first, *created = _asked_at_once(extraction, questions)
    search = replace(search, counted=max(opposite.counted, first.counted))
    return _Begun(search, first, opposite, created[0].counted if created else None)


def _asked_at_once(extraction: Extraction, questions: Sequence[Callable[[], FirstPage]]) -> list[FirstPage]:
    """The answers to questions that do not build on each other. A refusal is raised when all are answered."""

    def ask(question: Callable[[], FirstPage]) -> FirstPage | RequestRejectedError:
        try:
            return question()
        except RequestRejectedError as refused:
            return refused

    answers = extraction.in_parallel([partial(ask, question) for question in questions])
    for answer in answers:
        if isinstance(answer, RequestRejectedError):
            raise answer
    return [answer for answer in answers if isinstance(answer, FirstPage)]


def _everything(extraction: Extraction, sort_field: str) -> CursorSearch:
    """All rows, oldest first, also one that lacks either time.

    Rows that change after the run began are left to the next run, else a busy end is chased.
    """
    return CursorSearch(
        what=extraction.table.name,
        query={"operator": "OR", "value": [{"field": name, "operator": ">", "value": 0} for name in _TIMES]},
        field=sort_field,
        order="ascending",
        until=extraction.run_start,
    )


def _changes(extraction: Extraction, window: Window) -> CursorSearch:
    """Rows by their cursor field.

    Where search cuts days, the newest first: the query has to begin two days early, and the read ends at the first
    page that reaches back beyond the window. Else, or when two days more or less make no difference, the oldest first,
    until all rows that were counted are read and a whole page has changed after the start of the run.
    """
    table = extraction.table
    field = str(table.cursor_field)
    query = range_query(field, _bounds(extraction, window))
    recent = (
        window.start is not None and window.end is None and extraction.run_start - window.start < _EARLY_END_SECONDS
    )
    if extraction.by_day and recent:
        return CursorSearch(table.name, query, field, "descending")
    return CursorSearch(table.name, query, field, "ascending", until=extraction.run_start)


def _is_read_in_one(extraction: Extraction, search: CursorSearch, first: FirstPage, window: Window) -> bool:
    """Read the search to its end by one page after the other; False when it is too long for that."""
    if search.order == "descending" and window.start is not None:
        return _read_newest_first(extraction, search, first, window.start)
    if extraction.limits.is_long(search.counted):
        return False
    extraction.expect(search.counted)
    read_cursor_pages(extraction, search, first)
    return True


def _read_newest_first(extraction: Extraction, search: CursorSearch, first: FirstPage | None, start: int) -> bool:
    """Read the search back to where the window begins; False when that is too far for one page after the other.

    What lies behind that place is counted with the rest, so the count tells whether rows are missing only where the
    search itself has ended. Before its end a pass is believed when all its pages are full and name no smaller count
    than others. Else rows are asked for again by pages of another size, until a pass is sound or brings no new row.
    """
    check = CountCheck(search.what, search.counted, extraction.run_start)
    to_its_end = False
    for share in _PASSES:
        if first is None and not check.sound:
            count_again(extraction, search, check)
        end = _EarlyEnd(start, search.counted, extraction.limits, may_be_far=first is not None)
        to_its_end = read_pass(extraction, search, check, first, end, share)
        if end.far:
            return False
        if not (to_its_end and check.short_by) and (check.sound or (first is None and not check.new)):
            extraction.completeness.found(check.found)
            return True
        log.warning("%s: pages of the newest changes lack rows (%d found so far)", search.what, check.found)
        first = None
    missing = check.short_by if to_its_end else check.new
    if missing:
        extraction.completeness.short(search.what, check.found + missing, check.found, len(_PASSES))
    else:  # no pass was sound, and together they have brought all that is counted
        extraction.completeness.found(check.found)
    return True


class _EarlyEnd:
    """Ends a search, newest rows first, where it reaches back beyond the window; or when it still has far to go.

    How far is told by the rows read by then: a burst of changes at the very end says nothing about the hours before.
    The rest of a long way may be read faster in slices, but these begin two days early: if most of their rows are not
    wanted, one page after the other is better.
    """

    def __init__(self, start: int, counted: int, limits: ReadLimits, *, may_be_far: bool) -> None:
        self.far = False
        self._start, self._counted, self._limits, self._may_be_far = start, counted, limits, may_be_far
        self._rows, self._newest = 0, 0

    def __call__(self, values: Sequence[int]) -> bool:
        oldest = min(values)
        self._newest = max(self._newest, *values)
        self._rows += len(values)
        if oldest < self._start:
            return True
        wanted = self._rows * (self._newest - self._start) / max(1, self._newest - oldest)
        is_long = self._limits.is_long
        tasted = self._may_be_far and is_long(2 * self._rows) and is_long(self._counted)
        self.far = tasted and is_long(wanted - self._rows) and self._counted <= _WORTH_IT * wanted
        return self.far


# -- many slices ------------------------------------------------------------------------------------------------------


def _read_in_slices(extraction: Extraction, begun: _Begun, window: Window) -> SlicePlan:
    """Split the rows of a search by created_at on a first load, else by the cursor field, and read the slices.

    Slices are read as soon as they are settled, while others are still cut. The plan is kept as soon as it is whole;
    an attempt that ends before that leaves nothing to go on from.
    """
    search, cursor_field = begun.search, str(extraction.table.cursor_field)
    outline = SlicePlan(cursor_field, cursor_field, _bounds(extraction, window), (), by_day=extraction.by_day)
    if window == Window() and _all_have_created(extraction, begun):
        outline = replace(outline, field=_CREATED, sort_field=search.field, whole=Bounds(None, None))
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
    ends = _SliceEnds(extraction)
    parts: list[PlannedSlice] = []
    with extraction.side_by_side() as submit:
        for settled in splitter.split(search.counted):
            parts += settled
            for part in _longest_first(settled):
                submit(partial(_read_slice, extraction, outline, part, ends))
        plan = replace(outline, parts=in_order(parts))
        log.info("%s: %d rows in %d windows of %s", extraction.table.name, plan.rows, len(plan.parts), plan.field)
        extraction.resumable.keep(plan)
        ends.begin(plan)
    return plan


def _read_planned(extraction: Extraction, plan: SlicePlan) -> None:
    """Read the parts of a plan that no earlier attempt at this run has read."""
    finished = extraction.resumable.finished()
    missing = [part for place, part in enumerate(plan.parts) if place not in finished]
    extraction.expect(sum(part.rows for part in missing))
    ends = _SliceEnds(extraction)
    ends.begin(plan)
    extraction.in_parallel([partial(_read_slice, extraction, plan, part, ends) for part in _longest_first(missing)])


def _longest_first(parts: Iterable[PlannedSlice]) -> list[PlannedSlice]:
    """The order to begin them in: what is begun last should not take long."""
    return sorted(parts, key=lambda part: part.rows, reverse=True)


def _read_slice(extraction: Extraction, plan: SlicePlan, part: PlannedSlice, ends: _SliceEnds) -> None:
    found = Completeness()
    read_cursor_pages(replace(extraction, completeness=found), _slice_search(extraction, plan, part.slice, part.rows))
    extraction.completeness.add(found)
    ends.reached(part, found)


class _SliceEnds:
    """Delivers the ends of slices, by their places in the plan: of those read before that is known as soon as it is."""

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
        """The plan is kept."""
        places = {part: place for place, part in enumerate(plan.parts)}
        with self._lock:
            self._places = places
        for part, found in self._early:
            self._extraction.deliver(SliceEnd(places[part], found))


def _all_have_created(extraction: Extraction, begun: _Begun) -> bool:
    """Whether every row has a time of creation, so that slices by it hold them all; asked again if rows come and go.

    Slices of days may overlap: their sum alone would not tell.
    """
    api, table, counted = extraction.api, extraction.table, begun.search.counted
    if begun.with_created is not None and begun.with_created >= counted:
        return True
    found = first_row(api, table, _having_created(extraction)).counted
    if found >= counted:
        return True
    return found >= first_row(api, table, _everything(extraction, str(table.cursor_field))).counted


def _having_created(extraction: Extraction) -> CursorSearch:
    table = extraction.table
    return CursorSearch(table.name, range_query(_CREATED, Bounds(0, None)), str(table.cursor_field), "ascending")


def _lowest(extraction: Extraction, outline: SlicePlan, begun: _Begun, window: Window) -> int:
    """Where the rows to be read begin, about: slices are cut from here on, and the first one is open."""
    if window.start is not None:
        return window.start
    first, search = begun.first, begun.search
    if search.order != "ascending":
        first = first_row(extraction.api, extraction.table, replace(search, order="ascending"))
    elif search.field != outline.field:
        return 0  # it cannot be sorted by
    return _first_second(first, outline) or 0


def _highest(extraction: Extraction, outline: SlicePlan, begun: _Begun, window: Window) -> int:
    """Where the rows to be read end, about: the last slice is open. Importers make rows of the future, too."""
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
    """The time of a search's first row; None when it is not sorted by it."""
    if outline.sort_field != outline.field:
        return None
    return next((value for value in found.page.seconds(outline.field) if value is not None), None)


def _slice_search(extraction: Extraction, plan: SlicePlan, part: Slice, counted: int = 0) -> CursorSearch:
    bounds = (DAYS if plan.by_day else SECONDS).bounds(part, plan.whole)
    if part == Slice() and plan.whole == Bounds(None, None):
        return replace(_everything(extraction, plan.sort_field), counted=counted)
    return CursorSearch(
        what=f"{extraction.table.name}, window {plan.field} {describe_slice(part, bounds)}",
        query=range_query(plan.field, bounds, part.narrowed),
        field=plan.sort_field,
        order="ascending",
        counted=counted,
        until=extraction.run_start,
    )


def _bounds(extraction: Extraction, window: Window) -> Bounds:
    return day_bounds(window) if extraction.by_day else second_bounds(window)
