"""Reads one range of a log page after page, and holds the rows that came against the pages that its answers count.

Whether Intercom counts a range's own two bounds to it is not documented, so a range is asked for with a second more
on both sides (`windows.second_bounds`); the receiver drops what lies outside.

Source of the API facts: Intercom REST API reference 2.14, "List all activity logs".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from intercom.api.client import TableClient
from intercom.errors import RetriableApiError
from intercom.extract.distinct_keys import DistinctKeys, row_keys
from intercom.extract.extraction import Extraction
from intercom.extract.pages import Page, Params, linked_params, page_of, pages_of, place_of
from intercom.extract.windows import Bounds
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_READS = 3
_EMPTY_AT_THE_END = 2
"""Empty pages in a row that end a range whose pages are not counted."""


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """One page of a log, and what it says of its range: pages in all, rows per page, where the next page is.

    `per_page` is that of the table where the answer does not say. `seconds` is the time that the request took.
    """

    page: Page
    keys: tuple[bytes, ...]
    total_pages: int | None
    per_page: int
    following: dict[str, str | int]
    seconds: float

    @property
    def elements(self) -> int:
        """Elements of the list: rows, records that cannot be rows, and nulls."""
        return len(self.keys) + self.page.nulls

    @property
    def most_rows(self) -> int | None:
        """Rows of the range if its last page is full; None where pages are not counted."""
        return None if self.total_pages is None else self.total_pages * self.per_page

    @property
    def rows(self) -> int | None:
        """As `most_rows`, or the number of rows where all are on this page."""
        return self.elements if self.total_pages == 1 else self.most_rows

    def times(self, table: Table) -> list[int]:
        """The times of the rows, in unix seconds, in the order in which they were sent."""
        return [value for value in self.page.seconds(str(table.cursor_field)) if value is not None]


def log_params(table: Table, bounds: Bounds) -> dict[str, str | int]:
    """Query parameters of a range; the API wants the seconds as text, and the lower bound always."""
    sent: dict[str, str | int] = {**table.requests[0], f"{table.cursor_field}_after": str(bounds.above or 0)}
    if bounds.below is not None:
        sent[f"{table.cursor_field}_before"] = str(bounds.below)
    return sent


def ask_log(
    api: TableClient, table: Table, bounds: Bounds, following: Params | None = None, number: int = 1
) -> LogAnswer:
    """One page of a range: the first, or the one that an answer has named as `following`."""
    answer = api.get(table.path, {**log_params(table, bounds), **(following or {})}, expect=table.records_at)
    page, pages = page_of(answer, table, number), pages_of(answer)
    return LogAnswer(
        page,
        tuple(row_keys(page)),
        _whole(pages.get("total_pages")),
        _whole(pages.get("per_page")) or table.per_page,
        linked_params(answer),
        answer.seconds,
    )


def read_range(extraction: Extraction, what: str, bounds: Bounds, first: LogAnswer | None = None) -> None:
    """Deliver every page of a range; `completeness` gets the number of rows, and what is missing. `first` is its start.

    When all is read, its first and its last page are asked for once more: entries that come or go in between change
    one of them. All is read again, up to three reads in total, where one has changed, where fewer rows came than any
    answer has counted pages for, and where a page before the last was not full or had a row of another: answers may be
    well formed and wrong.

    Raises RetriableApiError when page after page repeats the ones before.
    """
    found: set[bytes] = set()
    for read in range(1, _READS + 1):
        walk = _Walk(extraction, what, bounds)
        walk.run(first)
        first = None
        nothing_new = read > 1 and walk.keys <= found
        found |= walk.keys
        lacking = walk.least_rows - walk.elements(found)
        if lacking <= 0 and walk.agreed and (walk.sound or nothing_new):
            extraction.completeness.found(walk.elements(found))
            return
        log.warning("%s: answers about the same entries differ, %d rows were found", what, len(found))
    extraction.deliver(walk.again.page)
    found.update(walk.again.keys)
    counted, there = walk.least_rows, walk.elements(found)
    if there < counted:
        extraction.completeness.short(what, counted, there, _READS)
    else:
        extraction.completeness.found(there)


@dataclass(slots=True)
class _Walk:
    """One pass over the pages of a range."""

    extraction: Extraction
    what: str
    bounds: Bounds
    keys: set[bytes] = field(default_factory=set)
    sound: bool = True
    """Whether no page came twice in part, and each but the last was as full as others."""
    agreed: bool = True
    """Whether the first and the last page were the same when they were asked for once more."""
    again: LogAnswer = field(init=False)
    """The last page, asked for once more."""
    total_pages: int | None = None
    fullest: int = 0
    """Elements of the page that has most of them, at most as many as a page has by its own words."""
    nulls: int = 0

    @property
    def least_rows(self) -> int:
        """Rows of the range if its last page has only one; 0 where pages are not counted."""
        return (self.total_pages - 1) * self.fullest + 1 if self.total_pages else 0

    def elements(self, found: set[bytes]) -> int:
        """Rows found, with the nulls beside them; without those where they outnumber the rows."""
        return len(found) + (self.nulls if self.nulls <= len(found) else 0)

    def learn(self, answer: LogAnswer) -> None:
        """Take over what an answer says of the whole range; the largest number of pages holds."""
        if answer.total_pages is not None:
            self.total_pages = max(answer.total_pages, self.total_pages or 0)
        self.fullest = max(self.fullest, min(answer.elements, answer.per_page))

    def run(self, first: LogAnswer | None) -> None:
        """Read and deliver page after page, to the end, and ask for the first and the last one once more."""
        api, table = self.extraction.api, self.extraction.table
        seen, places, fewest = DistinctKeys(self.what), {self._place({})}, None
        number, empty, following = 1, 0, dict[str, str | int]()
        begin: LogAnswer | None = None
        while True:
            answer = first or ask_log(api, table, self.bounds, following, number)
            begin, first, before = (answer if number == 1 else begin), None, seen.found
            seen.add(answer.page)
            self.extraction.deliver(answer.page)
            self.learn(answer)
            self.keys.update(answer.keys)
            self.nulls += answer.page.nulls
            self.sound &= seen.found - before == len(answer.keys)
            empty = 0 if answer.elements else empty + 1
            linked = self._following(answer, number, empty, is_new=seen.found > before)
            if not linked:
                self.sound &= fewest is None or fewest >= self.fullest
                if begin is not None and number > 1:
                    self._ask_again(begin, {}, 1)
                self._ask_again(answer, following, number)
                return
            if self._place(linked) in places:
                raise self._repeats(answer.page)
            places.add(self._place(linked))
            fewest = answer.elements if fewest is None else min(fewest, answer.elements)
            number, following = number + 1, linked

    def _ask_again(self, before: LogAnswer, following: Params, number: int) -> None:
        self.again = ask_log(self.extraction.api, self.extraction.table, self.bounds, following, number)
        self.learn(self.again)
        self.agreed &= set(self.again.keys) == set(before.keys)
        self.agreed &= bool(self.again.following) == bool(before.following)

    def _following(self, answer: LogAnswer, number: int, empty: int, *, is_new: bool) -> dict[str, str | int]:
        """Where the next page is, by its link or by its number; empty at the end."""
        total = self.total_pages
        if empty and (empty >= _EMPTY_AT_THE_END if total is None else number > total):
            return {}
        if answer.following:
            return answer.following
        # Without a count, a full page may not be the last one. A page that brings nothing new ends such a range: the
        # API may take no notice of page numbers.
        more = number < total if total is not None else is_new and answer.elements >= self.extraction.table.per_page
        return {"page": number + 1} if more else {}

    def _place(self, following: Params) -> frozenset[tuple[str, str]]:
        return place_of({**log_params(self.extraction.table, self.bounds), **following})

    def _repeats(self, page: Page) -> RetriableApiError:
        return RetriableApiError(
            f"{self.what}: {page.where} names a next page that was read before, so the rest cannot be read. Run again; "
            "nothing was committed and the watermark has not moved.",
            request_id=page.request_id,
        )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
