"""Merges of parts that the same process has staged: what they open, and what they find out about the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.compaction.compact import compact_table
from intercom.errors import LakeError, OvertakenError
from intercom.lake.own_parts import OwnParts
from intercom.lake.parquet import ParquetFile
from intercom.lake.storage import Lake
from tests.support.rig import MemoryWatermarks, Rig
from tests.support.staged import Row, StagedTable
from tests.support.staged_children import Child, Mark, StagedChildren

TWO_MONTHS = [Row("a", 0, 5), Row("b", 2, 6), Row("c", 0, 7)]


@pytest.fixture
def staged(tmp_path: Path) -> StagedTable:
    return StagedTable(str(tmp_path / "lake"), split=True, one_process=True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file below a lake's staging folder was opened as a Parquet file."""
    found: Counter[str] = Counter()
    opens: Callable[..., None] = pq.ParquetFile.__init__

    def counting(file: Any, source: Any, *args: Any, **options: Any) -> None:
        if "/_staging/" in str(source):
            found[str(source)] += 1
        opens(file, source, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "__init__", counting)
    return found


def test_the_one_part_of_a_new_month_is_published_without_being_opened(
    staged: StagedTable, opened: Counter[str]
) -> None:
    staged.stage(TWO_MONTHS, whole=True)
    parts = {part.month: Path(staged.url, part.path).read_bytes() for part in staged.lake_table().parts()}
    staged.compact()
    assert not opened
    assert Counter(staged.rows()) == Counter(TWO_MONTHS)
    files = {
        month: Path(staged.url, staged.lake_table().files.path(month)) for month in staged.lake_table().published()
    }
    assert {month: file.read_bytes() for month, file in files.items()} == parts
    state = staged.lake_table().state()
    assert state is not None
    assert {entry.version for entry in state.partitions.values()} == {"run-1"}  # as the footers of the copies say


def test_stale_children_and_moved_rows_are_found_without_opening_a_part_for_them(
    tmp_path: Path, opened: Counter[str]
) -> None:
    children = StagedChildren(str(tmp_path / "lake"), split=True, one_process=True)
    answer = [Mark("p"), Child("1", "p"), Child("2", "p", month=1)]
    children.stage(answer, whole=True)
    children.compact()
    assert list(opened.values()) == [1]  # for the rows beside a mark
    children.stage([Mark("p"), Child("2", "p")])
    children.compact()
    assert list(opened.values()) == [1, 1]
    assert children.ids() == ["2"]


def test_a_part_of_a_month_that_is_there_is_opened_once_for_its_rows(staged: StagedTable, opened: Counter[str]) -> None:
    staged.stage(TWO_MONTHS)
    staged.compact()
    staged.stage([Row("a", 0, 8, "newer")])
    staged.compact()
    assert list(opened.values()) == [1]
    assert Counter(staged.rows()) == Counter([Row("a", 0, 8, "newer"), *TWO_MONTHS[1:]])


def test_the_parts_of_another_process_are_opened_for_their_keys_and_as_a_whole(
    staged: StagedTable, opened: Counter[str]
) -> None:
    staged.stage(TWO_MONTHS, whole=True)
    staged.own_parts = OwnParts()
    staged.compact()
    assert set(opened.values()) == {3}
    assert Counter(staged.rows()) == Counter(TWO_MONTHS)


def test_parts_whose_keys_had_no_room_are_opened_for_them(staged: StagedTable, opened: Counter[str]) -> None:
    staged.own_parts = OwnParts(0)
    staged.stage(TWO_MONTHS, whole=True)
    staged.compact()
    assert set(opened.values()) == {2}
    assert Counter(staged.rows()) == Counter(TWO_MONTHS)


@pytest.mark.parametrize(
    ("split", "there"), [(True, False), (True, True), (False, False)], ids=["copied", "merged", "of several months"]
)
def test_a_part_that_is_whole_and_not_what_was_written_is_damaged(
    staged: StagedTable, split: bool, there: bool
) -> None:
    """Page headers and footers have no checksums: rows of such a file can be other rows, and no error."""
    if there:
        staged.stage([Row("d", 0, 1)])
        staged.compact()
    before = staged.rows()
    staged.split = split
    staged.stage(TWO_MONTHS)
    part = next(part for part in staged.lake_table().parts() if part.month in (None, "2026-01"))
    replaced(Path(staged.url, part.path))
    with pytest.raises(LakeError, match="staged files were damaged: 1"):
        staged.compact()
    assert staged.rows() == before
    assert part.path not in staged.lake().list("_staging")


def replaced(file: Path) -> None:
    """Write a file anew with one name in it changed, with checksums of its own."""
    rows = pq.read_table(file, partitioning=None)
    names = ["other", *rows.column("name").to_pylist()[1:]]
    rows = rows.set_column(rows.column_names.index("name"), "name", [names])
    with ParquetFile(file, rows.schema, "run-1") as written:
        written.write(rows)


def test_a_part_that_another_run_has_removed_is_missed_although_its_keys_are_known(staged: StagedTable) -> None:
    staged.stage(TWO_MONTHS)
    gone = next(part.path for part in staged.lake_table().parts())

    class Late(Lake):
        def fetch(self, path: str) -> Any:
            Path(staged.url, gone).unlink(missing_ok=True)
            return super().fetch(path)

    with pytest.raises(OvertakenError, match="overtaken by another run, which has changed _staging/"):
        compact_table(staged.table, staged.lake_table(Late(staged.url)), MemoryWatermarks())
    assert staged.rows() == []


def test_a_run_lets_go_of_its_parts_when_they_are_merged(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    lake = rig.lake()
    noted = []
    note = lake.own_parts.note

    def noting(path: str, *given: Any) -> None:
        noted.append(path)
        note(path, *given)

    lake.own_parts.note = noting  # type: ignore[method-assign]
    rig.sync(["contacts", "conversations", "tags"], lake=lake)
    assert {path.split("/")[2] for path in noted} == {"contacts", "conversations", "tags"}
    assert [path for path in noted if lake.own_parts.get(path) is not None] == []
    rig.check(["contacts", "conversations", "tags"])
