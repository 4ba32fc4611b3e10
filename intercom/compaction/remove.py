"""Removes rows that Intercom no longer has from a table's published files, or marks them as deleted.

    marks_deleted false     the row is gone from the file; a month without rows is dropped
    marks_deleted true      the row stays, with the time in ``_deleted_at``; a row that is marked already stays as it is

Nothing is done to a row that was read after the time for which it is said to be gone: another run has seen it since.
Only the columns that decide are read first, by row groups, and a file without such a row is not written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined, numbers, slice_between
from intercom.compaction.column_reader import stored_rows
from intercom.compaction.compact import compact_table
from intercom.compaction.deleted import alive, marked
from intercom.compaction.keys import keys_of
from intercom.compaction.rewrite import Change, rewrite_months
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.schema_change import migrate_columns
from intercom.errors import LakeError, SchemaError
from intercom.lake.findings import missing_from
from intercom.lake.state import TableState
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.tables.schema import DELETED_AT, INGESTED_AT
from intercom.tables.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Rows of a table, chosen by some of its columns.

    `are_chosen` gives a bool, never null, for each row of a table or batch that has at least `columns`. `among` are all
    values that these columns have in the chosen rows, as `keys_of` gives them; None if they are not known.
    """

    columns: tuple[str, ...]
    are_chosen: Callable[[pa.Table | pa.RecordBatch], pa.Array]
    among: pa.Array | None = None


def with_keys(table: Table, keys: pa.Array) -> RowChoice:
    """The rows with these primary keys (strings), as `keys_of` gives them."""

    def are_chosen(rows: pa.Table | pa.RecordBatch) -> pa.Array:
        chosen: pa.Array = pc.is_in(flat(keys_of(rows, table.primary_key)), value_set=keys)
        return chosen

    return RowChoice(table.primary_key, are_chosen, keys)


def with_parents(table: Table, parents: pa.Array) -> RowChoice:
    """The rows of a child table whose parents have these keys (strings); ValueError for a table without a parent."""
    column = table.parent_column

    def are_chosen(rows: pa.Table | pa.RecordBatch) -> pa.Array:
        chosen: pa.Array = pc.is_in(flat(rows.column(column)), value_set=parents)
        return chosen

    return RowChoice((column,), are_chosen, parents)


def remove_rows(
    table: Table,
    lake_table: LakeTable,
    store: WatermarkStore,
    chosen: pa.Array | RowChoice,
    *,
    at: datetime,
    hash_key: str | None = None,
) -> RowCounts:
    """Remove the chosen rows (keys as strings, or a `RowChoice`), or mark them as deleted `at` a time (aware).

    The caller holds the table's lock. What is staged is merged first. `removed` counts rows that were removed or newly
    marked, `rows` those that are in the files then, marked ones too. Rows whose time of ingestion is after `at` stay.
    From then on, runs read rows with times of ingestion after `at`, and stage rows also if they have not changed.
    `hash_key` is the connection's: files that have other columns than declared are rewritten first.

    A run that dies in between has removed some of the rows, and no other; the same call again removes the rest. Raises
    LakeError if the files are not those of the record, SchemaError if they have other columns than declared, and
    DamagedFileError for a damaged file; nothing is removed then, and the next run repairs the table.
    """
    state = lake_table.state()
    if state is None:
        return RowCounts()
    choice = chosen if isinstance(chosen, RowChoice) else with_keys(table, chosen)
    state = _merged(table, lake_table, state, store, hash_key)
    published = lake_table.published()
    found = _found(table, lake_table, published, choice, at)
    hits = {month: rows for month, rows in found.items() if len(rows)}
    if not hits:
        return RowCounts(rows=state.rows)

    def change(month: str) -> Change:
        return _change(table, hits[month], at)

    after = state if state.ingested_at is not None and state.ingested_at > at else replace(state, ingested_at=at)
    state = rewrite_months(table, lake_table, after, {month: published[month] for month in hits}, change)
    if table.cursor_field is not None:
        store.save(lake_table.watermark(table.cursor_field, state))
    removed = sum(map(len, hits.values()))
    what = "marked as deleted" if table.schema.marks_deleted else "removed"
    log.info("%s: %d rows %s; files written: %d", table.name, removed, what, len(hits))
    return RowCounts(rows=state.rows, removed=removed, files=len(hits))


def find_keys(table: Table, lake_table: LakeTable, choice: RowChoice) -> pa.Array:
    """The primary keys (strings) of the chosen published rows that are alive; memory grows with these."""
    names = _names(table, (*choice.columns, *table.primary_key))
    found: list[pa.Array | pa.ChunkedArray] = []
    for month, stamp in lake_table.published().items():
        for _, rows in stored_rows(table, lake_table, month, stamp, names, choice.columns, choice.among):
            found.append(keys_of(rows.filter(pc.and_(choice.are_chosen(rows), alive(rows))), table.primary_key))
    return joined(found, pa.string())


def _merged(
    table: Table, lake_table: LakeTable, state: TableState, store: WatermarkStore, hash_key: str | None
) -> TableState:
    """The record when nothing is staged, all files have the declared columns, and no rewrite is under way."""
    state = migrate_columns(table, lake_table, state, store, hash_key)
    if state.staged:
        compact_table(table, lake_table, store)
        state = lake_table.state() or state
    wrong = missing_from(state, lake_table.findings(state))
    if wrong is not None:
        raise LakeError(
            f"{table.name}: no row can be removed, since {wrong} in {lake_table.lake.url}. Nothing was changed; sync "
            "the table, then run this again."
        )
    if state.staged or state.rewriting is not None or state.columns != table.schema:
        raise SchemaError(
            f"{table.name}: no row can be removed, since the files in {lake_table.lake.url} do not have the declared "
            "columns. Nothing was changed; sync the table, then run this again."
        )
    return state


def _found(
    table: Table, lake_table: LakeTable, published: Mapping[str, str], choice: RowChoice, at: datetime
) -> dict[str, pa.Array]:
    """Month -> sorted numbers of its rows that are to be removed or marked, 8 bytes each."""
    names = _names(table, (*choice.columns, INGESTED_AT))

    def numbers_in(month: str) -> pa.Array:
        groups = stored_rows(table, lake_table, month, published[month], names, choice.columns, choice.among)
        found = [
            pc.add(pc.indices_nonzero(_to_go(rows, choice, at)), pa.scalar(first, pa.uint64()))
            for first, rows in groups
        ]
        return joined(found, pa.uint64())

    months = list(published)
    size = sum(map(stamped_size, published.values()))
    return dict(zip(months, lake_table.lake.each(numbers_in, months, size), strict=True))


def _names(table: Table, columns: tuple[str, ...]) -> list[str]:
    more = (DELETED_AT,) if table.schema.marks_deleted else ()
    return list(dict.fromkeys((*columns, *more)))


def _to_go(rows: pa.Table | pa.RecordBatch, choice: RowChoice, at: datetime) -> pa.Array:
    """For each row: whether it is chosen, alive, and was not read after `at`."""
    read = flat(rows.column(INGESTED_AT))
    seen_since: pa.Array = pc.greater(read, pa.scalar(at, read.type)).fill_null(False)
    chosen: pa.Array = pc.and_(choice.are_chosen(rows), alive(rows))
    to_go: pa.Array = pc.and_not(chosen, seen_since)
    return to_go


def _change(table: Table, numbered: pa.Array, at: datetime) -> Change:
    """Removes or marks the rows with these numbers of one file, whose batches come in their order."""
    first = 0

    def changed(batch: pa.RecordBatch) -> pa.Table:
        nonlocal first
        inside = slice_between(numbered, first, first + batch.num_rows)
        first += batch.num_rows
        rows = pa.Table.from_batches([batch])
        if not len(inside):
            return rows
        gone = pc.is_in(numbers(batch.num_rows), value_set=inside)
        return marked(rows, gone, at) if table.schema.marks_deleted else rows.filter(pc.invert(gone))

    return changed
