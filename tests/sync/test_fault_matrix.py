"""Everything that goes wrong between a run and Intercom, tried on every table: exact, or a clear error.

The matrix is `tests.support.fault_matrix`. Here each fault is tried once, and each table at least once; `make soak`
tries each fault with each table, with increments and full refreshes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access
from tests.fault_page import PAGE, page
from tests.support.effort import SOAK, tried
from tests.support.fault_cells import Bench, Cell, Tried, ways_of
from tests.support.fault_matrix import EXACT, FAULTS, NEVER, WARNED, Fault, Way

READ = [name for name in TABLES if ways_of(name)]
ONE_PAGE = ("help_centers",)
PAIRS = [(name, way) for name in READ for way in ways_of(name)]


def all_cells() -> list[Cell]:
    """The whole matrix, without what does not happen."""
    return [
        Cell(name, way, fault, full)
        for name, way in PAIRS
        for fault in FAULTS
        for full in (False, True)
        if fault.concerns(name, way) and (full or not fault.reconciles)  # rows are gone in benches of full refreshes
    ]


def some_cells() -> list[Cell]:
    """Each fault once, and each table and way at least once, in turn increments and full refreshes."""
    left, cells = list(PAIRS), []
    for number, fault in enumerate(FAULTS):
        place = next(place for place, pair in enumerate(left) if happens(fault, *pair))
        name, way = left.pop(place)
        left.append((name, way))
        full = fault.reconciles or (number % 2 == 1 and fault.outcomes(way) != WARNED)
        cells.append(Cell(name, way, fault, full))
    return cells


def happens(fault: Fault, name: str, way: Way) -> bool:
    """Whether a fault can happen to a table of this way: some have one page only, or answers without a count."""
    if not fault.concerns(name, way):
        return False
    if fault.trick.startswith("scroll"):
        return TABLES[name].listed.access is Access.SCROLL
    if fault.otherwise == WARNED:  # of a table with a watermark, which must stay
        return fault.outcomes(way) == WARNED and TABLES[name].cursor_field is not None
    if fault.answers.get("kind") in ("short", "shifted") and name in ONE_PAGE:  # whose one request is no later page
        return False
    if fault.answers.get("kind") in ("same_next", "again", "fewer", "more") or fault.trick == "further pages":
        return way is not Way.CHILDREN and name not in ONE_PAGE
    return True


CELLS: dict[str, list[Cell]] = defaultdict(list)
for cell in all_cells() if SOAK else some_cells():
    CELLS[cell.table].append(cell)


@pytest.mark.parametrize("table", READ)
def test_a_run_is_exact_or_says_clearly_why_not_and_the_next_one_is_exact(table: str, tmp_path: Path) -> None:
    wrong = []
    for full in (False, True):
        cells = [cell for cell in CELLS[table] if cell.full_refresh is full]
        if not cells:
            continue
        bench = Bench(tmp_path / f"full-{full}", table, full_refresh=full)
        try:
            for one in cells:
                found = bench.attempt(one)
                wrong += [f"{one}: {fault}" for fault in faults_of(one, found)]
        finally:
            bench.close()
        tried("cells of the fault matrix", len(cells))
    assert not wrong, "\n".join(wrong)


def faults_of(cell: Cell, found: Tried) -> list[str]:
    """What is wrong with an outcome."""
    faults = [found.wrong] if found.wrong else []
    expected = cell.fault.outcomes(cell.way) | (NEVER if SOAK else frozenset())  # of a table with a single page
    # The request that ends a list of one page asks for one that is not there; parents may have one page, too.
    if cell.table in ONE_PAGE or (SOAK and cell.way is Way.PARENTS):
        expected |= EXACT
    if found.outcome not in expected:
        faults.append(f"{found.outcome}, not {' or '.join(expected)}: {found.said}")
    return faults


def test_all_of_the_catalogue_and_every_fault_is_tried() -> None:
    cells = all_cells()
    assert {cell.table for cell in some_cells()} == {cell.table for cell in cells} == set(READ)
    assert {cell.fault for cell in some_cells()} == {cell.fault for cell in cells} == set(FAULTS)
    assert {(cell.table, cell.way) for cell in some_cells()} == set(PAIRS)


def test_the_page_is_made_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.fault_page"
