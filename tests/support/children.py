"""Child tables of a sandbox workspace as the lake should have them: each record with what it inherits."""

from __future__ import annotations

from intercom.sandbox import Workspace
from intercom.tables.table import Access, Table


def served_records(workspace: Workspace, table: Table) -> list[bytes]:
    """Every record of a table as a row of the lake has it."""
    records = workspace.tables[table.name]
    if table.access is not Access.CHILD:
        return [record.body for record in records]
    assert table.parent is not None
    inherits = table.parent.inherits.items()
    with_parents = [(record, workspace.inherited(table.name, record.key)) for record in records]
    return [
        record.changed({column: parent.value(member) for column, member in inherits}).body
        for record, parent in with_parents
    ]
