"""Rewrites a table's files, month by month, when its declared columns have changed, without requests to Intercom.

First, staged rows are merged with the old columns, so that only published files are left. Then the version of the new
files is saved in the record, and each file is replaced in one step. Last, the record is saved with the new columns. A
run that dies in between leaves some months with old columns and some with new ones. The version in a file's footer
tells which columns it has, and the next run continues from there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from intercom.compaction.compact import compact_table
from intercom.compaction.memory import MERGING
from intercom.config.redaction import one_line
from intercom.errors import DamagedFileError, SchemaError
from intercom.lake.findings import Findings, intact, missing_from
from intercom.lake.parquet import RowGroupWriter, check_footer, footer_digest, is_damage, open_parquet, version_of
from intercom.lake.published import PublishedFile
from intercom.lake.state import Partition, TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.normalise.reshape import Reshape
from intercom.tables.schema import TableSchema
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_ROWS_AT_A_TIME = 4096
_CURE = "Run with --full-refresh: the table is read again and written anew; the watermark has not moved."


def migrate_columns(table: Table, lake_table: LakeTable, state: TableState, store: WatermarkStore) -> TableState:
    """Rewrite the table's files whose columns are not the declared ones; gives the table's new record.

    Some tables are not migrated but read again as a whole: replace tables, tables with missing or foreign files, and
    tables whose record does not say the old columns.

    Raises DamagedFileError if a file is damaged (the next run repairs it by reading everything), and SchemaError if a
    file has other columns than the record says.
    """
    before = _columns_before(table, state)
    if before is None or missing_from(state, lake_table.findings(state)) is not None:
        return state
    if state.staged:
        compact_table(before, lake_table, store)
        state = lake_table.state() or state
    if state.rewriting is not None and state.rewriting.to != table.schema:
        # An earlier migration to other columns did not finish: finish it first.
        state = _rewrite(replace(table, schema=state.rewriting.to), lake_table, state)
    return state if state.columns == table.schema else _rewrite(table, lake_table, state)


def migrated(table: Table, state: TableState, findings: Findings) -> TableState:
    """The record as `migrate_columns` would leave it, whose files have these `findings`; nothing is written.

    It has no staged rows then, and its partitions are the files that are there now, with their stamps.
    """
    if _columns_before(table, state) is None or missing_from(state, findings) is not None:
        return state
    return replace(
        state,
        fingerprint=table.schema.fingerprint,
        columns=table.schema,
        rewriting=None,
        staged=(),
        partitions=intact(state, findings),
    )


def _columns_before(table: Table, state: TableState) -> Table | None:
    """The table with the columns that its files have, if these can be rewritten to the declared ones; else None."""
    if table.is_replaced or (state.columns in (None, table.schema) and state.rewriting is None):
        return None
    return _declared(table, state.columns)


def _declared(table: Table, columns: TableSchema | None) -> Table | None:
    """The table with these columns; None if they are invalid for it, for example without its primary key."""
    try:
        return None if columns is None else replace(table, schema=columns)
    except ValueError:
        return None


def _rewrite(table: Table, lake_table: LakeTable, state: TableState) -> TableState:
    columns = state.columns
    assert columns is not None
    published = lake_table.published()
    months = list(published)
    log.info("%s: %s; files to rewrite: %d", table.name, _difference(columns, table.schema), len(months))
    state = lake_table.save(state.migrating(table.schema, uuid4().hex))  # before a file of this version appears
    rewriting = state.rewriting
    assert rewriting is not None
    rewrite = partial(_rewrite_one, table, lake_table, state, columns, rewriting.version)
    with ThreadPoolExecutor(lake_table.lake.at_a_time, thread_name_prefix=f"rewrite-{table.name}") as pool:
        try:
            done = dict(zip(months, pool.map(rewrite, months, published.values()), strict=True))
        except DamagedFileError as error:
            lake_table.note_damage(error.month)
            raise
    lake_table.commit_files([added for _, added in done.values() if added], [])
    rewritten = {month: partition for month, (partition, _) in done.items()}
    return lake_table.save(state.migrated(table.schema, rewritten, saved_at=datetime.now(UTC)))


def _rewrite_one(
    table: Table, lake_table: LakeTable, state: TableState, old: TableSchema, version: str, month: str, stamp: str
) -> tuple[Partition, PublishedFile | None]:
    """Rewrite a month's file unless it is rewritten already; gives the partition, and the new file or None."""
    with (
        lake_table.files.fetch(month) as stored,
        lake_table.lake.scratch() as written,
        _named(table, lake_table, month),
        open_parquet(stored) as file,
    ):
        rows, columns = file.metadata.num_rows, file.schema_arrow
        found = version_of(stored) or ""
        if found != version and month in state.partitions:
            check_footer(stored, state.partitions[month].footer)
        if found == version or (columns.equals(table.schema.arrow) and not columns.equals(old.arrow)):
            return Partition(rows, found, lake_table.files.stamp(month), footer_digest(stored)), None
        if not columns.equals(old.arrow):
            raise SchemaError(f"{_name(table, month)} does not have the columns that the table's record names. {_CURE}")
        reshape = Reshape(table, old)
        with (
            MERGING.rows_of([stored]),
            RowGroupWriter(written, table.schema.arrow, version) as writer,
        ):
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                writer.add(reshape.rows(batch))
        footer = footer_digest(written)
        added = lake_table.add_file(written, month, rows, stamp)
        return Partition(rows, version, added.stamp, footer), added


@contextmanager
def _named(table: Table, lake_table: LakeTable, month: str) -> Iterator[None]:
    """Turn Arrow's errors for a damaged file into DamagedFileError, which names the file and the cure."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise DamagedFileError(
            f"{table.name}: the file {lake_table.files.path(month)} of connection {lake_table.paths.connection!r} in "
            f"the lake {lake_table.lake.url} is damaged ({one_line(error).rstrip('.')}), so that its "
            "columns cannot be changed. It was left as it is. Run again: the whole table is read and written anew.",
            month,
        ) from error


def _name(table: Table, month: str) -> str:
    return f"Table {table.name!r}: the file of {month or 'the whole table'}"


def retyped(old: TableSchema, new: TableSchema) -> list[str]:
    """Names of the columns whose Arrow type changes, in the declared order: readers may have to be changed for them."""
    before = {column.name: column.kind.arrow for column in (*old.fields, *old.flat)}
    return [
        column.name
        for column in (*new.fields, *new.flat)
        if before.get(column.name, column.kind.arrow) != column.kind.arrow
    ]


def _difference(old: TableSchema, new: TableSchema) -> str:
    """How two declarations of columns differ, in words, by the columns' names."""
    before, after = ({column.name: column for column in (*each.fields, *each.flat)} for each in (old, new))
    other_types = set(retyped(old, new))
    changed = [name for name in before.keys() & after.keys() if before[name] != after[name]]
    changes = {
        "new": sorted(after.keys() - before.keys()),
        "gone": sorted(before.keys() - after.keys()),
        "of another type": sorted(other_types),
        "changed": sorted(set(changed) - other_types),
    }
    said = [f"{what}: {', '.join(names)}" for what, names in changes.items() if names]
    return f"the declared columns have changed ({'; '.join(said) or 'their order'})"
