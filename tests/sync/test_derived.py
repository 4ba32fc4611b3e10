"""Derived tables: made of lists in the parent's rows in the lake, whatever happens to these between two runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import LakeError
from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access
from tests.support.declarations import declared, declared_as
from tests.support.fuses import Fuse, FusedLake, Killed, fused_commits
from tests.support.rig import CONNECTION, Rig, in_both_formats, in_four_months

DERIVED = tuple(name for name, table in TABLES.items() if table.access is Access.DERIVED)
TAGGED = ("contacts", "contact_tags")
BOTH = (*TAGGED, "contact_companies")
MONTH = 31 * 86_400


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Some contacts of three months, each of which has a tag or more."""
    rig = make_rig(contacts=24, companies=6, conversations=10, articles=0)
    for number, row in enumerate(rig.workspace.rows("contacts")):
        rig.workspace.update("contacts", row["id"], touch=False, tags=tags("1", str(number % 3 + 2)))
    return rig


def tags(*ids: str, **more: Any) -> dict[str, Any]:
    data = [{"type": "tag", "id": key, "url": f"/tags/{key}"} for key in ids]
    return {"type": "list", "data": data, "url": "/x", "total_count": len(data), "has_more": False, **more}


def ids(rig: Rig) -> list[str]:
    """The contacts, oldest first."""
    return [row["id"] for row in sorted(rig.workspace.rows("contacts"), key=lambda row: row["created_at"])]


def tagged(rig: Rig, contact: str) -> set[str]:
    rows = rig.rows("contact_tags").to_pylist()
    return {row["id"] for row in rows if row["contact_id"] == contact}


def files_of(rig: Rig, table: str) -> dict[str, int]:
    return {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list(f"data/{CONNECTION}/{table}")}


@in_both_formats
def test_three_runs_follow_tags_that_are_added_and_removed_and_parents_that_come_and_go(rig: Rig) -> None:
    _, first = rig.sync(BOTH)["contact_tags"]
    rig.check(BOTH)
    assert (first.rows, first.new, first.removed) == (48, 48, 0)
    one, two, three, *_ = ids(rig)
    had = sorted(tagged(rig, one))
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", one, tags=tags(*had, "9"))
    rig.workspace.update("contacts", two, tags=tags())
    new = rig.workspace.create("contacts", tags=tags("7"))["id"]
    before = {(row["contact_id"], row["id"]): row["_ingested_at"] for row in rig.rows("contact_tags").to_pylist()}
    read, second = rig.sync(BOTH)["contact_tags"]
    rig.check(BOTH)
    assert (second.new, second.changed, second.removed) == (2, 0, 2)
    assert (read.traffic.requests, read.watermark_after, read.reason) == (0, None, "made of contacts in the lake")
    assert tagged(rig, one) == {*had, "9"}
    for row in rig.rows("contact_tags").to_pylist():
        key = row["contact_id"], row["id"]
        assert row["_ingested_at"] == before[key] if key in before else key in {(one, "9"), (new, "7")}
    rig.workspace.delete("contacts", three)
    rig.workspace.travel(1)
    _, third = rig.sync(BOTH, full_refresh=True)["contact_tags"]
    rig.check(BOTH)
    assert third.removed == 2
    assert tagged(rig, three) == set()


@in_both_formats
def test_nothing_is_written_where_the_parents_months_have_not_changed(rig: Rig) -> None:
    rig.load(BOTH)
    last = ids(rig)[-1]
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", last, name="Of the parent alone")
    before, noted = files_of(rig, "contact_tags"), rig.lake_table("contact_tags").state()
    read, made = rig.sync(BOTH)["contact_tags"]
    assert files_of(rig, "contact_tags") == before
    assert (made.files, made.new, made.changed, made.removed) == (0, 0, 0, 0)
    assert 0 < read.rows < 48  # one month was made, to find that it is the same
    read, _ = rig.sync(["contact_tags"])["contact_tags"]
    after = rig.lake_table("contact_tags").state()
    assert read.rows == 0
    assert noted
    assert after
    assert noted.derived_from != after.derived_from


@in_four_months
def test_a_parent_that_changes_its_month_takes_its_rows_along_and_no_reader_finds_them_twice(rig: Rig) -> None:
    rig.load(TAGGED)
    early, *_, late = sorted(rig.workspace.rows("contacts"), key=lambda row: row["created_at"])
    assert late["created_at"] - early["created_at"] > MONTH
    for watched in (True, False):  # there and back; two parents change places
        rig.workspace.travel(7200)
        rig.workspace.update("contacts", early["id"], created_at=late["created_at"] if watched else early["created_at"])
        rig.workspace.update("contacts", late["id"], created_at=early["created_at"] if watched else late["created_at"])
        rig.sync(["contacts"])
        seen = Watched(rig)
        rig.sync(["contact_tags"], lake=seen)
        rig.check(TAGGED)
        assert seen.looks >= 3


class Watched(FusedLake):
    """A lake of which a reader looks at the table after every step: no key may be there twice."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.lake_url, Fuse(None))
        self._rig, self.looks = rig, 0

    def publish(self, *given: Any, **more: Any) -> Any:
        there = super().publish(*given, **more)
        self._look()
        return there

    def delete(self, paths: Any) -> None:
        super().delete(list(paths))
        self._look()

    def _look(self) -> None:
        self.looks += 1
        keys = [(row["contact_id"], row["id"]) for row in self._rig.rows("contact_tags").to_pylist()]
        assert len(keys) == len(set(keys))


@in_both_formats
def test_a_run_that_dies_at_any_step_is_repaired_by_the_next(rig: Rig, table_format: TableFormat) -> None:
    rig.load(TAGGED)
    early, *_, late = sorted(rig.workspace.rows("contacts"), key=lambda row: row["created_at"])
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", early["id"], created_at=late["created_at"], tags=tags("5"))
    rig.workspace.update("contacts", late["id"], created_at=early["created_at"], tags=tags("6"))
    rig.sync(["contacts"])
    data, state = rig.lake_folder / f"data/{CONNECTION}/contact_tags", rig.lake_folder / f"_state/{CONNECTION}"
    shutil.copytree(data, data.with_name("kept"))
    shutil.copytree(state, kept := rig.lake_folder / "kept_state")
    burns_at = 1
    while True:
        fuse = Fuse(burns_at)
        try:
            with fused_commits(fuse) if table_format is TableFormat.DELTA else nullcontext():
                rig.sync(["contact_tags"], lake=FusedLake(rig.lake_url, fuse))
            break
        except Killed:
            rig.sync(["contact_tags"])
            rig.check(["contact_tags"])
            for folder, copy in ((data, data.with_name("kept")), (state, kept)):
                shutil.rmtree(folder)
                shutil.copytree(copy, folder)
            burns_at += 1
    assert burns_at > 3
    rig.check(["contact_tags"])


def month_files(rig: Rig, table: str) -> list[Path]:
    return sorted((rig.lake_folder / f"data/{CONNECTION}/{table}").rglob("*.parquet"))


def lose_the_record(rig: Rig) -> None:
    for path in (rig.lake_folder / f"_state/{CONNECTION}").glob("contact_tags.*"):
        path.unlink()


def lose_a_file(rig: Rig) -> None:
    month_files(rig, "contact_tags")[0].unlink()


def damage_a_file(rig: Rig) -> None:
    file = month_files(rig, "contact_tags")[0]
    content = bytearray(file.read_bytes())
    content[20:60] = b"x" * 40
    file.write_bytes(bytes(content) + b" ")


def leave_a_foreign_file(rig: Rig) -> None:
    file = month_files(rig, "contact_tags")[0]
    pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
    other = file.parent.with_name("created_month=2001-01")
    other.mkdir()
    shutil.copy(file, other / "data.parquet")


@pytest.mark.parametrize("harm", [lose_the_record, lose_a_file, damage_a_file, leave_a_foreign_file])
def test_what_is_lost_or_damaged_is_made_anew_without_a_request(rig: Rig, harm: Callable[[Rig], None]) -> None:
    rig.load(TAGGED)
    harm(rig)
    read, _ = rig.sync(["contact_tags"])["contact_tags"]
    rig.check(["contact_tags"])
    assert read.traffic.requests == 0


def test_a_deleted_file_of_a_delta_table_is_made_anew(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=24, companies=6, conversations=0, articles=0)
    rig.table_format = TableFormat.DELTA
    rig.load(BOTH)
    month_files(rig, "contact_companies")[0].unlink()
    rig.sync(["contact_companies"])
    rig.check(["contact_companies"])


def test_a_backup_of_the_parent_is_followed_until_the_parent_is_repaired(rig: Rig) -> None:
    rig.load(TAGGED)
    data = rig.lake_folder / f"data/{CONNECTION}/contacts"
    shutil.copytree(data, backup := rig.lake_folder / "backup")
    one = ids(rig)[0]
    before = tagged(rig, one)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", one, tags=tags("8"))
    rig.sync(TAGGED)
    assert tagged(rig, one) == {"8"}
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    rig.sync(["contact_tags"])
    assert tagged(rig, one) == before
    rig.sync(TAGGED)
    rig.check(TAGGED)


def test_rows_of_the_parent_that_wait_to_be_merged_are_not_there_yet_and_told(rig: Rig) -> None:
    rig.load(TAGGED)
    one = ids(rig)[0]
    before = tagged(rig, one)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", one, tags=tags("8"))
    read, _ = rig.sync(TAGGED, when=CompactionMode.NEVER)["contact_tags"]
    assert (tagged(rig, one), read.complete) == (before, False)
    assert read.hints == ("contact_tags: 1 staged rows of contacts wait to be merged, and are not in it",)
    rig.sync(TAGGED)
    rig.check(TAGGED)


def test_a_table_whose_parent_was_not_read_follows_the_lake_and_says_so(rig: Rig) -> None:
    with pytest.raises(LakeError, match=r"contact_tags is made from contacts, of which the lake .* has nothing yet"):
        rig.sync(["contact_tags"])
    rig.sync(["contacts"])
    read, made = rig.sync(["contact_tags"])["contact_tags"]
    assert (made.rows, read.complete) == (48, False)
    assert "this run has not brought contacts up to date" in read.hints[0]


def test_odd_lists_and_elements_are_counted_and_fail_nothing(rig: Rig) -> None:
    odd = [
        None, {"type": "list"}, {"type": "list", "data": None}, {"type": "list", "data": "none"}, [], "text", 7,
        tags("3", "3", "3"), {"data": [None, {"id": None}, {"type": "tag"}, {"id": 5, "since": {"a": [1]}}, 6, "x"]},
        tags("1", total_count=14, has_more=True), tags("1", total_count=14, has_more=False),
    ]  # fmt: skip
    for key, value in zip(ids(rig), odd, strict=False):
        rig.workspace.update("contacts", key, tags=value)
    read, made = rig.sync(TAGGED)["contact_tags"]
    rig.check(["contact_tags"])
    assert made.rows == 2 * (24 - len(odd)) + 4
    assert read.rejected == 4
    assert read.hints == (
        "contact_tags: contacts whose tags are not all here, since Intercom sends only the first ones: 1 "
        "(--refill-lists asks for the others)",
        "contact_tags: elements without a usable id, which are no rows: 4; contacts has them in its column tags",
        "contact_tags: 1 field has no column and is kept in _extra: since",
    )
    (extra,) = {row["_extra"] for row in rig.rows("contact_tags").to_pylist() if row["id"] == "5"}
    assert json.loads(extra) == {"since": {"a": [1]}}
    again, _ = rig.sync(["contact_tags"])["contact_tags"]
    assert again.rejected == 4  # of the whole table, though nothing was made
    assert again.hints[1:] == read.hints[:2]


def test_other_columns_make_every_month_anew(rig: Rig) -> None:
    fewer = declared_as(TABLES["contact_tags"].schema, without="url")
    with declared(contact_tags=fewer):
        rig.sync(TAGGED)
        rig.check(["contact_tags"])
    _, made = rig.sync(["contact_tags"])["contact_tags"]
    rig.check(["contact_tags"])
    assert made.files == len(month_files(rig, "contact_tags"))


def test_other_code_makes_every_month_anew_and_writes_what_differs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.sync(TAGGED)
    before = files_of(rig, "contact_tags")
    monkeypatch.setattr("intercom.compaction.derive.rules", lambda: "other code")
    read, made = rig.sync(["contact_tags"])["contact_tags"]
    assert (read.rows, made.unchanged, made.files) == (48, 48, 0)
    assert files_of(rig, "contact_tags") == before


def test_later_rows_have_later_times_although_the_clock_was_set_back(rig: Rig) -> None:
    rig.sync(TAGGED, started_at=datetime(2026, 11, 3, 12, tzinfo=UTC))
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", ids(rig)[0], tags=tags("8"))
    rig.sync(TAGGED, started_at=datetime(2026, 11, 3, 11, tzinfo=UTC))
    times = {row["_ingested_at"] for row in rig.rows("contact_tags").to_pylist()}
    assert min(times) == datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_a_large_month_is_made_in_shares_and_is_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intercom.compaction.shares.ROWS_OF_A_SHARE", 4)
    rig.sync(TAGGED)
    rig.check(["contact_tags"])
    before = {(row["contact_id"], row["id"]): row["_ingested_at"] for row in rig.rows("contact_tags").to_pylist()}
    files = files_of(rig, "contact_tags")
    monkeypatch.setattr("intercom.compaction.derive.rules", lambda: "other code")
    assert rig.sync(["contact_tags"])["contact_tags"][1].unchanged == 48
    assert files_of(rig, "contact_tags") == files
    one, *_, last = ids(rig)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", one, tags=tags(*sorted(tagged(rig, one)), "9", "9"))
    rig.workspace.update("contacts", last, tags=tags())
    _, made = rig.sync(TAGGED)["contact_tags"]
    rig.check(["contact_tags"])
    assert (made.new, made.changed, made.removed) == (1, 0, 2)
    after = {(row["contact_id"], row["id"]): row["_ingested_at"] for row in rig.rows("contact_tags").to_pylist()}
    assert {key: at for key, at in after.items() if key in before} == {
        key: before[key] for key in after if key in before
    }
    damage_a_file(rig)
    rig.sync(["contact_tags"])
    rig.check(["contact_tags"])
    with declared(contact_tags=declared_as(TABLES["contact_tags"].schema, without="url")):
        rig.sync(["contact_tags"])
        rig.check(["contact_tags"])
