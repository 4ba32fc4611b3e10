"""The local half has nothing to say of lakes that are right: of each kind, half merged, after crashes, in a sync."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.lake.contents import tables_in
from intercom.lake.local_store import LocalStore
from intercom.lake.storage import Lake
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from intercom.verify import table_files
from intercom.verify.findings import Kind, TableProof
from intercom.verify.published_file import FileReading, read_published
from intercom.verify.tables import strangers, verify_table
from tests.conftest import BUCKET
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import CONNECTION, Rig, in_both_formats

SIZES = {"contacts": 20, "companies": 6, "conversations": 10, "articles": 4, "history_days": 32}
OF_ALL_KINDS = (
    "contacts", "companies", "conversations", "tags", "data_attributes", "activity_logs", "contact_tags",
    "conversation_parts", "contact_segments",
)  # fmt: skip
NOTHING = "the lake has nothing of it"
"""Of files of a Delta table before its first commit, which no reader sees."""
BEFORE = Path(__file__).parents[1] / "sync" / "lakes" / "before" / "lake"


def proofs(lake: Lake) -> dict[str, TableProof]:
    return {name: verify_table(lake, CONNECTION, name) for name in tables_in(lake, CONNECTION)}


def assert_sound(lake: Lake) -> dict[str, TableProof]:
    found = proofs(lake)
    assert [one.line for proof in found.values() for one in proof.differences] == []
    assert [proof.table for proof in found.values() if not proof.proven and proof.skipped != NOTHING] == []
    assert strangers(lake, CONNECTION) == []
    return found


def change(rig: Rig) -> None:
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts")[::4]:
        rig.workspace.update("contacts", row["id"], name="changed")
    rig.workspace.create("contacts")
    rig.workspace.delete("contacts", rig.workspace.rows("contacts")[1]["id"])
    rig.workspace.travel(7200)


@in_both_formats
def test_tables_of_every_kind_are_proven_after_each_run(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**SIZES, conversation_parts=20, activity_logs=6, contact_segments=9)
    rig.load(OF_ALL_KINDS)
    found = assert_sound(rig.lake())
    assert {name: proof.rows for name, proof in found.items()} == {
        name: rig.rows(name).num_rows for name in OF_ALL_KINDS
    }
    assert all(proof.rows and proof.bytes and not proof.notes for proof in found.values())
    change(rig)
    rig.sync(OF_ALL_KINDS, full_refresh=True)
    assert_sound(rig.lake())


def test_children_that_wait_to_be_merged_are_no_difference(make_rig: Callable[..., Rig]) -> None:
    """Their parts have marks, and those of a full refresh also children that were taken over from the lake."""
    rig, tables = make_rig(**SIZES, conversation_parts=12), ("conversations", "conversation_parts")
    rig.load(tables)
    rig.workspace.travel(7200)
    settings: list[dict[str, Any]] = [{}, {"full_refresh": True}]
    for options in settings:
        for row in rig.workspace.rows("conversations"):
            rig.workspace.update("conversations", row["id"], title="changed")
        rig.workspace.travel(7200)
        rig.sync(tables, when=CompactionMode.NEVER, **options)
        assert_sound(rig.lake())
        state = rig.lake_table("conversation_parts").state()
        assert state is not None
        assert any(run.rows for run in state.staged)


def test_rows_that_wait_to_be_merged_are_read_and_told(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**SIZES)
    rig.load(["contacts"])
    change(rig)
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    (proof,) = assert_sound(rig.lake()).values()
    assert any("staged rows wait" in note for note in proof.notes)
    part = next(iter(rig.lake().list("_staging")))
    content = bytearray((rig.lake_folder / part).read_bytes())
    content[200] ^= 1
    (rig.lake_folder / part).write_bytes(content)
    assert [one.kind for one in proofs(rig.lake())["contacts"].differences] == [Kind.STAGED]
    (rig.lake_folder / part).unlink()
    assert [one.kind for one in proofs(rig.lake())["contacts"].differences] == [Kind.STAGED]


@in_both_formats
def test_a_lake_whose_deleted_rows_are_marked_is_proven_with_what_is_derived_of_them(
    make_rig: Callable[..., Rig],
) -> None:
    tables = ("contacts", "contact_tags", "tags")
    rig = make_rig(**SIZES)
    rig.load(tables)
    rig.options["deleted"] = "mark"
    for refreshed in (False, True, False):  # the first rewrites what is there with the column, the last finds nothing
        rig.sync(tables, full_refresh=refreshed)
        change(rig)
        assert_sound(rig.lake())
    state = rig.lake_table("contacts").state()
    assert state is not None
    assert state.rows > state.alive


def test_a_lake_of_an_earlier_version_is_proven_but_for_digests(tmp_path: Path) -> None:
    shutil.copytree(BEFORE, tmp_path / "lake", copy_function=shutil.copyfile)
    found = assert_sound(Lake(str(tmp_path / "lake")))
    assert all(any("no digest yet" in note for note in proof.notes) for proof in found.values())


@in_both_formats
def test_what_a_run_that_died_has_left_is_no_difference(make_rig: Callable[..., Rig], tmp_path: Path) -> None:
    """A first load, and a full refresh after changes: dead at each few steps, with derived tables."""
    tables, sizes = ("contacts", "contact_tags", "tags"), {**SIZES, "companies": 0, "conversations": 0, "tags": 2}
    stride = effort(13, 1)
    for refreshed in (False, True):
        burns_at, number = random.randint(1, stride), 0
        while True:
            number += 1
            rig = make_rig(**sizes, lake=str(tmp_path / f"{refreshed}-{number}"))
            if refreshed:
                rig.load(tables)
                change(rig)
            if not dies(rig, tables, burns_at, full_refresh=refreshed):
                break
            assert_sound(rig.lake())
            burns_at += stride
        assert number > 2


def dies(rig: Rig, tables: tuple[str, ...], burns_at: int, **options: Any) -> bool:
    fuse, plain = Fuse(burns_at), rig.store
    rig.store = FusedWatermarks(plain, fuse)
    try:
        with fused_commits(fuse):
            rig.sync(tables, lake=FusedLake(rig.lake_url, fuse), **options)
    except Killed:
        return True
    finally:
        rig.store = plain
    return False


@in_both_formats
def test_a_sync_meanwhile_gives_no_false_alarm(make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves a row to another month while the files are read, and replaces files between listing and reading."""
    rig = make_rig(**SIZES)
    rig.sync(["contacts"])
    runs = []

    def read_while_a_run_ends(table: Table, path: Path, month: str, wanted: Any) -> FileReading:
        if len(runs) < 2:
            change(rig)
            runs.append(rig.sync(["contacts"]))
        return read_published(table, path, month, wanted)

    monkeypatch.setattr(table_files, "read_published", read_while_a_run_ends)
    assert_sound(rig.lake())
    assert len(runs) == 2


def test_a_table_that_never_rests_is_not_proven_and_has_no_difference(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(**SIZES)
    rig.sync(["contacts"])

    def read_changed(table: Table, path: Path, month: str, wanted: Any) -> FileReading:
        rig.lake_table("contacts").note_damage(f"{len(noted):04d}-01")
        noted.append(month)
        return replace(read_published(table, path, month, wanted), rows=0)

    noted: list[str] = []
    monkeypatch.setattr(table_files, "read_published", read_changed)
    proof = proofs(rig.lake())["contacts"]
    assert not proof.proven
    assert proof.differences == ()
    assert "changed the table each of the 5 times" in str(proof.failure)


def test_nothing_is_written_and_no_lock_is_taken(make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_rig(**SIZES)
    rig.sync(["contacts", "contact_tags", "tags"])
    before = rig.lake().stamps("")

    def refused(*given: Any) -> Any:
        raise AssertionError("a verification writes nothing")

    for step in ("put", "create", "delete"):
        monkeypatch.setattr(LocalStore, step, refused)
    assert_sound(rig.lake())
    assert rig.lake().stamps("") == before


def test_a_lake_on_s3_is_read_without_a_write(make_rig: Callable[..., Rig], s3_storage: dict[str, Any]) -> None:
    rig = replace(make_rig(**SIZES, lake=f"s3://{BUCKET}/lake"), storage=s3_storage)
    rig.load(["contacts", "tags"])
    before = rig.lake().stamps("")
    assert_sound(rig.lake())
    assert rig.lake().stamps("") == before


def test_what_is_no_tables_is_a_stranger_and_a_table_without_anything_is_told(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**SIZES)
    rig.load(["tags"])
    (rig.lake_folder / "data" / CONNECTION / "contact").mkdir()
    assert [(one.kind, one.where) for one in strangers(rig.lake(), CONNECTION)] == [
        (Kind.STRANGER, f"data/{CONNECTION}/contact")
    ]
    proof = verify_table(rig.lake(), CONNECTION, "teams")
    assert proof.skipped == NOTHING
    assert set(tables_in(rig.lake(), CONNECTION)) == {"tags"} <= TABLES.keys()
