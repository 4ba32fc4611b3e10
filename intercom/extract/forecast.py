"""Foretells what reading a table will take: rows, requests and records, from at most three requests. Stages nothing.

    whole search, search by seconds    its own count is the number of rows; requests follow from how it will be read
    search by days                     counts of whole days inside and around the window are bounds of the rows
    companies                          the list's count is a bound from below; the scroll itself is never touched
    logs                               the first page names the number of pages, the last one has the rest
    articles                           the first page names the count and the number of pages
    small lists                        they are read, which is all there is to them

What a long search needs for being cut into slices is found by the run's own `Splitter`, over rows that are thought to
be spread evenly between the first and the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from intercom.errors import FatalApiError, PermissionDeniedError, RequestRejectedError
from intercom.extract.cursor_pages import CursorSearch, FirstPage, first_page, first_row, following_cursor, range_query
from intercom.extract.date_comparison import SearchCheck, count_half_day, is_of_today, newest_created_first
from intercom.extract.even_spread import EvenSpread
from intercom.extract.extraction import Extraction
from intercom.extract.log_forecast import log_requests
from intercom.extract.log_pages import ask_log
from intercom.extract.page_size import first_answer, names_more
from intercom.extract.pages import Page, json_integer, next_params, page_of, pages_of
from intercom.extract.search_slices import Splitter
from intercom.extract.slice_size import Pace, slice_rows
from intercom.extract.time_log import BegunLog, log_bounds
from intercom.extract.whole_search import CREATED, everything, searched_changes
from intercom.extract.windows import DAY_SECONDS, DAYS, SECONDS, Bounds, Window
from intercom.tables.table import Access

_ZONE_SECONDS = 15 * 3600
"""How far the day of a filter's value may be from the day of an indexed time: 14 hours of zone, one of daylight saving
time. As `windows.day_bounds`: one of the two zones is UTC, or both are the same."""
_SAMPLE_COMPANIES = 20
_SCROLL_PAGE = 100
"""Companies of a page of the scroll: seen, not specified, and not settable."""
_BESIDE_THE_SCROLL = 3
"""The list's count before it, the empty page at its end, and the request that confirms the end."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number, or its bounds from below and above; `most` is None where nothing bounds it from above."""

    least: int
    most: int | None

    @classmethod
    def exactly(cls, number: int) -> Self:
        """A number that is known."""
        return cls(number, number)

    @property
    def exact(self) -> bool:
        """Whether the number is known."""
        return self.least == self.most

    def __add__(self, other: Range) -> Range:
        return Range(self.least + other.least, _sum(self.most, other.most))

    def map(self, work: Callable[[int], int]) -> Range:
        """`work` on both bounds; it must not fall while its argument rises."""
        return Range(work(self.least), None if self.most is None else work(self.most))

    def or_none(self) -> Range:
        """Of what may come or not."""
        return Range(0, self.most)

    def scaled(self, factor: float) -> Range:
        """Both bounds times `factor`, as whole numbers."""
        return self.map(lambda number: round(number * factor))

    def or_more(self, most: int | None) -> Range:
        """With another bound from above, if that is greater."""
        return Range(self.least, None if most is None or self.most is None else max(self.least, self.most, most))


@dataclass(frozen=True, slots=True)
class ReadForecast:
    """What one read of a table will take.

    `rows` lie in the window; `records` are received, with those outside of it. `requests` are those of one read,
    `checks` come before the first one. `chain` are requests that leave one after the other, each `page_seconds` after
    the one before. `sample` is a page as the server sends it, None where there was none. `why` says why there are
    bounds and no numbers, for people.
    """

    rows: Range
    requests: Range
    records: Range
    chain: Range
    page_seconds: float
    sample: Page | None
    checks: int = 0
    why: str = ""


def forecast_read(extraction: Extraction, window: Window, known: SearchCheck | None, in_lake: int) -> ReadForecast:
    """Ask for counts and a sample of a table, and foretell a read of the window. Raises ApiError.

    `known` is the last finding of how the table's search compares dates, `in_lake` the rows that the lake has.
    """
    match extraction.table.access:
        case Access.SEARCH:
            return _SearchForecast(extraction, window, known).forecast()
        case Access.PAGES:
            return _pages(extraction, window)
        case Access.SCROLL:
            return _scroll(extraction, window, in_lake)
        case Access.LIST:
            return _list(extraction)
        case Access.TIME_LOG:
            return _log(extraction, window)
        case Access.CHILD | Access.DERIVED:  # no entry has one of these yet
            raise NotImplementedError(extraction.table.access)


# -- lists, articles, companies -----------------------------------------------------------------------------------


def _list(extraction: Extraction) -> ReadForecast:
    """The small lists are asked for as the run will ask; a next page is not followed."""
    table, more, seconds = extraction.table, False, 0.0
    pages: list[Page] = []
    for number, params in enumerate(table.requests, 1):
        answer = extraction.api.get(table.path, params, expect=table.records_at)
        pages.append(page_of(answer, table, number))
        more |= bool(next_params(answer))
        seconds += answer.seconds
    rows = sum(len(page.records) for page in pages)
    found = Range(rows, None if more else rows)
    requests = Range(len(pages), None if more else len(pages))
    sample = replace(
        pages[0], records=[record for page in pages for record in page.records], size=sum(page.size for page in pages)
    )
    return ReadForecast(
        *(found, requests, found, requests, seconds / len(pages), sample),
        why="an answer names a next page" if more else "",
    )


def _pages(extraction: Extraction, window: Window) -> ReadForecast:
    """Articles: all pages and a count. They come newest first, so the first page may show where a window begins."""
    table = extraction.table
    answer, _, refused = first_answer(extraction.api, table, table.per_page)
    page = page_of(answer, table, 1)
    there, total = len(page.records), json_integer(answer.fields.get("total_count"))
    named = pages_of(answer).get("total_pages")
    if isinstance(named, int) and total is not None:
        pages, records = Range.exactly(max(1, named)), Range.exactly(total)
    elif next_params(answer):
        pages, records = Range(2, None), Range(there + 1, None)
    elif names_more(answer, there):
        pages, records = Range(2, None), Range(there, None)
    else:
        pages, records = Range.exactly(1), Range.exactly(there)
    inside = _held(page, str(table.cursor_field), window)
    whole = window == Window() or there >= (records.most or there + 1)
    rows = Range.exactly(inside) if whole and records.most == there else records
    if window != Window() and rows is records:
        rows = Range(inside, records.most)
    why = "" if rows.exact and pages.exact else "the list has no filter by time, or no count"
    return ReadForecast(rows, pages.map(lambda n: n + 1 + refused), records, pages, answer.seconds, page, why=why)


def _scroll(extraction: Extraction, window: Window, in_lake: int) -> ReadForecast:
    """Companies: the list counts those that have users, and the scroll reads all."""
    table = extraction.table
    try:
        answer = extraction.api.get(
            table.path.removesuffix("/scroll"), {"per_page": _SAMPLE_COMPANIES}, expect=table.records_at
        )
    except PermissionDeniedError:
        raise
    except FatalApiError:  # there is no such list for this token: the run then holds its scroll against nothing
        unknown = Range(0, None)
        requests = Range(_BESIDE_THE_SCROLL, None)
        return ReadForecast(unknown, requests, unknown, requests, 0.0, None, why="the list cannot be asked")
    page = page_of(answer, table, 1)
    counted = json_integer(answer.fields.get("total_count"))
    # Nothing counts companies without users. That they are at most as many as the others, or as an earlier scroll has
    # found, is an assumption.
    most = None if counted is None else max(2 * counted, in_lake) + _SCROLL_PAGE
    records = Range(counted or 0, most)
    rows = records if window == Window() else Range(0, records.most)
    requests = _scroll_requests(records)
    why = "the list counts companies with users alone; at most as many are taken to have none"
    return ReadForecast(rows, requests, records, requests, answer.seconds, page, why=why)


def _scroll_requests(records: Range) -> Range:
    return records.map(lambda rows: _ceiling(rows, _SCROLL_PAGE) + _BESIDE_THE_SCROLL)


# -- logs ---------------------------------------------------------------------------------------------------------


def _log(extraction: Extraction, window: Window) -> ReadForecast:
    """A log: the first page counts the pages, and the last one has the rest."""
    table, bounds = extraction.table, log_bounds(window, extraction.run_start)
    try:
        first = ask_log(extraction.api, table, bounds)
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        unknown, requests = Range(0, None), Range(1, None)
        why = "times so long ago are refused, and the run looks for the earliest that is not"
        return ReadForecast(unknown, requests, unknown, requests, 0.0, None, why=why)
    sample = first.page if first.page.records else None
    begun = BegunLog(bounds, first)
    if first.total_pages is None:
        more = bool(first.following) or first.elements >= first.per_page
        rows = Range(first.elements, None if more else first.elements)
        requests = Range(2, None if more else 2)
        why = "the log does not count its pages" if more else ""
        return ReadForecast(rows, requests, rows, requests, first.seconds, sample, why=why)
    found = first.elements
    if first.total_pages > 1:
        last = ask_log(extraction.api, table, bounds, {**first.following, "page": first.total_pages})
        found = (first.total_pages - 1) * first.per_page + last.elements
    records = Range.exactly(found)
    rows = Range.exactly(_held(first.page, str(table.cursor_field), window)) if first.total_pages == 1 else records
    asked, chain = log_requests(extraction, begun, found)
    requests, why = Range.exactly(asked), ""
    if begun.is_long(extraction):
        requests = Range(round(0.9 * asked), round(1.2 * asked))
        why = "how many slices a log needs depends on how its entries are spread"
    return ReadForecast(rows, requests, records, Range.exactly(chain), first.seconds, sample, why=why)


# -- searches -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chain:
    """One way through a search: `requests`, those of them one after the other, and the records that come."""

    requests: int
    chain: int
    records: int


class _SearchForecast:
    """A read of one search, foretold by its own first requests; each question is one request."""

    def __init__(self, extraction: Extraction, window: Window, known: SearchCheck | None) -> None:
        if known is not None and known.by_day is not extraction.table.day_cut:
            extraction = replace(extraction, compares_days=known.by_day)
        self._extraction, self._window, self._known = extraction, window, known
        self._table, self._field = extraction.table, str(extraction.table.cursor_field)
        self._per_page = extraction.table.per_page
        self._due = known is None or not is_of_today(known, extraction.run_start)

    def forecast(self) -> ReadForecast:
        """The forecast."""
        return self._of_everything() if self._window == Window() else self._of_window()

    # -- all rows: sorted by created_at, counted twice, in slices if they are many

    def _of_everything(self) -> ReadForecast:
        extraction = self._extraction
        try:
            newest = first_page(extraction.api, self._table, newest_created_first(extraction))
        except RequestRejectedError as refused:
            if refused.status != 400:
                raise
            return self._without_created()
        oldest = first_row(extraction.api, self._table, everything(extraction, CREATED))
        counted = max(newest.counted, oldest.counted)
        last = _first_value(newest, CREATED)
        checks = self._checks(newest)
        asked = 2  # the last row, and how many have created_at; the first page is one of the pages
        by_created = newest.counted >= counted
        if not extraction.limits.is_long(counted):
            way = self._one_chain(counted)
        else:
            asked += 0 if by_created else 2
            lowest = _first_value(oldest, CREATED) or 0
            highest = max(extraction.run_start, last or 0)
            way = self._slices(newest, counted, lowest, highest)
        moved = (
            self._moved(counted) if extraction.exact and not by_created and extraction.limits.is_long(counted) else None
        )
        return self._made(Range.exactly(counted), way, asked, checks, newest, moved)

    def _without_created(self) -> ReadForecast:
        """The API refuses to sort by created_at, so that three requests are in vain and the order is another one."""
        extraction = self._extraction
        first = first_page(extraction.api, self._table, everything(extraction, self._field))
        counted, asked = first.counted, 3 + 1
        if not extraction.limits.is_long(counted):
            way = self._one_chain(counted)
        else:
            asked += 1
            way = self._slices(first, counted, _first_value(first, self._field) or 0, extraction.run_start)
        moved = self._moved(counted) if extraction.exact else None
        return self._made(Range.exactly(counted), way, asked, 1 if self._due else 0, first, moved)

    # -- rows of a window: by the cursor field, newest first where the search compares days

    def _of_window(self) -> ReadForecast:
        extraction, window = self._extraction, self._window
        search = searched_changes(extraction, window)
        first = first_page(extraction.api, self._table, search)
        checks = self._checks(None)
        counted, held = first.counted, _held(first.page, self._field, window)
        values = [value for value in first.page.seconds(self._field) if value is not None]
        on_one_page = following_cursor(first.answer) is None
        newest_first = search.order == "descending" and window.start is not None
        reaches_back = newest_first and bool(values) and min(values) < (window.start or 0)
        if on_one_page or reaches_back:
            rows = Range.exactly(held)
        elif not extraction.by_day:
            rows = Range.exactly(counted)
        else:
            rows = self._of_days(counted, held)
        moved = self._moved(counted) if extraction.exact else None
        if newest_first:
            return self._back_to_start(rows, first, checks, moved)
        if not extraction.limits.is_long(counted):
            way = self._one_chain(counted)
        else:
            lowest = (values[0] if values else 0) if window.start is None else window.start
            highest = extraction.run_start if window.end is None else min(window.end, extraction.run_start)
            way = self._slices(first, counted, lowest, highest)
            if not rows.exact:  # days may come twice at the edges of slices
                rows = rows.or_more(way.records + self._overlap(first, counted, lowest, highest))
        return self._made(rows, way, 1, checks, first, moved)

    def _of_days(self, counted: int, held: int) -> Range:
        """Bounds of the rows of a window from counts of whole days, whatever the workspace's zone."""
        window, run_start = self._window, self._extraction.run_start
        inner = Bounds(
            None if window.start is None else window.start + _ZONE_SECONDS,
            None if window.end is None else window.end - _ZONE_SECONDS,
        )
        outer = Bounds(
            None if window.start is None else window.start - DAY_SECONDS - _ZONE_SECONDS,
            None if window.end is None else window.end + DAY_SECONDS + _ZONE_SECONDS,
        )
        least = held
        if (inner.above or 0) < min(run_start, inner.below or run_start):
            least = max(least, self._count(inner))
        most = counted if self._known is None else min(counted, self._count(outer))
        return Range(min(least, most), most)

    def _count(self, bounds: Bounds) -> int:
        query = range_query(self._field, replace(bounds, above=max(0, bounds.above or 0)))
        search = CursorSearch(self._table.name, query, self._field, "ascending")
        return first_row(self._extraction.api, self._table, search).counted

    def _back_to_start(self, rows: Range, first: FirstPage, checks: int, moved: Range | None) -> ReadForecast:
        """Newest first: pages until one has a row from before the window, or slices where that takes too long."""
        counted, limits = first.counted, self._extraction.limits
        last_page = max(1, _ceiling(counted, self._per_page))
        pages = rows.map(lambda inside: min(inside // self._per_page + 1, last_page))
        if rows.exact and rows.least <= len(first.page.records):
            pages = Range.exactly(1) if rows.least < len(first.page.records) or last_page == 1 else pages
        records = pages.map(lambda number: min(number * self._per_page, counted))
        requests, chain = pages, pages
        if limits.is_long(counted) and limits.is_long(2 * (rows.most or 0)):
            # After half of the limit the run may turn to slices of all that is counted, and read these rows again.
            start = self._window.start or 0
            way = self._slices(first, counted, start, self._extraction.run_start)
            again = self._overlap(first, counted, start, self._extraction.run_start)
            requests = requests.or_more((pages.most or 0) + way.requests + _ceiling(again, self._per_page))
            records = records.or_more((records.most or 0) + way.records + again)
            rows = rows.or_more(2 * (rows.most or 0) + again)
        return self._with_moved(rows, requests, records, chain, 1, checks, first, moved)

    # -- parts that several forecasts share

    def _checks(self, newest: FirstPage | None) -> int:
        """Requests by which the run finds out how search compares dates: none if one did so today.

        `newest` is the page of the rows that were created last, if it was asked for already.
        """
        if not self._due:
            return 0
        extraction, known = self._extraction, self._known
        if known is not None and known.by_day is not self._table.day_cut:
            return 2 + 1 + 2  # found once more with the newest row
        looks = 0 if known is not None else 1
        if known is None:
            newest = newest or first_row(extraction.api, self._table, newest_created_first(extraction))
            row_at = next((value for value in newest.page.seconds(CREATED) if value and value >= DAY_SECONDS), None)
        else:
            row_at = known.row_at
        if row_at is None:
            return looks
        if self._table.day_cut:
            return looks + 2
        if row_at % DAY_SECONDS < DAY_SECONDS // 2:
            return looks + 1  # the first half of its day has a row, at least that one
        return looks + (1 if count_half_day(extraction, row_at, 0) else 2)

    def _one_chain(self, counted: int) -> _Chain:
        pages = max(1, _ceiling(counted, self._per_page))
        return _Chain(pages, pages, counted)

    def _slices(self, first: FirstPage, counted: int, lowest: int, highest: int) -> _Chain:
        return self._split(first, counted, lowest, highest, overlap=0)

    def _overlap(self, first: FirstPage, counted: int, lowest: int, highest: int) -> int:
        """Rows that come twice where each slice of days begins with the day before: so in a few zones."""
        twice = self._split(first, counted, lowest, highest, overlap=1)
        return max(0, twice.records - counted)

    def _split(self, first: FirstPage, counted: int, lowest: int, highest: int, *, overlap: int) -> _Chain:
        """The run's own way to cut a search, over rows that are spread evenly; `overlap` in cells of its grid."""
        extraction, table = self._extraction, self._table
        grid = DAYS if extraction.by_day else SECONDS
        spread = EvenSpread(counted, grid.cell(lowest), grid.cell(highest) + 1, overlap if extraction.by_day else 0)
        splitter = Splitter(
            grid=grid,
            lowest=lowest,
            highest=highest,
            narrowed_by=table.narrowed_by if extraction.by_day else (),
            count=spread.counts,
            last=lambda _: None,
            smallest=slice_rows(
                counted,
                self._per_page,
                Pace(first.answer.seconds, extraction.api.allowed_per_second, extraction.api.most_in_flight),
                extraction.limits.smallest_slice,
            ),
        )
        parts = [part for settled in splitter.split(counted) for part in settled]
        pages = [max(1, _ceiling(part.rows, self._per_page)) for part in parts]
        # The first page of the whole search is asked for, and is none of a slice's.
        return _Chain(1 + spread.asked + sum(pages), max(pages, default=1), sum(part.rows for part in parts))

    def _moved(self, counted: int) -> Range:
        """Requests for rows that change while a full refresh is read: of whole days where search compares days."""
        return Range(1, 1 + _ceiling(counted, self._per_page) if self._extraction.by_day else 1)

    def _made(
        self, rows: Range, way: _Chain, asked: int, checks: int, first: FirstPage, moved: Range | None
    ) -> ReadForecast:
        requests, chain = Range.exactly(way.requests), Range.exactly(way.chain)
        records = Range.exactly(max(way.records, rows.least if rows.exact else 0))
        return self._with_moved(rows, requests, records, chain, asked, checks, first, moved)

    def _with_moved(
        self, rows: Range, requests: Range, records: Range, chain: Range, asked: int, checks: int,
        first: FirstPage, moved: Range | None,
    ) -> ReadForecast:  # fmt: skip
        requests += Range.exactly(asked)
        if moved is not None:
            requests += moved
            if not moved.exact:
                rows = rows.or_more(2 * (rows.most or 0))
                records = records.or_more(2 * (records.most or 0))
        why = "" if rows.exact and requests.exact else "search counts whole days"
        return ReadForecast(
            rows,
            requests,
            records,
            chain,
            first.answer.seconds,
            first.page if first.page.records else None,
            checks,
            why,
        )


def _first_value(found: FirstPage, field: str) -> int | None:
    return next((value for value in found.page.seconds(field) if value is not None), None)


def _held(page: Page, field: str, window: Window) -> int:
    """Rows of a page that lie in the window."""
    return sum(window.holds(value) for value in page.seconds(field))


def _ceiling(number: int, size: int) -> int:
    return -(-number // size)


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
