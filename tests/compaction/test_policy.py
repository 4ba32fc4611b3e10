"""When staged rows of a table are merged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from intercom.compaction.policy import LONGEST_WAIT, SMALL_TABLE_ROWS, CompactionMode, is_due, waiting_rows
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
LARGE = 2 * SMALL_TABLE_ROWS


def table(rows: int, *staged: StagedRun) -> TableState:
    return TableState("lake", "columns", partitions={"2026-01": Partition(rows, "v", "1:1")}, staged=staged)


def waiting(rows: int, *, since: datetime = NOW, coverage: Coverage = Coverage.SOME) -> StagedRun:
    return StagedRun("run", 1, coverage, rows=rows, committed_at=int(since.timestamp()))


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (table(SMALL_TABLE_ROWS - 1, waiting(1)), True),
        (table(SMALL_TABLE_ROWS, waiting(1)), False),
        (table(LARGE, waiting(LARGE // 100 - 1)), False),
        (table(LARGE, waiting(LARGE // 100)), True),
        (table(LARGE, waiting(LARGE // 200), waiting(LARGE // 200)), True),
        (table(LARGE, waiting(1, since=NOW - LONGEST_WAIT + timedelta(seconds=1))), False),
        (table(LARGE, waiting(1, since=NOW - LONGEST_WAIT), waiting(1)), True),
        (table(LARGE, waiting(1, coverage=Coverage.REPLACES)), True),
        (table(LARGE, waiting(1, coverage=Coverage.WHOLE)), True),
        (table(LARGE, StagedRun("of an older version", 1)), True),
    ],
)
def test_auto_merges_small_tables_always_and_large_ones_when_enough_waits_or_long_enough(
    state: TableState, due: bool
) -> None:
    assert is_due(state, CompactionMode.AUTO, NOW) is due


@pytest.mark.parametrize("state", [table(1, waiting(1)), table(LARGE, waiting(1))])
def test_always_and_never_ask_nothing(state: TableState) -> None:
    assert is_due(state, CompactionMode.ALWAYS, NOW)
    assert not is_due(state, CompactionMode.NEVER, NOW)


def test_rows_of_all_runs_wait() -> None:
    assert waiting_rows(table(LARGE, waiting(3), waiting(4))) == 7
