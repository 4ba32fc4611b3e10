"""Progress in words, the same ones in the terminal, in Prefect and in the log."""

from __future__ import annotations

from collections.abc import Sequence

from intercom.api.rate_limit.limiter import RateUsage
from intercom.sync.board import Tracked, Wait
from intercom.sync.progress import Snapshot
from intercom.sync.time_text import duration

LOGGER = "intercom.sync.progress"
"""Name of the logger of progress lines, which say in the log what a terminal shows."""

_SHOWN_WAIT_SECONDS = 1.0
"""Waits beside a stage, or beside tables that are read, are shown from this age on: the line should not flicker."""
_NOTHING_YET = "Starting"
_NO_MORE = "Waiting for Prefect"
"""All tables are read and merged, and their tasks end."""


def whole_run(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    """What the run is at, in a line: ``Reading contacts (4,800 of about 9,000 rows); 160 of 166 requests per 10 s``.

    "" if it has not begun.
    """
    reading = [(one, seen) for one in tables if not (seen := one.progress.snapshot()).over]
    if not reading:
        return _waited_for(tables, waits) if tables or waits else ""
    named = [f"{seen.table} ({rows_read(seen, 'about ')}, {time_left(seen, 'about ')})" for _, seen in reading]
    return "; ".join([f"Reading {', '.join(named)}", last_line(tables, waits)])


def last_line(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    """What a display says below its tables: how busy the token is while one is read, and what is being waited for."""
    reading = [one for one in tables if not one.progress.snapshot().over]
    if not reading:
        return _waited_for(tables, waits)
    return "; ".join([requests_sent(reading[0].usage()), *map(str, _lasting(waits))])  # the token is the same for all


def _waited_for(tables: Sequence[Tracked], waits: Sequence[Wait]) -> str:
    return "; ".join(map(str, _lasting(waits) or waits)) or f"{_NO_MORE if tables else _NOTHING_YET} ..."


def _lasting(waits: Sequence[Wait]) -> list[Wait]:
    return [wait for wait in waits if wait.is_stage or wait.seconds >= _SHOWN_WAIT_SECONDS]


def described(snapshot: Snapshot, usage: RateUsage) -> str:
    """``48,150 of about 1,000,000 rows, 321 pages, 160 of 166 requests per 10 s, about 6 min left``; then the end."""
    read = f"{rows_read(snapshot, 'about ')}, {pages_read(snapshot)}"
    if snapshot.failed:
        return f"failed after {read}"
    if snapshot.finished:
        return f"{read}, read in {duration(snapshot.seconds)}"
    return f"{read}, {requests_sent(usage)}, {time_left(snapshot, 'about ')}"


def rows_read(snapshot: Snapshot, about: str) -> str:
    """``48,150 of about 1,000,000 rows`` while it is read and the end is known, else ``48,150 rows``."""
    if snapshot.over or snapshot.expected is None:
        return _counted(snapshot.rows, "row")
    return f"{snapshot.rows:,} of {about}{_counted(snapshot.expected, 'row')}"


def pages_read(snapshot: Snapshot) -> str:
    """``321 pages``."""
    return _counted(snapshot.pages, "page")


def requests_sent(usage: RateUsage) -> str:
    """``160 of 166 requests per 10 s``."""
    return f"{usage.sent:,} of {usage.limit:,} requests per 10 s"


def time_left(snapshot: Snapshot, about: str) -> str:
    """``about 6 min left``, or why nobody knows."""
    if snapshot.expected is None:
        return "total unknown" if snapshot.pages else "no page yet"
    if snapshot.rows >= snapshot.expected:
        return "nearly done"
    if snapshot.seconds_left is None:
        return "time unknown"
    return f"{about}{duration(max(10.0, snapshot.seconds_left))} left"  # a guess; seconds would only flicker


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
