"""Rows whose `created_at` changes: after the next run each is in one month, in its newest version."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.compact import Compacted
from intercom.due import When
from intercom.lake import Lake
from intercom.paths import TableFormat
from tests.conftest import NOW
from tests.integration.test_crashes import every_crash
from tests.support.fuses import Fuse, FusedLake, Killed
from tests.support.rig import MemoryWatermarks, Rig, in_both_formats

MERGED = ["contacts", "companies", "conversations", "articles"]
WHOLE = ["companies", "articles"]
DAY = 86_400
DAYS = {"earlier": -40 * DAY, "later": 40 * DAY}


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A few rows in some months of each table."""
    return make_rig(contacts=30, companies=14, conversations=30, articles=14)


def ids(rig: Rig, table: str) -> list[str]:
    found: list[str] = rig.rows(table).column("id").to_pylist()
    return found


def some(rig: Rig, table: str, count: int = 1, **options: Any) -> list[dict[str, Any]]:
    """Rows of 50 to 70 days ago, so that 40 days more or less are another month, and not the future."""
    rows = [row for row in rig.workspace.rows(table) if 50 * DAY <= NOW - row["created_at"] <= 70 * DAY]
    assert len(rows) >= count, (table, len(rows))
    return rows[:count]


def move(rig: Rig, table: str, row: dict[str, Any], seconds: int, **fields: Any) -> None:
    rig.workspace.update(table, row["id"], created_at=row["created_at"] + seconds, **fields)


@in_both_formats
@pytest.mark.parametrize("days", DAYS)
def test_a_row_that_moves_by_40_days_is_there_once(rig: Rig, days: str) -> None:
    rig.sync(MERGED)
    rig.workspace.travel(2 * DAY)
    for table in MERGED:
        move(rig, table, some(rig, table)[0], DAYS[days])
    rig.workspace.travel(60)
    results = rig.sync(MERGED)
    rig.check(MERGED)
    for table in MERGED:
        done = results[table][1]
        assert (done.new, done.changed, done.removed, done.rows) == (0, 1, 0, rig.rows(table).num_rows), table
    assert [rig.sync(MERGED)[table][1].files for table in MERGED] == [0, 0, 0, 0]


@in_both_formats
@pytest.mark.parametrize("days", DAYS)
def test_a_row_that_moves_without_a_new_cursor_value_is_there_once(rig: Rig, days: str) -> None:
    """A search finds it because the lookback covers it."""
    rig.workspace.options.index_timezone = "UTC"
    for table in MERGED:
        rig.workspace.update(table, some(rig, table)[0]["id"])
    rig.sync(MERGED)
    for table in MERGED:
        moved = max(some(rig, table, 1), key=lambda row: row["updated_at"])
        move(rig, table, some(rig, table)[0] if moved is None else some(rig, table)[0], DAYS[days], touch=False)
    rig.sync(MERGED)
    rig.check(MERGED)


@in_both_formats
@pytest.mark.parametrize("touch", [True, False])
def test_a_created_at_that_was_absent_and_is_set_later_leaves_unknown(rig: Rig, touch: bool) -> None:
    times = {table: some(rig, table)[0] for table in MERGED}
    for table, row in times.items():
        rig.workspace.update(table, row["id"], created_at=None)
    rig.sync(MERGED)
    for table, row in times.items():
        rig.workspace.update(table, row["id"], created_at=row["created_at"], touch=touch)
    rig.workspace.travel(60)
    rig.sync(MERGED)
    rig.check(MERGED)
    assert not [path for path in rig.lake().list("data") if "unknown" in path and rig.table_format is TableFormat.PARQUET]


@in_both_formats
def test_a_created_at_that_is_gone_moves_the_row_to_unknown(rig: Rig) -> None:
    rig.sync(MERGED)
    for table in MERGED:
        rig.workspace.update(table, some(rig, table)[0]["id"], created_at=None)
    rig.workspace.travel(60)
    rig.sync(MERGED)
    rig.check(MERGED)
