"""Slices of a search: together they hold every row, whatever the zones, and each is of a size worth reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.extract.search_slices import Count, PlannedSlice, SliceCount, SlicePlan, Splitter, in_order
from intercom.extract.windows import DAYS, SECONDS, Bounds, Grid, Slice
from tests.extract.test_windows_laws import BEGIN, BY_SECOND, DAY_SECONDS, END, ZONES, ByDay, BySecond
from tests.support.effort import effort

OPEN = Bounds(None, None)
SPAN = 400  # days
TIMES = st.integers(0, SPAN * DAY_SECONDS - 1)


def returned(search: ByDay | BySecond, second: int, bounds: Bounds) -> bool:
    return search.returns(second, replace(bounds, above=-(2**31) if bounds.above is None else bounds.above))


@settings(max_examples=effort(27, 800))
@given(
    second=st.integers(BEGIN, END - 1), filter_zone=ZONES, index_zone=ZONES, by_day=st.booleans(), ends=st.booleans()
)
@example(
    second=1_775_311_200 + 3600, filter_zone="Pacific/Norfolk", index_zone="Pacific/Norfolk", by_day=True, ends=True
)
def test_neighbours_leave_no_second_out_in_any_two_zones(
    second: int, filter_zone: str, index_zone: str, by_day: bool, ends: bool
) -> None:
    """The day that a search sees in the bound is the same for both neighbours, whatever zone it thinks in."""
    search = ByDay(ZoneInfo(filter_zone), ZoneInfo(index_zone)) if by_day else BY_SECOND[ends]
    middle = DAYS.cell(second)
    parts = [
        Slice(None, middle - 2),
        *(Slice(c, c + 1) for c in range(middle - 2, middle + 3)),
        Slice(middle + 3, None),
    ]
    assert any(returned(search, second, DAYS.bounds(part, OPEN)) for part in parts)


@settings(max_examples=effort(20, 600))
@given(
    second=st.integers(BEGIN, END - 1),
    zone=st.sampled_from(["UTC", "America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin"]),
)
def test_in_most_zones_no_second_is_in_two_slices(second: int, zone: str) -> None:
    search = ByDay(ZoneInfo(zone), ZoneInfo(zone))
    parts = [Slice(cell, cell + 1) for cell in range(DAYS.cell(second) - 2, DAYS.cell(second) + 3)]
    assert sum(returned(search, second, DAYS.bounds(part, OPEN)) for part in parts) == 1


@given(second=st.integers(0, 10_000), cut=st.integers(0, 10_000), search=st.sampled_from(BY_SECOND))
def test_seconds_are_cut_without_a_gap_under_every_reading_of_the_operators(
    second: int, cut: int, search: BySecond
) -> None:
    parts = [Slice(None, cut), Slice(cut, None)]
    assert any(returned(search, second, SECONDS.bounds(part, OPEN)) for part in parts)


@given(
    grid=st.sampled_from([DAYS, SECONDS]), low=TIMES, high=TIMES, parts=st.integers(1, 20),
    start=st.none() | st.integers(0, SPAN), length=st.none() | st.integers(1, SPAN),
)  # fmt: skip
def test_a_cut_tiles_what_it_cuts(
    grid: Grid, low: int, high: int, parts: int, start: int | None, length: int | None
) -> None:
    whole = Slice(start, None if length is None else (start or 0) + length)
    pieces = grid.cut(whole, low, high, parts)
    assert 1 <= len(pieces) <= parts
    assert (pieces[0].start, pieces[-1].end) == (whole.start, whole.end)
    assert all(left.end == right.start for left, right in pairwise(pieces))
    assert all(piece.start < piece.end for piece in pieces if piece.start is not None and piece.end is not None)


@dataclass
class Index:
    """Rows of a search: seconds, with ids; None where a row lacks the time."""

    search: ByDay | BySecond
    rows: list[tuple[int | None, str]]
    grid: Grid
    asked: int = 0
    rounds: int = 0

    def holds(self, row: tuple[int | None, str], part: Slice) -> bool:
        second, identity = row
        if part.narrowed:
            field, _, value = part.narrowed
            role = "user" if int(identity, 16) % 3 else "lead"
            if not (identity.endswith(value) if field == "id" else role == value):
                return False
        if part == replace(Slice(), narrowed=part.narrowed):
            return True
        return second is not None and returned(self.search, second, self.grid.bounds(part, OPEN))

    def seconds(self, part: Slice) -> list[int]:
        return sorted(
            second for second, _ in filter(lambda row: self.holds(row, part), self.rows) if second is not None
        )

    def count(self, parts: Sequence[Slice]) -> list[SliceCount | None]:
        self.rounds += 1
        self.asked += len(parts)
        found = [[row for row in self.rows if self.holds(row, part)] for part in parts]
        return [
            SliceCount(len(rows), min((row[0] for row in rows if row[0] is not None), default=None)) for rows in found
        ]

    def last(self, part: Slice) -> int | None:
        self.asked += 1
        return max(self.seconds(part), default=None)


@st.composite
def indexes(draw: st.DrawFn) -> Index:
    """Rows spread evenly, in lumps, or all on one day; searched by day or by second."""
    grid = draw(st.sampled_from([DAYS, SECONDS]))
    zone = ZoneInfo(draw(st.sampled_from(["UTC", "Pacific/Auckland", "America/Los_Angeles", "Pacific/Norfolk"])))
    search = (
        ByDay(zone, ZoneInfo(draw(st.sampled_from(["UTC", zone.key]))))
        if grid is DAYS
        else draw(st.sampled_from(BY_SECOND))
    )
    lumps = draw(
        st.lists(
            st.tuples(TIMES, st.integers(1, 60), st.sampled_from([0, 1, 3600, DAY_SECONDS])), min_size=1, max_size=8
        )
    )
    seconds: list[int | None] = [1_700_000_000 + at + n * step for at, size, step in lumps for n in range(size)]
    return Index(search, [(second, f"{n * 7919:024x}") for n, second in enumerate(seconds)], grid)


def splitter(index: Index, *, by_id: bool = True, count: Count | None = None) -> Splitter:
    known = [second for second, _ in index.rows if second is not None]
    narrowed_by = ("id", "role") if by_id and index.grid is DAYS else ()
    return Splitter(index.grid, min(known), max(known), narrowed_by, count or index.count, index.last, smallest=10)


def slices(splitter: Splitter, rows: int) -> tuple[PlannedSlice, ...]:
    """Those of all rounds."""
    return in_order(part for settled in splitter.split(rows) for part in settled)


@settings(max_examples=effort(20, 600))
@given(index=indexes())
def test_every_row_is_in_a_slice_and_slices_are_small(index: Index) -> None:
    parts = slices(splitter(index), len(index.rows))
    assert all(any(index.holds(row, part.slice) for part in parts) for row in index.rows)
    assert index.asked <= 40 + 6 * len(index.rows)
    for part in parts:
        assert part.rows == index.count([part.slice])[0].rows or part.slice.narrowed is None
        one_cell = part.slice.start is not None and part.slice.end == part.slice.start + 1
        assert part.rows <= 15 or one_cell or part.slice.narrowed or part.slice == Slice() or _is_hot(index, part)


@settings(max_examples=effort(10, 300))
@given(index=indexes())
def test_a_slice_is_settled_once_and_small_ones_come_last(index: Index) -> None:
    rounds = list(splitter(index).split(len(index.rows)))
    parts = slices(splitter(index), len(index.rows))
    assert len({part.slice for part in parts}) == len(parts)
    assert all(part.rows >= 5 for settled in rounds[:-1] for part in settled)
    times = [part.slice for part in parts if part.slice.narrowed is None]
    ends = [(None, None), *((part.start, part.end) for part in times)]
    assert all(left[1] is not None and left[1] <= start for left, (start, _) in pairwise(ends[1:]) if start is not None)


@pytest.mark.parametrize("by", ["id", "role"])
def test_a_single_day_is_split_only_by_what_the_table_names(by: str) -> None:
    rows = [(9 * DAY_SECONDS, f"{number:024x}") for number in range(200)]
    index = Index(ByDay(ZoneInfo("UTC"), ZoneInfo("UTC")), list(rows), DAYS)
    parts = slices(replace(splitter(index), narrowed_by=(by,)), len(rows))
    assert {part.slice.narrowed[0] for part in parts if part.slice.narrowed} == {by}
    assert sum(part.rows for part in parts) == len(rows)


def _is_hot(index: Index, part: PlannedSlice) -> bool:
    """An open slice whose rows are all in one or two cells cannot be cut further."""
    cells = {index.grid.cell(s) for s, _ in index.rows if s is not None and index.holds((s, "0"), part.slice)}
    return len(cells) <= 3


@given(index=indexes())
def test_a_plan_survives_its_file(index: Index) -> None:
    parts = slices(splitter(index), len(index.rows))
    plan = SlicePlan("created_at", "updated_at", Bounds(5, None), parts)
    assert SlicePlan.from_json(plan.to_json()) == plan


def evenly(rows: int, days: int) -> Index:
    zone = ZoneInfo("UTC")
    times = [1_700_000_000 + n * days * DAY_SECONDS // rows for n in range(rows)]
    return Index(ByDay(zone, zone), [(second, f"{n:024x}") for n, second in enumerate(times)], DAYS)


def hot(rows: int) -> Index:
    zone = ZoneInfo("UTC")
    return Index(ByDay(zone, zone), [(1_700_000_000 + n % 50, f"{n:024x}") for n in range(rows)], DAYS)


def test_counting_costs_little() -> None:
    index = evenly(1000, 600)
    parts = slices(splitter(index), 1000)
    assert sum(part.rows for part in parts) == 1000
    assert len(parts) >= 64
    assert index.asked <= 1.3 * len(parts)


def test_a_hot_day_is_split_by_the_ends_of_ids() -> None:
    index = hot(400)
    parts = slices(splitter(index), 400)
    assert {part.slice.narrowed and part.slice.narrowed[:2] for part in parts} == {("id", "$")}
    assert max(part.rows for part in parts) <= 30
    assert sum(part.rows for part in parts) == 400


def test_a_hot_day_is_split_by_role_where_ends_of_ids_are_refused() -> None:
    index = hot(400)

    def refusing(parts: Sequence[Slice]) -> list[SliceCount | None]:
        counted = index.count(parts)
        return [
            None if part.narrowed and part.narrowed[1] == "$" else c for part, c in zip(parts, counted, strict=True)
        ]

    parts = slices(splitter(index, count=refusing), 400)
    assert {part.slice.narrowed for part in parts} == {("role", "=", "user"), ("role", "=", "lead")}


@pytest.mark.parametrize("answer", [0, 400])
def test_a_hot_day_stays_whole_where_no_split_adds_up(answer: int) -> None:
    index = hot(400)

    def deaf(parts: Sequence[Slice]) -> list[SliceCount | None]:
        counted = index.count(parts)
        return [SliceCount(answer) if part.narrowed else c for part, c in zip(parts, counted, strict=True)]

    (part,) = [part for part in slices(splitter(index, count=deaf), 400) if part.rows]
    assert part.slice.narrowed is None


def test_a_search_that_refuses_bounds_is_read_in_one_piece() -> None:
    def refusing(parts: Sequence[Slice]) -> list[SliceCount | None]:
        return [None for _ in parts]

    assert slices(splitter(evenly(200, 100), count=refusing), 200) == (PlannedSlice(Slice(), 200),)


def test_a_row_that_goes_while_a_hot_day_is_counted_does_not_stop_the_split() -> None:
    index = hot(400)

    def losing(parts: Sequence[Slice]) -> list[SliceCount | None]:
        if index.rounds == 0:
            index.rows.pop()
        return index.count(parts)

    assert {part.slice.narrowed and part.slice.narrowed[0] for part in slices(splitter(index, count=losing), 400)} == {
        "id"
    }


def test_lumps_of_rows_are_found_with_few_questions() -> None:
    """Imports of a minute each in years without any; and one row in 1970."""
    times = [0] + [1_600_000_000 + lump * 40 * DAY_SECONDS + n for lump in range(20) for n in range(17)]
    index = Index(BY_SECOND[0], [(second, f"{n:024x}") for n, second in enumerate(times)], SECONDS)
    parts = slices(splitter(index), len(times))
    assert max(part.rows for part in parts) <= 15
    assert index.asked <= 8 * len(parts)
    assert index.rounds <= 16


def test_many_hot_days_are_split_in_the_same_rounds() -> None:
    zone = ZoneInfo("UTC")
    times = [1_700_000_000 + hot * 3 * DAY_SECONDS + n % 50 for hot in range(12) for n in range(100)]
    index = Index(ByDay(zone, zone), [(second, f"{n:024x}") for n, second in enumerate(times)], DAYS)
    slices(splitter(index), len(times))
    assert index.rounds <= 8


def test_days_that_do_not_add_up_are_read_in_one_piece() -> None:
    index = evenly(200, 100)
    index.rows += [(None, "f" * 24)]
    assert slices(splitter(index), 201) == (PlannedSlice(Slice(), 201),)


def test_rows_that_go_while_they_are_counted_do_not_stop_the_split() -> None:
    index = evenly(200, 100)
    gone = Index(index.search, index.rows[:-3], DAYS)
    assert len(slices(splitter(gone), 200)) > 5


def test_seconds_split_a_hot_day_of_conversations() -> None:
    times = [1_700_000_000 + n for n in range(300)]
    index = Index(BY_SECOND[0], [(second, f"{n:024x}") for n, second in enumerate(times)], SECONDS)
    parts = slices(splitter(index), 300)
    assert max(part.rows for part in parts) <= 17
    assert {part.slice.narrowed for part in parts} == {None}
