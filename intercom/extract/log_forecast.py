"""Foretells what reading a log takes, cut in the run's own way over entries that are thought to be spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intercom.errors import RequestRejectedError
from intercom.extract.even_spread import EvenSpread
from intercom.extract.extraction import Extraction
from intercom.extract.log_pages import ask_log
from intercom.extract.read_forecast import Range, ReadForecast, held, received
from intercom.extract.search_slices import SliceCount
from intercom.extract.time_log import BegunLog, log_bounds, log_splitter
from intercom.extract.windows import Slice, Window


def forecast_log(extraction: Extraction, window: Window) -> ReadForecast:
    """A log: the first page counts the pages, and the last one has the rest."""
    table, bounds = extraction.table, log_bounds(window, extraction.run_start)
    try:
        first = ask_log(extraction.api, table, bounds)
    except RequestRejectedError as refused:
        if refused.status != 400:
            raise
        unknown, requests = Range(0, None), Range(1, None)
        why = "times so long ago are refused, and the run looks for the earliest that is not"
        return ReadForecast(unknown, requests, unknown, requests, 0.0, None, why=why)
    sample = first.page if first.page.records else None
    begun = BegunLog(bounds, first)
    if first.total_pages is None:
        more = bool(first.following) or first.elements >= first.per_page
        rows = Range(first.elements, None if more else first.elements)
        requests = Range(2, None if more else 2)
        why = "the log does not count its pages" if more else ""
        return ReadForecast(rows, requests, received(rows, sample), requests, first.seconds, sample, why=why)
    found = first.elements
    if first.total_pages > 1:
        last = ask_log(extraction.api, table, bounds, {**first.following, "page": first.total_pages})
        found = (first.total_pages - 1) * first.per_page + last.elements
    records = Range.exactly(found)
    rows = Range.exactly(held(first.page, str(table.cursor_field), window)) if first.total_pages == 1 else records
    asked, chain = _log_requests(extraction, begun, found)
    requests, why = Range.exactly(asked), ""
    if begun.is_long(extraction):
        requests = Range(round(0.9 * asked), round(1.2 * asked))
        why = "how many slices a log needs depends on how its entries are spread"
    return ReadForecast(rows, requests, received(records, sample), Range.exactly(chain), first.seconds, sample, why=why)


def _log_requests(extraction: Extraction, begun: BegunLog, rows: int) -> tuple[int, int]:
    """Requests for a log of so many rows that has counted its pages, and those of them one after the other."""
    per_page = begun.first.per_page
    if not begun.is_long(extraction):
        asked = _requests(rows, per_page)
        return asked, asked
    counts = _Pages(EvenSpread(rows, 0, 1, 0), per_page)
    splitter = log_splitter(extraction, begun, counts)
    counts.spread = EvenSpread(rows, splitter.lowest, splitter.highest + 1, 0)
    parts = [part.slice for settled in splitter.split(begun.first.most_rows or 0) for part in settled]
    pages = [_requests(counts.spread.count(part), per_page) for part in parts]
    # Beside the slices: the first page of the whole log, before them and after them.
    return 1 + counts.spread.asked + sum(pages) + 1, 3 + max(pages)


def _requests(rows: int, per_page: int) -> int:
    """Requests for a range: its pages, and the first and the last one once more."""
    pages = max(1, -(-rows // per_page))
    return pages + min(pages, 2)


@dataclass(slots=True)
class _Pages:
    """Counts in whole pages, as a log gives them."""

    spread: EvenSpread
    per_page: int

    def counts(self, slices: Sequence[Slice]) -> list[SliceCount | None]:
        counted = self.spread.counts(slices)
        return [count and SliceCount(-(-count.rows // self.per_page) * self.per_page) for count in counted]

    def last(self, part: Slice) -> int | None:
        del part
        return None
