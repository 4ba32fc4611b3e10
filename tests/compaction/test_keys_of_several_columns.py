"""A table whose key has two columns, from staged parts to published files: one row for each pair, the newest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from intercom.lake.layout import TableFormat
from intercom.tables.table import Table
from tests.support.rig import in_both_formats
from tests.support.staged import ONE_FILE, TWO_COLUMNS, TWO_COLUMNS_READ_WHOLE, Row, StagedTable, WatchedLake, folder

FIRST = [
    *(Row("a", 0, 1, "1", "bc"), Row("ab", 0, 1, "2", "c"), Row("a", 1, 1, "3", "\x00"), Row("a\x00", 1, 1, "4", "")),
    *(Row("", 2, 1, "5", "abc"), Row("", 2, 1, "6", "")),
]
"""Keys that would be one where their columns are only put together."""
CHANGES: dict[str, Sequence[Row]] = {
    "a row changes, a new one comes": [Row("a", 0, 2, "new", "bc"), Row("a", 0, 2, "new", "b")],
    "rows move to other months": [Row("a", 1, 2, "new", "bc"), Row("a\x00", 0, 2, "new", "")],
    "an older version comes late": [Row("", 2, 0, "old", "abc"), Row("", 0, 0, "old", "")],
}


def after(table: Table, change: Sequence[Row]) -> list[Row]:
    """The newest version of each pair; where all is read, what was read last."""
    rows = {(row.id, row.owner_id): row for row in FIRST}
    for row in change:
        old = rows.get((row.id, row.owner_id))
        if old is None or not table.reads_by_window or (row.updated_at or 0) > (old.updated_at or 0):
            rows[row.id, row.owner_id] = row
    return sorted(rows.values())


@in_both_formats
@pytest.mark.parametrize(
    "table", [TWO_COLUMNS, TWO_COLUMNS_READ_WHOLE, ONE_FILE], ids=["searched", "whole", "one file"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_each_pair_is_there_once_in_its_newest_version(
    tmp_path: Path, table: Table, change: str, table_format: TableFormat
) -> None:
    staged = StagedTable(str(tmp_path / "lake"), table, table_format)
    staged.stage(FIRST)
    assert staged.compact().new == len(FIRST)
    assert sorted(staged.rows()) == sorted(FIRST)
    staged.stage(CHANGES[change])
    staged.compact(WatchedLake(staged))
    expected = after(table, CHANGES[change])
    assert sorted(staged.rows()) == expected
    assert staged.compact().files == 0
    staged.stage(expected[1:], replaces=True)
    done = staged.compact()
    assert (done.new, done.changed, done.removed) == (0, 0, 1)
    assert sorted(staged.rows()) == expected[1:]


@in_both_formats
def test_months_are_those_of_the_partition_field_and_without_one_there_is_one_file(
    tmp_path: Path, table_format: TableFormat
) -> None:
    found: dict[str, Any] = {}
    for table in (TWO_COLUMNS, ONE_FILE):
        staged = StagedTable(str(tmp_path / table.name), table, table_format)
        staged.stage([*FIRST, Row("x", None, 1)])
        staged.compact()
        found[table.name] = sorted(staged.lake_table().published())
    assert found == {
        "contacts": sorted(folder(month).removeprefix("created_month=") for month in (0, 1, 2, None)),
        "tags": [""],
    }
