"""Long searches are read as many slices at the same time, and are as exact as one chain: rows move meanwhile."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import pytest

from intercom.commit import Run
from intercom.compact import compact_table
from intercom.errors import ApiError, LakeError
from intercom.ingest import Ingested, ingest_table
from intercom.journal import Beginning, RunJournal
from intercom.lake import Lake
from intercom.ledger import Ledger
from intercom.paths import TablePaths
from intercom.plan import Part, Plan
from intercom.reading import Completeness
from intercom.tables import TABLES
from intercom.windows import Bounds, Slice, Window
from tests.conftest import NOW
from tests.support.rig import CONNECTION, Rig
from tests.support.truth import assert_exact

DAY = 86_400
SEARCHED = ("contacts", "conversations")
pytestmark = pytest.mark.usefixtures("in_slices")


def bounds_asked(rig: Rig, table: str, field: str) -> set[str]:
    """The distinct queries with a bound on this field that read pages of a table."""
    asked = [r.body for r in rig.server.requests(f"/{table}/search") if r.body and r.body["pagination"]["per_page"] > 1]
    return {text for body in asked if f'"{field}"' in (text := json.dumps(body["query"])) and '"<"' in text}


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Norfolk", "Asia/Kolkata"])
@pytest.mark.parametrize("index_zone", [None, "UTC"])
def test_a_first_load_in_slices_is_exact_in_any_zone(
    make_rig: Callable[..., Rig], zone: str, index_zone: str | None
) -> None:
    rig = make_rig(timezone=zone)
    rig.workspace.options.index_timezone = index_zone
    rig.sync(SEARCHED)
    rig.check(SEARCHED)
    assert len(bounds_asked(rig, "contacts", "created_at")) > 5
    assert len(bounds_asked(rig, "conversations", "created_at")) > 3


@pytest.mark.parametrize("option", ["contacts_by_second", "inclusive_bounds"])
def test_slices_are_exact_under_other_readings_of_the_comparison(rig: Rig, option: str) -> None:
    setattr(rig.workspace.options, option, True)
    rig.sync(SEARCHED)
    rig.check(SEARCHED)


def test_slices_fall_back_to_another_order_where_created_at_cannot_be_sorted_by(rig: Rig) -> None:
    rig.workspace.options.sortable_fields = {"updated_at", "id"}
    rig.sync(SEARCHED)
    rig.check(SEARCHED)
    assert len(bounds_asked(rig, "contacts", "created_at")) > 5


def test_empty_pages_and_every_kind_of_end_are_read_through_in_slices(rig: Rig) -> None:
    rig.workspace.options.empty_page_every = 2
    rig.workspace.options.search_end = ("null", "absent", "no_cursor", "pages_null", "pages_absent")
    rig.sync(SEARCHED)
    rig.check(SEARCHED)


class Busy:
    """A workspace that is worked in while it is read: each third request finds rows changed and added."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.touched: dict[str, set[str]] = {table: set() for table in SEARCHED}
        self._rig, self._random, self._lock = rig, random.Random(seed), Lock()
        self._requests = dict.fromkeys(SEARCHED, seed)
        rig.server.before_request(self._work)

    def _work(self, request: Any) -> None:
        with self._lock:
            table = request.path.split("/")[1]
            if table not in SEARCHED:
                return
            self._requests[table] += 1
            if self._requests[table] % 3:
                return
            self._rig.workspace.travel(1)
            for row in self._random.sample(self._rig.workspace.rows(table), 3):
                self._rig.workspace.update(table, row["id"], title="moved")
                self.touched[table].add(row["id"])
            self.touched[table].add(self._rig.workspace.create(table)["id"])


def check_rest(rig: Rig, busy: Busy) -> None:
    """Rows that nobody touched are in the lake, each once, and of the others no key twice."""
    for table in SEARCHED:
        found = rig.rows(table)
        ids = found.column("id").to_pylist()
        assert len(ids) == len(set(ids))
        kept = [number for number, identity in enumerate(ids) if identity not in busy.touched[table]]
        rest = [row for row in rig.workspace.rows(table) if row["id"] not in busy.touched[table]]
        assert_exact(rest, found.take(kept), table)


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_change_while_slices_are_read_are_exact_after_the_next_run(rig: Rig, seed: int) -> None:
    busy = Busy(rig, seed)
    rig.sync(SEARCHED)
    rig.server.clear_hooks()
    check_rest(rig, busy)
    assert all(len(touched) > 5 for touched in busy.touched.values())
    rig.workspace.travel(5)
    rig.sync(SEARCHED)
    rig.check(SEARCHED)


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_change_during_a_long_catch_up_are_exact_after_the_next_run(rig: Rig, seed: int) -> None:
    rig.sync(SEARCHED)
    fall_behind(rig)
    busy = Busy(rig, seed)
    rig.sync(SEARCHED)
    rig.server.clear_hooks()
    check_rest(rig, busy)
    rig.workspace.travel(5)
    rig.sync(SEARCHED)
    rig.check(SEARCHED)


def fall_behind(rig: Rig, days: int = 40) -> None:
    """Most rows change, spread over many days, since the last run."""
    begin = rig.workspace.now() + 2 * DAY
    rig.workspace.travel((days + 3) * DAY)
    for table in SEARCHED:
        rows = rig.workspace.rows(table)
        for number, row in enumerate(rows):
            rig.workspace.update(table, row["id"], title="later", updated_at=begin + number * days * DAY // len(rows))


def test_a_long_catch_up_is_read_in_slices_of_updated_at(rig: Rig) -> None:
    rig.sync(SEARCHED)
    fall_behind(rig)
    rig.server.clear_log()
    rig.sync(SEARCHED)
    rig.check(SEARCHED)
    assert len(bounds_asked(rig, "contacts", "updated_at")) > 5
    assert len(bounds_asked(rig, "conversations", "updated_at")) > 3


def test_a_burst_of_changes_just_now_is_no_long_catch_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search counts whole days: the many rows of yesterday are none that this run needs."""
    monkeypatch.setattr("intercom.chain.PER_PAGE", 10)
    contacts = rig.workspace.rows("contacts")
    for number, row in enumerate(contacts):
        rig.workspace.update("contacts", row["id"], updated_at=rig.workspace.now() - 40_000 - number)
    rig.workspace.update("contacts", contacts[0]["id"], name="the watermark")
    rig.sync(["contacts"])
    rig.workspace.travel(7200)
    for number, row in enumerate(contacts[1:25]):
        spread = 600 * max(0, number - 14)  # fifteen just now, the others in the hours before
        rig.workspace.update("contacts", row["id"], updated_at=rig.workspace.now() - spread, name="changed")
    rig.workspace.travel(1)
    rig.server.clear_log()
    rig.sync(["contacts"])
    rig.check(["contacts"])
    assert len(rig.server.requests("/contacts/search")) == 3


def test_a_backfill_of_a_range_is_read_in_slices(rig: Rig) -> None:
    middle = NOW - 40 * DAY
    rig.sync(["contacts"], history_from=middle)
    kept = {row["id"] for row in rig.workspace.rows("contacts") if row["updated_at"] >= middle}
    rig.sync(["contacts"], until=middle)
    assert len(bounds_asked(rig, "contacts", "updated_at")) > 3
    assert kept < set(rig.rows("contacts").column("id").to_pylist())
    rig.check(["contacts"])


def test_a_day_on_which_all_rows_were_made_is_split_by_the_ends_of_ids(rig: Rig) -> None:
    for number, row in enumerate(rig.workspace.rows("contacts")):
        rig.workspace.update("contacts", row["id"], touch=False, created_at=NOW - 20 * DAY + number)
    rig.sync(["contacts"])
    rig.check(["contacts"])
    asked = [json.dumps(request.body) for request in rig.server.requests("/contacts/search")]
    assert len({text for text in asked if '"$"' in text}) > 16


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland", "Pacific/Norfolk"])
@pytest.mark.parametrize("by_second", [False, True])
def test_rows_without_a_creation_time_are_not_lost_to_slices(
    make_rig: Callable[..., Rig], zone: str, by_second: bool
) -> None:
    """Also where slices overlap, so that rows which come twice make up for them in every sum."""
    rig = make_rig(timezone=zone)
    rig.workspace.options.contacts_by_second = by_second
    for row in rig.workspace.rows("contacts")[:3]:
        rig.workspace.update("contacts", row["id"], touch=False, created_at=None)
    rig.sync(["contacts"])
    rig.check(["contacts"])
    assert len(bounds_asked(rig, "contacts", "updated_at")) > 3  # in slices all the same


@pytest.mark.parametrize("begin", ["a start date", "an order by updated_at"])
def test_a_full_refresh_removes_no_row_that_changes_while_it_is_read(
    rig: Rig, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intercom.chain.PER_PAGE", 10)  # a page can be all rows of after the start, and end a chain
    options = {"history_from": NOW - 400 * DAY} if begin == "a start date" else {}
    if not options:
        rig.workspace.options.sortable_fields = {"updated_at", "id"}
    rig.sync(SEARCHED, **options)
    asked = 0

    def bulk_edit(request: Any) -> None:
        """When a third of the reading is done."""
        nonlocal asked
        if request.path.endswith("/search") and request.body["pagination"]["per_page"] > 1:
            asked += 1
            if asked in (5, 9, 13, 30):
                rig.workspace.travel(1)
                for row in rig.workspace.rows(request.path.split("/")[1]):
                    rig.workspace.update(request.path.split("/")[1], row["id"], title="edited")

    rig.server.before_request(bulk_edit)
    results = rig.sync(SEARCHED, full_refresh=True, **options)
    rig.server.clear_hooks()
    assert asked >= 13
    assert [results[table][1].removed for table in SEARCHED] == [0, 0]
    for table in SEARCHED:
        assert set(rig.rows(table).column("id").to_pylist()) == {row["id"] for row in rig.workspace.rows(table)}


def test_an_answer_without_a_count_does_not_hide_what_is_missing(rig: Rig) -> None:
    contacts = rig.workspace.rows("contacts")[:15]
    first = {"type": "list", "data": contacts[:10], "total_count": 20, "pages": {"next": {"starting_after": "x"}}}
    second = {"type": "list", "data": contacts[10:], "pages": None}
    for _ in range(2):
        rig.server.fail("/contacts/search", kind="status", status=200, body=first, times=1)
        rig.server.fail("/contacts/search", kind="status", status=200, body=second, times=1)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "counts 20 rows, 15 were found" in ingested.notes[0]
    assert ingested.watermark_after is None


def short_slice(rig: Rig, times: int) -> None:
    """From now on some slices claim ten rows more than they give."""
    rows = rig.workspace.rows("contacts")[:3]
    body = {"type": "list", "data": rows, "total_count": 13, "pages": None}
    rig.server.fail("/contacts/search", kind="status", status=200, body=body, times=times)


def test_a_slice_that_stays_short_is_named_with_its_window_and_numbers(rig: Rig) -> None:
    pages = 0

    def spoil(request: Any) -> None:
        nonlocal pages
        if request.path == "/contacts/search" and request.body["pagination"]["per_page"] > 1:
            pages += 1
            if pages == 4:
                short_slice(rig, times=1000)

    rig.server.before_request(spoil)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "contacts, window created_at" in ingested.notes[0]
    assert "counts 13 rows, 3 were found in 2 reads" in ingested.notes[0]
    assert ingested.watermark_after is None
    rig.server.clear_hooks()
    rig.server.clear_faults()
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_articles_are_read_side_by_side_once_their_number_is_known(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(articles=800, server={"latency_seconds": 0.2})
    rig.sync(["articles"])
    rig.check(["articles"])
    arrived = [request.time for request in rig.server.requests("/articles")]
    assert len(arrived) == 6
    assert arrived[-1] - arrived[1] < 0.2  # the second to the last were under way together


# -- a run that is tried again ----------------------------------------------------------------------------------------


def attempt(rig: Rig, run_id: str, lake: Lake | None = None, **options: Any) -> Ingested:
    """One attempt at the first half of a run over contacts."""
    table, client = TABLES["contacts"], rig.client()
    run = Run(run_id, CONNECTION, datetime.now(UTC), run_start=rig.workspace.now(), **options)
    try:
        return ingest_table(table, client.for_table("contacts", table.scope), lake or rig.lake(), rig.store, run)
    finally:
        client.close()


def fail_late(rig: Rig, slices: int) -> None:
    """After so many pages every search fails for good."""

    def spoil(request: Any) -> None:
        nonlocal slices
        if request.path == "/contacts/search" and request.body["pagination"]["per_page"] > 1:
            slices -= 1
            if slices == 0:
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


def test_a_run_that_is_tried_again_asks_only_for_what_is_missing(rig: Rig) -> None:
    broken_off(rig, "again", slices=8)
    noted = {path.rsplit("/")[-1]: json.loads((rig.lake_folder / path).read_text()) for path in notes(rig)}
    parts, finished = noted["plan.json"]["plan"]["parts"], noted["done.json"]["found"]
    ingested = attempt(rig, "again")
    assert 0 < len(finished) < len(parts)
    assert len(rig.server.requests("/contacts/search")) == len(parts) - len(finished)  # each fits on a page
    assert ingested.rows >= 300
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
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
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    assert len(set(rig.rows("contacts").column("_ingested_at").to_pylist())) == 1
    (reached,) = [mark.value for mark in rig.store.kept.values()]
    assert reached is not None
    assert reached <= begun
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_second_try_with_a_token_of_another_workspace_begins_anew(rig: Rig, make_rig: Callable[..., Rig]) -> None:
    broken_off(rig, "again", workspace="theirs")
    attempt(rig, "again", workspace="ours")
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])
    first = next(request.body for request in rig.server.requests("/contacts/search"))
    assert first["query"]["operator"] == "OR"  # the first question of a reading, not a slice of the other's plan


def test_what_a_slice_lacks_is_counted_once_however_often_the_run_is_tried(rig: Rig) -> None:
    ledger = Ledger(rig.lake(), TablePaths(CONNECTION, "contacts"))
    plan = Plan("created_at", "created_at", Bounds(None, None), tuple(Part(Slice(n, n + 1), 50) for n in range(9)))
    for number in range(4):
        begun = Beginning("f", Window(), "lake", "workspace")
        journal = RunJournal.opened(ledger, "again", begun, run_start=1, ingested_at=datetime.now(UTC))
        assert (journal.recalled().counted, journal.recalled().missing) == (50 * number, 3 if number else 0)
        assert journal.recalled().notes == ["three are missing"] * bool(number)
        if number == 0:
            journal.keep(plan)
        short = Completeness(["three are missing"], 50, 3) if number == 0 else Completeness([], 50, 0)
        journal.finish(number, short)
        journal.finish(8, Completeness(["read, but not durable yet"], 50, 40))
        journal.save([number], parts=0, rows=50, newest=None)


def test_a_run_that_was_short_reads_again_when_it_is_tried_again(rig: Rig) -> None:
    short_slice(rig, times=1000)
    assert attempt(rig, "again").notes
    heal(rig)
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])
    assert [mark.value for mark in rig.store.kept.values()] != [None]


def test_a_full_refresh_that_was_short_leaves_the_watermark_where_it_was(rig: Rig) -> None:
    rig.sync(["contacts"])
    (before,) = [mark.value for mark in rig.store.kept.values()]
    rig.workspace.travel(7200)
    short_slice(rig, times=1000)
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
    first = next(request.body for request in rig.server.requests("/contacts/search"))
    assert first["query"]["operator"] == "OR"


def test_three_tries_build_on_each_other(rig: Rig) -> None:
    for _ in range(3):
        broken_off(rig, "again", slices=5)
    attempt(rig, "again")
    assert rig.server.requests("/contacts/search") != []
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])


def test_another_run_begins_anew_and_its_compaction_removes_what_the_dead_one_left(rig: Rig) -> None:
    broken_off(rig, "dead")
    assert any(path.endswith("done.json") for path in rig.lake().list("_staging"))
    rig.sync(["contacts"])
    rig.check(["contacts"])  # and nothing is left in staging
    assert rig.lake().list("_staging") == {}


def test_a_full_refresh_that_is_tried_again_removes_only_what_neither_try_saw(rig: Rig) -> None:
    rig.sync(["contacts"])
    for row in rig.workspace.rows("contacts")[::5]:
        rig.workspace.delete("contacts", row["id"])
    broken_off(rig, "again", full_refresh=True)
    attempt(rig, "again", full_refresh=True)
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])


def test_parts_of_an_earlier_try_that_are_gone_are_read_again(rig: Rig) -> None:
    broken_off(rig, "again")
    lake = rig.lake()
    parts = [path for path in lake.list("_staging") if path.endswith(".parquet")]
    lake.delete(parts[:1])
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])


@pytest.mark.parametrize("name", ["plan", "done"])
def test_a_damaged_note_of_an_earlier_try_only_costs_requests(rig: Rig, name: str) -> None:
    broken_off(rig, "again")
    for path in rig.lake().list("_staging"):
        if path.endswith(f"{name}.json"):
            (rig.lake_folder / path).write_text('{"plan": [')
    attempt(rig, "again")
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
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
    compact_table(TABLES["contacts"], rig.lake(), CONNECTION, rig.store)
    rig.check(["contacts"])


def test_a_store_that_fails_in_the_middle_ends_the_reading_with_its_own_error(rig: Rig) -> None:
    class Full(Lake):
        def publish(self, written: Any, path: str, *, rows: int) -> int:
            raise LakeError("no space left")

    with pytest.raises(LakeError, match="no space left"):
        attempt(rig, "full", lake=Full(rig.lake_url))
    assert rig.lake().list(TablePaths(CONNECTION, "contacts").data) == {}
