"""Lists by page number (articles): the first page says how many there are, the others are read at the same time.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all articles".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from intercom.errors import RequestRejectedError
from intercom.pages import PER_PAGE, next_params, number_of, page_of, paging
from intercom.reading import Reading

log = logging.getLogger(__name__)

SMALLER_PER_PAGE = 50
"""Asked for where 150 is refused."""
_READS = 3


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What is remembered of a page: its rows would fill the memory, articles are long."""

    number: int
    ids: frozenset[bytes]
    counted: int | None
    """Rows that the list was said to have then."""
    total_pages: int | None
    following: dict[str, str | int]


def read_numbered(reading: Reading) -> None:
    """Deliver every page of the list, again when rows moved between pages.

    Page numbers count from the front: a row that is deleted or edited while pages are read shifts others past the
    reader. That shows as a count that moved, or as fewer distinct ids than are counted; then all are read once more.
    """
    per_page = PER_PAGE
    for read in range(1, _READS + 1):
        try:
            first = _deliver(reading, per_page, {"page": 1}, 1)
        except RequestRejectedError as error:
            if error.status != 400 or per_page == SMALLER_PER_PAGE:
                raise
            per_page = SMALLER_PER_PAGE
            first = _deliver(reading, per_page, {"page": 1}, 1)
        reading.expect(first.counted or 0)
        pages = [first, *_others(reading, per_page, first)]
        counts = {page.counted for page in pages}
        ids = frozenset[bytes]().union(*(page.ids for page in pages))
        last = pages[-1].counted
        if last is None or (len(counts) == 1 and len(ids) >= last):
            reading.completeness.found(last or 0)
            return
        log.info("%s: rows moved between pages (%d rows of %s)", reading.table.name, len(ids), last)
        if read == _READS and len(ids) < last:
            reading.completeness.short(reading.table.name, last, len(ids), _READS)


def _deliver(reading: Reading, per_page: int, params: dict[str, str | int], number: int) -> _Delivered:
    table = reading.table
    query = {**table.requests[0], "per_page": per_page, **params}
    answer = reading.api.get(table.path, query, expect=table.records_key)
    page = page_of(answer, table, number)
    reading.page(page)
    total = paging(answer).get("total_pages")
    return _Delivered(
        number,
        frozenset(page.identities()),
        number_of(answer.fields.get("total_count")),
        total if isinstance(total, int) else None,
        next_params(answer),
    )


def _others(reading: Reading, per_page: int, first: _Delivered) -> list[_Delivered]:
    """The pages after the first: all at once when their number is known, else until an empty or last one."""
    if not first.ids:
        return []
    if first.total_pages is not None and "starting_after" not in first.following:
        numbers = range(2, first.total_pages + 1)
        return reading.in_parallel(
            [partial(_deliver, reading, per_page, {"page": number}, number) for number in numbers]
        )
    found = [first]
    while found[-1].ids and found[-1].following and found[-1].number != first.total_pages:
        last = found[-1]
        number = last.number + 1
        params: dict[str, str | int] = last.following if "starting_after" in last.following else {"page": number}
        found.append(_deliver(reading, per_page, params, number))
    return found[1:]
