"""Children that their parents have no more, in random histories: each mark removes rows from a dictionary."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.compaction import child_lookup, key_lookup
from intercom.compaction.stale_children import (
    EVENTS,
    HASH,
    MARK,
    PLACE,
    STARTS,
    begins_answer,
    is_reached,
    marked_later,
    reach_of,
    stale_keys,
)
from intercom.lake.layout import TableFormat
from intercom.tables.table import Table
from tests.support.effort import effort
from tests.support.staged import WatchedLake
from tests.support.staged_children import KEYED_BY_BOTH, PARTS, Child, Mark, StagedChildren

Event = Child | Mark
TIMES = st.sampled_from([None, 1, 2, 3])
MONTHS = st.sampled_from([None, 0, 1])

# -- the decisions --------------------------------------------------------------------------------------------------

EVENT = st.one_of(
    st.builds(Child, st.sampled_from("xyz"), st.sampled_from("PQ"), at=TIMES),
    st.builds(Mark, st.sampled_from("PQ"), oldest=TIMES),
)


def as_events(events: Sequence[Event]) -> Any:
    columns: list[list[Any]] = [
        [event.id if isinstance(event, Child) else "\x1f" + event.parent for event in events],
        [event.parent for event in events],
        [event.at if isinstance(event, Child) else event.oldest for event in events],
        [isinstance(event, Mark) for event in events],
        list(range(len(events))),
    ]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, EVENTS, strict=True)]
    return pa.table(arrays, schema=EVENTS)


def cuts(mark: Mark, child: Child) -> bool:
    """Whether the answer that a mark begins should have a child."""
    if mark.parent != child.parent:
        return False
    return mark.oldest is None or (child.at is not None and child.at > mark.oldest)


def is_stale(child: Child, later: Sequence[Event]) -> bool:
    """Whether a row is stale, if no row with its key is among the `later` events."""
    return any(isinstance(event, Mark) and cuts(event, child) for event in later)


@settings(max_examples=effort(40, 3000))
@given(events=st.lists(EVENT, max_size=12))
def test_a_key_is_stale_if_a_mark_after_its_last_row_should_have_had_it(events: list[Event]) -> None:
    last = {event.id: place for place, event in enumerate(events) if isinstance(event, Child)}
    stale = {
        key
        for key, place in last.items()
        if isinstance(row := events[place], Child) and is_stale(row, events[place + 1 :])
    }
    found = stale_keys(as_events(events)).to_pylist()
    assert sorted(found) == sorted(stale)


@settings(max_examples=effort(40, 3000))
@given(marks=st.lists(st.builds(Mark, st.sampled_from("PQ"), oldest=TIMES), max_size=5), stored=st.lists(EVENT))
def test_a_stored_row_is_reached_by_whichever_mark_cuts_deepest(marks: list[Mark], stored: list[Event]) -> None:
    children = [event for event in stored if isinstance(event, Child)]
    rows = as_events(children).combine_chunks()
    reach = reach_of(as_events(marks))
    reached = is_reached(rows.column(1).combine_chunks(), rows.column(2).combine_chunks(), reach)
    assert reached.to_pylist() == [is_stale(child, marks) for child in children]


@settings(max_examples=effort(40, 3000))
@given(events=st.lists(EVENT, max_size=12), cut=st.integers(0, 12))
def test_parents_with_anything_before_a_mark_are_told_from_the_first_rows_of_answers(
    events: list[Event], cut: int
) -> None:
    """Also where an answer begins in one part and ends in the next one."""
    rows, number = as_events(events), {"P": 1, "Q": 2}
    parts = [part.filter(begins_answer(part)) for part in (rows.slice(0, cut), rows.slice(cut))]
    starts = [
        pa.table(
            [pa.array([number[name] for name in part.column(1).to_pylist()]), part[MARK], part[PLACE]], STARTS.names
        )
        for part in parts
    ]
    assert starts[0].column_names[0] == HASH
    found = marked_later(pa.concat_tables([one.cast(STARTS) for one in starts])).to_pylist()
    seen: set[str] = set()
    expected = set()
    for event in events:
        if isinstance(event, Mark) and event.parent in seen:
            expected.add(number[event.parent])
        seen.add(event.parent)
    assert set(found) == expected
    assert len(found) == len(expected)


# -- whole compactions ----------------------------------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """What one request for a parent has staged: a mark and children, or fewer children and no mark."""
    parent, month = draw(st.sampled_from("PQ")), draw(MONTHS)
    ids = draw(st.lists(st.sampled_from("uvwx"), max_size=3, unique=True))
    children = [Child(id, parent, month, draw(TIMES), draw(st.sampled_from("ab"))) for id in ids]
    marks = [Mark(parent, month, draw(TIMES))] if draw(st.integers(0, 3)) else []
    return [*marks, *children]


RUNS = st.tuples(st.sampled_from(["some", "some", "some", "whole", "replaces"]), st.lists(answers(), max_size=3))
History = list[tuple[tuple[str, list[list[Event]]], bool]]


class Model:
    """Rows by key; `compact` takes what waits, event by event."""

    def __init__(self, lake: StagedChildren) -> None:
        self._lake = lake
        self.rows: dict[tuple[str, ...], Child] = {}
        self.waiting: list[tuple[str, list[Event]]] = []

    def compact(self) -> None:
        starts = [number for number, (kind, _) in enumerate(self.waiting) if kind == "replaces"]
        if starts:
            self.waiting, self.rows = self.waiting[starts[-1] :], {}
        events = [event for _, staged in self.waiting for event in staged]
        staged: dict[tuple[str, ...], Child] = {}
        for event in events:
            if isinstance(event, Child):
                staged[self._lake.key(event)] = event
            else:
                staged = {key: row for key, row in staged.items() if not cuts(event, row)}
        kept = {key: row for key, row in self.rows.items() if not is_stale(row, events)}
        self.rows, self.waiting = kept | staged, []


WAYS = [(PARTS, True), (PARTS, False), (KEYED_BY_BOTH, True), (KEYED_BY_BOTH, False)]
"""All staged rows in memory, and only those that may be stale, since it is not known how many were staged."""


@settings(max_examples=effort(15, 1500), deadline=None)
@given(
    way=st.sampled_from(WAYS),
    split=st.booleans(),
    per_part=st.sampled_from([1, 3, 1000]),
    one_process=st.booleans(),
    history=st.lists(st.tuples(RUNS, st.booleans()), min_size=1, max_size=4),
)
def test_the_children_of_a_parent_are_those_that_the_answers_leave(
    way: tuple[Table, bool], split: bool, per_part: int, one_process: bool, history: History
) -> None:
    check(way, history, split=split, per_part=per_part, one_process=one_process)


def check(way: tuple[Table, bool], history: History, *, split: bool, per_part: int, one_process: bool = False) -> None:
    with tempfile.TemporaryDirectory() as url:
        table, counted = way
        ways: dict[str, Any] = {"counted": counted, "split": split, "one_process": one_process}
        lake = StagedChildren(url, table, TableFormat.PARQUET, per_part=per_part, **ways)
        model = Model(lake)
        for (kind, read), compact in [*history, (("some", []), True)]:
            staged = [event for answer in read for event in answer]
            lake.stage(staged, whole=kind == "whole", replaces=kind == "replaces")
            model.waiting.append((kind, staged))
            if not compact:
                continue
            before = {lake.key(row) for row in lake.rows()}
            done = lake.compact(WatchedLake(lake))
            model.compact()
            after = {lake.key(row) for row in lake.rows()}
            assert sorted(lake.rows(), key=str) == sorted(model.rows.values(), key=str)
            assert (done.new, done.removed, done.rows) == (len(after - before), len(before - after), len(after))
            assert done.changed + done.unchanged <= len(after & before)


@pytest.mark.parametrize("way", WAYS)
def test_what_few_random_examples_may_miss(way: tuple[Table, bool]) -> None:
    """A note goes from one parent to another, in another month, and the first is read after that."""
    first: list[Event] = [Mark("P", 0), Child("u", "P", 0), Child("v", "P", 0), Mark("Q", 1), Child("w", "Q", 1)]
    then: list[Event] = [Mark("Q", 1), Child("w", "Q", 1), Child("u", "Q", 1), Mark("P", 0), Child("v", "P", 0)]
    back: list[Event] = [Mark("P", 1), Child("u", "P", 1), Mark("Q", 0), Mark("P", 0), Child("u", "P", 0, body="b")]
    history: History = [(("some", [first]), True), (("some", [then]), True), (("some", [back]), True)]
    for split in (False, True):
        check(way, history, split=split, per_part=2)


def test_both_ways_agree_on_what_is_little() -> None:
    assert child_lookup.LITTLE_ROWS == key_lookup.LITTLE_ROWS
