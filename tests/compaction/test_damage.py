"""Published files that are not as they were written, and files that should not be there: told, and then put right."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from intercom.compaction.policy import CompactionMode
from intercom.errors import DamagedFileError, LakeError
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from tests.support.declarations import EARLIER, declared
from tests.support.fuses import Killed
from tests.support.parquet import damaged
from tests.support.rig import CONNECTION, Rig, in_both_formats

PATHS = TablePaths(CONNECTION, "contacts")


NOTHING = {"contacts": 0, "companies": 0, "conversations": 0, "articles": 0, "tags": 0, "segments": 0}
OF_TWO_MONTHS = {**NOTHING, "contacts": 120, "history_days": 32}


@pytest.fixture
def loaded(make_rig: Callable[..., Rig]) -> Rig:
    """Contacts of two or three months."""
    rig = make_rig(**OF_TWO_MONTHS)
    rig.load(["contacts"])
    rig.workspace.travel(4 * 86_400)
    return rig


@pytest.fixture
def tagged(make_rig: Callable[..., Rig]) -> Rig:
    """Tags, in one file."""
    rig = make_rig(**{**NOTHING, "tags": 100})
    rig.load(["tags"])
    return rig


def files(rig: Rig, table: str = "contacts") -> list[Path]:
    """Its published files, oldest month first."""
    folder = rig.lake_folder / TablePaths(CONNECTION, table).data
    return sorted(path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts)


def month_of(path: Path) -> str:
    return path.parent.name.partition("=")[2]


def of_month(rig: Rig, month: str) -> list[Any]:
    rows = rig.workspace.rows("contacts")
    return [row for row in rows if datetime.fromtimestamp(row["created_at"], UTC).strftime("%Y-%m") == month]


def spoil(path: Path, how: str) -> None:
    """Damage a file as a disk does: its time stays, and unless it is cut its size."""
    content, times = path.read_bytes(), path.stat()
    match how:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "footer":
            size = int.from_bytes(content[-8:-4], "little")
            begin = len(content) - 8 - size
            path.write_bytes(content[:begin] + b"\xff" * 20 + content[begin + 20 :])
        case "letter":  # of a footer that can still be read
            begin = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
            footer = content[begin:].replace(b"intercom_lake.version", b"intercom_lake.versiom", 1)
            path.write_bytes(content[:begin] + footer)
        case column:
            damaged(path, path, column)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


# -- damage that the disk does not tell of --------------------------------------------------------------------------


@in_both_formats
@pytest.mark.parametrize("how", ["id", "custom_attributes", "footer", "letter"])
def test_a_damaged_file_is_named_and_the_next_run_writes_it_anew(loaded: Rig, how: str) -> None:
    path = files(loaded)[0]
    spoil(path, how)
    before = path.read_bytes()
    loaded.workspace.update("contacts", of_month(loaded, month_of(path))[0]["id"], name="newer")
    with pytest.raises(DamagedFileError, match="Run again: the whole table is read") as error:
        loaded.sync(["contacts"])
    for told in ("contacts: ", f"{path.relative_to(loaded.lake_folder)} ", f"{CONNECTION!r}"):
        assert told in str(error.value)
    assert path.read_bytes() == before
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert ingested.reason == f"1 published file is damaged ({month_of(path)})"
    loaded.check(["contacts"])
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"


@in_both_formats
@pytest.mark.parametrize("how", ["cut", "empty"])
def test_a_file_that_was_cut_short_is_written_anew_at_once(loaded: Rig, how: str) -> None:
    spoil(files(loaded)[0], how)
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert month_of(files(loaded)[0]) in ingested.reason
    loaded.check(["contacts"])
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"


@in_both_formats
@pytest.mark.parametrize("how", ["name", "footer"])
def test_a_full_refresh_leaves_a_damaged_file_out(loaded: Rig, how: str) -> None:
    for path in files(loaded):
        spoil(path, how)
    loaded.sync(["contacts"], full_refresh=True)
    loaded.check(["contacts"])


@in_both_formats
@pytest.mark.parametrize("how", ["id", "footer"])
def test_a_damaged_replace_table_is_written_anew(tagged: Rig, how: str) -> None:
    (path,) = files(tagged, "tags")
    spoil(path, how)
    tagged.sync(["tags"])
    tagged.check(["tags"])


def test_a_table_with_a_start_date_is_put_right_as_well(make_rig: Callable[..., Rig]) -> None:
    """What is read again is not all that Intercom has, but all that the table is to have."""
    rig = make_rig(**OF_TWO_MONTHS)
    start = rig.workspace.rows("contacts")[0]["created_at"] - 5 * 365 * 86_400
    rig.sync(["contacts"], history_from=start)
    path = files(rig)[0]
    spoil(path, "name")
    rig.workspace.travel(4 * 86_400)
    rig.workspace.update("contacts", of_month(rig, month_of(path))[0]["id"], name="newer")
    with pytest.raises(DamagedFileError):
        rig.sync(["contacts"], history_from=start)
    rig.sync(["contacts"], history_from=start)
    rig.check(["contacts"])
    assert rig.sync(["contacts"], history_from=start)["contacts"][0].reason == "incremental"


def test_damage_stays_known_until_a_run_has_read_everything(loaded: Rig) -> None:
    path = files(loaded)[0]
    spoil(path, "name")
    loaded.workspace.update("contacts", of_month(loaded, month_of(path))[0]["id"], name="newer")
    with pytest.raises(DamagedFileError):
        loaded.sync(["contacts"])
    loaded.serve_short(times=99)
    with pytest.raises(DamagedFileError):
        loaded.sync(["contacts"])
    loaded.server.clear_faults()
    assert "damaged" in loaded.sync(["contacts"])["contacts"][0].reason
    loaded.check(["contacts"])


def test_a_row_that_moved_out_of_a_damaged_month_is_not_lost_with_it(loaded: Rig) -> None:
    """The stored version is the newer one, by what the index says now, and its file goes."""
    path = files(loaded)[0]
    moved, other = of_month(loaded, month_of(path))[:2]
    later = of_month(loaded, month_of(files(loaded)[-1]))[0]["created_at"]
    updated = moved["updated_at"] - 60
    loaded.workspace.update("contacts", moved["id"], touch=False, created_at=later, updated_at=updated)
    spoil(path, "name")
    loaded.workspace.update("contacts", other["id"], name="newer")
    with pytest.raises(DamagedFileError):
        loaded.sync(["contacts"])
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_a_damaged_file_whose_columns_change_is_named_and_the_next_run_writes_it_anew(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(**OF_TWO_MONTHS)
    with declared(contacts=EARLIER["fewer columns"]):
        rig.sync(["contacts"])
    path = files(rig)[0]
    spoil(path, "name")
    with pytest.raises(DamagedFileError, match=str(path.relative_to(rig.lake_folder))):
        rig.sync(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])
    assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"


def test_a_damaged_part_is_read_again(loaded: Rig) -> None:
    """Its size and its footer are as they were."""
    for row in of_month(loaded, month_of(files(loaded)[0])):
        loaded.workspace.update("contacts", row["id"], name=f"newer {row['id']}")
    loaded.sync(["contacts"], when=CompactionMode.NEVER)
    part = next(path for path in loaded.lake().list("_staging") if path.endswith(".parquet"))
    spoil(loaded.lake_folder / part, "name")
    with pytest.raises(LakeError, match="staged files were damaged: 1"):
        loaded.sync(["contacts"])
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DamagedFileError("damaged", "2026-01")))
    assert (str(error), error.month) == ("damaged", "2026-01")


# -- files that the record does not know ----------------------------------------------------------------------------


def remove_a_month(rig: Rig, backup: Path) -> tuple[Path, int]:
    """Full refresh a workspace that has lost all contacts of a month; gives where its file was, and its rows."""
    path = max(files(rig), key=lambda file: len(of_month(rig, month_of(file))))
    shutil.copy2(path, backup)
    lost = of_month(rig, month_of(path))
    for row in lost:
        rig.workspace.delete("contacts", row["id"])
    rig.sync(["contacts"], full_refresh=True, allow_mass_removal=True)
    rig.check(["contacts"])
    rig.workspace.travel(4 * 86_400)
    return path, len(lost)


def put_back(backup: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    shutil.copy2(backup, path)


@pytest.mark.parametrize(("again", "new_row"), [({}, False), ({}, True), ({"full_refresh": True}, False)])
def test_a_month_that_was_removed_and_lies_there_again_goes(
    loaded: Rig, tmp_path: Path, again: dict[str, Any], new_row: bool
) -> None:
    path, lost = remove_a_month(loaded, tmp_path / "backup")
    put_back(tmp_path / "backup", path)
    assert lost >= 12
    assert loaded.rows("contacts").num_rows == len(loaded.workspace.rows("contacts")) + lost
    if new_row:
        other = loaded.workspace.rows("contacts")[0]
        created = int(time.mktime(time.strptime(month_of(path), "%Y-%m"))) + 10 * 86_400
        loaded.workspace.create("contacts", created_at=created, name=other["name"])
    ingested, _ = loaded.sync(["contacts"], **again)["contacts"]
    if not again:
        assert ingested.reason == f"1 file of the table is there that no run has left there ({month_of(path)})"
    loaded.check(["contacts"])
    assert path.exists() == new_row
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"


@pytest.mark.parametrize("table_format", [TableFormat.DELTA])
def test_a_delta_table_that_was_set_back_to_a_version_with_a_removed_month_is_put_right(
    loaded: Rig, tmp_path: Path
) -> None:
    remove_a_month(loaded, tmp_path / "backup")
    DeltaTable(loaded.lake_folder / PATHS.data).restore(0)
    ingested, _ = loaded.sync(["contacts"])["contacts"]
    assert ingested.reason != "incremental"
    loaded.check(["contacts"])
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"


def test_a_read_that_stays_short_does_not_make_an_unknown_file_ours(loaded: Rig, tmp_path: Path) -> None:
    path, _ = remove_a_month(loaded, tmp_path / "backup")
    put_back(tmp_path / "backup", path)
    loaded.serve_short(times=99)
    assert not loaded.sync(["contacts"])["contacts"][0].complete
    loaded.server.clear_faults()
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_a_month_from_a_backup_brings_no_removed_rows_back(loaded: Rig, tmp_path: Path) -> None:
    """Its file is known by name and not by version: half of its rows were removed since."""
    served = loaded.workspace.rows("contacts")[0]["created_at"]  # by the short read: into that month it is merged
    month = f"{datetime.fromtimestamp(served, UTC):%Y-%m}"
    (path,) = (file for file in files(loaded) if month_of(file) == month)
    shutil.copy2(path, tmp_path / "backup")
    for row in of_month(loaded, month)[1::2]:
        loaded.workspace.delete("contacts", row["id"])
    loaded.sync(["contacts"], full_refresh=True, allow_mass_removal=True)
    loaded.workspace.travel(4 * 86_400)
    put_back(tmp_path / "backup", path)
    loaded.serve_short(times=99)
    assert not loaded.sync(["contacts"])["contacts"][0].complete
    loaded.server.clear_faults()
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_an_unknown_file_is_read_for_once_where_merging_is_put_off(loaded: Rig, tmp_path: Path) -> None:
    path, _ = remove_a_month(loaded, tmp_path / "backup")
    put_back(tmp_path / "backup", path)
    assert loaded.sync(["contacts"], when=CompactionMode.NEVER)["contacts"][0].reason != "incremental"
    assert loaded.sync(["contacts"], when=CompactionMode.NEVER)["contacts"][0].reason == "incremental"
    loaded.sync(["contacts"])
    loaded.check(["contacts"])


def test_a_new_month_of_a_run_that_died_before_its_record_is_known(make_rig: Callable[..., Rig]) -> None:
    """Also when the next one dies as well."""

    class Dying(Lake):
        def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY, **more: Any) -> FileStat:
            there = super().publish(written, path, rows=rows, over=over, **more)
            if path.startswith("data/"):
                raise Killed
            return there

    rig = make_rig(**{**OF_TWO_MONTHS, "contacts": 40})
    for _ in range(2):
        with pytest.raises(Killed):
            rig.sync(["contacts"], lake=Dying(rig.lake_url))
        rig.workspace.travel(4 * 86_400)
        rig.workspace.create("contacts")
    assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"
    rig.check(["contacts"])


@in_both_formats
def test_a_copied_lake_is_read_on(loaded: Rig, tmp_path: Path) -> None:
    shutil.copytree(loaded.lake_url, tmp_path / "copy")
    loaded.lake_url = str(tmp_path / "copy")
    loaded.workspace.create("contacts")
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"
    loaded.check(["contacts"])


def test_rows_that_intercom_has_no_more_stay_when_only_the_record_is_lost(loaded: Rig) -> None:
    """Nothing tells then which files are ours: they are merged, as ever."""
    gone = loaded.workspace.rows("contacts")[0]["id"]
    loaded.workspace.delete("contacts", gone)
    (loaded.lake_folder / PATHS.state).unlink()
    loaded.sync(["contacts"])
    assert gone in loaded.rows("contacts").column("id").to_pylist()
    assert loaded.sync(["contacts"])["contacts"][0].reason == "incremental"


# -- files of other names -------------------------------------------------------------------------------------------


def put_there(rig: Rig, table: str, name: str) -> Path:
    path = rig.lake_folder / TablePaths(CONNECTION, table).data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(files(rig, table)[0], path)
    return path


@pytest.mark.parametrize("options", [{}, {"full_refresh": True}])
def test_files_that_are_none_of_the_tables_are_told_and_left_alone(loaded: Rig, options: dict[str, Any]) -> None:
    strangers = [
        put_there(loaded, "contacts", name)
        for name in (
            "_hidden.parquet",
            "created_month=2026-01/data (1).parquet",
            "created_month=2026-13/data.parquet",
            "data.parquet",
            "export.csv",
            "old/created_month=2026-01/data.parquet",
        )
    ]
    hidden = [put_there(loaded, "contacts", name) for name in ("_SUCCESS", ".DS_Store", "_temporary/0/part")]
    ingested, _ = loaded.sync(["contacts"], **options)["contacts"]
    (note,) = ingested.notes
    assert "contacts: 6 files in the table's folder" in note
    assert str(min(strangers).relative_to(loaded.lake_folder)) in note
    assert "Move them elsewhere, or delete them" in note
    assert options or ingested.reason == "incremental"
    for path in strangers:
        path.unlink()
    assert loaded.sync(["contacts"])["contacts"][0].notes == ()
    for path in hidden:  # no reader reads these
        path.unlink()
    loaded.check(["contacts"])


def test_a_month_in_a_table_without_months_is_told_and_left_alone(tagged: Rig) -> None:
    stranger = put_there(tagged, "tags", "created_month=2026-01/data.parquet")
    (note,) = tagged.sync(["tags"])["tags"][0].notes
    assert "tags: 1 file in the table's folder" in note
    assert str(stranger.relative_to(tagged.lake_folder)) in note
    assert stranger.exists()
