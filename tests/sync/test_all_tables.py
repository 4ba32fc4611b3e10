"""Every table of the catalogue in one lake, compared whole with what the workspace has.

A first load and three increments of one day. In each, every table gets rows and changes of rows, rows go to another
month, lists inside rows lose elements, parents lose children, and lists lose rows. Runs are killed at a step, and some
leave their rows to be merged later. `make soak` has longer days.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from intercom.compaction.policy import CompactionMode
from intercom.sandbox import Workspace
from intercom.sandbox.children import CHILDREN
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import select_tables
from intercom.tables.table import Access, Strategy, Table
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed, fused_commits
from tests.support.rig import Rig, in_both_formats, parent_of
from tests.support.truth import exploded

EVERY = select_tables(list(TABLES)).names
SMALL = {"contacts": 8, "companies": 5, "conversations": 6, "articles": 4, "further": 5, "history_days": 40}
MONTH = 31 * 86_400
MOST_STEPS = 150
"""Steps of a run over all tables, about."""


@in_both_formats
def test_the_lake_is_what_the_workspace_is_after_each_run_of_a_day(
    make_rig: Callable[..., Rig], moments: random.Random
) -> None:
    rig = make_rig(seed=moments.randrange(1000), **SMALL)
    rig.sync(EVERY)
    rig.check(EVERY)
    for number in range(effort(3, 30)):
        rig.workspace.travel(moments.choice((600, 1_200, 5_000)))
        for table in TABLES.values():
            change(rig.workspace, table, moments)
        rig.workspace.travel(1)
        # The second run of a day leaves what it has read to the third one.
        waits = number % 3 == 1
        run_id = f"increment-{number}"
        if not waits and moments.random() < 0.7:
            kill(rig, moments, run_id)
            if moments.random() < 0.5:
                run_id += "-again"
        rig.sync(EVERY, run_id=run_id, when=CompactionMode.NEVER if waits else CompactionMode.ALWAYS)
        if not waits:
            rig.check(EVERY)


def kill(rig: Rig, moments: random.Random, run_id: str) -> None:
    """A run that dies at a step."""
    fuse = Fuse(moments.randint(1, MOST_STEPS))
    plain, rig.store = rig.store, FusedWatermarks(rig.store, fuse)
    with fused_commits(fuse), suppress(Killed):
        rig.sync(EVERY, run_id=run_id, lake=FusedLake(rig.lake_url, fuse))
    rig.store = plain


def change(workspace: Workspace, table: Table, moments: random.Random) -> None:
    """Let a table have new rows, changed ones, some in another month; and fewer, where a run removes what is gone."""
    if table.access is Access.DERIVED:
        change_lists(workspace, table, moments)
        return
    with suppress(ValueError):  # a pair that is there
        workspace.create(table.name, **of_a_parent(workspace, table, moments))
    if table.access is Access.TIME_LOG:  # entries never change
        return
    changed, moved, gone = moments.choices([record.key for record in workspace.tables[table.name]], k=3)
    workspace.update(table.name, changed, changed_by_test=moments.random())
    if table.month_field == "created_at":
        created_at = workspace.tables[table.name][moved].created_at
        if isinstance(created_at, int):
            workspace.update(table.name, moved, created_at=created_at - MONTH)
    if table.access is Access.CHILD or table.strategy is Strategy.REPLACE:
        workspace.delete(table.name, gone)


def of_a_parent(workspace: Workspace, table: Table, moments: random.Random) -> dict[str, str]:
    """The parent of a new record, one that there is; nothing if the table's records have none."""
    if table.access is not Access.CHILD:
        return {}
    return {CHILDREN[table.name].member: moments.choice(list(workspace.tables[parent_of(table.name)].keys))}


def change_lists(workspace: Workspace, table: Table, moments: random.Random) -> None:
    """Take an element out of a parent's list, and change one of another's."""
    parent = parent_of(table.name)
    with_lists = [row for row in workspace.rows(parent) if exploded(table, [row])]
    for change_one in (without_one, with_one_changed)[: len(with_lists)]:
        row = with_lists.pop(moments.randrange(len(with_lists)))
        elements, column = list_of(table, row), table.records_at[0]
        elements[:] = change_one(elements, moments.randrange(len(elements)))
        workspace.update(parent, row["id"], **{column: row[column]})


def list_of(table: Table, row: dict[str, Any]) -> list[Any]:
    """The list in a parent's row of which rows of the table are made."""
    for path in (table.records_at, table.records_otherwise):
        held: Any = row
        for name in path:
            held = held.get(name) if isinstance(held, dict) else None
        if isinstance(held, list) and held:
            return held
    raise AssertionError(f"{table.name}: {row} has no list")


def without_one(elements: list[Any], place: int) -> list[Any]:
    return elements[:place] + elements[place + 1 :]


def with_one_changed(elements: list[Any], place: int) -> list[Any]:
    """An element that is redacted, or renamed; a plain value is another one."""
    one = elements[place]
    other = {**one, "redacted": True, "body": None, "type": "other"} if isinstance(one, dict) else one + 1_000_000
    return [*elements[:place], other, *elements[place + 1 :]]
