"""Counts of slices that a forecast takes in place of requests: rows are thought to be spread evenly. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from intercom.extract.search_slices import SliceCount
from intercom.extract.windows import Slice


class EvenSpread:
    """Counts of slices as if `rows` were spread evenly over the cells from `first` to `end`, `end` excluded.

    `overlap` are cells before its own that a slice brings as well. `asked` is how many were counted.
    """

    def __init__(self, rows: int, first: int, end: int, overlap: int) -> None:
        self.asked = 0
        self._rows, self._first, self._end, self._overlap = rows, first, max(first + 1, end), overlap

    def counts(self, slices: Sequence[Slice]) -> list[SliceCount | None]:
        """The counts, one request for each slice."""
        self.asked += len(slices)
        return [SliceCount(self.count(part)) for part in slices]

    def count(self, part: Slice) -> int:
        """The rows of one slice."""
        start = None if part.start is None else part.start - self._overlap
        rows = self._before(part.end, self._rows) - self._before(start, 0)
        if part.narrowed:
            field, _, value = part.narrowed
            rows = -(-rows // (2 if field == "role" else 16 ** len(value)))
        return rows

    def _before(self, cell: int | None, without: int) -> int:
        if cell is None:
            return without
        return self._rows * max(0, min(cell, self._end) - self._first) // (self._end - self._first)
