"""Foretells what reading a table will take: rows, requests and bytes, from at most three requests. Stages nothing."""

from __future__ import annotations

from dataclasses import replace

from intercom.extract.child_forecast import ChildForecast
from intercom.extract.date_comparison import SearchCheck
from intercom.extract.extraction import Extraction
from intercom.extract.list_forecast import forecast_list, forecast_pages, forecast_scroll
from intercom.extract.log_forecast import forecast_log
from intercom.extract.read_forecast import LakeRows, ReadForecast
from intercom.extract.refill_forecast import with_refills
from intercom.extract.search_forecast import SearchForecast
from intercom.extract.windows import Window
from intercom.tables.table import Access


def forecast_read(
    extraction: Extraction, window: Window, known: SearchCheck | None, in_lake: LakeRows, *, refills: bool = False
) -> ReadForecast:
    """Ask for counts and a sample of a table, and foretell a read of the window. Raises ApiError.

    `known` is the last finding of how the table's search compares dates. `refills`: the rest of lists that come cut is
    asked for. A derived table is not read, and has no such forecast: ValueError.
    """
    table = extraction.table
    if table.is_child:
        of_parents = replace(extraction, table=table.listed)
        parents = forecast_read(of_parents, window, known, LakeRows(in_lake.parents))
        return ChildForecast(extraction, window, parents, in_lake).forecast()
    read = _forecast(extraction, window, known, in_lake)
    return with_refills(read, table, window, in_lake) if refills and table.refilled else read


def _forecast(extraction: Extraction, window: Window, known: SearchCheck | None, in_lake: LakeRows) -> ReadForecast:
    match extraction.table.access:
        case Access.SEARCH:
            return SearchForecast(extraction, window, known).forecast()
        case Access.PAGES:
            return forecast_pages(extraction, window)
        case Access.SCROLL:
            return forecast_scroll(extraction, window, in_lake.own)
        case Access.LIST:
            return forecast_list(extraction)
        case Access.TIME_LOG:
            return forecast_log(extraction, window)
        case _:
            raise ValueError(f"Table {extraction.table.name!r} is not read.")
