"""Rows whose `created_at` changes: after the next run each is in one month, in its newest version."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.compaction import column_reader
from intercom.compaction.policy import CompactionMode
from intercom.errors import DamagedFileError, LakeError
from intercom.lake.layout import TableFormat
from intercom.tables.table import Table
from tests.conftest import BUCKET, NOW
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, Killed, fused_commits
from tests.support.rig import Rig, in_both_formats
from tests.support.staged import READ_WHOLE, SEARCHED, Row, StagedTable, WatchedLake, folder

MERGED = ["contacts", "companies", "conversations", "articles"]
ONE_OF_EACH = ["contacts", "companies"]  # of the tables that are searched, and of those that are read whole
DAY = 86_400
TEXT = {"contacts": "name", "companies": "name", "conversations": "title", "articles": "title"}


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A few rows of each table, all of the last 80 days, and a search that covers them by its lookback."""
    return make_rig(contacts=16, companies=6, conversations=16, articles=6)


# -- whole runs, in all merge tables --------------------------------------------------------------------------------


def move_some(rig: Rig, tables: Sequence[str], *, touch: bool) -> None:
    """Of each table a row moves by 40 days to an earlier month, one to a later one, one to none, and one from none."""
    for table in tables:
        rows = sorted(rig.workspace.rows(table), key=lambda row: row["created_at"] or 0)
        nowhere, oldest, next_one, *_, newest = rows
        for row, created_at in (
            (nowhere, rows[2]["created_at"]),
            (oldest, oldest["created_at"] + 40 * DAY),
            (newest, newest["created_at"] - 40 * DAY),
            (next_one, None),
        ):
            rig.workspace.update(table, row["id"], touch=touch, created_at=created_at, **{TEXT[table]: "moved"})


@pytest.mark.parametrize(
    ("table_format", "tables", "touch"),
    [
        pytest.param(TableFormat.PARQUET, MERGED, True, id="with updated_at"),
        pytest.param(TableFormat.DELTA, ONE_OF_EACH, True, id="with updated_at, in Delta"),
        pytest.param(TableFormat.PARQUET, ONE_OF_EACH, False, id="with updated_at as it was"),
    ],
)
def test_rows_that_move_between_months_are_there_once(rig: Rig, tables: list[str], touch: bool) -> None:
    for table in tables:
        oldest = min(rig.workspace.rows(table), key=lambda row: row["created_at"])
        rig.workspace.update(table, oldest["id"], created_at=None)
    if not touch:  # a search finds such a change only because its lookback covers the row
        for table in tables:
            for row in rig.workspace.rows(table):
                rig.workspace.update(table, row["id"], updated_at=rig.workspace.now() - 60)
    rig.sync(tables)
    rig.workspace.travel(7200 if touch else 60)
    move_some(rig, tables, touch=touch)
    rig.workspace.travel(60)
    results = rig.sync(tables)
    rig.check(tables)
    for table in tables:
        done, kept = results[table][1], rig.rows(table).num_rows
        assert (done.new, done.changed, done.removed, done.rows) == (0, 4, 0, kept), table
    assert [done.files for _, done in rig.sync(tables).values()] == [0] * len(tables)


def test_rows_that_move_are_there_once_after_a_full_refresh_too(rig: Rig) -> None:
    oldest = min(rig.workspace.rows("contacts"), key=lambda row: row["created_at"])
    rig.workspace.update("contacts", oldest["id"], created_at=None)
    rig.sync(["contacts"])
    for step in (10, 20):
        deleted = rig.workspace.rows("contacts")[step // 5]
        rig.workspace.delete("contacts", deleted["id"])
        row = max(rig.workspace.rows("contacts"), key=lambda row: row["created_at"] or 0)
        rig.workspace.update("contacts", row["id"], created_at=row["created_at"] - 40 * DAY, touch=False)
        _, done = rig.sync(["contacts"], full_refresh=True)["contacts"]
        rig.check(["contacts"])
        assert (done.new, done.changed, done.removed) == (0, 1, 1)


def test_a_row_that_moves_while_two_runs_wait_is_there_once(rig: Rig) -> None:
    rig.load(ONE_OF_EACH)
    for back in (40, 70, 0):
        for table in ONE_OF_EACH:
            row = min(rig.workspace.rows(table), key=lambda row: row["id"])
            rig.workspace.update(table, row["id"], created_at=NOW - back * DAY, **{TEXT[table]: f"{back} days ago"})
        rig.workspace.travel(60)
        rig.sync(ONE_OF_EACH, when=CompactionMode.NEVER)
    rig.sync(ONE_OF_EACH)
    rig.check(ONE_OF_EACH)


def test_a_row_of_a_history_with_a_start_date_moves_to_before_it_and_back(rig: Rig) -> None:
    """The start date limits `updated_at`: where the row was created has nothing to do with it."""
    start = NOW - 60 * DAY
    for table in ONE_OF_EACH:
        for row in rig.workspace.rows(table):
            rig.workspace.update(table, row["id"], updated_at=max(row["updated_at"] or 0, start + DAY))
    rig.sync(ONE_OF_EACH, history_from=start)
    for back in (75, 5):
        for table in ONE_OF_EACH:
            row = min(rig.workspace.rows(table), key=lambda row: row["id"])
            rig.workspace.update(table, row["id"], created_at=NOW - back * DAY)
        rig.workspace.travel(60)
        rig.sync(ONE_OF_EACH, history_from=start)
        rig.check(ONE_OF_EACH)


@pytest.mark.parametrize(
    ("table_format", "table"), [(TableFormat.PARQUET, "contacts"), (TableFormat.DELTA, "companies")]
)
def test_rows_move_in_a_lake_on_s3_too(make_rig: Callable[..., Rig], s3_storage: dict[str, Any], table: str) -> None:
    rig = make_rig(lake=f"s3://{BUCKET}/lake", history_days=50, contacts=5, companies=5)
    rig.storage = s3_storage
    rig.load([table])
    row = max(rig.workspace.rows(table), key=lambda row: row["created_at"])
    rig.workspace.update(table, row["id"], created_at=row["created_at"] - 40 * DAY)
    rig.workspace.travel(60)
    rig.sync([table])
    rig.check([table])


def month_of(row: dict[str, Any]) -> str:
    return f"created_month={datetime.fromtimestamp(row['created_at'], UTC):%Y-%m}"


def one_of_many(rig: Rig, table: str) -> dict[str, Any]:
    """The last row of the month with most rows: the month stays when the row leaves it."""
    rows = sorted(rig.workspace.rows(table), key=lambda row: row["created_at"])
    (month, count), *_ = Counter(map(month_of, rows)).most_common()
    assert count > 1
    return [row for row in rows if month_of(row) == month][-1]


def disguise(rig: Rig, table: str, path: Path) -> None:
    """The record's own size and time for a file, as if it had those of the one that it replaced."""
    lake_table = rig.lake_table(table)
    state = lake_table.state()
    assert state is not None
    month = path.parent.name.removeprefix("created_month=")
    entry = replace(state.partitions[month], stamp=lake_table.files.stamp(month))
    lake_table.save(replace(state, partitions={**state.partitions, month: entry}))


@pytest.mark.parametrize("as_it_was", [False, True], ids=["noticed", "with the size and time of the present file"])
def test_an_old_file_that_holds_a_row_which_has_moved_is_put_back(rig: Rig, tmp_path: Path, as_it_was: bool) -> None:
    """What its size or time tells is read again as a whole; else tables that are read whole see the stray copy."""
    tables = ["companies", "articles"] if as_it_was else ONE_OF_EACH
    rows: dict[str, dict[str, Any]] = {}
    rig.load(tables)
    for table in tables:
        kept = tmp_path / f"kept-{table}"
        shutil.copytree(rig.lake_folder / "data" / rig.connection / table, kept)
        rows[table] = one_of_many(rig, table)
        rig.workspace.update(table, rows[table]["id"], created_at=rows[table]["created_at"] - 70 * DAY)
    rig.workspace.travel(7200)
    rig.sync(tables)
    for table, row in rows.items():
        path = rig.lake_folder / "data" / rig.connection / table / month_of(row) / "data.parquet"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / f"kept-{table}" / month_of(row) / "data.parquet", path)
        if as_it_was:
            disguise(rig, table, path)
        found = rig.rows(table).column("id").to_pylist()
        assert len(found) == len(set(found)) + 1, table
    for table in tables if as_it_was else []:
        with pytest.raises(DamagedFileError, match="Run again: the whole table is read"):  # its footer tells
            rig.sync([table])
    rig.sync(tables)
    rig.check(tables)


# -- compactions by themselves --------------------------------------------------------------------------------------

A, B, C, D = 0, 1, 2, 3


@pytest.fixture(params=[SEARCHED, READ_WHOLE], ids=["searched", "read whole"])
def table(request: pytest.FixtureRequest) -> Table:
    found: Table = request.param
    return found


@pytest.fixture
def staged(tmp_path: Path, table: Table, table_format: Any) -> StagedTable:
    """Five rows in three months, merged."""
    found = StagedTable(str(tmp_path / "lake"), table, table_format)
    found.stage([Row("1", A, 1), Row("2", A, 1), Row("3", B, 1), Row("4", B, 1), Row("5", C, 1)])
    found.compact()
    return found


CHANGES: dict[str, Sequence[Row]] = {
    "a row moves": [Row("1", B, 2)],
    "a month is left empty": [Row("5", A, 2)],
    "rows are swapped": [Row("1", B, 2), Row("3", A, 2)],
    "a month loses, gains and changes": [Row("1", B, 2), Row("3", C, 2), Row("4", B, 2, "new"), Row("6", B, 2)],
    "all months lose and gain": [Row("1", B, 2), Row("3", C, 2), Row("5", A, 2)],
    "from a month to none": [Row("1", None, 2), Row("2", A, 2, "new")],
}
IN_EVERY_WAY = [
    *(Row("1", B, 2), Row("2", D, 2), Row("3", A, 2)),
    *(Row("4", B, 2, "new"), Row("5", A, 2), Row("6", B, 2)),
]
"""Two months swap rows, one of them changes and gets a new one too, the third is left empty, and a fourth begins."""


def expected(change: Sequence[Row]) -> list[Row]:
    first = {row.id: row for row in (Row("1", A, 1), Row("2", A, 1), Row("3", B, 1), Row("4", B, 1), Row("5", C, 1))}
    return sorted((first | {row.id: row for row in change}).values())


def by_key(staged: StagedTable) -> list[Row]:
    return sorted(staged.rows(), key=lambda row: row.id)


@pytest.mark.parametrize("change", CHANGES)
def test_a_reader_finds_no_row_twice_at_any_step_and_lacks_only_those_that_move(
    staged: StagedTable, change: str
) -> None:
    staged.stage(CHANGES[change])
    lake = WatchedLake(staged)
    done = staged.compact(lake)
    assert by_key(staged) == sorted(expected(CHANGES[change]), key=lambda row: row.id)
    moved = {(row.id,) for row in CHANGES[change] if row.name == "" and row.id != "6"}
    assert set().union(*lake.missing) <= moved
    assert lake.missing[-1] == set()
    known = {row.id for row in CHANGES[change]} - {"6"}
    assert (done.new, done.changed, done.removed) == (len(CHANGES[change]) - len(known), len(known), 0)


def test_a_new_row_that_was_staged_in_two_months_is_there_once(staged: StagedTable) -> None:
    change = [Row("7", A, 1), Row("7", B, 2)]
    staged.stage(change)
    staged.compact()
    assert by_key(staged) == expected(change)


@in_both_formats
def test_a_compaction_that_dies_at_any_step_is_repaired_by_the_next_one(staged: StagedTable, tmp_path: Path) -> None:
    staged.stage(IN_EVERY_WAY)
    stride = effort(3, 1)  # `make soak` takes every step
    for burns_at in range(random.randint(1, stride), 50, stride):
        copy = replace(staged, url=str(tmp_path / f"copy-{burns_at}"))
        shutil.copytree(staged.url, copy.url)
        fuse = Fuse(burns_at)
        try:
            with fused_commits(fuse):
                copy.compact(FusedLake(copy.url, fuse))
        except Killed:
            seen = [row.id for row in copy.rows()]
            assert len(seen) == len(set(seen)), burns_at
            copy.compact()
            assert by_key(copy) == sorted(expected(IN_EVERY_WAY), key=lambda row: row.id), burns_at
        else:
            assert burns_at > 5
            return
    pytest.fail("it never came to its end")


def test_an_older_version_of_another_month_changes_nothing_of_a_table_that_is_searched(tmp_path: Path) -> None:
    """An index that lags, say. Where all is read the later read is the newer one."""
    for table, month in ((SEARCHED, A), (READ_WHOLE, B)):
        staged = StagedTable(str(tmp_path / table.name), table)
        staged.stage([Row("1", A, 5), Row("2", B, 5)])
        staged.compact()
        staged.stage([Row("1", B, 4)])
        done = staged.compact()
        assert {row.id: row.month for row in staged.rows()} == {"1": month, "2": B}
        assert (done.changed, done.unchanged) == ((0, 1) if month == A else (1, 0))


@in_both_formats
def test_copies_in_a_wrong_month_go_with_the_next_run_that_reads_everything(staged: StagedTable) -> None:
    """As versions without this rule have left them."""
    other = replace(staged, url=f"{staged.url}-other")
    other.stage([Row("1", A, 1), Row("2", A, 1), Row("3", A, 1), Row("5", A, 1)])
    other.compact()
    rows = [Row("1", A, 2), Row("2", A, 2), Row("3", B, 2), Row("4", B, 2), Row("5", C, 2)]
    take_over(staged, other, A)
    assert len(staged.rows()) == 7
    staged.stage(rows, whole=True)
    staged.compact()
    assert by_key(staged) == rows


def take_over(staged: StagedTable, other: StagedTable, month: int) -> None:
    """A month's file of another lake, published in this one, its record included."""
    ours, theirs = staged.lake_table(), other.lake_table()
    name = folder(month).removeprefix("created_month=")
    state = ours.state()
    assert state is not None
    theirs.published()
    ours.published()
    with theirs.files.fetch(name) as file:
        copied = Path(staged.url) / "copied.parquet"
        shutil.copy(file, copied)
        placed = ours.add_file(copied, name, 4, ours.published().get(name))
        ours.commit_files([placed], [])
    entry = replace(state.partitions[name], rows=4, version="run-1", stamp=placed.stamp)
    ours.save(replace(state, partitions={**state.partitions, name: entry}))


def test_only_row_groups_that_may_hold_a_new_key_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = StagedTable(str(tmp_path / "lake"))
    staged.stage([Row(f"{number:02}", number // 10, 1) for number in range(30)])
    staged.compact()
    opened = readings(monkeypatch)
    staged.stage([Row("25", C, 2), Row("30", C, 2)])
    staged.compact()
    assert opened == {folder(C): 1}
    staged.stage([Row("05", C, 2)])
    staged.compact()
    assert opened == {folder(C): 1, folder(A): 2}  # in its own month the bounds tell: nothing is read
    assert len(staged.rows()) == 31


def readings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts of the row groups that are read to look keys up, by their month's folder."""
    found: dict[str, int] = {}

    class Counting(pq.ParquetFile):  # type: ignore[misc]
        def __init__(self, source: Path) -> None:
            super().__init__(source, page_checksum_verification=True)
            self.of = source.parent.name if "data" in source.parts else ""

        def read_row_group(self, group: int, **options: Any) -> Any:
            found[self.of] = found.get(self.of, 0) + 1
            return super().read_row_group(group, **options)

    monkeypatch.setattr(column_reader, "open_parquet", Counting)
    return found


def test_a_damaged_file_that_a_key_is_looked_up_in_is_named_with_its_cure(tmp_path: Path) -> None:
    staged = StagedTable(str(tmp_path / "lake"))
    staged.stage([Row("1", A, 1), Row("2", B, 1)])
    staged.compact()
    path = next(Path(staged.url).glob(f"data/*/*/{folder(A)}/data.parquet"))
    path.write_bytes(b"PAR1 nothing PAR1")
    staged.stage([Row("3", B, 1)])
    with pytest.raises(LakeError, match=r"contacts.*2026-01.*Run again: the whole table is read"):
        staged.compact()
    staged.stage([Row("1", A, 2), Row("2", B, 2), Row("3", B, 2)], whole=True)
    staged.compact()
    assert sorted(row.id for row in staged.rows()) == ["1", "2", "3"]


def test_a_damaged_part_is_taken_out_by_the_look_up_too(tmp_path: Path) -> None:
    staged = StagedTable(str(tmp_path / "lake"))
    staged.stage([Row("1", A, 1), Row("2", B, 1)])
    part = next(Path(staged.url).glob("_staging/**/*.parquet"))
    part.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(LakeError, match="were damaged: 1"):
        staged.compact()
    assert not part.exists()
