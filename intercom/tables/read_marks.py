"""Marks in staged rows that say of which parents all children were read; they never reach a published file.

A mark is a row of the child table that is staged before the children of its parent. Its key columns have `SIGN` and
the parent's key in place of a child's id, except columns that are inherited from the parent. An answer that does not
have all children puts the time of its oldest one into the column `Parent.cut_by` of the mark; the column is null if all
came. An answer that is short for another reason has no mark.

So the staged rows of a parent, in the order in which they were read, are: mark, children, mark, children, and so on.
The compaction keeps the children after the last mark, and the staged and stored ones before it that the mark says
nothing about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from intercom.tables.table import Table

SIGN: Final = "\x1f"
"""First character of a key column of a mark. Intercom's ids do not contain it."""


def mark_of(table: Table, parent_key: str, inherited: Mapping[str, msgspec.Raw], oldest: int | None) -> bytes:
    """The record of a mark: a JSON object. `inherited` are members by column; `oldest` is in unix seconds."""
    assert table.parent is not None
    members: dict[str, object] = dict(inherited)
    members |= dict.fromkeys(own_key(table), SIGN + parent_key)
    if table.parent.cut_by:
        members[table.parent.cut_by] = oldest
    return msgspec.json.encode(members)


def own_key(table: Table) -> tuple[str, ...]:
    """The key columns that are not inherited from the parent: those with the child's own id."""
    inherited = table.parent.inherits if table.parent else {}
    return tuple(name for name in table.primary_key if name not in inherited)
