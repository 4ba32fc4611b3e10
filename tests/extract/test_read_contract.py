"""What every way to read promises: all records in pages that say what they are, or a word on what is missing.

The ways are read without a lake: pages and ends of slices are taken as they are delivered.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from intercom.errors import AbandonedError, RetriableApiError
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.extract.pages import Page
from intercom.extract.read import read_table
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.normalise.coerce import epoch_seconds
from intercom.sandbox import LoggedRequest
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from tests.conftest import NOW
from tests.support.rig import Rig

DAY = 86_400
ROWS = 48
FEW = ReadLimits(smallest_slice=8)


@dataclass(frozen=True)
class Way:
    """One way to read a table: `start` is that of the window, in days before the end of the history."""

    table: str
    limits: ReadLimits = DEFAULT_LIMITS
    start: int | None = None
    counted: bool = True
    """Whether the API says how many records there are."""


WAYS = {
    "list": Way("tags", counted=False),
    "page numbers": Way("articles"),
    "search": Way("conversations"),
    "search by days": Way("contacts"),
    "search in slices": Way("conversations", FEW),
    "search by days in slices": Way("contacts", FEW),
    "search newest first": Way("contacts", start=3),
    "scroll": Way("companies"),
}
COUNTED = [name for name, way in WAYS.items() if way.counted]
SLICED = [name for name, way in WAYS.items() if way.limits is FEW]


@dataclass
class Slices:
    """A `Resumable` that remembers the plan, and that an earlier attempt has finished some slices."""

    finished_before: Collection[int] = ()
    kept: SlicePlan | None = None

    def plan(self) -> SlicePlan | None:
        return self.kept

    def keep(self, plan: SlicePlan) -> None:
        self.kept = plan

    def finished(self) -> Collection[int]:
        return self.finished_before


@dataclass
class Reading:
    """One way to read, over a workspace of its own, and all that was delivered."""

    rig: Rig
    way: Way
    slices: Slices = field(default_factory=Slices)
    items: list[Page | SliceEnd] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    on_page: Callable[[threading.Event], None] = lambda _stopped: None

    @property
    def table(self) -> Table:
        return replace(TABLES[self.way.table], per_page=10)

    @property
    def pages(self) -> list[Page]:
        return [item for item in self.items if isinstance(item, Page)]

    @property
    def ends(self) -> list[SliceEnd]:
        return [item for item in self.items if isinstance(item, SliceEnd)]

    @property
    def window(self) -> Window:
        return Window() if self.way.start is None else Window(NOW - self.way.start * DAY)

    def read(self, window: Window | None = None) -> Extraction:
        """Read the table and give the extraction, which has learned of the completeness."""
        with closing(self.rig.client()) as client:
            api = client.for_table(self.table.name, self.table.scope)

            def receive(item: Page | SliceEnd) -> None:
                self.items.append(item)
                if isinstance(item, Page):
                    self.on_page(api.stopped)

            extraction = Extraction(
                api, self.table, self.rig.workspace.now(), receive, self.expected.append, self.slices,
                limits=self.way.limits,
            )  # fmt: skip
            read_table(extraction, self.window if window is None else window)
            return extraction

    def rows(self, window: Window | None = None) -> dict[str, dict[str, Any]]:
        """Id -> record, of those that should be delivered."""
        window = self.window if window is None else window
        rows = self.rig.workspace.rows(self.table.name)
        return {row["id"]: row for row in rows if self.table.cursor_field is None or window.holds(row["updated_at"])}

    def found(self) -> list[dict[str, Any]]:
        """The records that were delivered."""
        return [
            {name: json.loads(bytes(value)) for name, value in record.items()}
            for page in self.pages
            for record in page.records
        ]

    def is_page(self, request: LoggedRequest) -> bool:
        """Whether a page is asked for, and not a count by itself."""
        sent = request.params if request.body is None else request.body["pagination"]
        return str(sent.get("per_page", "")) != "1"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def read(make_rig: Callable[..., Rig], way: str) -> Reading:
    nothing = dict.fromkeys(("contacts", "companies", "conversations", "articles", "tags"), 0)
    return Reading(make_rig(**{**nothing, WAYS[way].table: ROWS}, history_days=30), WAYS[way])


def test_every_record_is_delivered_as_it_is_served(read: Reading) -> None:
    read.read()
    found = read.found()
    assert {record["id"]: record for record in found} == read.rows()
    if not (read.table.day_cut and read.way.limits is FEW):  # slices of days overlap
        assert max(Counter(record["id"] for record in found).values()) == 1


def test_pages_say_what_they_are(read: Reading) -> None:
    read.read()
    for page in read.pages:
        assert page.number >= 1
        assert page.request_id
        assert (page.nulls, page.rejected) == (0, ())
        assert page.size >= sum(len(json.dumps(dict.fromkeys(record))) for record in page.records)
        times = [epoch_seconds(record.get("updated_at")) for record in page.records]
        known = [time for time in times if time is not None]
        assert page.newest == (None if read.table.cursor_field is None else max(known, default=None))


def test_only_the_rows_of_the_window_are_delivered_and_reached(read: Reading) -> None:
    window = Window(NOW - 20 * DAY, NOW - 5 * DAY)
    if read.table.cursor_field is None:
        read.read(window)
        assert len(read.found()) == ROWS
        return
    read.read(window)
    rows = read.rows(window)
    assert 0 < len(rows) < ROWS
    assert {record["id"] for record in read.found()} == set(rows)
    newest = [page.newest for page in read.pages if page.newest is not None]
    assert max(newest) == max(row["updated_at"] for row in rows.values())
    if not read.table.reads_by_window:
        assert sum(page.outside for page in read.pages) == ROWS - len(rows)


@pytest.mark.parametrize("way", COUNTED, indirect=True)
def test_the_completeness_has_what_the_api_counts(read: Reading) -> None:
    completeness = read.read().completeness
    assert (completeness.missing, completeness.notes) == (0, [])
    if read.way.start is None:
        assert completeness.counted == len(read.rows())
        assert read.way.table == "companies" or read.expected == [len(read.rows())]
    else:  # days are compared, so two more are read
        assert completeness.counted >= len(read.rows()) > 0


def test_an_answer_without_its_list_ends_the_read(read: Reading) -> None:
    read.rig.server.fail(read.table.path, "wrong_shape", times=1000, where=read.is_page)
    with pytest.raises(RetriableApiError):
        read.read()
    assert read.items == []


@pytest.mark.parametrize("way", COUNTED, indirect=True)
@pytest.mark.parametrize("kind", ["short", "shifted"])
def test_pages_that_stay_short_of_the_count_are_told(read: Reading, kind: Any) -> None:
    read.rig.server.fail(read.table.path, kind, every=3, times=1000, where=read.is_page)
    completeness = read.read().completeness
    missing = read.rows().keys() - {record["id"] for record in read.found()}
    told = completeness.missing > 0
    assert told == bool(completeness.notes)
    if read.way.start is None:
        assert told == bool(missing)
    else:  # what lies before the window is counted, too, and may be what is missing
        assert told or not missing


def test_no_page_is_delivered_after_the_table_was_stopped(read: Reading) -> None:
    read.on_page = lambda stopped: stopped.set()
    if read.way.table == "tags":  # one page is all there is
        read.read()
    else:
        with pytest.raises(AbandonedError):
            read.read()
    assert len(read.pages) == 1 or read.way.limits is FEW
    assert len(read.pages) <= 8  # one of each slice that is read at the same time


@pytest.mark.parametrize("way", SLICED, indirect=True)
def test_each_slice_ends_once_behind_its_pages_also_one_without_rows(read: Reading) -> None:
    extraction = read.read()
    plan = read.slices.kept
    assert plan is not None
    assert sorted(end.place for end in read.ends) == list(range(len(plan.parts)))
    assert sum(end.completeness.counted for end in read.ends) == extraction.completeness.counted
    assert isinstance(read.items[-1], SliceEnd)


@pytest.mark.parametrize("way", SLICED, indirect=True)
def test_a_slice_that_an_earlier_attempt_has_finished_is_not_read_and_does_not_end(read: Reading) -> None:
    read.read()
    plan = read.slices.kept
    assert plan is not None
    read.slices.finished_before = set(range(len(plan.parts) - 1))
    read.items.clear()
    completeness = read.read().completeness
    assert [end.place for end in read.ends] == [len(plan.parts) - 1]
    assert completeness.counted == plan.parts[-1].rows
