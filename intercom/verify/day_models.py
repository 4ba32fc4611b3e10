"""Which stored times a search for a range returns: whether it compares days or seconds, and days of which zone. Pure.

What Intercom documents leaves several readings. A verification asks for ranges whose rows the lake counts under each
reading, and goes by the one that explains the answers best. A wrong one costs requests only: windows that seem to
differ are read row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from math import inf
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from intercom.extract.windows import Bounds

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MANY: Final = 3


class Reading(Protocol):
    """How a search understands ``>`` and ``<``."""

    def span(self, bounds: Bounds) -> tuple[float, float]:
        """The stored times, ``[start, end)`` in unix seconds, that a search with these bounds returns."""


@dataclass(frozen=True, slots=True)
class BySecond:
    """A search that compares seconds; `inclusive`: ``>`` and ``<`` include their value."""

    inclusive: bool = False

    def span(self, bounds: Bounds) -> tuple[float, float]:
        """The seconds between the bounds."""
        low = -inf if bounds.above is None else bounds.above + (not self.inclusive)
        return low, inf if bounds.below is None else bounds.below + self.inclusive


@dataclass(frozen=True, slots=True)
class ByDay:
    """A search that compares dates: the filter's value in one zone, the stored time in the same or another one."""

    of_value: tzinfo
    of_index: tzinfo

    def span(self, bounds: Bounds) -> tuple[float, float]:
        """The days after the day of ``>`` and before that of ``<``."""
        low = -inf if bounds.above is None else day_start(_day(bounds.above, self.of_value) + 1, self.of_index)
        return low, inf if bounds.below is None else day_start(_day(bounds.below, self.of_value), self.of_index)


def _day(second: int, zone: tzinfo) -> int:
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone).toordinal()


@lru_cache(maxsize=4_096)
def day_start(ordinal: int, zone: tzinfo) -> int:
    """The first second of a day, given as in `date.toordinal`.

    Where clocks skip midnight, Python takes the offset before the change, which gives the second of the change.
    """
    day = date.fromordinal(ordinal)
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def readings(zone_name: str | None, *, by_day: bool) -> tuple[Reading, ...]:
    """The readings that are tried, the likeliest first. `zone_name` is the workspace's zone, None if it is unknown."""
    if not by_day:
        return BySecond(), BySecond(inclusive=True)
    zone = zone_of(zone_name)
    if zone is None:
        return (ByDay(UTC, UTC), BySecond())
    pairs = dict.fromkeys(((zone, zone), (UTC, UTC), (zone, UTC), (UTC, zone)))
    return (*(ByDay(*pair) for pair in pairs), BySecond())


def zone_of(name: str | None) -> tzinfo | None:
    """The zone of this name; None for a name that nobody knows here, or without a zone database."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):
        return None


def likeliest(tried: Sequence[Reading], differing: Sequence[int]) -> Reading:
    """The first reading, unless several windows differ under it and at most half as many under another one.

    `differing`: for each reading, the windows whose counts differ. A single one tells nothing of readings.
    """
    place = min(range(len(tried)), key=lambda place: (differing[place], place))
    is_better = differing[0] >= _MANY and 2 * differing[place] <= differing[0]
    return tried[place if is_better else 0]
