"""What every table of the catalogue promises, against the sandbox workspace: a new entry is under test at once."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from intercom.compaction.compact import Compacted
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import select_tables
from intercom.tables.table import Access, Strategy, Table
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed
from tests.support.markdown import DOCS
from tests.support.rig import Rig, parent_of
from tests.support.truth import exploded

TABLES_PAGE = (DOCS / "reference" / "tables.md").read_text(encoding="utf-8")
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
SHRINKING = [table for table in TABLES.values() if table.access is not Access.TIME_LOG]
"""Tables of which records are deleted; no entry of a log is."""


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A few rows of each table, in one or two months."""
    return make_rig(contacts=20, companies=8, conversations=12, articles=6, further=6, history_days=20)


def sync(rig: Rig, table: Table, **given: Any) -> Compacted:
    """A run over the table, and over the one that it is made of."""
    _, compacted = rig.sync(select_tables([table.name]).names, **given)[table.name]
    return compacted


def load(rig: Rig, table: Table) -> None:
    """A first run over them."""
    rig.load(select_tables([table.name]).names)


def add_field(rig: Rig, table: Table, value: Any) -> None:
    """Add a member `added_by_intercom` to one record of the table, or to one element of a list of its parent's.

    Entries of a log never change, so another one comes.
    """
    if table.access is Access.TIME_LOG:
        rig.workspace.create(table.name, added_by_intercom=value)
        return
    if table.access is not Access.DERIVED:
        rig.workspace.update(table.name, next(iter(rig.workspace.tables[table.name])).key, added_by_intercom=value)
        return
    parent = parent_of(table.name)
    record = next(row for row in rig.workspace.rows(parent) if exploded(table, [row]))
    column, *path = table.records_at
    holder = {column: record[column]}
    place: Any = holder
    for name in (column, *path)[:-1]:
        place = place[name]
    elements = place[table.records_at[-1]]
    first = elements[0] if isinstance(elements[0], dict) else {table.element_as: elements[0]}
    place[table.records_at[-1]] = [{**first, "added_by_intercom": value}, *elements[1:]]
    rig.workspace.update(parent, record["id"], **holder)


@every_table
def test_a_first_load_is_complete_and_a_second_run_writes_nothing(rig: Rig, table: Table) -> None:
    sync(rig, table)
    rig.check([table.name])
    assert rig.rows(table.name).num_rows > 1
    before = {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")}
    compacted = sync(rig, table)
    assert (compacted.files, compacted.new, compacted.changed, compacted.removed) == (0, 0, 0, 0)
    assert {path: (rig.lake_folder / path).stat().st_mtime_ns for path in rig.lake().list("data")} == before


@every_table
def test_increments_of_one_day_bring_what_is_new_what_has_changed_and_fields_without_a_column(
    rig: Rig, table: Table
) -> None:
    load(rig, table)
    rig.workspace.travel(7200)
    add_field(rig, table, {"deep": [1, None]})
    rig.workspace.travel(1)
    compacted = sync(rig, table)
    assert (compacted.new, compacted.changed) == ((1, 0) if table.access is Access.TIME_LOG else (0, 1))
    rig.check([table.name])
    (extra,) = [text for text in rig.rows(table.name).column("_extra").to_pylist() if text and "added_by" in text]
    assert json.loads(extra)["added_by_intercom"] == {"deep": [1, None]}
    for value in range(effort(1, 2)):
        rig.workspace.travel(1200)
        add_field(rig, table, value)
        rig.workspace.create(parent_of(table.name) if table.access is Access.DERIVED else table.name)
        rig.workspace.travel(1)
        sync(rig, table)
        rig.check([table.name])


@pytest.mark.parametrize("table", SHRINKING, ids=[table.name for table in SHRINKING])
def test_a_full_refresh_removes_what_is_gone(rig: Rig, table: Table) -> None:
    load(rig, table)
    rig.workspace.travel(7200)
    if table.access is Access.DERIVED:
        parent = parent_of(table.name)
        rig.workspace.delete(parent, next(row["id"] for row in rig.workspace.rows(parent) if exploded(table, [row])))
    else:
        rig.workspace.delete(table.name, next(iter(rig.workspace.tables[table.name])).key)
    rig.workspace.travel(1)
    compacted = sync(rig, table, full_refresh=True)
    rig.check([table.name])
    assert compacted.removed >= 1


@every_table
def test_a_run_that_dies_at_a_step_is_repaired_by_the_next(rig: Rig, table: Table) -> None:
    load(rig, table)
    rig.workspace.travel(7200)
    add_field(rig, table, 1)
    rig.workspace.travel(7200)
    burns_at = random.randint(1, 3)  # a run with a change has four steps or more
    plain, rig.store = rig.store, FusedWatermarks(rig.store, fuse := Fuse(burns_at))
    with pytest.raises(Killed):
        sync(rig, table, lake=FusedLake(rig.lake_url, fuse))
    rig.store = plain
    sync(rig, table)
    rig.check([table.name])


def test_the_page_of_tables_lists_the_catalogue() -> None:
    text = re.sub(r"\[(\w+)\]\(tables/\1.md\)", r"\1", TABLES_PAGE)
    rows = [re.findall(r"[^|]+", line) for line in text.splitlines() if line.startswith("| ")]
    listed = [cells for row in rows if (cells := tuple(cell.strip() for cell in row[:4]))[0] != "table"]
    assert listed == [
        (name, ", ".join(table.primary_key), table.cursor_field or "-", table.strategy.value)
        for name, table in TABLES.items()
    ]
    assert {row[3] for row in listed} <= set(Strategy)
