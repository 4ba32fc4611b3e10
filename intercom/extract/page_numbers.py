"""Reads lists by page number (articles): the first page says how many there are, the rest is read in parallel.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all articles".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from intercom.errors import RequestRejectedError
from intercom.extract.distinct_keys import DistinctKeys, row_keys
from intercom.extract.extraction import Extraction
from intercom.extract.pages import json_integer, next_params, page_of, pages_of, place_of

log = logging.getLogger(__name__)

SMALLER_PER_PAGE = 50
"""Rows per page to ask for when the server refuses more with status 400."""
PAGES_AT_ONCE = 64
"""Pages requested before checking that they brought new rows: the server's number of pages may be wrong."""
_READS = 3


@dataclass(slots=True)
class _Size:
    """Rows per page that the server accepts."""

    rows: int


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What is kept of a delivered page. Its rows are not kept: articles are long and would fill the memory."""

    number: int
    request_id: str | None
    keys: frozenset[bytes]
    nulls: int
    counted: int
    """Rows of the whole list according to this page; 0 when the page does not say."""
    total_pages: int | None
    following: dict[str, str | int]


def read_page_numbers(extraction: Extraction) -> None:
    """Deliver every page of the list; read all pages again when rows moved between pages.

    A row that is deleted or edited during a read shifts other rows to pages that were already read. Then there are
    fewer distinct rows than counted, and all pages are read again, up to three reads in total. The count is the largest
    that a page or a separate count request has named, since a page that lacks rows may count too few. A smaller count
    is believed when two count requests after the last page both give one. `completeness` gets the final shortfall.
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
    """Read all pages once. Returns the number of elements found, and the largest count that a page has named.

    Elements found are distinct rows plus null elements, since Intercom counts both. Null elements are left out when
    they outnumber the rows.
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
    """Read as many pages as the first one names, in parallel batches; a batch without a new row is the end."""
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
    """Read page after page. The end is a page that names no next one, or one already read; or two empty pages in a row.

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
        frozenset(row_keys(page)),
        page.nulls,
        json_integer(answer.fields.get("total_count")) or 0,
        total if isinstance(total, int) else None,
        next_params(answer),
    )


def _count(extraction: Extraction) -> int:
    """Rows of the whole list, by a separate request for one row; without a ``total_count``, the rows of the answer."""
    table = extraction.table
    answer = extraction.api.get(table.path, {**table.requests[0], "page": 1, "per_page": 1}, expect=table.records_at)
    counted = json_integer(answer.fields.get("total_count"))
    return len(row_keys(page_of(answer, table, 1))) if counted is None else counted
