"""One chain of search pages, each naming the place of the next by a cursor.

Every chain sends its own order and checks it against the rows: stopping early is allowed only as long as the pages
prove that they come in that order.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts", "Search conversations", "Sorting".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from intercom.client import Answer, TableClient
from intercom.errors import PageTooHeavyError, RetriableApiError
from intercom.pages import PER_PAGE, Page, number_of, page_of, paging
from intercom.reading import Reading
from intercom.tables import Table
from intercom.windows import Bounds, Slice

log = logging.getLogger(__name__)

_READS = 2
_PAGES_BEFORE_GROWING = 4


@dataclass(frozen=True, slots=True)
class Chain:
    """One search: its query, its order, and when the rest of it need not be read.

    `stop` gets the sort field's values of a page that, like all before it, came in the order asked for. `what` names
    table and window in messages.
    """

    what: str
    query: dict[str, Any]
    field: str
    order: str
    stop: Callable[[list[int]], bool]

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


def between(field: str, bounds: Bounds, narrowed: tuple[str, str, str] | None = None) -> dict[str, Any]:
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


def described(part: Slice, bounds: Bounds) -> str:
    """A slice in words, for messages."""
    sent = [f"> {bounds.above}" if bounds.above is not None else "", f"< {bounds.below}" if bounds.below else ""]
    more = [f"{part.narrowed[0]} {part.narrowed[1]} {part.narrowed[2]}"] if part.narrowed else []
    return " and ".join([text for text in sent if text] + more)


@dataclass(frozen=True, slots=True)
class FirstPage:
    """How a chain begins: its answer, the page's records, and how large a page the server could bear."""

    answer: Answer
    page: Page
    size: PageSize

    @property
    def counted(self) -> int:
        """Rows that the search counts; 0 when it does not say."""
        return number_of(self.answer.fields.get("total_count")) or 0


def first_page(api: TableClient, table: Table, chain: Chain) -> FirstPage:
    """The first page of a chain, of the full size if the server can bear it."""
    size = PageSize()
    answer = _ask(api, table, chain, None, size)
    return FirstPage(answer, page_of(answer, table, 1), size)


def first_row(api: TableClient, table: Table, chain: Chain) -> FirstPage:
    """A first page of one row: how many rows there are and, by the chain's order, the first of them."""
    answer = api.post(table.path, chain.body(1), expect=table.records_key)
    return FirstPage(answer, page_of(answer, table, 1), PageSize())


def read_chain(reading: Reading, chain: Chain, first: FirstPage | None = None) -> None:
    """Deliver the chain's pages; all of them once more when there were fewer rows than the search itself counts."""
    for read in range(1, _READS + 1):
        counted, found = _walk(reading, chain, first)
        first = None
        if found >= counted:
            reading.completeness.found(counted)
            return
        log.warning("%s: search counts %d rows and gave %d", chain.what, counted, found)
        if read == _READS:
            reading.completeness.short(chain.what, counted, found, _READS)


def _walk(reading: Reading, chain: Chain, first: FirstPage | None) -> tuple[int, int]:
    """One pass over a chain; gives the rows that search counted and that it gave, both 0 when it was cut short.

    Rows may leave a search while it is read: the least count that an answer gave is what must be found.
    """
    size, proof = first.size if first else PageSize(), _Order(chain.order)
    number, rows = 0, 0
    counts: list[int] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        answer = first.answer if first else _ask(reading.api, reading.table, chain, cursor, size)
        number += 1
        page = first.page if first else page_of(answer, reading.table, number)
        first = None
        rows += len(page.records)
        counted = number_of(answer.fields.get("total_count"))
        counts += [] if counted is None else [counted]
        values = proof.values_in_order(page.seconds(chain.field))
        reading.page(page)
        if values and chain.stop(values):
            return 0, 0
        following = _cursor(answer)
        if following is None:
            return min(counts, default=0), rows
        if following in seen:
            raise RetriableApiError(
                f"{chain.what}: search repeats a cursor on page {number} (request {answer.request_id}), so its rest "
                "cannot be read. Run again; nothing was committed and the watermark has not moved.",
                request_id=answer.request_id,
            )
        seen.add(following)
        cursor = following


def _ask(api: TableClient, table: Table, chain: Chain, cursor: str | None, size: PageSize) -> Answer:
    """One page; smaller and smaller while the server cannot bear it, from the same place."""
    while True:
        try:
            answer = api.post(table.path, chain.body(size.rows, cursor), expect=table.records_key, heavy=size.rows > 1)
        except PageTooHeavyError as error:
            size.halve()
            log.warning("%s: %s; asking for %d rows", chain.what, error, size.rows)
        else:
            size.grow()
            return answer


def _cursor(answer: Answer) -> str | None:
    following = paging(answer).get("next")
    cursor = following.get("starting_after") if isinstance(following, dict) else None
    return cursor if isinstance(cursor, str) and cursor else None


class PageSize:
    """Rows per page: halved when a page is too heavy, doubled again after some pages that were not."""

    def __init__(self) -> None:
        self.rows = PER_PAGE
        self._good = 0

    def halve(self) -> None:
        self.rows = max(1, self.rows // 2)
        self._good = 0

    def grow(self) -> None:
        self._good += 1
        if self._good >= _PAGES_BEFORE_GROWING:
            self.rows, self._good = min(PER_PAGE, self.rows * 2), 0


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
