"""Staged rows that wait to be merged: large tables are not rewritten for a few rows, and nothing is lost meanwhile."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from intercom.compaction.compact import compact_table
from intercom.compaction.policy import CompactionMode
from intercom.compaction.publish import MergeWork, PartitionResult, PartitionWork, publish_partitions
from intercom.errors import LakeError, OvertakenError
from intercom.extract.limits import ReadLimits
from intercom.lake.staged_run import Coverage
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.sync.ingest import ingest_table
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from tests.support.declarations import EARLIER, declared
from tests.support.rig import CONNECTION, Rig
from tests.support.truth import read_lake

CONTACTS = TABLES["contacts"]


def change(rig: Rig, name: str) -> None:
    rig.workspace.travel(7200)
    for row in rig.workspace.rows("contacts")[::3]:
        rig.workspace.update("contacts", row["id"], name=name)
    rig.workspace.create("contacts")
    rig.workspace.travel(1)


def in_pieces(_: Table, lake_table: LakeTable, work: MergeWork) -> list[PartitionResult]:
    """As tasks do it, which know the table by its name."""
    return [outcome for piece in work.shared_out(1) for outcome in publish_partitions(CONTACTS, lake_table, piece)]


def names(rig: Rig) -> list[Any]:
    return sorted(read_lake(rig.lake_url, CONNECTION, "contacts").column("name").to_pylist(), key=str)


def test_rows_wait_over_several_runs_and_are_merged_together(rig: Rig) -> None:
    rig.load(["contacts"])
    before = names(rig)
    for name in ("first", "second"):
        change(rig, name)
        _, compacted = rig.sync(["contacts"], when=CompactionMode.NEVER)["contacts"]
        assert compacted.waiting > 0
        assert compacted.files == 0
    assert names(rig) == before  # a reader sees what was merged last
    state = rig.lake_table("contacts").state()
    assert state is not None
    assert len(state.staged) == 2
    compact_table(CONTACTS, rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])
    assert rig.lake().list("_staging") == {}


def test_a_first_load_may_wait_too(rig: Rig) -> None:
    rig.sync(["contacts", "tags"], when=CompactionMode.NEVER)
    assert rig.lake().list("data") == {}
    rig.sync(["contacts", "tags"])
    rig.check(["contacts", "tags"])


def test_a_full_refresh_takes_the_place_of_what_waits(rig: Rig) -> None:
    rig.load(["contacts"])
    change(rig, "waiting")
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    rig.workspace.delete("contacts", rig.workspace.rows("contacts")[0]["id"])
    rig.sync(["contacts"], full_refresh=True, when=CompactionMode.AUTO)
    rig.check(["contacts"])


def test_waiting_rows_that_are_lost_are_read_again(rig: Rig) -> None:
    rig.load(["contacts"])
    change(rig, "lost")
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    lake = rig.lake()
    lake.delete(list(lake.list("_staging")))
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_months_are_merged_in_pieces_elsewhere(rig: Rig) -> None:
    """As on a task runner: each piece by a LakeTable of its own, from plain values only."""
    rig.load(["contacts"])
    change(rig, "changed")
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    seen: list[int] = []

    def publish(table: Table, lake_table: LakeTable, work: MergeWork) -> Sequence[PartitionResult]:
        pieces = pickle.loads(pickle.dumps(list(work.shared_out(1))))
        seen.extend(len(piece.months) for piece in pieces)
        outcomes = [
            outcome for piece in pieces for outcome in publish_partitions(CONTACTS, rig.lake_table("contacts"), piece)
        ]
        return list(pickle.loads(pickle.dumps(outcomes)))

    compact_table(CONTACTS, rig.lake_table("contacts"), rig.store, publish=publish)
    assert len(seen) > 1
    assert set(seen) == {1}
    rig.check(["contacts"])


def test_work_is_shared_out_by_size() -> None:
    months = tuple(
        PartitionWork(f"2026-{number:02}", (), stored="1:1", size=size) for number, size in enumerate((5, 5, 20, 1), 1)
    )
    work = MergeWork("v", CONTACTS.schema, Coverage.SOME, months=months)
    assert [[month.size for month in piece.months] for piece in work.shared_out(10)] == [[5, 5], [20], [1]]
    assert list(replace(work, months=()).shared_out(10)) == []


@pytest.mark.parametrize("when", [CompactionMode.AUTO, CompactionMode.ALWAYS])
def test_small_tables_are_merged_after_every_run(rig: Rig, when: CompactionMode) -> None:
    rig.sync(["contacts"], when=when)
    change(rig, "changed")
    rig.sync(["contacts"], when=when)
    rig.check(["contacts"])


@pytest.mark.parametrize("earlier", EARLIER)
@pytest.mark.parametrize("first", [True, False])
def test_rows_that_waited_for_an_upgrade_are_merged_as_they_were_declared(
    make_rig: Callable[..., Rig], earlier: str, first: bool
) -> None:
    """The flow that only merges may be the first one that runs after it."""
    rig = make_rig(contacts=60)
    with declared(contacts=EARLIER[earlier]):
        if not first:
            rig.sync(["contacts"])
            change(rig, "waiting")
        rig.sync(["contacts"], when=CompactionMode.NEVER)
    compact_table(CONTACTS, rig.lake_table("contacts"), rig.store, publish=in_pieces)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.reason == "incremental"
    rig.check(["contacts"])


def test_what_a_run_that_was_overtaken_publishes_late_is_noticed(rig: Rig) -> None:
    """It has asked for its lock and looked at the file, and hangs before it puts its own; another run merges."""
    rig.load(["contacts"])
    change(rig, "first")
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    stuck, go = threading.Event(), threading.Event()

    class Late(Lake):
        def check_stamp(self, path: str, over: str | None) -> None:
            super().check_stamp(path, over)
            stuck.set()
            assert go.wait(60)

    overtaken = rig.lake_table("contacts", Late(rig.lake_url))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(compact_table, CONTACTS, overtaken, rig.store)
        assert stuck.wait(60)
        overtaken.still_ours = lost
        change(rig, "second")
        rig.workspace.travel(5 * 86_400)  # beyond what the next run would read again anyway
        rig.workspace.create("contacts")
        rig.workspace.travel(1)
        rig.sync(["contacts"])
        go.set()
        assert isinstance(late.exception(60), LakeError)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "not as we left" in ingested.reason
    rig.check(["contacts"])


def lost() -> None:
    raise LakeError("The lock was lost.")


@pytest.mark.parametrize("when", [CompactionMode.NEVER, CompactionMode.ALWAYS])
def test_a_full_refresh_that_found_nothing_and_waits_still_empties_the_table(rig: Rig, when: CompactionMode) -> None:
    rig.load(["articles"])
    for row in rig.workspace.rows("articles"):
        rig.workspace.delete("articles", row["id"])
    rig.sync(["articles"], full_refresh=True, when=CompactionMode.NEVER)
    rig.workspace.travel(7200)
    rig.sync(["articles"], when=when)
    rig.sync(["articles"])
    assert rig.rows("articles").num_rows == 0


def test_a_damaged_part_that_waits_is_told_once_and_read_again(rig: Rig) -> None:
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    part = next(path for path in rig.lake().list("_staging") if path.endswith(".parquet"))
    file = Path(rig.lake_url, part)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(LakeError, match="staged files were damaged: 1"):
        rig.sync(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_what_will_never_be_merged_does_not_wait(rig: Rig) -> None:
    rig.sync(["tags"], when=CompactionMode.NEVER)
    first = rig.lake().list("_staging")
    rig.sync(["tags"], when=CompactionMode.NEVER)
    assert len(rig.lake().list("_staging")) == len(first)


def lost_after(calls: int) -> Callable[[], None]:
    """A lock that is lost after it was asked for so many times."""
    asked = count(1)

    def still_ours() -> None:
        if next(asked) > calls:
            lost()

    return still_ours


def test_a_lock_that_is_lost_while_months_are_merged_changes_no_file(rig: Rig) -> None:
    rig.load(["contacts"])
    change(rig, "changed")
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    before = rig.lake().stamps("data")
    overtaken = rig.lake_table("contacts")
    overtaken.still_ours = lost_after(1)  # to save the record of the compaction
    with pytest.raises(LakeError, match="lock was lost"):
        compact_table(CONTACTS, overtaken, rig.store)
    assert rig.lake().stamps("data") == before
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_run_that_has_lost_its_lock_does_not_read_to_the_end(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=600)
    overtaken = rig.lake_table("contacts")
    overtaken.still_ours = lost
    client = rig.client()
    limits = ReadLimits(smallest_slice=24, between_checkpoints=50)
    run = Run("overtaken", CONNECTION, datetime.now(UTC), run_start=rig.workspace.now(), limits=limits)
    with pytest.raises(LakeError, match="lock was lost"):
        ingest_table(CONTACTS, client.for_table("contacts"), overtaken, rig.store, run)
    client.close()
    assert not [path for path in rig.lake().list("_staging") if path.endswith("done.json")]
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize(("months", "method"), [("several", "fetch"), ("one", "open"), ("one", "fetch")])
def test_a_run_whose_staged_parts_another_run_has_merged_says_that_it_was_overtaken(
    rig: Rig, months: str, method: str
) -> None:
    """It has listed the parts, and hangs before it reads one: all of it, its keys, or the rows that it merges."""
    rig.load(["contacts"])
    if months == "several":
        change(rig, "first")
    rig.workspace.create("contacts")
    rig.workspace.travel(86_400)
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    other = rig.lake_table("contacts")

    class Late(Lake):
        merged = False

        def merge_first(self, name: str, path: str) -> None:
            if name == method and path.startswith("_staging") and not self.merged:
                self.merged = True
                compact_table(CONTACTS, other, rig.store)

        def open(self, path: str, size: int) -> Any:
            self.merge_first("open", path)
            return super().open(path, size)

        def fetch(self, path: str) -> Any:
            self.merge_first("fetch", path)
            return super().fetch(path)

    late = Late(rig.lake_url)
    told = r"overtaken by another run, which has changed _staging/.*its watermark has not moved; run again"
    with pytest.raises(OvertakenError, match=told):
        compact_table(CONTACTS, rig.lake_table("contacts", late), rig.store)
    assert late.merged
    rig.check(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])
