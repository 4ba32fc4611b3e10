"""Reads a search: page after page if it has few rows, as slices in parallel if it has many.

A separate request counts the rows, and the first page of the search counts them again. The server's latency limits how
fast consecutive pages are read; slices are limited by the rate limit alone.
"""

from __future__ import annotations

from intercom.extract.cursor_pages import CursorSearch, FirstPage, range_query, read_cursor_pages
from intercom.extract.extraction import Extraction
from intercom.extract.newest_first import read_newest_first
from intercom.extract.read_slices import read_in_slices, read_planned
from intercom.extract.whole_search import CREATED, begin_search, window_bounds
from intercom.extract.windows import Window


def read_search(extraction: Extraction, window: Window) -> None:
    """Deliver every row of the window, and perhaps others, which the receiver drops.

    An open window is sorted by ``created_at``, which hardly ever changes, so rows that are updated during the read keep
    their place. Where the API refuses that, ``updated_at`` is used, and updated rows come again at the end.
    """
    plan = extraction.resumable.plan()
    if plan is not None:
        order = plan.sort_field
        read_planned(extraction, plan)
    else:
        begun = begin_search(extraction, window)
        order = begun.search.field
        if not _is_read_in_one(extraction, begun.search, begun.first, window):
            plan = read_in_slices(extraction, begun, window)
    if extraction.exact and (order != CREATED or (plan is not None and plan.field != CREATED)):
        _read_moved(extraction)


def _is_read_in_one(extraction: Extraction, search: CursorSearch, first: FirstPage, window: Window) -> bool:
    """Read the search page after page; False when it is too long for that and has to be read in slices."""
    if search.order == "descending" and window.start is not None:
        return read_newest_first(extraction, search, first, window.start)
    if extraction.limits.is_long(search.counted):
        return False
    extraction.expect(search.counted)
    read_cursor_pages(extraction, search, first)
    return True


def _read_moved(extraction: Extraction) -> None:
    """Read rows that changed since the run began: a read by a time that changes may have missed them."""
    window = Window(extraction.run_start)
    query = range_query(str(extraction.table.cursor_field), window_bounds(extraction, window))
    what = f"{extraction.what}, changed while it was read"
    read_cursor_pages(extraction, CursorSearch(what, query, str(extraction.table.cursor_field), "ascending"))
