"""Search: one chain of pages, each naming the place of the next by a cursor.

Every chain sends its own order and checks it against the rows: stopping early is allowed only as long as the pages
prove that they come in that order.

Source of the API facts: Intercom REST API reference 2.14, "Search contacts", "Search conversations", "Sorting".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from intercom.client import Answer, TableClient
from intercom.errors import PageTooHeavyError, RequestRejectedError, RetriableApiError
from intercom.pages import PER_PAGE, Completeness, Page, number_of, page_of, paging
from intercom.tables import Table
from intercom.windows import Window, day_bounds, second_bounds

log = logging.getLogger(__name__)

_READS = 2
_PAGES_BEFORE_GROWING = 4
_CREATED = "created_at"
_TIMES = (_CREATED, "updated_at")


@dataclass(frozen=True, slots=True)
class Chain:
    """One search: its query, its order, and when the rest of it need not be read.

    `stop` gets the sort field's values of a page that, like all before it, came in the order asked for.
    """

    query: dict[str, Any]
    field: str
    order: str
    stop: Callable[[list[int]], bool]


def search_pages(
    api: TableClient, table: Table, window: Window, run_start: int, completeness: Completeness
) -> Iterator[Page]:
    """Pages that hold every row of the window, and others; the caller filters.

    An open window is read by ``created_at``, which never changes, so that rows which are updated meanwhile keep their
    place. Where sorting by it is refused, ``updated_at`` serves: such rows then come again at the end.
    """
    if window != Window():
        yield from _checked(api, table, _changes(table, window, run_start), completeness)
        return
    try:
        yield from _checked(api, table, _everything(_CREATED, run_start), completeness)
    except _SortRefusedError as refused:
        log.info("%s: sorting by %s is refused (%s); reading by %s", table.name, _CREATED, refused, table.cursor_field)
        yield from _checked(api, table, _everything(str(table.cursor_field), run_start), completeness)


def _everything(sort_field: str, run_start: int) -> Chain:
    """All rows, oldest first, also one that lacks either time.

    Rows made after the run began are left to the next run, else a busy end is chased.
    """
    return Chain(
        query={"operator": "OR", "value": [{"field": name, "operator": ">", "value": 0} for name in _TIMES]},
        field=sort_field,
        order="ascending",
        stop=lambda values: min(values) > run_start,
    )


def _changes(table: Table, window: Window, run_start: int) -> Chain:
    """Rows by their cursor field.

    Where search cuts days, newest first: the query has to begin two days early and the chain ends at the first page
    that reaches back beyond the window. Else oldest first, until a whole page lies after the start of the run.
    """
    field = str(table.cursor_field)
    bounds = day_bounds(window) if table.day_cut else second_bounds(window)
    query: dict[str, Any] = {"field": field, "operator": ">", "value": bounds.above}
    if bounds.below is not None:
        query = {"operator": "AND", "value": [query, {"field": field, "operator": "<", "value": bounds.below}]}
    if table.day_cut:
        start = window.start
        return Chain(query, field, "descending", stop=lambda values: start is not None and min(values) < start)
    return Chain(query, field, "ascending", stop=lambda values: min(values) > run_start)


class _SortRefusedError(Exception):
    """The first page of a chain was refused with 400, which may be for its sort field."""


def _checked(api: TableClient, table: Table, chain: Chain, completeness: Completeness) -> Iterator[Page]:
    """The chain's pages; all of them once more when it ended with fewer rows than the search itself counts."""
    for read in range(1, _READS + 1):
        counted, found = yield from _walk(api, table, chain)
        if found >= counted:
            return
        log.warning("%s: search counts %d rows and gave %d", table.name, counted, found)
        if read == _READS:
            completeness.short(table, counted, found, _READS)


def _walk(api: TableClient, table: Table, chain: Chain) -> Generator[Page, None, tuple[int, int]]:
    """One pass over a chain; returns the rows that search counted and that it gave, both 0 when it was cut short."""
    size, proof = _PageSize(), _Order(chain.order)
    cursor, number, rows = None, 0, 0
    seen: set[str] = set()
    while True:
        answer = _ask(api, table, chain, cursor, size)
        number += 1
        page = page_of(answer, table, number)
        rows += len(page.records)
        yield page
        values = proof.values_in_order(page.seconds(chain.field))
        if values and chain.stop(values):
            return 0, 0
        following = _cursor(answer)
        if following is None:
            return number_of(answer.fields.get("total_count")) or 0, rows
        if following in seen:
            raise RetriableApiError(
                f"{table.name}: search repeats a cursor on page {number} (request {answer.request_id}), so its rest "
                "cannot be read. Run again; nothing was committed and the watermark has not moved.",
                request_id=answer.request_id,
            )
        seen.add(following)
        cursor = following


def _ask(api: TableClient, table: Table, chain: Chain, cursor: str | None, size: _PageSize) -> Answer:
    """One page; smaller and smaller while the server cannot bear it, from the same place."""
    while True:
        pagination: dict[str, Any] = {"per_page": size.rows}
        if cursor is not None:
            pagination["starting_after"] = cursor
        body = {
            "query": chain.query,
            "pagination": pagination,
            "sort": {"field": chain.field, "order": chain.order},
        }
        try:
            answer = api.post(table.path, body, expect=table.records_key, heavy=size.rows > 1)
        except PageTooHeavyError as error:
            size.halve()
            log.warning("%s: %s; asking for %d rows", table.name, error, size.rows)
        except RequestRejectedError as error:
            if error.status == 400 and cursor is None and chain.field == _CREATED:
                raise _SortRefusedError(str(error)) from error
            raise
        else:
            size.grow()
            return answer


def _cursor(answer: Answer) -> str | None:
    following = paging(answer).get("next")
    cursor = following.get("starting_after") if isinstance(following, dict) else None
    return cursor if isinstance(cursor, str) and cursor else None


class _PageSize:
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
