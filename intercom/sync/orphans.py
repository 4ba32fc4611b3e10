"""Finds the parents whose rows a child table has, and that the parent table has no more.

Only in a run that has just read the parent table whole: an older copy of it may lack parents that are new.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.column_reader import stored_rows
from intercom.compaction.deleted import alive
from intercom.lake.findings import missing_from
from intercom.lake.layout import TablePaths
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.sync.removals import Missing
from intercom.sync.run import Run
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table


@dataclass(frozen=True, slots=True)
class Orphans:
    """Parents of a child table that its parent table lacks; `control` is one that is there, None if none is."""

    missing: Missing
    control: str | None


def find_orphans(table: Table, lake_table: LakeTable, state: TableState, run: Run) -> Orphans | None:
    """The parents of alive rows that are no alive rows of the parent table; None if this run does not know them.

    Rows of the child table that wait to be merged are not looked at: the next reconcile does. Memory grows with the
    number of parents, by the size of their keys.
    """
    assert table.parent is not None
    parent = table.parent.table
    parents_table = lake_table.beside(TablePaths(run.connection, parent.name))
    recorded = parents_table.state()
    if recorded is None or recorded.run_id != run.run_id or not recorded.complete or recorded.staged:
        return None
    if missing_from(recorded, parents_table.findings(recorded)) is not None or state.rewriting is not None:
        return None
    asked = _values(table, lake_table, table.parent_column)
    there = _values(parent, parents_table, table.parent.key)
    lacking = asked.filter(pc.invert(pc.is_in(asked, value_set=there)))
    missing = Missing(len(asked), [str(key) for key in lacking.to_pylist()])
    return Orphans(missing, str(there[0]) if len(there) else None)


def _values(table: Table, lake_table: LakeTable, column: str) -> pa.Array:
    """The distinct values of a column in the alive rows of a table's files."""
    names = [column, *([DELETED_AT] if table.schema.marks_deleted else [])]
    found: pa.Array = pa.array([], pa.string())
    for month, stamp in lake_table.published().items():
        for _, rows in stored_rows(table, lake_table, month, stamp, names, (column,), None):
            values = pc.unique(flat(rows.column(column).filter(alive(rows))))
            found = pc.unique(joined([found, values], pa.string()))
    return pc.drop_null(found)
