"""The policy that decides when staged rows are merged: a merge rewrites every month that they touch. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from intercom.lake.state import TableState

SMALL_TABLE_ROWS: Final = 1_000_000
"""Tables below are merged after every run."""
WAITING_SHARE: Final = 0.01
"""Of a larger table's rows, as many may wait: its files are then rewritten for at least that many rows."""
LONGEST_WAIT: Final = timedelta(hours=6)
"""And no row waits longer than this for the first run after it."""


class CompactionMode(StrEnum):
    """The setting: as `is_due` says, after every run, or only by the flow that does nothing else."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def is_due(state: TableState, when: CompactionMode, now: datetime) -> bool:
    """Whether a table's staged rows are to be merged now; under AUTO, what makes a table whole never waits."""
    if when is not CompactionMode.AUTO:
        return when is CompactionMode.ALWAYS
    if state.rows < SMALL_TABLE_ROWS or state.read_whole:
        return True
    return waiting_rows(state) >= WAITING_SHARE * state.rows or now - _oldest(state, now) >= LONGEST_WAIT


def waiting_rows(state: TableState) -> int:
    """Staged rows of committed runs that are not merged; those of one key are counted as often as they were read."""
    return sum(run.rows for run in state.staged)


def _oldest(state: TableState, now: datetime) -> datetime:
    """When the first of the waiting runs committed; a run that does not say, of an older version, is due."""
    times = [run.committed_at for run in state.staged]
    return now if not times else datetime.fromtimestamp(min(times), UTC)
