"""The policy that decides when staged rows are merged: a merge rewrites every month that they touch. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from intercom.lake.state import TableState

SMALL_TABLE_ROWS: Final = 1_000_000
"""Tables below are merged after every run."""
WAITING_SHARE: Final = 0.01
"""Share of a larger table's rows that may wait: its files are not rewritten for fewer rows."""
LONGEST_WAIT: Final = timedelta(hours=6)
"""Age of the oldest waiting run from which the table is merged in any case."""


class CompactionMode(StrEnum):
    """When staged rows are merged: as `is_due` decides, after every run, or only by the compaction flow."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def is_due(state: TableState, when: CompactionMode, now: datetime) -> bool:
    """Whether a table's staged rows are to be merged now; under AUTO, those of a whole read never wait."""
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
