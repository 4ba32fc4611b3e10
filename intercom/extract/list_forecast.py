"""Foretells what reading a table without a search takes: a list, a list by page number, or a scroll.

lists             they are read, which is all there is to them
page numbers      the first page names the count and the number of pages
a scroll          the list's count is a bound from below; the scroll itself is never touched
"""

from __future__ import annotations

from dataclasses import replace

from intercom.errors import FatalApiError, PermissionDeniedError
from intercom.extract.extraction import Extraction
from intercom.extract.page_size import first_answer, names_more
from intercom.extract.pages import Page, json_integer, next_params, page_of, pages_of
from intercom.extract.read_forecast import Range, ReadForecast, ceiling, held, received
from intercom.extract.windows import Window

_SAMPLE_COMPANIES = 20
_SCROLL_PAGE = 100
"""Companies of a page of the scroll: seen, not specified, and not settable."""
_BESIDE_THE_SCROLL = 3
"""The list's count before it, the empty page at its end, and the request that confirms the end."""


def forecast_list(extraction: Extraction) -> ReadForecast:
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
        *(found, requests, received(found, sample), requests, seconds / len(pages), sample),
        why="an answer names a next page" if more else "",
    )


def forecast_pages(extraction: Extraction, window: Window) -> ReadForecast:
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
    inside = held(page, str(table.cursor_field), window)
    whole = window == Window() or there >= (records.most or there + 1)
    rows = Range.exactly(inside) if whole and records.most == there else records
    if window != Window() and rows is records:
        rows = Range(inside, records.most)
    why = "" if rows.exact and pages.exact else "the list has no filter by time, or no count"
    requests = pages.map(lambda n: n + 1 + refused)
    return ReadForecast(rows, requests, received(records, page), pages, answer.seconds, page, why=why)


def forecast_scroll(extraction: Extraction, window: Window, in_lake: int) -> ReadForecast:
    """Companies: the list counts those that have users, and the scroll reads all."""
    table = extraction.table
    try:
        answer = extraction.api.get(table.list_path, {"per_page": _SAMPLE_COMPANIES}, expect=table.records_at)
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
    why = "the list leaves out companies without users, and nothing counts these"
    return ReadForecast(rows, requests, received(records, page), requests, answer.seconds, page, why=why)


def _scroll_requests(records: Range) -> Range:
    return records.map(lambda rows: ceiling(rows, _SCROLL_PAGE) + _BESIDE_THE_SCROLL)
