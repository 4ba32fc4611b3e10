"""Reads a table of the API as pages of records, in the way that its entry names."""

from __future__ import annotations

from dataclasses import replace

from intercom.extract.extraction import Extraction
from intercom.extract.lists import read_list
from intercom.extract.page_numbers import read_page_numbers
from intercom.extract.pages import Page
from intercom.extract.scroll import read_scroll
from intercom.extract.search import read_search
from intercom.extract.windows import Window
from intercom.tables.table import Access, Table


def read_table(reading: Extraction, window: Window) -> None:
    """Deliver every row of the table whose cursor field lies in the window, and no other row; some may come twice.

    `reading.completeness` learns of everything that is short of what Intercom itself counts. Tables without a cursor
    field are read whole.

    Raises ApiError, SchemaError, or whatever `reading.deliver` raises; no page is delivered after that.
    """
    deliver = reading.deliver

    def inside(page: Page) -> None:
        deliver(_inside(page, reading.table, window))

    reading = replace(reading, deliver=inside)
    match reading.table.access:
        case Access.SEARCH:
            read_search(reading, window)
        case Access.PAGES:
            read_page_numbers(reading)
        case Access.SCROLL:
            read_scroll(reading)
        case Access.LIST:
            read_list(reading)


def _inside(page: Page, table: Table, window: Window) -> Page:
    if table.cursor_field is None or window == Window():
        return page
    values = page.seconds(table.cursor_field)
    kept = [record for record, value in zip(page.records, values, strict=True) if window.holds(value)]
    return replace(page, records=kept, outside=len(page.records) - len(kept))
