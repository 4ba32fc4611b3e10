"""A run that is tried again, by Prefect or from its UI: it has the same id and asks only for what is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from threading import Lock
from typing import Any

import msgspec
import pytest

from intercom.compaction.compact import compact_table
from intercom.errors import ApiError
from intercom.extract.completeness import Completeness
from intercom.extract.search_slices import PlannedSlice, SlicePlan
from intercom.extract.windows import Bounds, Slice, Window
from intercom.lake.layout import TablePaths
from intercom.lake.staging import PartWriter
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import Normaliser
from intercom.sandbox import LoggedRequest
from intercom.sync.checkpoints import ResumeKey, RunCheckpoints
from intercom.sync.ingest import ingest_table
from intercom.sync.ingested import Ingested
from intercom.sync.progress import TableProgress
from intercom.sync.read_table import TableReader
from intercom.sync.run import Run
from intercom.sync.staged import Staged
from intercom.tables.catalogue import TABLES
from tests.support.rig import CONNECTION, Rig, in_four_months, in_slices, is_page

pytestmark = in_slices


def attempt(rig: Rig, run_id: str, lake: Lake | None = None, **options: Any) -> Ingested:
    """One attempt at the first half of a run over contacts."""
    table, client = TABLES["contacts"], rig.client()
    run = Run(run_id, CONNECTION, datetime.now(UTC), run_start=rig.workspace.now(), limits=rig.limits, **options)
    try:
        return ingest_table(
            table, client.for_table("contacts", table.scope), rig.lake_table(table.name, lake), rig.store, run
        )
    finally:
        client.close()


def fail_late(rig: Rig, slices: int) -> None:
    """After so many pages every search fails for good, but not before the plan is kept: later pages wait for that."""
    pages, lock = count(1), Lock()

    def spoil(request: LoggedRequest) -> None:
        if request.path != "/contacts/search" or not is_page(request):
            return
        with lock:
            late = next(pages) >= slices
        if late:
            until = time.monotonic() + 20
            while not any(path.endswith("plan.json") for path in notes(rig)) and time.monotonic() < until:
                time.sleep(0.005)
            rig.server.fail("/contacts/search", kind="status", status=422, times=1000)

    rig.server.before_request(spoil)


def heal(rig: Rig) -> None:
    rig.server.clear_hooks()
    rig.server.clear_faults()
    rig.server.clear_log()


def broken_off(rig: Rig, run_id: str, slices: int = 6, **options: Any) -> None:
    fail_late(rig, slices)
    with pytest.raises(ApiError):
        attempt(rig, run_id, **options)
    heal(rig)


@in_four_months
def test_a_run_that_is_tried_again_asks_only_for_what_is_missing(rig: Rig) -> None:
    broken_off(rig, "again", slices=8)
    noted = {path.rsplit("/")[-1]: json.loads((rig.lake_folder / path).read_text()) for path in notes(rig)}
    parts, finished = noted["plan.json"]["plan"]["parts"], noted["done.json"]["found"]
    ingested = attempt(rig, "again")
    assert 0 < len(finished) < len(parts)
    asked = [request for request in rig.server.requests("/contacts/search") if is_page(request)]
    assert len(asked) == len(parts) - len(finished)  # each fits on a page
    assert ingested.rows >= 300
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def notes(rig: Rig) -> list[str]:
    return [path for path in rig.lake().list("_staging") if path.endswith(".json")]


def test_a_second_try_is_as_old_as_the_first(rig: Rig) -> None:
    """Rows that changed after the first try read them come with the next run: the watermark must not pass them."""
    begun = rig.workspace.now() + 1
    broken_off(rig, "again")
    rig.workspace.travel(3 * 3600)
    for row in rig.workspace.rows("contacts"):
        rig.workspace.update("contacts", row["id"], name="changed between the tries")
    rig.workspace.travel(3 * 3600)
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    assert len(set(rig.rows("contacts").column("_ingested_at").to_pylist())) == 1
    (reached,) = [mark.value for mark in rig.store.kept.values()]
    assert reached is not None
    assert reached <= begun
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_second_try_with_a_token_of_another_workspace_begins_anew(rig: Rig, make_rig: Callable[..., Rig]) -> None:
    broken_off(rig, "again", workspace="theirs")
    attempt(rig, "again", workspace="ours")
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])
    first = next(request.body for request in rig.server.requests("/contacts/search") if is_page(request))
    assert first["query"]["operator"] == "OR"  # the first question of a reading, not a slice of the other's plan


def test_what_a_slice_lacks_is_counted_once_however_often_the_run_is_tried(rig: Rig) -> None:
    lake_table = LakeTable(rig.lake(), TablePaths(CONNECTION, "contacts"))
    plan = SlicePlan(
        "created_at", "created_at", Bounds(None, None), tuple(PlannedSlice(Slice(n, n + 1), 50) for n in range(9))
    )
    for number in range(4):
        begun = ResumeKey("f", Window(), "lake", "workspace")
        checkpoints = RunCheckpoints.opened(lake_table, "again", begun, run_start=1, ingested_at=datetime.now(UTC))
        assert (checkpoints.recalled().counted, checkpoints.recalled().missing) == (50 * number, 3 if number else 0)
        assert checkpoints.recalled().notes == ["three are missing"] * bool(number)
        if number == 0:
            checkpoints.keep(plan)
        short = Completeness(["three are missing"], 50, 3) if number == 0 else Completeness([], 50, 0)
        checkpoints.save(Staged(parts=0, rows=50, newest=None, slices={number: short}))


def test_a_run_that_was_short_reads_again_when_it_is_tried_again(rig: Rig) -> None:
    rig.serve_short(times=1000)
    assert attempt(rig, "again").notes
    heal(rig)
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])
    assert [mark.value for mark in rig.store.kept.values()] != [None]


def test_a_full_refresh_that_was_short_leaves_the_watermark_where_it_was(rig: Rig) -> None:
    rig.load(["contacts"])
    (before,) = [mark.value for mark in rig.store.kept.values()]
    rig.workspace.travel(7200)
    rig.serve_short(times=1000)
    rig.sync(["contacts"], full_refresh=True)
    heal(rig)
    assert [mark.value for mark in rig.store.kept.values()] == [before]
    rig.workspace.create("contacts")
    rig.workspace.travel(1)
    results = rig.sync(["contacts"])
    assert results["contacts"][0].reason == "incremental"
    rig.check(["contacts"])


def test_an_old_plan_is_not_gone_on_from(rig: Rig) -> None:
    broken_off(rig, "again")
    (path,) = [path for path in rig.lake().list("_staging") if path.endswith("plan.json")]
    plan = json.loads((rig.lake_folder / path).read_text())
    plan["saved_at"] = "2020-01-01T00:00:00+00:00"
    (rig.lake_folder / path).write_text(json.dumps(plan))
    attempt(rig, "again")
    first = next(request.body for request in rig.server.requests("/contacts/search") if is_page(request))
    assert first["query"]["operator"] == "OR"


@in_four_months
def test_three_tries_build_on_each_other(rig: Rig) -> None:
    for _ in range(3):
        broken_off(rig, "again", slices=5)
    attempt(rig, "again")
    assert rig.server.requests("/contacts/search") != []
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_another_run_begins_anew_and_its_compaction_removes_what_the_dead_one_left(rig: Rig) -> None:
    broken_off(rig, "dead")
    assert any(path.endswith("done.json") for path in rig.lake().list("_staging"))
    rig.sync(["contacts"])
    rig.check(["contacts"])  # and nothing is left in staging
    assert rig.lake().list("_staging") == {}


def test_a_full_refresh_that_is_tried_again_removes_only_what_neither_try_saw(rig: Rig) -> None:
    rig.load(["contacts"])
    for row in rig.workspace.rows("contacts")[::5]:
        rig.workspace.delete("contacts", row["id"])
    broken_off(rig, "again", full_refresh=True)
    attempt(rig, "again", full_refresh=True)
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_parts_of_an_earlier_try_that_are_gone_are_read_again(rig: Rig) -> None:
    broken_off(rig, "again")
    lake = rig.lake()
    parts = [path for path in lake.list("_staging") if path.endswith(".parquet")]
    lake.delete(parts[:1])
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


@pytest.mark.parametrize("name", ["plan", "done"])
def test_a_damaged_note_of_an_earlier_try_only_costs_requests(rig: Rig, name: str) -> None:
    broken_off(rig, "again")
    for path in rig.lake().list("_staging"):
        if path.endswith(f"{name}.json"):
            (rig.lake_folder / path).write_text('{"plan": [')
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_a_try_that_was_given_up_and_goes_on_does_no_harm(rig: Rig) -> None:
    """A worker that lost its connection to Prefect still writes while its successor commits."""
    broken_off(rig, "again")
    attempt(rig, "again")
    lake = rig.lake()
    (first, *_) = [path for path in lake.list("_staging") if path.endswith("done.json")]
    folder = first.rsplit("/", 1)[0]
    part = next(path for path in lake.list(folder) if path.endswith(".parquet"))
    stray = part.rsplit("-", 1)[0] + "-000900.parquet"
    (rig.lake_folder / stray).write_bytes((rig.lake_folder / part).read_bytes())
    compact_table(TABLES["contacts"], rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


EARLIER_PLAN = """{
 "plan_id": "6eb7d80dd83a473788e6280044db7879",
 "beginning": {
  "fingerprint": "%(fingerprint)s", "window": {"start": null, "end": null}, "lake_id": "%(lake_id)s",
  "workspace": null, "doubt": 0
 },
 "run_start": %(run_start)d,
 "ingested_at": "2026-11-03T12:00:01.262336+00:00",
 "saved_at": "%(saved_at)s",
 "plan": {
  "field": "created_at", "sort_field": "created_at", "whole": {"above": null, "below": null},
  "parts": [
   {"slice": {"start": null, "end": 20723, "narrowed": null}, "rows": %(first)d},
   {"slice": {"start": 20723, "end": 20742, "narrowed": null}, "rows": 0},
   {"slice": {"start": 20742, "end": null, "narrowed": null}, "rows": %(last)d}
  ],
  "by_day": true
 }
}"""
EARLIER_DONE = """{
 "plan_id": "6eb7d80dd83a473788e6280044db7879",
 "found": {
  "0": {"counted": %(first)d, "missing": 0, "notes": []},
  "1": {"counted": 10, "missing": 1, "notes": ["one was not served"]}
 },
 "parts": %(parts)d,
 "rows": %(first)d,
 "newest": %(newest)d
}"""


@in_four_months
def test_a_checkpoint_of_the_first_version_is_gone_on_from(rig: Rig) -> None:
    """Literally as it was written: one slice with rows in a part, one without, and one that was not read."""
    first: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for row in rig.workspace.rows("contacts"):
        if 20722 <= row["created_at"] // 86_400 <= 20743:  # the second slice's days, in any time zone
            rig.workspace.delete("contacts", row["id"])
        else:
            (first if row["created_at"] < 20723 * 86_400 else last).append(row)
    assert first
    assert last
    lake, table = rig.lake(), TABLES["contacts"]
    lake_table = rig.lake_table("contacts", lake)
    at = datetime.fromisoformat("2026-11-03T12:00:01.262336+00:00")
    with PartWriter(
        lake, lake_table.paths, "again.397756f8", table.schema.arrow, partition_field="created_at"
    ) as parts:
        raw = [{name: msgspec.Raw(msgspec.json.encode(value)) for name, value in row.items()} for row in first]
        parts.add(Normaliser(table, at).batch_pages([(raw, "page 1")]))
    told = {
        "parts": parts.parts,
        "fingerprint": table.schema.fingerprint,
        "lake_id": lake_table.lake_id(),
        "run_start": rig.workspace.now(),
        "saved_at": datetime.now(UTC).isoformat(),
        "first": len(first),
        "last": len(last),
        "newest": max(row["updated_at"] for row in first),
    }
    folder = rig.lake_folder / lake_table.paths.staging / "again.397756f8"
    (folder / "plan.json").write_text(EARLIER_PLAN % told)
    (folder / "done.json").write_text(EARLIER_DONE % told)
    ingested = attempt(rig, "again", lake)
    asked = [request.body["query"] for request in rig.server.requests("/contacts/search") if is_page(request)]
    assert {json.dumps(query) for query in asked} == {
        json.dumps({"field": "created_at", "operator": ">", "value": 20742 * 86_400 + 43_200 - 25 * 3600})
    }
    assert ingested.rows == len(first) + len(last)
    assert ingested.notes == ("one was not served",)
    compact_table(table, rig.lake_table("contacts"), rig.store)
    rig.check(["contacts"])


def test_a_second_read_in_the_same_run_leaves_the_checkpoint_of_the_first_alone(rig: Rig) -> None:
    """Its slices are others: by their places the next attempt would leave out what the first read has not read."""
    table, lake_table = TABLES["contacts"], rig.lake_table("contacts")
    begun = ResumeKey("f", Window(), "lake", "workspace")
    checkpoints = RunCheckpoints.opened(
        lake_table, "again", begun, run_start=rig.workspace.now(), ingested_at=datetime.now(UTC)
    )
    with closing(rig.client()) as client:
        reader = TableReader(
            table,
            client.for_table(table.name, table.scope),
            lake_table,
            checkpoints,
            Window(),
            TableProgress(table.name),
            rejected=lake_table.rejected_records("again"),
            limits=replace(rig.limits, between_checkpoints=0),
        )
        reader.read()
        before = {path: (rig.lake_folder / path).read_text() for path in notes(rig)}
        reader.read_again()
    assert len(before) == 2
    assert {path: (rig.lake_folder / path).read_text() for path in notes(rig)} == before
    assert reader.rows == reader.staged.rows >= 2 * len(rig.workspace.rows("contacts"))
