"""Tables in the format delta: one commit for each compaction, and readers that never see half of one."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from intercom.compaction.compact import compact_table
from intercom.errors import ConfigurationError, LakeError
from intercom.lake.delta.files import DeltaFiles
from intercom.lake.delta.log import DeltaLog
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.table import LakeTable
from intercom.tables.catalogue import TABLES
from tests.support.declarations import CONTACTS as CONTACTS_NOW
from tests.support.declarations import EARLIER, declared
from tests.support.fuses import Killed
from tests.support.markdown import DOCS, blocks
from tests.support.rig import CONNECTION, MemoryWatermarks, Rig, in_four_months
from tests.sync.test_recovery import change

CONTACTS = TablePaths(CONNECTION, "contacts")
EIGHT_DAYS = 8 * 86_400
_BLOCKS = blocks((DOCS / "how-to" / "delta.md").read_text(encoding="utf-8"), "python")
READ = [block.text for block in _BLOCKS if "spark" not in block.text]  # its package is not installed from here


@pytest.fixture
def table_format() -> TableFormat:
    return TableFormat.DELTA


@pytest.fixture
def loaded(rig: Rig) -> Rig:
    """Contacts only, in four months, and changes to come in all of them."""
    rig.load(["contacts"])
    change(rig)
    return rig


def die(*_: object) -> None:
    raise Killed


def contacts(rig: Rig) -> DeltaTable:
    return DeltaTable(rig.lake_folder / CONTACTS.data)


def data_files(rig: Rig) -> list[Path]:
    return sorted((rig.lake_folder / CONTACTS.data).glob("created_month=*/*.parquet"))


# -- commits ------------------------------------------------------------------------------------------------------


def test_all_tables_are_exact_after_a_load_an_increment_and_a_full_refresh(rig: Rig) -> None:
    rig.sync()
    rig.check()
    change(rig)
    some = ("contacts", "companies", "articles", "tags")  # one of each way to read; `change` reaches the others too
    rig.sync(some)
    rig.check(some)
    for row in rig.workspace.rows("contacts"):
        rig.workspace.delete("contacts", row["id"])
    rig.workspace.create("contacts", created_at=None)
    rig.sync(some, full_refresh=True, allow_mass_removal=True)
    rig.check(some)
    assert [entry["created_month"] for entry in contacts(rig).partitions()] == ["unknown"]


@in_four_months
def test_a_compaction_is_one_commit_and_one_without_changes_is_none(loaded: Rig) -> None:
    assert contacts(loaded).version() == 0
    loaded.sync(["contacts"])
    assert contacts(loaded).version() == 1
    assert len(data_files(loaded)) == 2 * 4
    loaded.sync(["contacts"])
    assert contacts(loaded).version() == 1


def test_earlier_versions_stay_readable(loaded: Rig) -> None:
    before = loaded.rows("contacts")
    loaded.sync(["contacts"])
    earlier = DeltaTable(loaded.lake_folder / CONTACTS.data, version=0).to_pyarrow_table().select(before.column_names)
    assert earlier.sort_by("id").equals(before.sort_by("id"))
    assert not loaded.rows("contacts").sort_by("id").equals(before.sort_by("id"))


def test_the_log_tells_readers_which_files_they_need_not_open(loaded: Rig) -> None:
    for action in pa.table(contacts(loaded).get_add_actions(flatten=True)).to_pylist():
        rows = pl.read_parquet(loaded.lake_folder / CONTACTS.data / action["path"])
        assert action["num_records"] == rows.height
        for column in ("id", "created_at", "updated_at"):
            assert (action[f"min.{column}"], action[f"max.{column}"]) == (rows[column].min(), rows[column].max())


@pytest.mark.parametrize("block", READ)
def test_the_readme_reads_a_delta_table(loaded: Rig, block: str) -> None:
    loaded.sync(["contacts"])
    names: dict[str, Any] = {}
    exec(block.replace("lake/demo/data/demo/contacts", str(loaded.lake_folder / CONTACTS.data)), names)
    read = names["contacts"]
    ids = (read.collect() if isinstance(read, pl.LazyFrame) else read)["id"].to_list()
    assert sorted(ids) == sorted(row["id"] for row in loaded.workspace.rows("contacts"))


def test_checkpoints_keep_the_log_short(rig: Rig) -> None:
    for _ in range(11):
        rig.workspace.create("tags")
        rig.sync(["tags"])
    rig.check(["tags"])
    assert list((rig.lake_folder / TablePaths(CONNECTION, "tags").delta_log).glob("*.checkpoint.parquet"))


# -- crashes and damage -------------------------------------------------------------------------------------------


def test_a_run_that_dies_after_its_commit_is_taken_up_without_reading_all(
    loaded: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeltaFiles, "_make_durable", die)
    with pytest.raises(Killed):
        loaded.sync(["contacts"])
    monkeypatch.undo()
    assert contacts(loaded).version() == 1
    ingested, compacted = loaded.sync(["contacts"])["contacts"]
    assert (ingested.reason, compacted.files) == ("incremental", 0)
    loaded.check(["contacts"])
    assert contacts(loaded).version() == 1


def test_a_deleted_log_is_noticed(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_folder / CONTACTS.delta_log)
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert "gone" in ingested.reason
    loaded.check(["contacts"])


def test_a_deleted_file_is_noticed_and_forgotten_by_the_log(loaded: Rig) -> None:
    """Also when there is no row of that month any more: else no reader could read the table."""
    (lost,) = (path for path in data_files(loaded) if path.parent == data_files(loaded)[0].parent)
    month = lost.parent.name.split("=")[1]
    for row in loaded.workspace.rows("contacts"):
        if time.strftime("%Y-%m", time.gmtime(row["created_at"])) == month:
            loaded.workspace.delete("contacts", row["id"])
    lost.unlink()
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert month in ingested.reason
    loaded.check(["contacts"])


def test_files_that_another_program_has_rewritten_are_noticed(loaded: Rig) -> None:
    contacts(loaded).update(updates={"name": "'wrong'"})
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert "gone" in ingested.reason
    loaded.check(["contacts"])


def test_two_files_of_a_month_from_another_program_are_noticed(loaded: Rig) -> None:
    twin = data_files(loaded)[0].with_name(f"{'0' * 32}.parquet")
    shutil.copy(data_files(loaded)[0], twin)
    month = {"created_month": twin.parent.name.split("=")[1]}
    action = AddAction(f"{twin.parent.name}/{twin.name}", twin.stat().st_size, month, 0, True, "{}")
    table = contacts(loaded)
    table.create_write_transaction([action], "append", table.schema(), "created_month")
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert "gone" in ingested.reason
    loaded.check(["contacts"])


def test_a_damaged_log_is_told_with_its_cure(loaded: Rig) -> None:
    for path in (loaded.lake_folder / CONTACTS.delta_log).glob("*.json"):
        path.write_text('{"add')
    with pytest.raises(LakeError, match="delete the table's folder"):
        loaded.sync(["contacts"])
    shutil.rmtree(loaded.lake_folder / CONTACTS.data)
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


# -- other columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", ["fewer columns", "all of it"])
def test_new_columns_come_to_all_months_in_one_commit(rig: Rig, earlier: str) -> None:
    with declared(contacts=EARLIER[earlier]):
        rig.sync(["contacts"])
        rig.check(["contacts"])
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.reason == "incremental"
    rig.check(["contacts"])
    assert contacts(rig).version() == 1


@pytest.mark.parametrize("step", ["commit", "_make_durable"])
def test_a_change_of_columns_that_dies_is_finished_by_the_next_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before its commit, when a reader still sees the old columns in all months, or just after it."""
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"])
    monkeypatch.setattr(*((DeltaLog, "commit") if step == "commit" else (DeltaFiles, step)), die)
    with pytest.raises(Killed):
        rig.sync(["contacts"])
    monkeypatch.undo()
    with declared(contacts=EARLIER["all of it"] if step == "commit" else CONTACTS_NOW):
        rig.rows("contacts")
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.reason == "incremental"
    rig.check(["contacts"])
    assert contacts(rig).version() == 1


# -- the other format ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_refresh", [False, True])
@pytest.mark.parametrize("there", list(TableFormat))
def test_a_table_of_the_other_format_is_refused_before_anything_is_read(
    rig: Rig, there: TableFormat, full_refresh: bool
) -> None:
    rig.table_format = there
    rig.sync(["contacts", "tags"])
    shutil.rmtree(rig.lake_folder / "_state" / CONNECTION)  # no record is needed to tell
    shutil.rmtree(rig.lake_folder / CONTACTS.delta_log, ignore_errors=True)
    (rig.table_format,) = set(TableFormat) - {there}
    asked = len(rig.server.requests())
    for table in ("contacts", "tags"):
        with pytest.raises(ConfigurationError, match=f"--table-format {there}, or"):
            rig.sync([table], full_refresh=full_refresh)
    assert {request.path for request in rig.server.requests()[asked:]} == {"/me"}


def test_a_table_whose_folder_was_deleted_is_read_again_in_the_other_format(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_folder / "data")
    loaded.table_format = TableFormat.PARQUET
    loaded.sync(["contacts"])
    loaded.check(["contacts"])
    assert all(path.name == "data.parquet" for path in (loaded.lake_folder / "data").rglob("*.parquet"))


# -- vacuum -------------------------------------------------------------------------------------------------------


def test_files_out_of_the_table_for_a_week_are_deleted_after_the_next_commit(loaded: Rig) -> None:
    first = set(data_files(loaded))
    orphan = data_files(loaded)[0].with_name(f"{'0' * 32}.parquet")
    shutil.copy(data_files(loaded)[0], orphan)
    age(first | {orphan}, EIGHT_DAYS)
    loaded.sync(["contacts"])
    assert not orphan.exists()
    assert first <= set(data_files(loaded)), "old files, but the log has dropped them just now"
    make_removals_older(loaded, EIGHT_DAYS)
    change(loaded)
    loaded.sync(["contacts"])
    assert not first & set(data_files(loaded)) - present(loaded)
    loaded.check(["contacts"])


def test_the_tables_own_property_says_how_long_old_files_stay(loaded: Rig) -> None:
    first = set(data_files(loaded))
    contacts(loaded).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 30 days"})
    loaded.sync(["contacts"])
    age(first, EIGHT_DAYS)
    make_removals_older(loaded, EIGHT_DAYS)
    change(loaded)
    loaded.sync(["contacts"])
    assert first <= set(data_files(loaded))


def age(paths: set[Path], seconds: int) -> None:
    for path in paths:
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def make_removals_older(rig: Rig, seconds: int) -> None:
    """As if the log had been written that long ago."""
    for path in (rig.lake_folder / CONTACTS.delta_log).glob("*.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if "remove" in line:
                line["remove"]["deletionTimestamp"] -= 1000 * seconds
        path.write_text("\n".join(map(json.dumps, lines)))


def present(rig: Rig) -> set[Path]:
    actions = pa.table(contacts(rig).get_add_actions(flatten=True)).to_pylist()
    return {rig.lake_folder / CONTACTS.data / action["path"] for action in actions}


# -- readers at the same time -------------------------------------------------------------------------------------


def read_by_deltalake(folder: Path) -> pa.Table:
    return DeltaTable(folder).to_pyarrow_table(columns=["name"])


def read_by_polars(folder: Path) -> pa.Table:
    return pl.scan_delta(str(folder)).select("name").collect().to_arrow()


@in_four_months
@pytest.mark.parametrize("read", [read_by_deltalake, read_by_polars])
def test_a_reader_never_sees_months_of_two_runs(make_rig: Callable[..., Rig], read: Callable[[Path], pa.Table]) -> None:
    """Every run gives all contacts, in four months, the run's number for a name."""
    rig = make_rig(contacts=60)
    stamp_all(rig, 0)
    seen: list[set[str]] = []
    over = Event()

    def look() -> None:
        while not over.is_set():
            seen.append(set(read(rig.lake_folder / CONTACTS.data).column("name").to_pylist()))

    reader = Thread(target=look)
    reader.start()
    try:
        for number in range(1, 6):
            known = len(seen)
            stamp_all(rig, number)
            while reader.is_alive() and len(seen) == known:  # at least one read for each run
                time.sleep(0.001)
    finally:
        over.set()
        reader.join()
    assert len(seen) >= 5
    assert [names for names in seen if len(names) != 1] == []
    assert len(data_files(rig)) == 6 * 4


def stamp_all(rig: Rig, number: int) -> None:
    rig.workspace.travel(60)
    for row in rig.workspace.rows("contacts"):
        rig.workspace.update("contacts", row["id"], name=f"run {number}")
    rig.workspace.travel(1)
    rig.sync(["contacts"])


def test_compaction_alone_goes_on_with_what_is_staged(loaded: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, with a table object of its own."""
    monkeypatch.setattr("tests.support.rig.compact_table", lambda *_, **__: None)
    loaded.sync(["contacts"])
    lake_table = LakeTable(loaded.lake(), CONTACTS, table_format=TableFormat.DELTA)
    compact_table(TABLES["contacts"], lake_table, MemoryWatermarks())
    loaded.check(["contacts"])
    assert contacts(loaded).version() == 1
