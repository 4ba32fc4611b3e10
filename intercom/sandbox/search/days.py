"""Calendar days in a zone, as half-open spans of unix seconds: what the date filters of contact search compare.

A day is found by its local date, never by adding 86,400 seconds: it has 23 or 25 hours where clocks change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def local_date(second: int, zone: str) -> date:
    """The date on a wall calendar in the zone at this second; OverflowError or ValueError beyond the year 9999."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(ZoneInfo(zone)).date()


def day_start(day: date, zone: str) -> int:
    """The first second of this date in the zone.

    Where the clock skips midnight, Python reads the missing time with the offset before the change, which is the very
    second of the change; where midnight comes twice, the first one counts.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


def day_span(second: int, zone: str, index_zone: str) -> tuple[int, int]:
    """First second of the value's day, and of the day after it.

    The value is put into a day of ``zone``; where that day begins is asked in ``index_zone``, the zone of the stored
    times. They differ in workspaces whose searches miss contacts around midnight.
    """
    day = local_date(second, zone)
    return day_start(day, index_zone), day_start(day + timedelta(days=1), index_zone)
