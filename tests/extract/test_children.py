"""Reading the children of parents that have changed: which are asked for, when, and what is believed of an answer."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from intercom.errors import AbandonedError, RequestRejectedError, RetriableApiError
from intercom.extract import children as module
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.extract.pages import Page
from intercom.extract.read import read_table
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.lake.row_digests import RowDigest
from intercom.sync.known_parents import KnownParents
from intercom.tables.contact_company_children import COMPANY_SEGMENTS, CONTACT_NOTES
from intercom.tables.conversation_parts import CONVERSATION_PARTS
from intercom.tables.outreach import NEWSFEED_ITEMS
from intercom.tables.owed import OwedParent
from intercom.tables.read_marks import SIGN
from intercom.tables.table import Table
from tests.conftest import NOW
from tests.support.rig import Rig

DAY = 86_400
FEW = ReadLimits(smallest_slice=4)
WHOLE = None
NO_MARK = "no mark"


@dataclass
class Slices:
    kept: SlicePlan | None = None
    finished_before: Collection[int] = ()

    def plan(self) -> SlicePlan | None:
        return self.kept

    def keep(self, plan: SlicePlan) -> None:
        self.kept = plan

    def finished(self) -> Collection[int]:
        return self.finished_before


@dataclass
class Reading:
    """One read of a child table, and all that was delivered."""

    rig: Rig
    table: Table = CONVERSATION_PARTS
    limits: ReadLimits = DEFAULT_LIMITS
    window: Window = field(default_factory=Window)
    slices: Slices = field(default_factory=Slices)
    known: dict[bytes, RowDigest] = field(default_factory=dict)
    items: list[Page | SliceEnd] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    on_item: Callable[[Page | SliceEnd], None] = lambda _item: None
    per_page: int = 5
    owed: dict[str, OwedParent] = field(default_factory=dict)

    def read(self) -> Extraction:
        declared = self.table.parent
        assert declared is not None
        table = replace(self.table, parent=replace(declared, table=replace(declared.table, per_page=self.per_page)))
        self.known_after = KnownParents(table, self.known, run_start=NOW)
        with closing(self.rig.client()) as client:

            def receive(item: Page | SliceEnd) -> None:
                self.on_item(item)
                self.items.append(item)

            extraction = Extraction(
                client.for_table(table.name), table, self.rig.workspace.now(), receive, self.expected.append,
                self.slices, limits=self.limits, parents=self.known_after, owed=self.owed, asks_owed=True,
            )  # fmt: skip
            read_table(extraction, self.window)
            return extraction

    @property
    def pages(self) -> list[Page]:
        return [item for item in self.items if isinstance(item, Page)]

    @property
    def children(self) -> dict[str, list[dict[str, Any]]]:
        """Parent -> its children, in the order in which they were delivered."""
        found: dict[str, list[dict[str, Any]]] = {}
        for page in self.pages:
            for record in page.records[page.marks :]:
                row = {name: json.loads(bytes(value)) for name, value in record.items()}
                found.setdefault(row[self.table.parent_column], []).append(row)
        return found

    @property
    def marks(self) -> dict[str, Any]:
        """Parent -> the time in its mark."""
        marks = {}
        for page in self.pages:
            for record in page.records[: page.marks]:
                row = {name: json.loads(bytes(value)) for name, value in record.items()}
                assert row["id"] == SIGN + row[self.table.parent_column]
                marks[row[self.table.parent_column]] = row.get("created_at")
        return marks

    @property
    def asked(self) -> Counter[str]:
        """Parent -> how often its children were asked for."""
        before, _, after = self.table.path.partition("{key}")
        paths = [request.path for request in self.rig.server.requests() if request.method == "GET"]
        return Counter(path[len(before) :].removesuffix(after) for path in paths if path.startswith(before))


def served(rig: Rig, parent: str, table: str = "conversation_parts") -> list[str]:
    return [record.key for record in rig.workspace.children[table].of(parent)]


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """12 conversations with 40 parts; all have statistics."""
    return make_rig(**NOTHING, conversations=12, conversation_parts=40, history_days=30)


NOTHING = dict.fromkeys(("contacts", "companies", "articles", "tags"), 0)


def counting(rig: Rig, parent: str, parts: int) -> None:
    """Let a conversation say that it has so many parts."""
    rig.workspace.update("conversations", parent, touch=False, statistics={"count_conversation_parts": parts})


def has_parts(rig: Rig, at_least: int = 2) -> str:
    return next(one.key for one in rig.workspace.tables["conversations"] if len(served(rig, one.key)) >= at_least)


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, FEW], ids=["pages", "slices"])
def test_the_children_of_each_parent_come_once_together_and_behind_their_mark(rig: Rig, limits: ReadLimits) -> None:
    read = Reading(rig, limits=limits)
    extraction = read.read()
    workspace = rig.workspace
    for parent in workspace.rows("conversations"):
        own = read.children.get(parent["id"], [])
        inherited = {"conversation_id": parent["id"], "conversation_created_at": parent["created_at"]}
        parts = [json.loads(one.body) for one in workspace.children["conversation_parts"].of(parent["id"])]
        assert own == sorted([{**inherited, **part} for part in parts], key=lambda part: part["created_at"])
        assert read.marks[parent["id"]] is WHOLE
    assert set(read.asked.values()) == {1}
    assert len(read.asked) == 12
    assert all(len({bytes(record["conversation_id"]) for record in page.records}) == 1 for page in read.pages)
    assert (extraction.completeness.counted, extraction.completeness.missing) == (12, 0)
    assert read.expected[-1] == 40
    newest = max(page.newest for page in read.pages if page.newest is not None)
    assert newest == max(row["updated_at"] for row in workspace.rows("conversations"))


def test_a_child_is_as_it_was_sent(rig: Rig) -> None:
    Reading(rig).read()
    read = Reading(rig)
    read.read()
    (record, *_) = [record for page in read.pages for record in page.records[page.marks :]]
    part = rig.workspace.tables["conversation_parts"][json.loads(bytes(record["id"]))].body
    assert bytes(record.text).endswith(part[1:])  # type: ignore[attr-defined]


def test_parents_outside_the_window_are_not_asked_and_all_parts_of_the_others_are_read(rig: Rig) -> None:
    start = NOW - 10 * DAY
    read = Reading(rig, window=Window(start))
    read.read()
    wanted = {row["id"] for row in rig.workspace.rows("conversations") if row["updated_at"] >= start}
    assert 0 < len(wanted) < 12
    assert read.asked.keys() == wanted
    for parent in wanted:
        assert [row["id"] for row in read.children.get(parent, [])] == served(rig, parent) or len(
            served(rig, parent)
        ) == len(read.children[parent])


def test_the_end_of_a_slice_comes_after_the_children_of_all_its_parents(rig: Rig) -> None:
    read = Reading(rig, limits=FEW)
    slow = threading.Event()
    first: list[str] = []

    def on_item(item: Page | SliceEnd) -> None:
        """The first page of children is delivered late, after all others have gone by."""
        if isinstance(item, Page) and not first:
            first.append(bytes(item.records[0]["conversation_id"]).decode().strip('"'))
            slow.wait(0.3)

    read.on_item = on_item
    read.read()
    plan = read.slices.kept
    assert plan is not None
    ends = [item for item in read.items if isinstance(item, SliceEnd)]
    assert sorted(end.place for end in ends) == list(range(len(plan.parts)))
    late = next(place for place, item in enumerate(read.items) if isinstance(item, Page) and first[0] in read.marks)
    created = rig.workspace.tables["conversations"][first[0]].created_at
    assert created is not None
    for place, item in enumerate(read.items):
        if isinstance(item, SliceEnd):
            part = plan.parts[item.place].slice
            inside = (part.start is None or created >= part.start) and (part.end is None or created < part.end)
            assert not inside or place > late


def test_slices_that_are_finished_are_not_read_again(rig: Rig) -> None:
    read = Reading(rig, limits=FEW)
    read.read()
    assert read.slices.kept is not None
    read.slices.finished_before = range(1, len(read.slices.kept.parts))
    rig.server.clear_log()
    read.items.clear()
    read.read()
    assert 0 < len(read.asked) < 12
    assert [item.place for item in read.items if isinstance(item, SliceEnd)] == [0]


@pytest.fixture
def waiting(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parents wait whenever a page of parents comes, where children take their time."""
    monkeypatch.setattr(module, "WAITING_PARENTS", 3)
    take, children_of = module._Reading.take, module._Reading._children_of
    found: list[int] = []

    def watched(reading: Any, item: Page | SliceEnd) -> None:
        found.append(len(reading._under_way))
        take(reading, item)

    def slow(reading: Any, parent: Any) -> Page:
        time.sleep(0.03)
        return children_of(reading, parent)

    monkeypatch.setattr(module._Reading, "take", watched)
    monkeypatch.setattr(module._Reading, "_children_of", slow)
    read = Reading(replace(rig, in_flight=2), per_page=3)
    read.read()
    assert len(read.marks) == 12
    return found


def test_the_next_parents_are_requested_while_children_are_still_asked_for(waiting: list[int]) -> None:
    assert max(waiting[1:]) > 0


def test_only_some_parents_wait_at_a_time(waiting: list[int]) -> None:
    assert max(waiting) <= 3 + 3


def test_a_parent_that_is_gone_is_counted_and_its_page_still_counts(rig: Rig) -> None:
    parent = has_parts(rig)
    rig.server.fail(f"/conversations/{parent}", "status", status=404, times=5)
    read = Reading(rig)
    tally = read.read().tally
    assert (tally.asked, tally.gone) == (12, 1)
    assert parent not in read.marks
    assert parent not in read.children
    at = rig.workspace.tables["conversations"][parent].updated_at
    assert at in [page.newest for page in read.pages if not page.records]


def test_if_no_parent_at_all_is_found_that_is_an_error(rig: Rig) -> None:
    rig.server.fail(None, "status", status=404, times=100, where=lambda request: request.method == "GET")
    with pytest.raises(RequestRejectedError, match="none of 12 conversations was found"):
        Reading(rig).read()


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, FEW], ids=["pages", "slices"])
def test_a_parent_without_a_usable_answer_is_owed_and_the_others_are_read(rig: Rig, limits: ReadLimits) -> None:
    parent = has_parts(rig)
    rig.server.fail(f"/conversations/{parent}", "status", status=500, times=100)
    read = Reading(rig, limits=limits)
    extraction = read.read()
    assert len(read.marks) == 11
    assert (parent in read.marks, parent in read.children, parent.encode() in read.known_after.for_the_next()) == (
        False, False, False
    )  # fmt: skip
    record = rig.workspace.tables["conversations"][parent]
    (owed,) = extraction.completeness.owes
    assert (owed.key, owed.at, owed.since) == (parent, record.updated_at, extraction.run_start)
    assert owed.inherited == {"conversation_id": f'"{parent}"', "conversation_created_at": str(record.created_at)}
    assert extraction.completeness.complete
    ends = [item.completeness for item in read.items if isinstance(item, SliceEnd)]
    assert [one for end in ends for one in end.owes] == ([owed] if limits is FEW else [])


def test_a_parent_that_was_owed_is_asked_for_once_also_if_it_has_not_changed(rig: Rig) -> None:
    parent = has_parts(rig)
    fault = rig.server.fail(f"/conversations/{parent}", "status", status=500, times=1_000)
    (owed,) = Reading(rig).read().completeness.owes
    read = Reading(rig, window=Window(NOW + DAY), owed={parent: owed})
    before = fault.hits
    assert read.read().completeness.owed == {parent: owed}
    assert fault.hits == before + 1
    rig.server.clear_faults()
    read = Reading(rig, window=Window(NOW + DAY), owed={parent: owed})
    assert read.read().completeness.owed == {parent: None}
    assert {row["id"] for row in read.children[parent]} == set(served(rig, parent))
    assert (parent in read.marks, parent.encode() in read.known_after.for_the_next()) == (True, True)


def test_many_parents_without_a_usable_answer_end_the_read(rig: Rig) -> None:
    some = [record.key for record in rig.workspace.tables["conversations"]]
    for parent in some[:10]:
        rig.server.fail(f"/conversations/{parent}", "status", status=500, times=100)
    assert len(Reading(rig).read().completeness.owes) == 10
    rig.server.fail(f"/conversations/{some[10]}", "status", status=500, times=100)
    with pytest.raises(RetriableApiError, match="11 of the conversations"):
        Reading(rig).read()
    rig.server.clear_faults()
    before = {str(number): OwedParent(str(number), {}, None, None, "", 1) for number in range(100)}
    fail = {f"/conversations/{parent}" for parent in (*before, some[0])}
    rig.server.fail(None, "status", status=500, times=1_000, where=lambda request: request.path in fail)
    with pytest.raises(RetriableApiError, match="101 of the conversations"):
        Reading(rig, owed=before).read()


def test_an_error_while_parents_are_still_read_is_the_one_that_is_raised(rig: Rig) -> None:
    rig.server.fail(f"/conversations/{has_parts(rig)}", "status", status=403, times=100)
    with pytest.raises(Exception, match="403"):
        Reading(rig, limits=FEW, per_page=2).read()


def test_no_page_comes_after_the_table_was_stopped(rig: Rig) -> None:
    read = Reading(rig)

    def stop(_item: Page | SliceEnd) -> None:
        raise AbandonedError

    read.on_item = stop
    with pytest.raises(AbandonedError):
        read.read()
    assert read.items == []


# -- what is believed -------------------------------------------------------------------------------------------------


def test_more_than_500_parts_are_marked_with_the_time_of_the_oldest_that_came(rig: Rig) -> None:
    parent = rig.workspace.create("conversations", statistics={"count_conversation_parts": 0})["id"]
    for number in range(503):
        rig.workspace.create("conversation_parts", conversation_id=parent, created_at=1_700_000_000 + number)
    for counted in ("all", "served"):
        rig.workspace.options.children_counted = counted  # type: ignore[assignment]
        rig.server.clear_log()
        read = Reading(rig)
        tally = read.read().tally
        assert read.marks[parent] == 1_700_000_003
        assert len(read.children[parent]) == 500
        assert (tally.cut, read.asked[parent]) == (1, 1)


def parts_answer(rig: Rig, parent: str, *, served: int, total: int) -> dict[str, Any]:
    parts = [json.loads(one.body) for one in rig.workspace.children["conversation_parts"].of(parent)]
    return {"id": parent, "conversation_parts": {"conversation_parts": parts[:served], "total_count": total}}


def test_an_answer_that_is_short_of_its_own_count_is_asked_for_once_more(rig: Rig) -> None:
    parent = has_parts(rig, 3)
    parts = len(served(rig, parent))
    body = parts_answer(rig, parent, served=1, total=parts)
    rig.server.fail(f"/conversations/{parent}", "status", status=200, body=body, times=1)
    read = Reading(rig)
    extraction = read.read()
    assert (len(read.children[parent]), read.marks[parent], read.asked[parent]) == (parts, WHOLE, 2)
    assert (extraction.tally.short, extraction.completeness.missing) == (0, 0)


def test_an_answer_that_stays_short_has_no_mark_and_is_told_and_not_noted_as_read(rig: Rig) -> None:
    parent = has_parts(rig, 3)
    body = parts_answer(rig, parent, served=1, total=len(served(rig, parent)))
    rig.server.fail(f"/conversations/{parent}", "status", status=200, body=body, times=2)
    read = Reading(rig)
    extraction = read.read()
    assert (len(read.children[parent]), read.marks.get(parent, NO_MARK), read.asked[parent]) == (1, NO_MARK, 2)
    assert (extraction.tally.short, extraction.completeness.missing) == (1, 1)
    assert parent.encode() not in read.known_after.for_the_next()
    (note,) = extraction.tally.notes(CONVERSATION_PARTS)
    assert "1 of the conversations" in note


def test_two_answers_that_differ_are_both_merged_and_remove_nothing(rig: Rig) -> None:
    parent = has_parts(rig, 3)
    parts = len(served(rig, parent))
    one, other = (parts_answer(rig, parent, served=number, total=parts) for number in (1, 2))
    rig.server.fail(f"/conversations/{parent}", "status", status=200, body=other, times=1)
    rig.server.fail(f"/conversations/{parent}", "status", status=200, body=one, times=1)
    read = Reading(rig)
    assert read.read().tally.short == 1
    assert len(read.children[parent]) == 2
    assert parent not in read.marks


def test_a_parent_that_says_more_is_believed_to_have_less_after_two_equal_answers(rig: Rig) -> None:
    parent = has_parts(rig)
    counting(rig, parent, 400)
    read = Reading(rig)
    tally = read.read().tally
    oldest = min(row["created_at"] for row in read.children[parent])
    assert (read.marks[parent], read.asked[parent], tally.fewer) == (oldest, 2, 1)
    assert parent.encode() in read.known_after.for_the_next()
    (hint,) = tally.hints(CONVERSATION_PARTS)
    assert "statistics.count_conversation_parts" in hint


def test_a_parent_that_says_more_and_serves_none_removes_nothing(rig: Rig) -> None:
    parent = rig.workspace.create("conversations", statistics={"count_conversation_parts": 3})["id"]
    read = Reading(rig)
    read.read()
    assert parent not in read.marks


def test_a_parent_that_says_less_or_nothing_is_whole(rig: Rig) -> None:
    parent, other = (one.key for one in list(rig.workspace.tables["conversations"])[:2])
    counting(rig, parent, 0)
    rig.workspace.update("conversations", other, touch=False, statistics=None)
    read = Reading(rig)
    read.read()
    assert (read.marks[parent], read.marks[other]) == (WHOLE, WHOLE)
    assert set(read.asked.values()) == {1}


def test_after_many_equal_answers_a_parents_count_is_no_reason_to_ask_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BELIEVED_AFTER", 3)
    for one in list(rig.workspace.tables["conversations"]):
        counting(rig, one.key, 400)
    read = Reading(replace(rig, in_flight=1))
    assert read.read().tally.fewer == 12
    assert sum(read.asked.values()) == 12 + 3


def test_a_child_that_cannot_be_a_row_is_told_and_takes_the_mark_away(rig: Rig) -> None:
    part = next(iter(rig.workspace.tables["conversation_parts"])).key
    parent = rig.workspace.children["conversation_parts"].parent(part)
    body = parts_answer(rig, parent, served=99, total=len(served(rig, parent)))
    body["conversation_parts"]["conversation_parts"][0]["id"] = None
    rig.server.fail(f"/conversations/{parent}", "status", status=200, body=body, times=9)
    read = Reading(rig)
    read.read()
    assert parent not in read.marks
    assert [len(page.rejected) for page in read.pages if page.rejected] == [1]
    assert len(read.children.get(parent, [])) == len(served(rig, parent)) - 1
    assert parent.encode() not in read.known_after.for_the_next()


# -- which are asked for ----------------------------------------------------------------------------------------------


def test_parents_whose_version_was_read_before_are_not_asked_again(rig: Rig) -> None:
    first = Reading(rig)
    first.read()
    rig.server.clear_log()
    parent, counted, moved = (one.key for one in list(rig.workspace.tables["conversations"])[:3])
    rig.workspace.update("conversations", parent, touch=False, title="not what counts")
    counting(rig, counted, 99)
    rig.workspace.update("conversations", moved, updated_at=NOW - 1)
    again = Reading(rig, known=first.known_after.for_the_next())
    tally = again.read().tally
    assert again.asked.keys() == {counted, moved}
    assert tally.unchanged == 10
    assert max(page.newest for page in again.pages if page.newest is not None) >= NOW - 1
    assert len(again.known_after.for_the_next()) == 12


def test_parents_that_come_twice_are_asked_once_and_a_newer_version_again(rig: Rig) -> None:
    parent = has_parts(rig)
    extraction = Reading(rig)
    record = rig.workspace.tables["conversations"][parent]
    newer = record.changed({"updated_at": NOW + 5})

    def read_parents(parents: Extraction) -> None:
        for one in (record, record, newer, newer):
            parents.deliver(Page(1, "request", [msgspec.json.decode(one.body, type=dict[str, msgspec.Raw])]))

    with closing(rig.client()) as client:
        module.read_children(
            Extraction(
                client.for_table("conversation_parts"),
                CONVERSATION_PARTS,
                NOW,
                extraction.items.append,
                lambda _rows: None,
                Slices(),
            ),
            read_parents,
        )
    assert extraction.asked[parent] == 2
    assert [page.newest for page in extraction.pages] == [record.updated_at, NOW + 5]


def test_companies_are_scrolled_to_the_end_before_their_segments_are_asked_for(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "companies": 9}, conversations=0, company_segments=12)
    rig.workspace.options.scroll_page_size = 3
    read = Reading(rig, COMPANY_SEGMENTS)
    read.read()
    kinds = ["scroll" in request.path for request in rig.server.requests() if request.path != "/companies"]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds.count(False) == 9
    for parent, rows in read.children.items():
        assert sorted(row["id"] for row in rows) == sorted(
            key.partition(":")[2] for key in served(rig, parent, "company_segments")
        )
    assert len(read.marks) == 9


def test_a_list_of_several_pages_is_read_to_its_end(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "contacts": 2}, conversations=0)
    parent = next(iter(rig.workspace.tables["contacts"])).key
    for _ in range(120):
        rig.workspace.create("contact_notes", contact_id=parent)
    read = Reading(rig, CONTACT_NOTES)
    read.read()
    assert len(read.children[parent]) == 120
    assert read.marks.keys() == {one.key for one in rig.workspace.tables["contacts"]}
    assert read.asked[parent] == 3


def test_pages_that_name_no_next_one_are_read_by_their_number(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**NOTHING, conversations=0, newsfeeds=2)
    parent = next(iter(rig.workspace.tables["newsfeeds"])).key
    for _ in range(45):
        rig.workspace.create("newsfeed_items", newsfeed_id=parent)
    read = Reading(rig, NEWSFEED_ITEMS)
    assert read.read().completeness.missing == 0
    assert len(read.children[parent]) == 45
    assert read.asked[parent] == 3


@pytest.mark.parametrize("served", [20, 0])
def test_a_list_that_counts_more_pages_than_it_gives_is_short(make_rig: Callable[..., Rig], served: int) -> None:
    rig = make_rig(**NOTHING, conversations=0, newsfeeds=1)
    parent = next(iter(rig.workspace.tables["newsfeeds"])).key
    items = [{"id": str(number), "type": "news-item"} for number in range(served)]
    body = {"type": "list", "data": items, "pages": {"page": 1, "total_pages": 2}}
    rig.server.fail(f"/news/newsfeeds/{parent}/items", "status", status=200, body=body, times=100)
    read = Reading(rig, NEWSFEED_ITEMS)
    assert read.read().completeness.missing == 1
    assert len(read.children.get(parent, [])) == served
