"""Calendar days in a time zone, as half-open spans of unix seconds; date filters of contact search compare them.

A day is found by its local date and not by adding 86,400 seconds, because it has 23 or 25 hours when clocks change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def local_date(second: int, zone: str) -> date:
    """The date on a wall calendar in the zone at this second; OverflowError or ValueError beyond the year 9999."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).astimezone(ZoneInfo(zone)).date()


def day_start(day: date, zone: str) -> int:
    """The first second of this date in the zone.

    If clocks skip midnight, Python uses the offset before the change, which gives the second of the change. If midnight
    occurs twice, the first one counts.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


def day_span(second: int, zone: str, index_zone: str) -> tuple[int, int]:
    """First second of the value's day, and of the day after it.

    The value's date is taken in ``zone``; the start of that date is taken in ``index_zone``, the zone of the stored
    times. The zones differ in workspaces whose searches miss contacts around midnight.
    """
    day = local_date(second, zone)
    return day_start(day, index_zone), day_start(day + timedelta(days=1), index_zone)
