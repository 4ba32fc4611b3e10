"""Foretells the requests of reading a log, cut in the run's own way over entries that are spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intercom.extract.even_spread import EvenSpread
from intercom.extract.extraction import Extraction
from intercom.extract.search_slices import SliceCount
from intercom.extract.time_log import BegunLog, log_splitter
from intercom.extract.windows import Slice


def log_requests(extraction: Extraction, begun: BegunLog, rows: int) -> tuple[int, int]:
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
