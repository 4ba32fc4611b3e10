"""A table of the API -> pages of records, whatever way leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from intercom.client import TableClient
from intercom.pages import Completeness, Page, list_pages, numbered_pages
from intercom.scroll import scroll_pages
from intercom.search import search_pages
from intercom.tables import Access, Table
from intercom.windows import Window


def read_pages(
    api: TableClient, table: Table, window: Window, *, run_start: int, completeness: Completeness
) -> Iterator[Page]:
    """Pages with every row of the table whose cursor field lies in the window, and no other row.

    `run_start` is the server's time before the first page, in unix seconds. `completeness` learns of
    everything that is short of what Intercom itself counts. Tables without a cursor field are read whole.
    """
    for page in _pages(api, table, window, run_start, completeness):
        yield _inside(page, table, window)


def _pages(
    api: TableClient, table: Table, window: Window, run_start: int, completeness: Completeness
) -> Iterator[Page]:
    match table.access:
        case Access.SEARCH:
            return search_pages(api, table, window, run_start, completeness)
        case Access.SCROLL:
            return scroll_pages(api, table)
        case Access.PAGES:
            return numbered_pages(api, table, completeness)
        case Access.LIST:
            return list_pages(api, table)


def _inside(page: Page, table: Table, window: Window) -> Page:
    if table.cursor_field is None or window == Window():
        return page
    values = page.seconds(table.cursor_field)
    kept = [record for record, value in zip(page.records, values, strict=True) if window.holds(value)]
    return replace(page, records=kept)
