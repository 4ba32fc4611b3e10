"""Watermarks, lakes and Prefect's records that are lost, old or doubled: the next run is exact."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from intercom.errors import ConfigurationError, LakeError
from intercom.lake.layout import TableFormat, TablePaths
from tests.support.effort import effort
from tests.support.rig import BY_DEFAULT, CONNECTION, MemoryWatermarks, Rig, in_both_formats

MERGED = ("contacts", "companies", "conversations", "articles")
TABLES = effort((*MERGED, "tags"), BY_DEFAULT)
"""Each way to read, and a table that is replaced; `make soak` takes the other lists, too."""

_turns = count()


def change(rig: Rig) -> None:
    """Changes beyond the lookback, other rows each time: what is not read because of a watermark stays lost."""
    rig.workspace.travel(7200)
    for table in MERGED:
        field = "title" if table in ("conversations", "articles") else "name"
        for row in rig.workspace.rows(table)[next(_turns) % 7 :: 7]:
            rig.workspace.update(table, row["id"], **{field: "changed"})
        rig.workspace.create(table)
    rig.workspace.travel(1)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Each table has few rows in two or three months: what takes time is the number of files."""
    return make_rig(contacts=60, companies=20, conversations=30, articles=12, history_days=32)


@pytest.fixture(scope="module")
def first_loads() -> dict[TableFormat, tuple[Path, MemoryWatermarks]]:
    """By format, a lake after its first run, and its watermarks; both are to be copied."""
    return {}


@pytest.fixture
def loaded(
    rig: Rig,
    table_format: TableFormat,
    first_loads: dict[TableFormat, tuple[Path, MemoryWatermarks]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Rig:
    """After a first run, with changes to come. The run is the first test's: the workspaces of all are the same."""
    if table_format in first_loads:
        lake, watermarks = first_loads[table_format]
        shutil.copytree(lake, rig.lake_url)
        rig.store = MemoryWatermarks(watermarks.kept)
    else:
        rig.sync(TABLES)
        lake = tmp_path_factory.mktemp("loaded") / "lake"
        first_loads[table_format] = Path(shutil.copytree(rig.lake_url, lake)), MemoryWatermarks(rig.store.kept)
    change(rig)
    return rig


def test_a_deleted_lake_is_filled_again_in_whole(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_url)
    loaded.sync(TABLES)
    loaded.check(TABLES)


@in_both_formats
def test_a_deleted_table_folder_is_filled_again_in_whole(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_folder / "data" / CONNECTION / "contacts")
    results = loaded.sync(TABLES)
    loaded.check(TABLES)
    assert "gone" in results["contacts"][0].reason
    assert results["conversations"][0].reason == "incremental"


def test_a_single_deleted_partition_is_noticed(loaded: Rig) -> None:
    folder = sorted((loaded.lake_folder / "data" / CONNECTION / "contacts").iterdir())[0]
    shutil.rmtree(folder)
    results = loaded.sync(["contacts"])
    loaded.check(["contacts"])
    assert folder.name.split("=")[1] in results["contacts"][0].reason


@in_both_formats
def test_a_partition_from_an_older_backup_is_noticed(loaded: Rig, tmp_path: Path) -> None:
    folder = loaded.lake_folder / "data" / CONNECTION / "contacts"
    shutil.copytree(folder, tmp_path / "backup")
    loaded.sync(TABLES)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    results = loaded.sync(["contacts"])
    loaded.check(["contacts"])
    assert "not as we left" in results["contacts"][0].reason


def test_a_lost_watermark_block_is_replaced_by_the_lakes_own(loaded: Rig) -> None:
    loaded.store.kept.clear()
    results = loaded.sync(TABLES)
    loaded.check(TABLES)
    assert {results[table][0].reason for table in MERGED} == {"incremental"}


@in_both_formats
def test_a_lost_record_in_the_lake_means_reading_everything(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_folder / "_state" / CONNECTION)
    results = loaded.sync(TABLES)
    loaded.check(TABLES)
    assert {results[table][0].watermark_before for table in MERGED} == {None}


def test_a_damaged_record_in_the_lake_means_reading_everything(loaded: Rig) -> None:
    for table in MERGED:
        (loaded.lake_folder / TablePaths(CONNECTION, table).state).write_text('{"format": 1, "rows"')
    loaded.sync(TABLES)
    loaded.check(TABLES)


def test_a_lost_lake_identity_means_reading_everything(loaded: Rig) -> None:
    (loaded.lake_folder / "_state" / "lake.json").unlink()
    results = loaded.sync(TABLES)
    loaded.check(TABLES)
    assert results["contacts"][0].watermark_before is None


def test_a_damaged_lake_identity_is_told_with_its_cure(loaded: Rig) -> None:
    (loaded.lake_folder / "_state" / "lake.json").write_text("{")
    with pytest.raises(LakeError, match="delete it"):
        loaded.sync(TABLES)


@in_both_formats
def test_a_lake_restored_from_an_older_copy_is_made_whole(loaded: Rig, tmp_path: Path) -> None:
    shutil.copytree(loaded.lake_url, tmp_path / "backup")
    loaded.sync(TABLES)
    change(loaded)
    loaded.sync(TABLES)
    shutil.rmtree(loaded.lake_url)
    shutil.copytree(tmp_path / "backup", loaded.lake_url)
    loaded.sync(TABLES)
    loaded.check(TABLES)


def test_watermark_blocks_restored_from_an_older_copy_only_cost_time(loaded: Rig) -> None:
    older = copy.copy(loaded.store.kept)
    loaded.sync(TABLES)
    change(loaded)
    loaded.sync(TABLES)
    change(loaded)
    loaded.store.kept = older
    loaded.sync(TABLES)
    loaded.check(TABLES)


@in_both_formats
def test_a_copied_lake_and_its_original_both_stay_exact(loaded: Rig, tmp_path: Path) -> None:
    """Both have one identity and share the watermark outside; each one's own record keeps it right."""
    twin = Rig(loaded.server, str(tmp_path / "twin"), store=loaded.store, table_format=loaded.table_format)
    shutil.copytree(loaded.lake_url, twin.lake_url)
    for rig in (loaded, twin, loaded):
        change(rig)
        rig.sync(TABLES)
        rig.check(TABLES)


def test_two_lakes_of_one_connection_do_not_disturb_each_other(loaded: Rig, tmp_path: Path) -> None:
    other = Rig(loaded.server, str(tmp_path / "other"), store=loaded.store)
    for rig in (other, loaded, other):
        change(rig)
        rig.sync(TABLES)
        rig.check(TABLES)


def test_staged_rows_of_a_committed_run_that_are_lost_mean_reading_everything(loaded: Rig) -> None:
    state_file = loaded.lake_folder / TablePaths(CONNECTION, "contacts").state
    record = json.loads(state_file.read_text())
    record["staged"] = [{"run_id": "lost", "parts": 2, "replaces": False}]
    record.pop("checksum")  # as a version wrote it that had none
    state_file.write_text(json.dumps(record))
    results = loaded.sync(["contacts"])
    loaded.check(["contacts"])
    assert "staged rows" in results["contacts"][0].reason


def test_a_changed_declaration_writes_the_table_anew(loaded: Rig) -> None:
    state_file = loaded.lake_folder / TablePaths(CONNECTION, "contacts").state
    record = json.loads(state_file.read_text())
    record["fingerprint"] = "another"
    record.pop("checksum")  # as a version wrote it that had none
    state_file.write_text(json.dumps(record))
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_a_token_of_another_workspace_is_refused(loaded: Rig) -> None:
    before = {path: (loaded.lake_folder / path).read_bytes() for path in loaded.lake().list("")}
    loaded.workspace.options.app_id = "another1"
    with pytest.raises(ConfigurationError, match="another1"):
        loaded.sync(["contacts"])
    assert {path: (loaded.lake_folder / path).read_bytes() for path in loaded.lake().list("")} == before


def test_a_clock_that_was_set_back_does_not_let_older_rows_win(rig: Rig) -> None:
    rig.sync(["contacts"], started_at=datetime(2099, 1, 1, tzinfo=UTC))
    newest = max(rig.workspace.rows("contacts"), key=lambda row: row["updated_at"])
    rig.workspace.update("contacts", newest["id"], touch=False, name="later, with the same cursor value")
    rig.sync(["contacts"])
    rig.check(["contacts"])


@in_both_formats
def test_rows_of_a_clock_that_was_ahead_do_not_win_when_the_record_that_tells_it_is_lost(rig: Rig) -> None:
    """Tables that are read whole, and children, go by the time of reading alone."""
    tables = ("companies", "conversations", "conversation_parts")
    rig.sync(tables, started_at=datetime(2099, 1, 1, tzinfo=UTC))
    rig.workspace.travel(7200)
    for table in ("companies", "conversation_parts"):
        for record in list(rig.workspace.tables[table])[::3]:
            rig.workspace.update(table, record.key, changed_by_test=True)
    shutil.rmtree(rig.lake_folder / "_state")
    rig.sync(tables)
    rig.check(tables)


def test_a_backfill_does_not_hide_that_rows_are_gone(loaded: Rig) -> None:
    shutil.rmtree(loaded.lake_folder / "data" / CONNECTION / "contacts")
    now = loaded.workspace.now()
    loaded.sync(["contacts"], history_from=now - 86_400, until=now)
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_a_fresh_prefect_database_elsewhere_goes_on_from_the_lake(loaded: Rig) -> None:
    elsewhere = Rig(loaded.server, loaded.lake_url, store=MemoryWatermarks())
    results = elsewhere.sync(TABLES)
    elsewhere.check(TABLES)
    assert results["contacts"][0].reason == "incremental"


@pytest.mark.parametrize("short", [False, True])
def test_no_watermark_moves_back_by_a_backfill_or_a_short_read_after_prefect_was_restored(
    loaded: Rig, short: bool
) -> None:
    older = copy.copy(loaded.store.kept)
    change(loaded)
    loaded.sync(["contacts"])
    record = loaded.lake_table("contacts").state()
    assert record is not None
    loaded.store.kept = older
    now = loaded.workspace.now()
    if short:
        loaded.serve_short(20)
        ingested, _ = loaded.sync(["contacts"])["contacts"]
        assert not ingested.complete
        loaded.server.clear_faults()
    else:
        loaded.sync(["contacts"], history_from=now - 86_400, until=now)
    after = loaded.lake_table("contacts").state()
    assert after is not None
    assert after.watermark == record.watermark
    (block,) = [mark.value for (_, table, _), mark in loaded.store.kept.items() if table == "contacts"]
    assert block == record.watermark
    loaded.sync(["contacts"])
    loaded.check(["contacts"])
