"""Reads lists by page number (articles): the first page says how many there are, the rest is read in parallel.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all articles".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from intercom.errors import RequestRejectedError
from intercom.extract.distinct_keys import DistinctKeys, keys_of
from intercom.extract.extraction import Extraction
from intercom.extract.pages import json_integer, next_params, page_of, pages_of, place_of

log = logging.getLogger(__name__)

SMALLER_PER_PAGE = 50
"""Asked for where more are refused."""
PAGES_AT_ONCE = 64
"""Pages that are asked for before looking whether they bring anything: how many there are is the server's word."""
_READS = 3


@dataclass(slots=True)
class _Size:
    """Rows per page that the server accepts."""

    rows: int


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What is remembered of a page: its rows would fill the memory, articles are long."""

    number: int
    request_id: str | None
    keys: frozenset[bytes]
    nulls: int
    counted: int
    """Rows that the list was said to have then; 0 when it was not said."""
    total_pages: int | None
    following: dict[str, str | int]


def read_page_numbers(extraction: Extraction) -> None:
    """Deliver every page of the list, again when rows moved between pages.

    Page numbers count from the front: a row that is deleted or edited while pages are read shifts others past the
    reader. That shows as fewer distinct rows than are counted; then all are read once more. The count is the largest
    that a page has named, or a request for the count alone: a page that lacks rows may count too few. A smaller one is
    believed when two requests for it after the last page agree. What is short after the last read is in `completeness`.
    """
    name, counted, found = extraction.table.name, 0, 0
    size = _Size(extraction.table.per_page)
    for read in range(1, _READS + 1):
        found, named = _walk(extraction, size)
        alone = _count(extraction)
        counted = max(counted, named, alone)
        if found >= counted:
            break
        log.info("%s: %d rows of %d were found in read %d", name, found, counted, read)
        counted = min(counted, max(alone, _count(extraction)))
    if found >= counted:
        extraction.completeness.found(found)
    else:
        extraction.completeness.short(name, counted, found, _READS)


def _walk(extraction: Extraction, size: _Size) -> tuple[int, int]:
    """One pass over all pages; gives what they account for, and the largest count that a page has named.

    That is distinct rows and null elements, which are counted and are no rows, as long as these are not the more.
    """
    first = _first(extraction, size)
    extraction.expect(first.counted)
    if first.total_pages is not None and "starting_after" not in first.following:
        return _at_once(extraction, size, first)
    return _one_by_one(extraction, size, first)


def _first(extraction: Extraction, size: _Size) -> _Delivered:
    try:
        return _deliver(extraction, size, {"page": 1}, 1)
    except RequestRejectedError as error:
        if error.status != 400 or size.rows <= SMALLER_PER_PAGE:
            raise
        size.rows = SMALLER_PER_PAGE
        return _deliver(extraction, size, {"page": 1}, 1)


def _at_once(extraction: Extraction, size: _Size, first: _Delivered) -> tuple[int, int]:
    """As many pages as the first one says, until many in a row bring nothing new."""
    keys, counted, nulls = set(first.keys), first.counted, first.nulls
    numbers = range(2, (first.total_pages or 0) + 1)
    for start in range(0, len(numbers), PAGES_AT_ONCE):
        some = numbers[start : start + PAGES_AT_ONCE]
        pages = extraction.in_parallel(
            [partial(_deliver, extraction, size, {"page": number}, number) for number in some]
        )
        before = len(keys)
        keys.update(*(page.keys for page in pages))
        counted = max(counted, *(page.counted for page in pages))
        nulls += sum(page.nulls for page in pages)
        if len(keys) == before:
            break
    return len(keys) + (nulls if nulls <= len(keys) else 0), counted


def _one_by_one(extraction: Extraction, size: _Size, first: _Delivered) -> tuple[int, int]:
    """Pages until one names no next, or a place that was read; two empty ones in a row are the end, too.

    Raises RetriableApiError when pages keep repeating rows.
    """
    seen, page, empty, places = DistinctKeys(extraction.table.name), first, 0, {place_of({"page": 1})}
    nulls = 0
    while True:
        seen.expect(page.counted or None)
        seen.note(page.keys, page.number, page.request_id)
        nulls += page.nulls
        empty = 0 if page.keys else empty + 1
        number = page.number + 1
        params: dict[str, str | int] = page.following if "starting_after" in page.following else {"page": number}
        over = not page.following or page.number == first.total_pages or empty == 2
        if over or place_of(params) in places:
            return seen.found + (nulls if nulls <= seen.found else 0), seen.counted or 0
        places.add(place_of(params))
        page = _deliver(extraction, size, params, number)


def _deliver(extraction: Extraction, size: _Size, params: dict[str, str | int], number: int) -> _Delivered:
    table = extraction.table
    query = {**table.requests[0], "per_page": size.rows, **params}
    answer = extraction.api.get(table.path, query, expect=table.records_at)
    page = page_of(answer, table, number)
    extraction.deliver(page)
    total = pages_of(answer).get("total_pages")
    return _Delivered(
        number,
        answer.request_id,
        frozenset(keys_of(page)),
        page.nulls,
        json_integer(answer.fields.get("total_count")) or 0,
        total if isinstance(total, int) else None,
        next_params(answer),
    )


def _count(extraction: Extraction) -> int:
    """Rows that the list has, asked for by itself; where it does not say, at least those of the answer."""
    table = extraction.table
    answer = extraction.api.get(table.path, {**table.requests[0], "page": 1, "per_page": 1}, expect=table.records_at)
    counted = json_integer(answer.fields.get("total_count"))
    return len(keys_of(page_of(answer, table, 1))) if counted is None else counted
