"""A log between two times: every entry of the window, however the API answers, or a word on what is missing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from intercom.errors import RequestRejectedError, RetriableApiError
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.extract.pages import Page
from intercom.extract.read import read_table
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import DAY_SECONDS, Window
from intercom.sandbox import LoggedRequest
from intercom.tables.catalogue import TABLES
from intercom.tables.table import MOST_PER_PAGE
from tests.conftest import NOW
from tests.support.rig import Rig

LOG = TABLES["activity_logs"]
ROWS = 90
ALWAYS = 10**6
EVERYTHING = Window()
IN_SLICES = ReadLimits(smallest_slice=2 * MOST_PER_PAGE)
"""Slices of two pages. With less than a page, which is what is counted, all would be cut down to single seconds."""


@dataclass
class Reading:
    """A log of a workspace, and what was delivered of it. Is a `Resumable` that remembers the plan."""

    rig: Rig
    items: list[Page | SliceEnd] = field(default_factory=list)
    done: Collection[int] = ()
    kept: SlicePlan | None = None

    def plan(self) -> SlicePlan | None:
        return self.kept

    def keep(self, plan: SlicePlan) -> None:
        self.kept = plan

    def finished(self) -> Collection[int]:
        return self.done

    def read(self, window: Window = EVERYTHING, limits: ReadLimits = DEFAULT_LIMITS) -> Extraction:
        self.items.clear()
        with closing(self.rig.client()) as client:
            extraction = Extraction(
                client.for_table(LOG.name, LOG.scope), LOG, self.rig.workspace.now(), self.items.append,
                lambda _rows: None, self, limits=limits,
            )  # fmt: skip
            read_table(extraction, window)
        return extraction

    @property
    def found(self) -> Counter[str]:
        """How often each entry came."""
        pages = [item for item in self.items if isinstance(item, Page)]
        return Counter(json.loads(bytes(record["id"])) for page in pages for record in page.records)

    @property
    def ends(self) -> list[int]:
        return sorted(item.place for item in self.items if isinstance(item, SliceEnd))

    def entries(self, window: Window = EVERYTHING) -> set[str]:
        return {row["id"] for row in self.rig.workspace.rows(LOG.name) if window.holds(row["created_at"])}


@pytest.fixture
def log(make_rig: Callable[..., Rig]) -> Reading:
    """Five pages of entries, some of them of one second; a third of them older than 30 days."""
    empty = dict.fromkeys(("contacts", "companies", "conversations", "articles"), 0)
    rig = make_rig(**empty, activity_logs=ROWS, history_days=90)
    rig.in_flight = 4
    return Reading(rig)


def behave(log: Reading, **options: Any) -> None:
    for name, value in options.items():
        setattr(log.rig.workspace.options.log, name, value)


WAYS: dict[str, dict[str, Any]] = {
    "as documented": {},
    "oldest first": {"newest_first": False},
    "bounds excluded": {"inclusive": False},
    "oldest first, bounds excluded": {"newest_first": False, "inclusive": False},
    "link with a parameter of its own": {"needs_link": True},
    "next page as an object": {"following": "object"},
    "next page null": {"following": "null"},
    "no next page": {"following": "absent"},
    "no count": {"totals": False},
    "no count, oldest first": {"totals": False, "newest_first": False, "inclusive": False},
    "no count, no next page": {"totals": False, "following": "absent"},
}
every_way = pytest.mark.parametrize("way", WAYS)
long_or_short = pytest.mark.parametrize("limits", [DEFAULT_LIMITS, IN_SLICES], ids=["in one", "in slices"])


@every_way
@long_or_short
def test_every_entry_comes_whatever_the_api_says_of_its_pages(log: Reading, way: str, limits: ReadLimits) -> None:
    behave(log, **WAYS[way])
    completeness = log.read(limits=limits).completeness
    assert set(log.found) == log.entries()
    assert (completeness.missing, completeness.notes) == (0, [])
    assert completeness.counted >= ROWS
    sliced = limits is IN_SLICES or not log.rig.workspace.options.log.totals
    assert (log.kept is not None) is sliced
    assert log.ends == (list(range(len(log.kept.parts))) if log.kept else [])


@every_way
def test_a_window_has_its_own_entries_alone(log: Reading, way: str) -> None:
    behave(log, **WAYS[way])
    times = sorted(row["created_at"] for row in log.rig.workspace.rows(LOG.name))
    window = Window(times[20], times[70])  # both are times of entries
    log.read(window, IN_SLICES)
    assert set(log.found) == log.entries(window)
    assert 0 < len(log.found) < ROWS


def test_a_log_without_entries_has_none(log: Reading) -> None:
    for id in log.entries():
        log.rig.workspace.delete(LOG.name, id)
    for way in ({}, {"totals": False}):
        behave(log, **way)
        assert log.read().completeness.complete
        assert not log.found


def test_a_window_after_the_present_is_not_asked_for(log: Reading) -> None:
    log.read(Window(NOW + DAY_SECONDS))
    assert not log.rig.server.requests()


# -- entries that come while it is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("newest_first", [True, False])
def test_entries_that_come_during_the_read_move_no_other_out_of_it(log: Reading, newest_first: bool) -> None:
    there = log.entries()
    behave(log, newest_first=newest_first, arriving=30)
    completeness = log.read().completeness
    assert set(log.found) >= there
    assert completeness.missing == 0
    assert log.rig.server.requests()[0].params["created_at_before"] == str(NOW + 1)


def test_entries_that_go_during_the_read_take_no_other_with_them(log: Reading) -> None:
    """Oldest first, the entries behind one that goes move to pages that were read already."""
    behave(log, newest_first=False)
    oldest = sorted(log.rig.workspace.rows(LOG.name), key=lambda row: (row["created_at"], row["id"]))[:3]

    def forget(request: LoggedRequest) -> None:
        if request.params.get("page") == "3" and oldest:
            log.rig.workspace.delete(LOG.name, oldest.pop()["id"])

    log.rig.server.before_request(forget)
    assert log.read().completeness.missing == 0
    assert set(log.found) >= log.entries()


# -- answers that are well formed and wrong -----------------------------------------------------------------------


def page(number: int) -> Callable[[LoggedRequest], bool]:
    return lambda request: request.params.get("page", "1") == str(number)


WRONG: dict[str, tuple[ReadLimits, int, int]] = {
    "in one, page 1": (DEFAULT_LIMITS, 1, 0),
    "in one, page 3": (DEFAULT_LIMITS, 3, 0),
    "in one, page 5": (DEFAULT_LIMITS, 5, 0),
    "in slices, the first answer": (IN_SLICES, 1, 0),
    "in slices, a count": (IN_SLICES, 1, 9),
    "in slices, page 2": (IN_SLICES, 2, 0),
    "in slices, page 2 again": (IN_SLICES, 2, 2),
}
"""The limits, the number of a page, and its requests that are answered well before a wrong answer."""


@pytest.mark.parametrize("kind", ["shard_away", "short", "shifted"])
@pytest.mark.parametrize("wrong", WRONG)
def test_one_wrong_answer_loses_nothing(log: Reading, kind: Any, wrong: str) -> None:
    limits, number, after = WRONG[wrong]
    fault = log.rig.server.fail(LOG.path, kind, every=4, after=after, where=page(number))
    completeness = log.read(limits=limits).completeness
    assert fault.hits == 1
    assert set(log.found) == log.entries()
    assert (completeness.missing, completeness.notes) == (0, [])


@pytest.mark.parametrize("after", range(4))
def test_one_wrong_answer_loses_nothing_where_no_pages_are_counted(log: Reading, after: int) -> None:
    behave(log, totals=False)
    log.rig.server.fail(LOG.path, "shard_away", after=after, where=page(1))
    log.read(Window(NOW - 25 * DAY_SECONDS))
    assert set(log.found) == log.entries(Window(NOW - 25 * DAY_SECONDS))


def test_a_page_that_stays_empty_is_told(log: Reading) -> None:
    log.rig.server.fail(LOG.path, "shard_away", times=ALWAYS, where=page(3))
    completeness = log.read().completeness
    assert not completeness.complete
    assert completeness.notes == ["activity_logs: Intercom counts 81 rows, 70 were found in 3 reads"]
    assert len(log.found) == ROWS - 20


def test_slices_are_held_against_the_whole(log: Reading) -> None:
    """Slices that all lack the same entries agree with themselves; the whole log still counts them."""
    log.read(limits=IN_SLICES)
    middle = sorted(row["created_at"] for row in log.rig.workspace.rows(LOG.name))[45]

    def is_of_the_second_half(request: LoggedRequest) -> bool:
        return int(request.params["created_at_after"]) >= middle

    log.rig.server.fail(LOG.path, "shard_away", times=ALWAYS, where=is_of_the_second_half)
    completeness = log.read(limits=IN_SLICES).completeness  # by the plan of the read before
    assert 0 < len(log.found) < ROWS - 20
    assert completeness.missing > 0
    (note,) = completeness.notes
    assert f"{len(log.found)} were found" in note


def test_a_page_that_names_itself_as_the_next_one_ends_with_an_error(log: Reading) -> None:
    behave(log, repeats=2)
    with pytest.raises(RetriableApiError, match=r"activity_logs: page \d, request \S+ names a next page that was read"):
        log.read()


@pytest.mark.parametrize("totals", [True, False])
def test_pages_that_never_end_are_an_error(log: Reading, totals: bool) -> None:
    rows = log.rig.workspace.rows(LOG.name)[:20]

    def endless(request: LoggedRequest) -> None:
        number = int(request.params.get("page", 1))
        link = f"https://elsewhere.invalid{LOG.path}?page={number + 1}"
        pages = {"next": link, "page": number} | ({"total_pages": 10**6} if totals else {})
        log.rig.server.clear_faults()
        log.rig.server.fail(LOG.path, status=200, body={"activity_logs": rows, "pages": pages})

    log.rig.server.before_request(endless)
    with pytest.raises(RetriableApiError, match="no progress"):
        log.read(Window(NOW - DAY_SECONDS))
    assert len(log.rig.server.requests()) < 50


# -- times that are refused ---------------------------------------------------------------------------------------


def test_an_api_that_refuses_old_times_is_asked_for_what_it_takes(log: Reading) -> None:
    oldest = NOW - 60 * DAY_SECONDS
    behave(log, oldest=oldest)
    completeness = log.read().completeness
    assert set(log.found) == log.entries(Window(oldest))
    (note,) = completeness.notes
    assert note.startswith("activity_logs: Intercom refuses times before 2026-09-04 12:00:00 UTC")
    assert len(log.rig.server.requests()) < 50


def test_a_limit_that_moves_on_is_kept_away_from(log: Reading) -> None:
    """The slices are read later than the limit is found."""
    behave(log, oldest_seconds=60 * DAY_SECONDS)
    log.rig.server.before_request(lambda _request: log.rig.workspace.travel(0.2))
    log.read(limits=IN_SLICES)
    assert set(log.found) == log.entries(Window(NOW - 59 * DAY_SECONDS + 20)) | set(log.found)
    assert log.entries(Window(NOW - 58 * DAY_SECONDS)) <= set(log.found)


def test_a_refusal_of_every_time_is_raised(log: Reading) -> None:
    behave(log, oldest=NOW + 1)
    with pytest.raises(RequestRejectedError):
        log.read()
    assert len(log.rig.server.requests()) == 2


# -- slices -------------------------------------------------------------------------------------------------------


def test_a_later_attempt_reads_only_what_is_missing(log: Reading) -> None:
    log.read(limits=IN_SLICES)
    plan = log.kept
    assert plan is not None
    assert len(plan.parts) > 3
    last = len(plan.parts) - 1
    log.done = range(last)
    log.rig.server.clear_log()
    log.read(limits=IN_SLICES)
    assert log.ends == [last]
    assert log.found
    lower = str((plan.parts[last].slice.start or 0) - 1)
    others = [sent.params for sent in log.rig.server.requests() if sent.params["created_at_after"] != lower]
    assert len(others) == 1  # the whole log, at the end


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("totals", [True, False])
def test_slices_cover_every_second_once(log: Reading, seed: int, totals: bool) -> None:
    """Entries lie anywhere, many in one second: those of the plan's slices are all, and each is of one slice."""
    draw = random.Random(seed)
    for id in log.entries():
        log.rig.workspace.delete(LOG.name, id)
    begin = NOW - draw.choice((50, 400, 3000)) * DAY_SECONDS
    busy = [draw.randint(begin, NOW) for _ in range(3)]
    for _ in range(120):
        at = draw.choice(busy) + draw.choice((0, 0, 0, 1, -1)) if draw.random() < 0.7 else draw.randint(begin, NOW)
        log.rig.workspace.create(LOG.name, created_at=min(at, NOW))
    behave(log, totals=totals, newest_first=draw.random() < 0.5, inclusive=draw.random() < 0.5, per_page=5)
    window = Window(draw.choice((None, begin, busy[0])), draw.choice((None, busy[1], NOW)))
    if window.start is not None and window.end is not None and window.start > window.end:
        window = Window(window.start)
    assert log.read(window, IN_SLICES).completeness.missing == 0
    assert set(log.found) == log.entries(window)
    if log.kept is not None:
        edges = [(part.slice.start, part.slice.end) for part in log.kept.parts]
        assert edges[0][0] is edges[-1][1] is None
        assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]
        assert all(left < right for (left, _), (right, _) in pairwise(edges[1:]))


def test_a_long_log_costs_few_requests_more_than_its_pages(make_rig: Callable[..., Rig]) -> None:
    empty = dict.fromkeys(("contacts", "companies", "conversations", "articles"), 0)
    log = Reading(make_rig(**empty, activity_logs=4_000, history_days=700))
    log.read()
    assert set(log.found) == log.entries()
    assert log.kept is not None
    assert len(log.rig.server.requests()) < 1.4 * 200
