"""Finds the marks among staged rows: those that say of which parents all children were read. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from intercom.tables.read_marks import SIGN, own_key
from intercom.tables.table import Table


def mark_column(table: Table) -> str | None:
    """The column by which a mark is recognised; None if the table's staged rows have no marks."""
    return own_key(table)[0] if table.replaces_children else None


def begins_with_sign(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """For each value of the column that `mark_column` names: whether its row is a mark."""
    return pc.starts_with(values, SIGN)


def are_marks(rows: pa.Table | pa.RecordBatch, table: Table) -> pa.Array | pa.ChunkedArray:
    """For each staged row: whether it is a mark. `rows` need no other columns than the primary key."""
    column = mark_column(table)
    return pa.repeat(pa.scalar(False), rows.num_rows) if column is None else begins_with_sign(rows.column(column))
