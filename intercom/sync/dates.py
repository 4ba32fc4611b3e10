"""The days that a run is asked for, as seconds of the cursor field. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from intercom.errors import ConfigurationError


def asked_range(start_date: date | None, end_date: date | None, *, full_refresh: bool) -> tuple[int | None, int | None]:
    """Days in UTC, both included, as unix seconds ``[from, until)``; None where there is no limit.

    Raises ConfigurationError for days that contradict each other, or a full refresh that would lose rows.
    """
    if start_date and end_date and end_date < start_date:
        raise ConfigurationError(f"The end date {end_date} lies before the start date {start_date}.")
    if full_refresh and end_date:
        raise ConfigurationError(
            "A full refresh with an end date would remove every newer row. Leave out one of the two."
        )
    return _midnight(start_date), None if end_date is None else _midnight(end_date + timedelta(days=1))


def _midnight(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
