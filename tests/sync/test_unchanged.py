"""Runs that leave out what the lake has: nothing is staged for it, and nothing is believed of files that are others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import DamagedFileError, LakeError
from intercom.lake.layout import TablePaths
from intercom.lake.storage import Lake
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Record
from intercom.sync import commit, ingest
from intercom.sync.unchanged import UnchangedRows
from tests.support.rig import CONNECTION, Rig, in_both_formats

MERGED = ("contacts", "companies", "conversations", "articles")
HOUR = 3_600


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=30, companies=12, conversations=12, articles=8, history_days=32)


def content(rig: Rig) -> dict[str, tuple[int, bytes]]:
    """Each published file: when it was written, and what is in it."""
    files = Path(rig.lake_url, "data").rglob("*.parquet")
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def later(rig: Rig) -> None:
    """Beyond the lookback, so that what is lost once stays lost."""
    rig.workspace.travel(2 * HOUR)


def record(rig: Rig, table: str) -> Path:
    return rig.lake_folder / TablePaths(CONNECTION, table).state


@in_both_formats
def test_an_idle_run_stages_nothing_and_touches_no_file(rig: Rig) -> None:
    rig.load(MERGED)
    before = content(rig)
    staged: list[str] = []
    lake = rig.lake()
    publish = lake.publish

    def watched(written: Path, path: str, **options: object) -> object:
        staged.append(path)
        return publish(written, path, **options)  # type: ignore[arg-type]

    lake.publish = watched  # type: ignore[method-assign, assignment]
    later(rig)
    results = rig.sync(MERGED, lake=lake)
    assert staged == []
    assert content(rig) == before
    for table in MERGED:
        ingested, compacted = results[table]
        assert ingested.unchanged == ingested.rows > 0
        assert compacted.rows == len(rig.workspace.rows(table))
    rig.check(MERGED)


def test_only_rows_that_differ_are_staged(rig: Rig) -> None:
    rig.load(MERGED)
    later(rig)
    for table in MERGED:
        rig.workspace.update(table, rig.workspace.rows(table)[3]["id"], updated_at=rig.workspace.now())
    results = rig.sync(MERGED)
    assert [results[table][0].rows - results[table][0].unchanged for table in MERGED] == [1, 1, 1, 1]
    assert [results[table][1].changed for table in MERGED] == [1, 1, 1, 1]
    rig.check(MERGED)


def test_of_runs_whose_rows_wait_only_the_first_stages_one_part_for_all_months(rig: Rig) -> None:
    """Of each such part all rows are read to merge one month of it."""
    months = []
    for _ in range(3):
        later(rig)
        for row in rig.workspace.rows("contacts")[::4]:
            rig.workspace.update("contacts", row["id"], name="changed")
        rig.sync(["contacts"], when=CompactionMode.NEVER)
        months.append([part.month for part in rig.lake_table("contacts").parts()])
    assert months[0] == [None]
    assert [parts.count(None) for parts in months] == [1, 1, 1]
    assert len(months[2]) > len(months[1]) > 2
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_rows_are_known_while_they_wait_to_be_merged(rig: Rig) -> None:
    rig.sync(MERGED, when=CompactionMode.NEVER)
    rig.workspace.update("companies", rig.workspace.rows("companies")[3]["id"], name="changed")
    ingested, _ = rig.sync(MERGED, when=CompactionMode.NEVER)["companies"]
    assert ingested.rows - ingested.unchanged == 1
    rig.sync(MERGED)
    rig.check(MERGED)


@pytest.mark.parametrize("table", ["companies", "contacts"])
def test_an_old_file_of_the_same_size_and_time_put_back_is_noticed(rig: Rig, table: str) -> None:
    """What the disk says of it is made the same in the table's record: two files of one size are hard to make."""
    rig.load([table])
    row = rig.workspace.rows(table)[0]
    files = {path: path.read_bytes() for path in Path(rig.lake_url, "data").rglob("*.parquet")}
    later(rig)
    rig.workspace.update(table, row["id"], name="changed")
    rig.sync([table])
    (changed,) = [path for path, old in files.items() if path.read_bytes() != old]
    changed.write_bytes(files[changed])
    found = changed.stat()
    state = json.loads(record(rig, table).read_text())
    state["partitions"][changed.parent.name.partition("=")[2]]["stamp"] = f"{found.st_size}:{found.st_mtime_ns}"
    state.pop("checksum")  # as a version wrote it that had none
    record(rig, table).write_text(json.dumps(state))
    with pytest.raises(DamagedFileError, match="its footer is not the one that was written"):
        rig.sync([table])
    rig.sync([table])
    rig.check([table])


def test_a_month_restored_from_a_backup_is_made_right(rig: Rig) -> None:
    rig.load(["companies"])
    files = {path: path.read_bytes() for path in Path(rig.lake_url, "data").rglob("*.parquet")}
    rig.workspace.update("companies", rig.workspace.rows("companies")[0]["id"], name="changed")
    rig.sync(["companies"])
    for path, old in files.items():
        path.write_bytes(old)
        os.utime(path)
    rig.sync(["companies"])
    rig.sync(["companies"])
    rig.check(["companies"])


def test_rows_of_other_rules_are_staged_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.sync(["companies"])
    for module in (ingest, commit):
        monkeypatch.setattr(module, "rules", lambda: "others")
    assert rig.sync(["companies"])["companies"][0].unchanged == 0
    assert rig.sync(["companies"])["companies"][0].unchanged == 12
    rig.check(["companies"])


@pytest.mark.parametrize("sure", [True, False], ids=["rows are sure", "every row came in two versions"])
def test_a_row_that_comes_back_unchanged_after_it_was_removed_is_there_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, sure: bool
) -> None:
    rig.sync(["companies"])
    key = rig.workspace.rows("companies")[0]["id"]
    record = rig.workspace.tables["companies"][key]
    rig.workspace.delete("companies", key)
    with monkeypatch.context() as patch:
        if not sure:
            patch.setattr(UnchangedRows, "for_the_next", lambda _: {})
        rig.sync(["companies"], full_refresh=True)
    rig.check(["companies"])
    rig.workspace.tables["companies"].put(record)  # to the byte
    rig.sync(["companies"])
    rig.check(["companies"])


@pytest.mark.parametrize("options", [{"full_refresh": True}, {"history_from": 0, "until": 1 << 33}])
def test_reads_that_prove_the_lake_stage_every_row(rig: Rig, options: dict[str, int]) -> None:
    rig.load(MERGED)
    results = rig.sync(MERGED, **options)
    assert [results[table][0].unchanged for table in MERGED] == [0, 0, 0, 0]
    rig.check(MERGED)


def test_a_repair_stages_every_row(rig: Rig) -> None:
    rig.load(["companies"])
    next(Path(rig.lake_url, "data").rglob("*.parquet")).unlink()
    ingested, _ = rig.sync(["companies"])["companies"]
    assert ingested.unchanged == 0
    rig.check(["companies"])


class Dying(Lake):
    """Ends a run at its first write of a table's record."""

    def create_json(self, path: str, record: object) -> bool:
        raise LakeError(f"no record {path}")


def test_digests_that_no_record_names_are_not_believed(rig: Rig) -> None:
    """A run that dies between its digests and its record has staged rows that the next run knows nothing of."""
    rig.load(["companies"])
    rig.workspace.update("companies", rig.workspace.rows("companies")[0]["id"], name="changed")
    with pytest.raises(LakeError, match="no record"):
        rig.sync(["companies"], lake=Dying(rig.lake_url))
    ingested, _ = rig.sync(["companies"])["companies"]
    assert ingested.unchanged == 0
    rig.check(["companies"])


def test_a_record_that_an_older_version_has_saved_names_no_digests(rig: Rig) -> None:
    rig.load(["companies"])
    state = json.loads(record(rig, "companies").read_text())
    del state["digests"]
    state.pop("checksum")  # as a version wrote it that had none
    record(rig, "companies").write_text(json.dumps(state))
    assert rig.sync(["companies"])["companies"][0].unchanged == 0
    rig.check(["companies"])


def test_a_record_that_fails_on_its_way_to_a_row_is_told_by_every_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails behind the place where known rows are left out."""
    rig.workspace.create("companies", name="fails")
    batch_pages = Normaliser.batch_pages

    def failing(normaliser: Normaliser, pages: Sequence[tuple[Sequence[Record], str]]) -> pa.RecordBatch:
        if any(bytes(record["name"]) == b'"fails"' for records, _ in pages for record in records):
            raise RuntimeError
        return batch_pages(normaliser, pages)

    monkeypatch.setattr(Normaliser, "batch_pages", failing)
    notes = [rig.sync(["companies"])["companies"][0].notes for _ in range(3)]
    assert "1 record" in notes[0][0]
    assert notes[1:] == notes[:1] * 2
