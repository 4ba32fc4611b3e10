"""Decides when staged rows are merged. A merge rewrites every month with staged rows, so it may wait. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from intercom.lake.state import TableState

SMALL_TABLE_ROWS: Final = 1_000_000
"""Tables with fewer rows are merged after every run."""
WAITING_SHARE: Final = 0.01
"""A larger table is merged when the staged rows are at least this share of its rows."""
LONGEST_WAIT: Final = timedelta(hours=6)
"""A table is merged in any case when its oldest staged run is this old."""


class CompactionMode(StrEnum):
    """When staged rows are merged: as `is_due` decides, after every run, or only by the compaction flow."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def is_due(state: TableState, when: CompactionMode, now: datetime) -> bool:
    """Whether to merge a table's staged rows now. Under AUTO, rows of a read of the whole table never wait."""
    if when is not CompactionMode.AUTO:
        return when is CompactionMode.ALWAYS
    if state.rows < SMALL_TABLE_ROWS or state.staged_whole:
        return True
    return waiting_rows(state) >= WAITING_SHARE * state.rows or now - _oldest(state, now) >= LONGEST_WAIT


def waiting_rows(state: TableState) -> int:
    """Number of staged rows of committed runs; a key that was read several times is counted as often."""
    return sum(run.rows for run in state.staged)


def _oldest(state: TableState, now: datetime) -> datetime:
    """When the oldest staged run committed. A run of an older package version has no time, and is due at once."""
    times = [run.committed_at for run in state.staged]
    return now if not times else datetime.fromtimestamp(min(times), UTC)
