"""Reads a table of the API as pages of records, in the way that its entry names."""

from __future__ import annotations

from dataclasses import replace

from intercom.extract.children import read_children
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.lists import read_list
from intercom.extract.page_numbers import read_page_numbers
from intercom.extract.pages import Page, greatest
from intercom.extract.scroll import read_scroll
from intercom.extract.search import read_search
from intercom.extract.time_log import read_time_log
from intercom.extract.windows import Window
from intercom.tables.table import Access, Table


def read_table(extraction: Extraction, window: Window) -> None:
    """Deliver every row of the table whose cursor field lies in the window, and no other row; some may come twice.

    `extraction.completeness` learns of everything that is short of what Intercom itself counts. Tables without a cursor
    field are read whole.

    Raises ApiError, SchemaError, or whatever `extraction.receive` raises; no page is delivered after that.
    """
    if extraction.table.is_child:
        read_children(extraction, lambda parents: read_table(parents, window))
        return
    receive = extraction.receive

    def inside(item: Page | SliceEnd) -> None:
        receive(_inside(item, extraction.table, window) if isinstance(item, Page) else item)

    extraction = replace(extraction, receive=inside)
    match extraction.table.access:
        case Access.SEARCH:
            read_search(extraction, window)
        case Access.PAGES:
            read_page_numbers(extraction)
        case Access.SCROLL:
            read_scroll(extraction)
        case Access.LIST:
            read_list(extraction)
        case Access.TIME_LOG:
            read_time_log(extraction, window)


def _inside(page: Page, table: Table, window: Window) -> Page:
    if table.cursor_field is None or window == Window():
        return page
    values = page.seconds(table.cursor_field)
    kept = [record for record, value in zip(page.records, values, strict=True) if window.holds(value)]
    beyond = [record for record, value in zip(page.records, values, strict=True) if not window.holds(value)]
    newest = greatest(value for value in values if window.holds(value))
    return replace(page, records=kept, outside=len(beyond), beyond=tuple(beyond), newest=newest)
