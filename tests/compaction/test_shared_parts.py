"""Parts with rows of several months: what a small run leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.compaction.shared_parts import SharedParts
from intercom.errors import LakeError
from intercom.lake.layout import FIRST_FORMAT, PARTS_FORMAT
from intercom.lake.table import LakeTable
from tests.support.staged import Row, StagedTable

SEVERAL = [Row("a", 2, 5), Row("b", 0, 6), Row("c", None, 7), Row("d", 2, 8), Row("e", 0, 9)]


@pytest.fixture
def staged(tmp_path: Path) -> StagedTable:
    staged = StagedTable(str(tmp_path / "lake"))
    staged.stage(SEVERAL)
    return staged


def only_part(lake_table: LakeTable) -> str:
    (part,) = lake_table.parts()
    return part.path


def ids(rows: pa.Table) -> list[Any]:
    return rows.column("id").to_pylist()


def test_a_small_run_leaves_one_part_whatever_its_months_and_is_merged_from_it(staged: StagedTable) -> None:
    (part,) = staged.lake_table().parts()
    assert part.month is None
    staged.compact()
    assert Counter(staged.rows()) == Counter(SEVERAL)
    assert staged.lake_table().parts() == []


def test_rows_of_one_month_are_a_part_of_that_month(staged: StagedTable) -> None:
    staged.compact()
    staged.stage([Row("f", 1, 1), Row("g", 1, 2)])
    (part,) = staged.lake_table().parts()
    assert part.month == "2026-02"


def test_a_part_gives_its_rows_by_month_in_the_order_of_reading(staged: StagedTable) -> None:
    lake_table = staged.lake_table()
    shared, path = SharedParts(staged.table, lake_table), only_part(lake_table)
    assert shared.has(path)
    assert sorted(shared.by_month(lake_table.parts())) == ["2026-01", "2026-03", "unknown"]
    assert [ids(shared.rows(path, month)) for month in ("2026-01", "2026-03", "unknown", "2026-02")] == [
        ["b", "e"], ["a", "d"], ["c"], [],
    ]  # fmt: skip
    assert [shared.places(path, month).to_pylist() for month in ("2026-01", "2026-03")] == [[1, 4], [0, 3]]


@pytest.mark.parametrize(("held_bytes", "reads"), [(1 << 20, 1), (0, 3)])
def test_a_part_that_fits_into_memory_is_read_once(staged: StagedTable, held_bytes: int, reads: int) -> None:
    lake_table = staged.lake_table()
    path, fetched = only_part(lake_table), 0
    fetch = lake_table.lake.fetch

    def counting(path: str) -> Any:
        nonlocal fetched
        fetched += 1
        return fetch(path)

    lake_table.lake.fetch = counting  # type: ignore[method-assign]
    shared = SharedParts(staged.table, lake_table, held_bytes)
    for month in list(shared.by_month(lake_table.parts()))[:2]:
        assert len(shared.rows(path, month)) > 0
    assert fetched == reads


def test_a_damaged_part_is_deleted_and_told(staged: StagedTable) -> None:
    lake_table = staged.lake_table()
    file = Path(staged.url, only_part(lake_table))
    content = bytearray(file.read_bytes())
    content[40] ^= 255
    file.write_bytes(content)
    with pytest.raises(LakeError, match="staged files were damaged: 1"):
        staged.compact()
    assert not file.exists()
    assert staged.lake_table().state() is not None


def test_an_older_version_refuses_a_record_while_such_a_part_waits(staged: StagedTable) -> None:
    """It would publish the part as the one file of a table without months."""
    lake, path = staged.lake(), staged.lake_table().paths.state
    assert lake.read_json(path)["format"] == PARTS_FORMAT > FIRST_FORMAT  # type: ignore[index]
    staged.compact()
    assert lake.read_json(path)["format"] == FIRST_FORMAT  # type: ignore[index]
