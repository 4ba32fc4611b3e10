"""Long searches are read as many slices at the same time, and are as exact as one chain: rows move meanwhile."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import Barrier, BrokenBarrierError, Event, Lock
from typing import Any

import pytest

from intercom.errors import ApiError, LakeError
from intercom.extract.limits import ReadLimits
from intercom.lake.layout import TablePaths
from intercom.lake.storage import Lake
from intercom.lake.store import FileStat
from intercom.sandbox import LoggedRequest
from tests.conftest import NOW
from tests.support.effort import SOAK, effort
from tests.support.rig import CONNECTION, Rig, in_four_months, in_slices, is_of_everything, is_page
from tests.support.truth import assert_exact

DAY = 86_400
SEARCHED = ("contacts", "conversations")
MOST_IN_A_FIRST_ROUND = 16
pytestmark = in_slices


def bounds_asked(rig: Rig, table: str, field: str) -> set[str]:
    """The distinct queries with a bound on this field that read pages of a table."""
    asked = [r.body for r in rig.server.requests(f"/{table}/search") if r.body and r.body["pagination"]["per_page"] > 1]
    return {text for body in asked if f'"{field}"' in (text := json.dumps(body["query"])) and '"<"' in text}


ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Norfolk", "Asia/Kolkata")
SOME = [("America/Los_Angeles", "UTC"), ("Pacific/Norfolk", None)]


# The laws of windows hold for all zones; here is what lies behind them. `make soak` takes each zone with each index.
@pytest.mark.parametrize(
    ("zone", "index"), [(zone, index) for zone in ZONES for index in (None, "UTC")] if SOAK else SOME
)
def test_a_first_load_in_slices_is_exact_in_any_zone(
    make_rig: Callable[..., Rig], zone: str, index: str | None
) -> None:
    rig = make_rig(timezone=zone)
    rig.workspace.options.index_timezone = index
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


@pytest.mark.parametrize("seed", range(effort(1, 20)))
def test_rows_that_change_while_slices_are_read_are_exact_after_the_next_run(rig: Rig, seed: int) -> None:
    busy = Busy(rig, seed)
    rig.load(SEARCHED)
    rig.server.clear_hooks()
    check_rest(rig, busy)
    assert all(len(touched) > 5 for touched in busy.touched.values())
    rig.workspace.travel(5)
    rig.sync(SEARCHED)
    rig.check(SEARCHED)


@pytest.mark.parametrize("seed", range(effort(1, 10)))
def test_rows_that_change_during_a_long_catch_up_are_exact_after_the_next_run(rig: Rig, seed: int) -> None:
    rig.load(SEARCHED)
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
    rig.load(SEARCHED)
    fall_behind(rig)
    rig.server.clear_log()
    rig.sync(SEARCHED)
    rig.check(SEARCHED)
    assert len(bounds_asked(rig, "contacts", "updated_at")) > 5
    assert len(bounds_asked(rig, "conversations", "updated_at")) > 3


@in_four_months
def test_a_burst_of_changes_just_now_is_no_long_catch_up(rig: Rig) -> None:
    """Search counts whole days: the many rows of yesterday are none that this run needs."""
    rig.per_page = 10
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
    assert len(rig.server.requests("/contacts/search")) == 4  # a count by itself, and three pages


@in_four_months
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


@pytest.mark.parametrize(
    ("zone", "by_second"), [("America/Los_Angeles", False), ("Pacific/Auckland", True), ("Pacific/Norfolk", False)]
)
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
def test_a_full_refresh_removes_no_row_that_changes_while_it_is_read(rig: Rig, begin: str) -> None:
    rig.per_page = 10  # a page can be all rows of after the start, and end a chain
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


@in_four_months
def test_a_slice_that_stays_short_is_named_with_its_window_and_numbers(rig: Rig) -> None:
    pages = 0

    def spoil(request: Any) -> None:
        nonlocal pages
        if request.path == "/contacts/search" and request.body["pagination"]["per_page"] > 1:
            pages += 1
            if pages == 4:
                rig.serve_short(times=1000)

    rig.server.before_request(spoil)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "contacts, window created_at" in ingested.notes[0]
    counted = re.search(r"counts (\d+) rows, 3 were found in 2 reads", ingested.notes[0])
    assert counted is not None
    assert int(counted[1]) > 13  # what the plan has counted, not what the short answers say of themselves
    assert ingested.watermark_after is None
    rig.server.clear_hooks()
    rig.server.clear_faults()
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_the_questions_before_a_first_load_are_asked_at_the_same_time(rig: Rig) -> None:
    """The first page, the row at the other end and the rows with a creation time: the third to the fifth request."""
    requests, others, met = count(1), Barrier(3), []

    def meet(request: LoggedRequest) -> None:
        if request.path == "/contacts/search" and (is_of_everything(request) or next(requests) == 4):
            with suppress(BrokenBarrierError):
                met.append(others.wait(20))

    rig.server.before_request(meet)
    rig.sync(["contacts"])
    rig.check(["contacts"])
    assert sorted(met) == [0, 1, 2]


@in_four_months
def test_slices_are_read_while_others_are_still_counted(rig: Rig) -> None:
    """Counts of the second round and later ones wait for a page of a slice, or in vain."""
    counts, page_asked, waited = count(1), Event(), []

    def meet(request: LoggedRequest) -> None:
        if request.body is None or '"<"' not in json.dumps(request.body["query"]):
            return
        if is_page(request):
            page_asked.set()
        elif next(counts) > MOST_IN_A_FIRST_ROUND:
            waited.append(page_asked.wait(20))

    rig.server.before_request(meet)
    rig.sync(["contacts"])
    rig.check(["contacts"])
    assert waited
    assert all(waited)


@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_slices_are_smaller_where_a_page_takes_long(make_rig: Callable[..., Rig], seconds: float) -> None:
    """The first page tells: up to 240 rows where it comes at once, eight pages of 5 where it takes 0.7 s."""
    rig = make_rig(contacts=300)
    rig.limits, rig.per_page = ReadLimits(smallest_slice=240), 5
    rig.server.fail("/contacts/search", kind="delay", seconds=seconds, where=is_page)
    rig.sync(["contacts"])
    rig.check(["contacts"])
    found = len(bounds_asked(rig, "contacts", "created_at"))
    assert found >= 5 if seconds else found <= 3


def test_articles_are_read_side_by_side_once_their_number_is_known(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(articles=800)
    others, met = Barrier(5), set()

    def meet(request: Any) -> None:
        """The second to the sixth page are under way together, or none of them gets through here."""
        if request.path == "/articles" and request.params["page"] != "1":
            with suppress(BrokenBarrierError):
                others.wait(20)
                met.add(request.params["page"])

    rig.server.before_request(meet)
    rig.sync(["articles"])
    rig.check(["articles"])
    assert met == set("23456")
    assert len(rig.server.requests("/articles")) == 7  # with a count by itself


def test_a_store_that_fails_in_the_middle_ends_the_reading_with_its_own_error(rig: Rig) -> None:
    class Full(Lake):
        def publish(self, written: Any, path: str, *, rows: int, **more: Any) -> FileStat:
            raise LakeError("no space left")

    with pytest.raises(LakeError, match="no space left"):
        rig.sync(["contacts"], lake=Full(rig.lake_url))
    assert rig.lake().list(TablePaths(CONNECTION, "contacts").data) == {}


def test_one_slice_that_fails_ends_the_others_at_their_next_page(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(server={"latency_seconds": 0.05})
    rig.per_page = 5
    pages = 0

    def spoil(request: Any) -> None:
        nonlocal pages
        if request.path == "/contacts/search" and request.body["pagination"]["per_page"] > 1:
            pages += 1
            if pages == 5:
                rig.server.fail("/contacts/search", kind="status", status=422, times=1)

    rig.server.before_request(spoil)
    with pytest.raises(ApiError):
        rig.sync(["contacts"])
    assert pages < 40  # of more than sixty
