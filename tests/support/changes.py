"""Random changes of a sandbox workspace: new, changed, moved and removed records, and lists that lose elements."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

from intercom.sandbox import Workspace
from intercom.sandbox.children import CHILDREN
from intercom.tables.table import Access, Strategy, Table
from tests.support.rig import parent_of
from tests.support.truth import exploded

MONTH = 31 * 86_400


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
    """The elements without the one at a place."""
    return elements[:place] + elements[place + 1 :]


def with_one_changed(elements: list[Any], place: int) -> list[Any]:
    """An element that is redacted, or renamed; a plain value is another one."""
    one = elements[place]
    other = {**one, "redacted": True, "body": None, "type": "other"} if isinstance(one, dict) else one + 1_000_000
    return [*elements[:place], other, *elements[place + 1 :]]
