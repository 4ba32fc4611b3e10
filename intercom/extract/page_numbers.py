"""Reads lists by page number: the first page says how many there are, the rest is read in parallel.

Most of these lists do not document their paging. A list may ignore the number of the page, and serve the same rows for
ever; it may refuse a size, or say nothing of other pages. So a page with the rows of the one before it is the end.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all articles" and its neighbours.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from intercom.api.response import Answer
from intercom.errors import RequestRejectedError
from intercom.extract.distinct_keys import DistinctKeys, row_keys
from intercom.extract.extraction import Extraction
from intercom.extract.page_size import PageSize, first_answer, first_params, names_more, page_params
from intercom.extract.pages import Params, json_integer, next_params, page_of, pages_of, place_of

log = logging.getLogger(__name__)

PAGES_AT_ONCE = 64
"""Pages requested before checking that they brought new rows: the server's number of pages may be wrong."""
_READS = 3


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
    open_end: bool
    """Whether there may be a next page: it is named, or nothing says that this is the last."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """All pages, read once: the elements found, which are distinct rows plus null elements, since Intercom counts both.

    Null elements are left out when they outnumber the rows. `counted` is the largest count that a page has named, 0 if
    none did. `repeated` is the number of a page with the same rows as the one before it, at which the walk has ended;
    None if there was none. `more`: a next page was named all the same.
    """

    found: int
    counted: int
    repeated: int | None = None
    more: bool = False

    @property
    def why_short(self) -> str:
        """What a shortfall may be due to, for its note."""
        return "" if self.repeated is None else f"; page {self.repeated} had the same rows as the one before it"


def read_page_numbers(extraction: Extraction) -> None:
    """Deliver every page of the list; read all pages again when rows moved between pages.

    A row that is deleted or edited during a read shifts other rows to pages that were already read. Then there are
    fewer distinct rows than counted, and all pages are read again, up to three reads in total. The count is the largest
    that a page or a separate count request has named, since a page that lacks rows may count too few. A smaller count
    is believed when two count requests after the last page both give one. `completeness` gets the final shortfall, and
    learns of a list that names more pages, but repeats one, and has no count that would tell whether rows are missing.
    """
    name, counted, walk = extraction.what, 0, _Walk(0, 0)
    size: PageSize = extraction.table.per_page
    for read in range(1, _READS + 1):
        walk, size = _walk(extraction, size)
        alone = _count(extraction, size)
        counted = max(counted, walk.counted, alone)
        if walk.found >= counted:
            break
        log.info("%s: %d rows of %d were found in read %d", name, walk.found, counted, read)
        counted = min(counted, max(alone, _count(extraction, size)))
    if walk.found < counted:
        extraction.completeness.short(name, counted, walk.found, _READS, walk.why_short)
    elif walk.more and not walk.counted:
        extraction.completeness.cut(name, walk.found, f"page {walk.repeated} had the same rows and names a next page")
    else:
        extraction.completeness.found(walk.found)


def _walk(extraction: Extraction, size: PageSize) -> tuple[_Walk, PageSize]:
    """Read all pages once. Returns what was found, and the size of pages that the server takes."""
    answer, size, _ = first_answer(extraction.api, extraction.table, size)
    first = _delivered(extraction, answer, 1)
    if first.counted:  # some lists do not count themselves: their total is unknown, and not 0
        extraction.expect(first.counted)
    if first.total_pages is not None and "starting_after" not in first.following:
        return _at_once(extraction, size, first), size
    return _one_by_one(extraction, size, first), size


def _at_once(extraction: Extraction, size: PageSize, first: _Delivered) -> _Walk:
    """Read as many pages as the first one names, in parallel batches; a batch without a new row is the end."""
    keys, counted, nulls, repeated = set(first.keys), first.counted, first.nulls, None
    numbers = range(2, (first.total_pages or 0) + 1)
    for start in range(0, len(numbers), PAGES_AT_ONCE):
        some = numbers[start : start + PAGES_AT_ONCE]
        pages = extraction.in_parallel([partial(_page, extraction, size, number, {"page": number}) for number in some])
        before = len(keys)
        keys.update(*(page.keys for page in pages))
        counted = max(counted, *(page.counted for page in pages))
        nulls += sum(page.nulls for page in pages)
        if len(keys) == before:
            repeated = next((page.number for page in pages if page.keys and page.keys == first.keys), None)
            break
    return _Walk(_with_nulls(len(keys), nulls), counted, repeated, more=repeated is not None)


def _one_by_one(extraction: Extraction, size: PageSize, first: _Delivered) -> _Walk:
    """Read page after page, each after the answer before it.

    The end is a page after which there is none, or with the rows of the one before it, or that names a page already
    read; or two empty pages in a row. Raises RetriableApiError when pages keep repeating rows in another way.
    """
    seen, places = DistinctKeys(extraction.what), {place_of({"page": 1})}
    page, before, empty, nulls = first, frozenset[bytes](), 0, 0
    while True:
        seen.expect(page.counted or None)
        seen.note(page.keys, page.number, page.request_id)
        nulls += page.nulls
        empty = 0 if page.keys else empty + 1
        repeats, before = bool(page.keys) and page.keys == before, page.keys
        over = repeats or empty == 2 or page.number == first.total_pages
        place = None if over else _place_after(page, seen)
        if place is None or place_of(place) in places:
            break
        places.add(place_of(place))
        following = _page_after(extraction, size, page, place)
        if following is None:
            break
        page = following
    return _Walk(
        _with_nulls(seen.found, nulls),
        seen.counted or 0,
        repeated=page.number if repeats else None,
        more=repeats and bool(page.following),
    )


def _place_after(page: _Delivered, seen: DistinctKeys) -> Params | None:
    """Where the page after this one is; None if there is none."""
    if "starting_after" in page.following:
        return page.following
    all_counted = seen.counted is not None and seen.found >= seen.counted
    there_may_be = page.following or (page.open_end and not all_counted)
    return {"page": page.number + 1} if there_may_be else None


def _page_after(extraction: Extraction, size: PageSize, page: _Delivered, place: Params) -> _Delivered | None:
    """The page at `place`; None where the list refuses page numbers, and has not named this page."""
    try:
        return _page(extraction, size, page.number + 1, place)
    except RequestRejectedError as error:
        if error.status != 400 or page.following:
            raise
        return None


def _page(extraction: Extraction, size: PageSize, number: int, place: Params) -> _Delivered:
    table = extraction.table
    answer = extraction.api.get(table.path, page_params(table, place, size), expect=table.records_at)
    return _delivered(extraction, answer, number)


def _delivered(extraction: Extraction, answer: Answer, number: int) -> _Delivered:
    page = page_of(answer, extraction.table, number)
    extraction.deliver(page)
    total, keys = pages_of(answer).get("total_pages"), frozenset(row_keys(page))
    return _Delivered(
        number,
        answer.request_id,
        keys,
        page.nulls,
        json_integer(answer.fields.get("total_count")) or 0,
        total if isinstance(total, int) else None,
        next_params(answer),
        names_more(answer, len(keys)),
    )


def _count(extraction: Extraction, size: PageSize) -> int:
    """Rows of the whole list, by a separate request for one row; without a ``total_count``, the rows of the answer."""
    table = extraction.table
    params = first_params(table, None if size is None else 1)
    answer = extraction.api.get(table.path, params, expect=table.records_at)
    counted = json_integer(answer.fields.get("total_count"))
    return len(row_keys(page_of(answer, table, 1))) if counted is None else counted


def _with_nulls(rows: int, nulls: int) -> int:
    return rows + (nulls if nulls <= rows else 0)
