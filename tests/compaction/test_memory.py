"""The memory budget that merges and migrations share, and what its module says of all bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread

import pytest

from intercom.compaction import memory
from intercom.compaction.memory import MERGING, MemoryBudget
from intercom.compaction.schema_change import migrate_columns
from intercom.tables.schema import Column, ColumnKind, TableSchema
from tests.support.rig import MemoryWatermarks
from tests.support.staged import COLUMNS, SEARCHED, Row, StagedTable


def beside(work: Callable[[], None]) -> Thread:
    """A thread that does not keep a failing test from ending."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


def taking(budget: MemoryBudget, size: int) -> Thread:
    def work() -> None:
        with budget.taken(size):
            pass

    return beside(work)


def waits(thread: Thread) -> bool:
    thread.join(0.05)
    return thread.is_alive()


def ends(thread: Thread) -> bool:
    thread.join(30)
    return not thread.is_alive()


def test_work_that_fits_goes_on_at_the_same_time() -> None:
    budget = MemoryBudget(10)
    with budget.taken(4):
        assert ends(taking(budget, 6))


def test_work_waits_until_others_have_left_enough() -> None:
    budget = MemoryBudget(10)
    with budget.taken(4):
        work = taking(budget, 7)
        assert waits(work)
    assert ends(work)


@pytest.mark.parametrize(("first", "second"), [(1, 1_000), (1_000, 1)])
def test_work_that_is_larger_than_the_budget_is_done_alone(first: int, second: int) -> None:
    budget = MemoryBudget(10)
    with budget.taken(first):
        work = taking(budget, second)
        assert waits(work)
    assert ends(work)
    assert ends(taking(budget, first))


def test_memory_is_given_back_by_work_that_fails() -> None:
    budget = MemoryBudget(10)
    with pytest.raises(ValueError, match="broken"), budget.taken(10):
        raise ValueError("broken")
    assert ends(taking(budget, 10))


def test_no_more_than_the_budget_is_ever_taken() -> None:
    budget, lock = MemoryBudget(10), Lock()
    taken, most = 0, 0

    def work() -> None:
        nonlocal taken, most
        for size in range(1, 11):
            with budget.taken(size):
                with lock:
                    taken += size
                    most = max(most, taken)
                with lock:
                    taken -= size

    threads = [beside(work) for _ in range(8)]
    assert all(ends(thread) for thread in threads)
    assert most <= 10
    assert taken == 0


def test_merges_and_migrations_of_a_process_wait_for_the_same_memory(tmp_path: Path) -> None:
    """Each by itself would fit: both go on when the memory is free, and neither before."""
    merged, migrated = StagedTable(str(tmp_path / "merged")), StagedTable(str(tmp_path / "migrated"))
    for staged in (merged, migrated):
        staged.stage([Row("1", 0, 1)])
    migrated.compact()
    wider = replace(SEARCHED, schema=TableSchema((*COLUMNS.fields, Column("phone", ColumnKind.STRING))))

    def migrate() -> None:
        lake_table = migrated.lake_table()
        state = lake_table.state()
        assert state is not None
        migrate_columns(wider, lake_table, state, MemoryWatermarks())

    with MERGING.taken(MERGING.limit):
        work = [beside(lambda: merged.compact() and None), beside(migrate)]
        assert all(waits(thread) for thread in work)
        assert merged.rows() == []
    assert all(ends(thread) for thread in work)
    assert merged.rows() == [Row("1", 0, 1)]
    state = migrated.lake_table().state()
    assert state is not None
    assert state.columns == wider.schema


def test_the_memory_of_files_is_reckoned_from_their_bytes(tmp_path: Path) -> None:
    budget, files = MemoryBudget(100), [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_bytes(b"1234")
    with budget.rows_of(files):  # 80
        assert ends(taking(budget, 20))
        work = taking(budget, 21)
        assert waits(work)
    assert ends(work)


COUNTS = {"LITTLE_ROWS", "HASHES_AT_A_TIME", "WHOLE_KEPT", "NEWEST_KEPT", "PARENTS_AT_ONCE", "ROWS_OF_A_SHARE"}
"""Bounds that are numbers of rows, and no bytes."""


def test_the_documented_bounds_are_those_of_the_code() -> None:
    found = dict(re.findall(r"^`([\w.]+)` .*?  ([\d x]+?)(?: \(\d\))?$", memory.__doc__ or "", re.MULTILINE))
    assert len(found) == 19
    for name, mebibytes in found.items():
        module, _, constant = name.rpartition(".")
        value = getattr(import_module(f"intercom.{module}"), constant)
        documented = int(mebibytes.split(" x ")[-1])
        if constant not in COUNTS:
            assert (value.limit if isinstance(value, MemoryBudget) else value) == documented << 20, name
