"""Compares how many records a search counts with how many the lake has, window by window of one of their times.

By the time of creation, which hardly ever changes, counts stay right while the workspace is changed: a window that
differs has records that are missing or too many. By the time of the last change, a window of which Intercom counts more
has records that are missing or stale; fewer are no sign, since records leave a window when they change again.

The range is cut into some windows first, since a record that is missing and one that is too many would hide each other.
A window that differs is cut until it is small, or until the requests for it are spent; others read its records then.
What equal counts cannot show: as many records missing as too many in one window, and a record that is stale, but inside
the same window as its present version. A sample may have those.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from intercom.extract.cursor_pages import CursorSearch, first_row, range_query
from intercom.extract.extraction import Extraction
from intercom.extract.whole_search import CREATED
from intercom.extract.windows import DAY_SECONDS, DAYS, SECONDS, Bounds, Grid, Slice
from intercom.verify.day_models import Reading, likeliest
from intercom.verify.findings import Window
from intercom.verify.lake_index import LakeIndex

MOST_WINDOWS: Final = 8
"""Windows of about equally many rows that are counted in any case."""
ROWS_OF_A_WINDOW: Final = 1_500
"""Rows for which another of these windows is worth its request."""
RECENT_DAYS: Final = 8
"""By the time of the last change, each of the last days is a window of its own."""
SMALL: Final = 150
"""Rows of a window that is not cut any further, but read: a page of them."""
_PIECES: Final = 4
_FOUNDED: Final = 1_293_840_000  # 2011-01-01, before the first workspace


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """A window and what was counted of it: by Intercom (`counted`) and in the lake (`stored`).

    `part` has its cells, of `unit` seconds. `first` is the time of its first record, None if that was not told. The
    lake's rows are those with times in `span` that have changed at `changed_from` or later.
    """

    field: str
    part: Slice
    unit: int
    bounds: Bounds
    query: dict[str, Any]
    counted: int
    stored: int
    first: int | None
    span: tuple[float, float]
    changed_from: int | None = None

    @property
    def window(self) -> Window:
        """The window in seconds."""
        start, end = (None if cell is None else cell * self.unit for cell in (self.part.start, self.part.end))
        return Window(
            self.field, self.bounds.above if start is None else start, self.bounds.below if end is None else end
        )


@dataclass(slots=True)
class WindowCounts:
    """Counts windows of one search by the time `field`, in the lake by the times of the index's `column`.

    `whole` are the bounds of the range. `changed_above` is a bound of the time of the last change beside it: where the
    table's history begins, None from the beginning. `keeping` of the allowed requests are left for others.
    """

    extraction: Extraction
    index: LakeIndex
    readings: Sequence[Reading]
    field: str
    column: str
    whole: Bounds
    left: Callable[[], int]
    keeping: int = 0
    changed_above: int | None = None
    windows: int = 0
    """Windows whose counts were compared."""

    @property
    def grid(self) -> Grid:
        """The grid on which windows are cut."""
        return DAYS if self.extraction.by_day else SECONDS

    def differing(self) -> list[CountedWindow]:
        """The smallest windows found whose counts differ, in order of time."""
        parts = self._first_parts()
        reading, counted = self._count(parts if self._may(len(parts)) else [Slice()], None)
        open_ones = [one for one in counted if self._differs(one)]
        done: list[CountedWindow] = []
        while open_ones:
            asked: list[Slice] = []
            for one in sorted(open_ones, key=lambda one: abs(one.counted - one.stored), reverse=True):
                pieces = self._pieces(one)
                if len(pieces) > 1 and self._may(len(asked) + len(pieces)):
                    asked += pieces
                else:
                    done.append(one)
            if not asked:
                break
            _, counted = self._count(asked, reading)
            open_ones = [one for one in counted if self._differs(one)]
        return sorted(done, key=lambda one: one.window.start or 0)

    def _may(self, wanted: int) -> bool:
        return wanted <= self.left() - self.keeping

    def _differs(self, one: CountedWindow) -> bool:
        return one.counted != one.stored if self.field == CREATED else one.counted > one.stored

    def _first_parts(self) -> list[Slice]:
        """Windows of about equally many rows, and days; together the whole."""
        times = self._times(self.readings[0].span(self.whole))
        number = min(MOST_WINDOWS, len(times) // ROWS_OF_A_WINDOW)
        cells = {self.grid.cell(times[len(times) * place // number]) for place in range(1, number)}
        if self.field != CREATED and self.whole.below is not None and times:
            days = [self.whole.below - day * DAY_SECONDS for day in range(1, RECENT_DAYS)]
            cells |= {self.grid.cell(second) for second in days if second > times[0]}
        edges = [None, *sorted(cells), None]
        return [Slice(edges[place], edges[place + 1]) for place in range(len(edges) - 1)]

    def _pieces(self, one: CountedWindow) -> list[Slice]:
        """A window that differs, cut into smaller ones; itself where it is small, or cannot be cut."""
        if max(one.counted, one.stored) <= SMALL:
            return [one.part]
        low, high = self.readings[0].span(one.bounds)
        seen = [*self._times((low, high))[:1], *([] if one.first is None else [one.first])]
        highest = int(high) if high < float("inf") else self.extraction.run_start
        lowest = min(seen, default=_FOUNDED)
        return self.grid.cut(one.part, min(lowest, highest), highest, _PIECES)

    def _times(self, span: tuple[float, float]) -> list[int]:
        times = self.index.times(self.column)
        return times[bisect_left(times, span[0]) : bisect_left(times, span[1])]

    def _count(self, parts: Sequence[Slice], known: Reading | None) -> tuple[Reading, list[CountedWindow]]:
        """The windows, counted by Intercom, and in the lake as the likeliest reading has it."""
        bounds = [self.grid.bounds(part, self.whole) for part in parts]
        answers = self.extraction.in_parallel([partial(self._ask, one) for one in bounds])
        self.windows += len(parts)
        tried = self.readings if known is None else (known,)
        stored = [[self._stored(one, reading) for one in bounds] for reading in tried]
        differing = [sum(have != count for have, (count, _) in zip(own, answers, strict=True)) for own in stored]
        reading = likeliest(tried, differing)
        own = stored[tried.index(reading)]
        return reading, [
            CountedWindow(
                *(self.field, part, self.grid.unit, bound, self._query(bound), count, have, first),
                span=reading.span(bound),
                changed_from=self._changed_from(reading),
            )
            for part, bound, have, (count, first) in zip(parts, bounds, own, answers, strict=True)
        ]

    def _query(self, bounds: Bounds) -> dict[str, Any]:
        query = range_query(self.field, bounds)
        if self.changed_above is None:
            return query
        parts = query["value"] if query.get("operator") == "AND" else [query]
        changed = {"field": str(self.extraction.table.cursor_field), "operator": ">", "value": self.changed_above}
        return {"operator": "AND", "value": [*parts, changed]}

    def _stored(self, bounds: Bounds, reading: Reading) -> int:
        return self.index.count(self.column, reading.span(bounds), self._changed_from(reading))

    def _changed_from(self, reading: Reading) -> int | None:
        return None if self.changed_above is None else int(reading.span(Bounds(self.changed_above, None))[0])

    def _ask(self, bounds: Bounds) -> tuple[int, int | None]:
        table = self.extraction.table
        found = first_row(
            self.extraction.api, table, CursorSearch(table.name, self._query(bounds), self.field, "ascending")
        )
        return found.counted, next((value for value in found.page.seconds(self.field) if value is not None), None)
