"""Rows that are marked as deleted: which of them are alive, and how a mark is set. Pure.

A row is alive if it has no time in ``_deleted_at``, or if its table has no such column. A mark's time is never before
that of the row's ingestion. It ends when the row is read again, at a later time of ingestion.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.tables.schema import DELETED_AT, INGESTED_AT


def alive(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """For each row: whether it is alive."""
    if DELETED_AT not in rows.schema.names:
        return pa.repeat(pa.scalar(True), rows.num_rows)
    return flat(pc.is_null(rows.column(DELETED_AT)))


def marked(rows: pa.Table, gone: pa.Array, at: datetime) -> pa.Table:
    """The rows, those of them that are `gone` (bools) marked as deleted at this time; a row that is marked stays so."""
    place = rows.schema.get_field_index(DELETED_AT)
    before = flat(rows.column(DELETED_AT))
    read, now = flat(rows.column(INGESTED_AT)), pa.scalar(at, before.type)
    time = pc.if_else(pc.greater(read, now).fill_null(False), read, now)
    times = pc.if_else(pc.and_(gone, pc.is_null(before)), time, before)
    return rows.set_column(place, rows.schema.field(place), times)
