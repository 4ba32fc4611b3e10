"""One run: what was asked of it, and the days it is asked for as seconds of the cursor field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from intercom.config.lookback import USUAL_LOOKBACK, Lookback
from intercom.errors import ConfigurationError
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits

ALL: Final = "all"
"""The start date that is before every row. None is no start date: the table's record says where its history begins."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of a run before it has begun; the fields are those of `Run`."""

    full_refresh: bool = False
    history_from: int | Literal["all"] | None = None
    until: int | None = None
    allow_mass_removal: bool = False
    refill_lists: bool = False
    plain_text: bool = False
    lookback: Lookback = USUAL_LOOKBACK
    reconciles: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What all tables of a run share, made once, when the run holds its tables.

    `started_at` becomes ``_ingested_at``; `run_start` is the server's time before the first page, in unix seconds. The
    server's clock may have been up to `doubt` seconds behind it; 0 if the server told the time.
    `history_from` and `until` limit the cursor field, unix seconds, ``[from, until)``; a `history_from` of None was not
    given, `ALL` is from the beginning. `workspace` is Intercom's code of the workspace, None when it could not be
    asked. `allow_mass_removal`: rows may go that are a large part of a table. `reconciles`: everything is read and
    merged, and rows that the workspace no longer has are looked for. `refill_lists`: the rest of lists that come cut is
    asked for. `plain_text`: texts are asked for without HTML. `lookback`: how far before its watermark a table is read
    again. `limits`: sizes by which its reads are cut.
    """

    run_id: str
    connection: str
    started_at: datetime
    run_start: int
    full_refresh: bool = False
    history_from: int | Literal["all"] | None = None
    until: int | None = None
    workspace: str | None = None
    allow_mass_removal: bool = False
    refill_lists: bool = False
    plain_text: bool = False
    lookback: Lookback = USUAL_LOOKBACK
    reconciles: bool = False
    doubt: int = 0
    limits: ReadLimits = DEFAULT_LIMITS


def asked_range(
    start_date: date | Literal["all"] | None, end_date: date | None, *, full_refresh: bool
) -> tuple[int | Literal["all"] | None, int | None]:
    """Days in UTC, both included, as unix seconds ``[from, until)``; a start of `ALL` stays, None was not given.

    Raises ConfigurationError for days that contradict each other, or a full refresh that would lose rows.
    """
    if isinstance(start_date, date) and end_date and end_date < start_date:
        raise ConfigurationError(f"The end date {end_date} lies before the start date {start_date}.")
    if full_refresh and end_date:
        raise ConfigurationError(
            "A full refresh with an end date would remove every newer row. Leave out one of the two."
        )
    begin = _midnight(start_date) if isinstance(start_date, date) else start_date
    return begin, None if end_date is None else _midnight(end_date + timedelta(days=1))


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
