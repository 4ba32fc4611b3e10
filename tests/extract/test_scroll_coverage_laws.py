"""What several scrolls have read together, for any pages that each of them loses."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from intercom.extract.scroll_coverage import ScrollCoverage

PAGES = 8
FATES = ("read", "lost with its place", "lost and served next")
Scroll = tuple[list[str], int]
"""The fate of each page, and how many pages were asked for before the scroll was lost (PAGES and more: never)."""
scrolls = st.lists(st.tuples(st.lists(st.sampled_from(FATES), min_size=PAGES, max_size=PAGES), st.integers(0, 12)))


def walk(coverage: ScrollCoverage, pages: list[list[bytes]], scroll: Scroll) -> set[int]:
    """One scroll over the pages; gives the boundaries that it proved: those between two pages read in a row."""
    fates, ends = scroll
    coverage.begin()
    proven: set[int] = set()
    gap = False
    for number, (page, fate) in enumerate(zip(pages, fates, strict=True)):
        if number >= ends:
            return proven
        if fate != "read":
            coverage.gap()
            gap = True
        if fate == "lost with its place":
            continue
        coverage.add(page)
        if not gap:
            proven.add(number)
        gap = False
    coverage.empty()
    coverage.end()
    return proven if gap else proven | {len(pages)}


@given(scrolls)
@example([(["read"] * PAGES, 12)])
@example([(["read"] * 3 + [FATES[1]] + ["read"] * 4, 12), (["read"] * 5 + [FATES[1]] + ["read"] * 2, 12)])
def test_all_is_read_exactly_when_every_boundary_between_pages_was_crossed(walks: list[Scroll]) -> None:
    pages = [[f"{page}-{row}".encode() for row in range(2)] for page in range(PAGES)]
    coverage, proven = ScrollCoverage(), set[int]()
    for scroll in walks:
        proven |= walk(coverage, pages, scroll)
    assert coverage.whole == (proven == set(range(PAGES + 1)))
    if coverage.whole:
        assert coverage.found == 2 * PAGES


@given(scrolls, st.randoms(use_true_random=False))
def test_companies_that_come_and_go_are_no_gap_and_hide_none(walks: list[Scroll], random: object) -> None:
    """Those that stay are all there once the walk is whole."""
    coverage, met = ScrollCoverage(), set[bytes]()
    staying = {f"{page}-0".encode() for page in range(PAGES)}
    for number, scroll in enumerate(walks):
        pages = [[f"{page}-0".encode(), f"{page}-{number}-new".encode()] for page in range(PAGES)]
        fates, ends = scroll
        walk(coverage, pages, scroll)
        met |= {page[0] for at, page in enumerate(pages) if at < ends and fates[at] != FATES[1]}
    if coverage.whole:
        assert staying <= met


def test_scrolls_in_different_orders_fill_no_gap_of_each_other() -> None:
    coverage = ScrollCoverage()
    for first, second in (([b"a", b"b"], [b"c", b"d"]), ([b"c", b"b"], [b"a", b"d"])):
        coverage.begin()
        coverage.add(first)
        coverage.gap()
        coverage.add(second)
        coverage.end()
    assert not coverage.whole
    coverage.begin()
    coverage.add([b"a", b"c"])
    coverage.end()
    assert coverage.whole


def test_an_empty_page_in_the_same_place_twice_is_no_gap() -> None:
    coverage = ScrollCoverage()
    for expected in (False, True):
        coverage.begin()
        coverage.add([b"a"])
        coverage.empty()
        coverage.add([b"b"])
        coverage.end()
        assert coverage.whole is expected


def test_empty_pages_in_different_places_are_gaps_that_scrolls_fill() -> None:
    coverage = ScrollCoverage()
    for empty_after, expected in ((0, False), (1, True)):
        coverage.begin()
        for number, key in enumerate([b"a", b"b", b"c"]):
            coverage.add([key])
            if number == empty_after:
                coverage.empty()
        coverage.end()
        assert coverage.whole is expected


def test_a_lost_page_beside_an_empty_one_is_a_gap_and_no_end() -> None:
    coverage = ScrollCoverage()
    for _ in range(2):
        coverage.begin()
        coverage.add([b"a"])
        coverage.gap()
        coverage.empty()
        coverage.end()
    assert not coverage.whole


def test_an_end_that_is_not_believed_any_more_leaves_the_rows_found() -> None:
    coverage = ScrollCoverage()
    coverage.begin()
    coverage.add([b"a", b"b"])
    coverage.end()
    assert coverage.whole
    coverage.distrust()
    assert (coverage.whole, coverage.found) == (False, 2)
    coverage.begin()
    coverage.add([b"a", b"b", b"c"])
    coverage.end()
    assert (coverage.whole, coverage.found) == (True, 3)


def test_nothing_read_is_not_everything_and_an_empty_scroll_is() -> None:
    coverage = ScrollCoverage()
    assert not coverage.whole
    coverage.begin()
    assert not coverage.whole
    coverage.empty()
    coverage.end()
    assert (coverage.whole, coverage.found) == (True, 0)
