"""Ranges of a timestamp column and the bounds to send so that a search returns all of them.

A window is a half-open range ``[start, end)`` of unix seconds; None is an open end. The bounds are those of the
only comparisons that every Intercom search understands, ``>`` and ``<``. What a search returns beyond the window is
dropped by the reader (`Window.holds`), so a bound may let in too much but never too little.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_SECONDS = 86_400


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

    above: int
    below: int | None


def second_bounds(window: Window) -> Bounds:
    """Bounds for a search that compares seconds (conversations).

    The specification's table calls ``>`` "greater or equal" in one place and "greater" in another: one second
    earlier is right under both readings, and so is the exclusive end itself.
    """
    return Bounds(above=max(0, _or_zero(window.start) - 1), below=window.end)


def day_bounds(window: Window) -> Bounds:
    """Bounds for a search that compares calendar days (contacts).

    Intercom cuts both the filter's value and the indexed time to a day, not certainly in the same zone: ``>`` starts
    with the day *after* the value's. One day back makes up for that, a second day for zones up to 14 hours off UTC
    on either side (one side being UTC, or both the same zone) and for days of 25 hours.
    """
    below = None if window.end is None else window.end + 2 * DAY_SECONDS
    return Bounds(above=max(0, _or_zero(window.start) - 2 * DAY_SECONDS), below=below)


def _or_zero(second: int | None) -> int:
    return 0 if second is None else second
