"""Ranges of a timestamp column, and the bounds that make a search return all of their rows.

A window is a half-open range ``[start, end)`` of unix seconds; None is an open end. The bounds are those of the
only comparisons that every Intercom search understands, ``>`` and ``<``. What a search returns beyond the window is
dropped by the reader (`Window.holds`), so a bound may let in too much but never too little.

A slice is a part of one search that is read on its own. Its edges lie on a grid of days or seconds. Neighbouring slices
share an edge: rows that the left one's ``<`` excludes match the right one's ``>``, in any time zone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DAY_SECONDS = 86_400
_HOUR_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Window:
    """``[start, end)`` in unix seconds, UTC; None means open."""

    start: int | None = None
    end: int | None = None

    def holds(self, second: int | None) -> bool:
        """Whether a row with this cursor value belongs here; a row without one always does, so it is never lost."""
        if second is None:
            return True
        return (self.start is None or second >= self.start) and (self.end is None or second < self.end)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Values for the search operators ``>`` and ``<``; None means that the operator is not sent."""

    above: int | None
    below: int | None


def second_bounds(window: Window) -> Bounds:
    """Bounds for a search that compares seconds (conversations).

    The specification's table calls ``>`` "greater or equal" in one place and "greater" in another: one second
    earlier is right under both readings, and so is the exclusive end itself.
    """
    return Bounds(above=max(0, _or_zero(window.start) - 1), below=window.end)


def day_bounds(window: Window) -> Bounds:
    """Bounds for a search that compares calendar days (contacts).

    Intercom truncates both the filter's value and the indexed time to a day, perhaps in different time zones, and ``>``
    starts with the day *after* the value's. The lower bound goes back one day for that, and a second day for zones up
    to 14 hours off UTC on either side (one side being UTC, or both the same zone) and for days of 25 hours.
    """
    below = None if window.end is None else window.end + 2 * DAY_SECONDS
    return Bounds(above=max(0, _or_zero(window.start) - 2 * DAY_SECONDS), below=below)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a search: the cells ``[start, end)`` of a grid, None where the search itself ends.

    `narrowed` is one more filter, ``(field, operator, value)``, where cells are not enough to cut by.
    """

    start: int | None = None
    end: int | None = None
    narrowed: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of `unit` seconds: days for a search that compares days, else single seconds."""

    unit: int

    def cell(self, second: int) -> int:
        """The cell of a second, in UTC."""
        return second // self.unit

    def bounds(self, part: Slice, whole: Bounds) -> Bounds:
        """What to send for a slice of the search that `whole` bounds."""
        return Bounds(
            above=whole.above if part.start is None else self._above(part.start),
            below=whole.below if part.end is None else self._below(part.end),
        )

    def cut(self, part: Slice, lowest: int, highest: int, parts: int) -> list[Slice]:
        """The slice cut into up to `parts` pieces of about equally many cells; a slice of one cell is not cut.

        Cuts lie between the unix seconds `lowest` and `highest`, where rows are expected. Rows outside of them are not
        lost, since the outer pieces reach as far as the slice does.
        """
        first, last = self.cell(lowest), self.cell(highest) + 1
        first = first if part.start is None else max(first, part.start)
        last = last if part.end is None else min(last, part.end)
        parts = max(1, min(parts, last - first))
        cuts = [first + (last - first) * number // parts for number in range(1, parts)]
        edges = [part.start, *cuts, part.end]
        return [replace(part, start=edges[place], end=edges[place + 1]) for place in range(parts)]

    # Days are cut at noon UTC. A search that compares days truncates this bound to a day D in its own time zone, and
    # ``<`` ends before D. The bound for ``>`` lies 25 hours earlier. That is the day before D by any clock, even one
    # that is set back by an hour in between, so ``>`` begins with D or, in a few zones, with the day before. A row may
    # come twice, but is never missed. If the search compares seconds, neighbours overlap by those 25 hours.

    def _above(self, cell: int) -> int:
        return cell - 1 if self.unit == 1 else self._noon(cell) - DAY_SECONDS - _HOUR_SECONDS

    def _below(self, cell: int) -> int:
        return cell if self.unit == 1 else self._noon(cell)

    def _noon(self, cell: int) -> int:
        return cell * self.unit + self.unit // 2


DAYS = Grid(DAY_SECONDS)
SECONDS = Grid(1)


def _or_zero(second: int | None) -> int:
    return 0 if second is None else second
