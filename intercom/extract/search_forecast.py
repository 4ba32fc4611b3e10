"""Foretells what reading a search takes, from its own first requests.

    all rows, or a search by seconds   its own count is the number of rows; requests follow from how it will be read
    a window of a search by days       counts of whole days inside and around the window are bounds of the rows

What a long search needs for being cut into slices is found by the run's own `Splitter`, over rows that are thought to
be spread evenly between the first and the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from intercom.errors import RequestRejectedError
from intercom.extract.cursor_pages import CursorSearch, FirstPage, first_page, first_row, following_cursor, range_query
from intercom.extract.date_comparison import SearchCheck, count_half_day, is_of_today, newest_created_first
from intercom.extract.even_spread import EvenSpread
from intercom.extract.extraction import Extraction
from intercom.extract.read_forecast import Range, ReadForecast, ceiling, held, received
from intercom.extract.search_slices import Splitter
from intercom.extract.slice_size import Pace, slice_rows
from intercom.extract.whole_search import CREATED, everything, searched_changes
from intercom.extract.windows import DAY_SECONDS, DAYS, SECONDS, Bounds, Window

_ZONE_SECONDS = 15 * 3600
"""How far the day of a filter's value may be from the day of an indexed time: 14 hours of zone, one of daylight saving
time. As `windows.day_bounds`: one of the two zones is UTC, or both are the same."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """One way through a search: `requests`, those of them one after the other, and the records that come."""

    requests: int
    chain: int
    records: int


class SearchForecast:
    """A read of one search, foretold by its own first requests; each question is one request.

    `known` is the last finding of how the search compares dates.
    """

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
        counted, inside = first.counted, held(first.page, self._field, window)
        values = [value for value in first.page.seconds(self._field) if value is not None]
        on_one_page = following_cursor(first.answer) is None
        newest_first = search.order == "descending" and window.start is not None
        reaches_back = newest_first and bool(values) and min(values) < (window.start or 0)
        if on_one_page or reaches_back:
            rows = Range.exactly(inside)
        elif not extraction.by_day:
            rows = Range.exactly(counted)
        else:
            rows = self._of_days(counted, inside)
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

    def _of_days(self, counted: int, inside: int) -> Range:
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
        least = inside
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
        last_page = max(1, ceiling(counted, self._per_page))
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
            requests = requests.or_more((pages.most or 0) + way.requests + ceiling(again, self._per_page))
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
            newest = newest or first_page(extraction.api, self._table, newest_created_first(extraction))
            row_at = next((value for value in newest.page.seconds(CREATED) if value and value >= DAY_SECONDS), None)
        else:
            row_at = known.row_at
        if row_at is None:
            return looks
        if self._table.day_cut:
            return looks + 2
        day = row_at - row_at % DAY_SECONDS
        noon = day + DAY_SECONDS // 2
        if row_at < noon:
            return looks + 1  # the first half of its day has a row, at least that one
        if newest is None:
            return looks + (1 if count_half_day(extraction, row_at, 0) else 2)
        created = [value for value in newest.page.seconds(CREATED) if value is not None]
        reaches_back = min(created, default=noon) < noon or following_cursor(newest.answer) is None
        # Where a whole page was created later, that morning is taken to have a row: they are many.
        return looks + (1 if not reaches_back or any(day <= value < noon for value in created) else 2)

    def _one_chain(self, counted: int) -> _Chain:
        pages = max(1, ceiling(counted, self._per_page))
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
        pages = [max(1, ceiling(part.rows, self._per_page)) for part in parts]
        # The first page of the whole search is asked for, and is none of a slice's.
        return _Chain(1 + spread.asked + sum(pages), max(pages, default=1), sum(part.rows for part in parts))

    def _moved(self, counted: int) -> Range:
        """Requests for rows that change while a full refresh is read: of whole days where search compares days."""
        return Range(1, 1 + ceiling(counted, self._per_page) if self._extraction.by_day else 1)

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
        sample = first.page if first.page.records else None
        return ReadForecast(rows, requests, received(records, sample), chain, first.answer.seconds, sample, checks, why)


def _first_value(found: FirstPage, field: str) -> int | None:
    return next((value for value in found.page.seconds(field) if value is not None), None)
