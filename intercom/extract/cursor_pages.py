"""Reads the pages of one search in a row, each found by the cursor of the one before, and checks order and count.

An answer can be well formed and wrong, so rows are never compared with the count of their own answer only. Separate
count requests, before and after the pages are read, decide whether the search was read completely.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts", "Search conversations", "Sorting".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.errors import PageTooHeavyError, RetriableApiError
from intercom.extract.count_check import CountCheck
from intercom.extract.extraction import Extraction
from intercom.extract.pages import Page, json_integer, page_of, pages_of
from intercom.extract.windows import Bounds, Slice
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_OPPOSITE = {"ascending": "descending", "descending": "ascending"}
_PAGES_BEFORE_GROWING = 4
_MOST_LOST = 0.2
"""A count that falls by more than this share is believed only after a second read in the opposite order."""

Stop = Callable[[list[int]], bool]
"""Gets the sort field's values of a page, if all pages so far came in the order asked for; True ends the pass."""


@dataclass(frozen=True, slots=True)
class CursorSearch:
    """One search: its query and its order.

    `what` names table and window in messages. `counted` is the number of rows that other requests have counted for
    the same query. `until`: rows whose cursor value lies after this second may be left to the next run, once all rows
    that were counted are read.
    """

    what: str
    query: dict[str, Any]
    field: str
    order: str
    counted: int = 0
    until: int | None = None

    def body(self, rows: int, cursor: str | None = None) -> dict[str, Any]:
        """The request for a page of so many rows, from the beginning or from a cursor on."""
        pagination: dict[str, Any] = {"per_page": rows}
        if cursor is not None:
            pagination["starting_after"] = cursor
        return {
            "query": self.query,
            "pagination": pagination,
            "sort": {"field": self.field, "order": self.order},
        }

    def backwards(self) -> CursorSearch:
        """A search for the same rows in the opposite order."""
        return replace(self, order=_OPPOSITE[self.order])


def range_query(field: str, bounds: Bounds, narrowed: tuple[str, str, str] | None = None) -> dict[str, Any]:
    """The query for rows whose field lies between the bounds, and that pass one more filter."""
    parts = [
        {"field": name, "operator": operator, "value": value}
        for name, operator, value in (
            (field, ">", bounds.above),
            (field, "<", bounds.below),
            *([narrowed] if narrowed else []),
        )
        if value is not None
    ]
    return parts[0] if len(parts) == 1 else {"operator": "AND", "value": parts}


def describe_slice(part: Slice, bounds: Bounds) -> str:
    """A slice in words, for messages."""
    sent = [f"> {bounds.above}" if bounds.above is not None else "", f"< {bounds.below}" if bounds.below else ""]
    more = [f"{part.narrowed[0]} {part.narrowed[1]} {part.narrowed[2]}"] if part.narrowed else []
    return " and ".join([text for text in sent if text] + more)


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The first page of a search: its answer, its records, and how large a page the server could bear."""

    answer: Answer
    page: Page
    size: PageSize

    @property
    def counted(self) -> int:
        """Rows that the search counts; 0 when it does not say."""
        return _counted(self.answer) or 0


def first_page(api: TableClient, table: Table, search: CursorSearch) -> FirstPage:
    """The first page of a search, of the full size if the server can bear it."""
    size = PageSize(table.per_page)
    answer = _ask(api, table, search, None, size)
    return FirstPage(answer, page_of(answer, table, 1), size)


def first_row(api: TableClient, table: Table, search: CursorSearch) -> FirstPage:
    """A first page of one row: how many rows there are and, by the search's order, the first of them."""
    answer = api.post(table.path, search.body(1), expect=table.records_at)
    return FirstPage(answer, page_of(answer, table, 1), PageSize(table.per_page))


def read_cursor_pages(extraction: Extraction, search: CursorSearch, first: FirstPage | None = None) -> None:
    """Deliver the search's pages. If fewer rows came than are counted, read it again in the opposite order."""
    check = CountCheck(search.what, search.counted, search.until)
    for read, one in enumerate((search, search.backwards()), start=1):
        read_pass(extraction, one, check, first)
        first = None
        if check.short_by and (read > 1 or check.short_by <= _MOST_LOST * check.counted):
            count_again(extraction, search, check)
        if not check.short_by:
            extraction.completeness.found(check.counted)
            return
        log.warning("%s: search counts %d rows and gave %d", search.what, check.counted, check.found)
    extraction.completeness.short(search.what, check.counted, check.found, reads=2)


def count_again(extraction: Extraction, search: CursorSearch, check: CountCheck) -> None:
    """Believe a smaller count if two count requests after the read both give one: rows may have left the search."""
    names: list[int] = []
    for _ in range(2):
        names.append(first_row(extraction.api, extraction.table, search).counted)
        if names[-1] >= check.counted:
            return
    log.info("%s: %d rows were counted at first and %d at last", search.what, check.counted, max(names))
    check.believe(max(names))


def read_pass(
    extraction: Extraction,
    search: CursorSearch,
    check: CountCheck,
    first: FirstPage | None = None,
    stop: Stop | None = None,
    share: float = 1.0,
) -> bool:
    """Deliver one pass over the search and add it to `check`; False when it was not read to the end of the search.

    `share` is the page size as a share of a full page. With `stop`, the pass ends where `stop` says so. Without it, a
    search with `until` ends once all counted rows are read and all rows of a page changed after `until`. A page without
    a next one is the end of the search, also if `stop` ends the pass there: all counted rows should be read by then.
    """
    size, order = first.size if first else PageSize(extraction.table.per_page, share), _Order(search.order)
    cursor: str | None = None
    seen: set[str] = set()
    check.begin()
    for number in range(1, 1 << 62):
        answer = first.answer if first else _ask(extraction.api, extraction.table, search, cursor, size)
        page = first.page if first else page_of(answer, extraction.table, number)
        first, asked = None, size.asked
        following = following_cursor(answer)
        changed = page.seconds(str(extraction.table.cursor_field))
        check.add(page, changed, _counted(answer), full=asked if following else 0)
        extraction.deliver(page)
        if stop is not None and (values := order.values_in_order(page.seconds(search.field))) and stop(values):
            return following is None
        if stop is None and search.until is not None and check.is_whole and _are_newer(changed, search.until):
            return False
        if following is None:
            return True
        if following in seen:
            raise RetriableApiError(
                f"{search.what}: search repeats a cursor on page {number} (request {answer.request_id}), so its rest "
                "cannot be read. Run again; nothing was committed and the watermark has not moved.",
                request_id=answer.request_id,
            )
        seen.add(following)
        cursor = following
    raise AssertionError("unreachable")


def _are_newer(changed: Sequence[int | None], second: int) -> bool:
    """Whether every row of a page has changed after this second; a page without rows tells nothing."""
    return bool(changed) and all(value is not None and value > second for value in changed)


def _ask(api: TableClient, table: Table, search: CursorSearch, cursor: str | None, size: PageSize) -> Answer:
    """Request one page; while it is too heavy for the server, request half as many rows from the same cursor."""
    while True:
        try:
            answer = api.post(table.path, search.body(size.rows, cursor), expect=table.records_at, heavy=size.rows > 1)
        except PageTooHeavyError as error:
            size.halve()
            log.warning("%s: %s; asking for %d rows", search.what, error, size.rows)
        else:
            size.grow()
            return answer


def _counted(answer: Answer) -> int | None:
    return json_integer(answer.fields.get("total_count"))


def following_cursor(answer: Answer) -> str | None:
    """The cursor of the page after this answer's; None at the end of the search."""
    following = pages_of(answer).get("next")
    cursor = following.get("starting_after") if isinstance(following, dict) else None
    return cursor if isinstance(cursor, str) and cursor else None


class PageSize:
    """Rows per page: halved when a page is too heavy, doubled again after some pages that were not.

    `asked` is the size of the page that came last.
    """

    def __init__(self, per_page: int, share: float = 1.0) -> None:
        self.rows = self.asked = self._most = max(1, round(share * per_page))
        self._good = 0

    def halve(self) -> None:
        self.rows = max(1, self.rows // 2)
        self._good = 0

    def grow(self) -> None:
        self.asked = self.rows
        self._good += 1
        if self._good >= _PAGES_BEFORE_GROWING:
            self.rows, self._good = min(self._most, self.rows * 2), 0


class _Order:
    """Whether pages come in the order asked for, as far as they were seen."""

    def __init__(self, order: str) -> None:
        self._sign = -1 if order == "descending" else 1
        self._last: int | None = None
        self._proven = True

    def values_in_order(self, values: list[int | None]) -> list[int]:
        """The page's values while the order holds; nothing once it was broken or a value is missing."""
        for value in values:
            if value is None or (self._last is not None and self._sign * value < self._sign * self._last):
                self._proven = False
                break
            self._last = value
        return [value for value in values if value is not None] if self._proven else []
