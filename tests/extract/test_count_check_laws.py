"""Laws of the tally of a search: it counts distinct rows, and believes the largest count until a smaller one holds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.errors import RetriableApiError
from intercom.extract.count_check import CountCheck
from intercom.extract.pages import Page
from intercom.normalise.records import Rejected

Ids = st.lists(st.integers(0, 40), max_size=12)


def page_of(ids: list[int], nulls: int = 0, rejected: int = 0) -> Page:
    records = [{"id": msgspec.Raw(f'"{one}"'.encode())} for one in ids]
    odd = tuple(Rejected(f"[{number}]".encode(), "odd") for number in range(rejected))
    return Page(1, "request", records, nulls=nulls, rejected=odd)


def add(tally: CountCheck, ids: list[int], count: int | None = None, full: int = 0, **page: int) -> None:
    tally.add(page_of(ids, **page), [0] * len(ids), count, full=full)


def add_all(tally: CountCheck, pages: list[list[int]]) -> None:
    for ids in pages:
        add(tally, ids)


@given(st.lists(Ids, max_size=4), st.integers(0, 60))
def test_distinct_rows_are_counted_however_often_they_come(pages: list[list[int]], counted: int) -> None:
    tally = CountCheck("contacts", counted)
    for ids in pages:
        add(tally, ids)
    distinct = len({one for ids in pages for one in ids})
    assert tally.found == distinct
    assert tally.short_by == max(0, counted - distinct)


@given(st.lists(st.one_of(st.none(), st.integers(0, 60)), min_size=1, max_size=4), st.integers(0, 60))
def test_the_largest_count_holds_whoever_names_it(counts: list[int | None], counted: int) -> None:
    tally = CountCheck("contacts", counted)
    for number, count in enumerate(counts):
        add(tally, [number], count)
    assert tally.counted == max([counted, *[count for count in counts if count is not None]])


@given(Ids, Ids)
def test_another_pass_adds_what_the_first_has_not_found(first: list[int], second: list[int]) -> None:
    tally = CountCheck("contacts")
    add(tally, first)
    tally.begin()
    add(tally, second)
    assert tally.found == len({*first, *second})
    assert tally.new == len({*second} - {*first})


@given(st.integers(0, 9), st.integers(0, 9))
def test_records_that_cannot_be_rows_are_found_and_null_elements_are_not_missing(rejected: int, nulls: int) -> None:
    tally = CountCheck("contacts", 10 + rejected + nulls)
    add(tally, list(range(10)), nulls=nulls, rejected=rejected)
    assert tally.found == 10 + rejected
    assert tally.short_by == 0


def test_more_nulls_than_rows_are_missing_rows() -> None:
    tally = CountCheck("contacts", 12)
    add(tally, [1], nulls=11)
    assert tally.short_by == 11


@pytest.mark.parametrize(
    ("ids", "count", "full"),
    [
        pytest.param([1, 2, 2], 10, 0, id="a row twice"),
        pytest.param([1, 2], 10, 3, id="fewer rows than asked for, and more to come"),
        pytest.param([1, 2], 9, 0, id="a smaller count than others"),
    ],
)
def test_an_odd_page_makes_a_pass_unsound(ids: list[int], count: int, full: int) -> None:
    tally = CountCheck("contacts", 10)
    add(tally, ids, count, full)
    assert not tally.sound
    tally.begin()
    assert tally.sound
    add(tally, [1, 2, 3], 10, 3)
    assert tally.sound


def test_a_smaller_count_holds_once_it_is_believed() -> None:
    tally = CountCheck("contacts", 10)
    add(tally, [1, 2, 3])
    tally.believe(3)
    assert tally.is_whole


def test_where_nothing_is_counted_nothing_is_whole() -> None:
    tally = CountCheck("contacts")
    add(tally, [1, 2, 3])
    assert not tally.is_whole


@given(st.lists(st.sampled_from([[], [1, 2], [2, 1]]), min_size=10, max_size=10))
def test_pages_that_bring_nothing_new_end_the_read(pages: list[list[int]]) -> None:
    """Rows that come for a second time may be new versions; a third time they are not."""
    tally = CountCheck("contacts, window", 300)
    with pytest.raises(RetriableApiError, match="contacts, window: search makes no progress"):
        add_all(tally, [[1, 2], *pages])


def test_a_row_that_has_changed_since_is_progress() -> None:
    tally = CountCheck("contacts", 1)
    for second in range(50):
        tally.add(page_of([1]), [second], None, full=0)
    assert tally.found == 1


def test_far_more_rows_than_are_counted_end_the_read() -> None:
    tally = CountCheck("contacts", 100)
    with pytest.raises(RetriableApiError, match="100 counted"):
        add_all(tally, [list(range(first, first + 150)) for first in range(0, 30_000, 150)])


def test_rows_that_come_again_in_each_pass_are_progress() -> None:
    tally = CountCheck("contacts", 90)
    pages = [list(range(first, first + 15)) for first in range(0, 90, 15)]
    for _ in range(3):
        tally.begin()
        add_all(tally, pages)
    assert tally.found == 90


def test_rows_that_have_changed_since_the_run_began_do_not_stand_in_for_others() -> None:
    tally = CountCheck("contacts", 3, until=100)
    tally.add(page_of([1, 2, 3]), [50, 60, 101], None, full=0)
    assert tally.short_by == 0
    assert not tally.is_whole
    assert tally.new == 2
