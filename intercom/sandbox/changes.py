"""Changes that come by themselves: a workspace in which people are at work while it is served."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from intercom.sandbox.workspace import Workspace

_NEW_OF_A_HUNDRED = 30
_TABLES = ("contacts", "conversations")


def changes(workspace: Workspace, seed: int) -> Iterator[str]:
    """Each step makes one change and gives the table: a new record, or a later ``updated_at`` of one. Without end."""
    dice = Random(seed)
    ids = {table: [record.key for record in workspace.tables[table]] for table in _TABLES}
    while True:
        table = dice.choice(_TABLES)
        if not ids[table] or dice.randrange(100) < _NEW_OF_A_HUNDRED:
            ids[table].append(str(workspace.create(table)["id"]))
        else:
            workspace.update(table, dice.choice(ids[table]))
        yield table
