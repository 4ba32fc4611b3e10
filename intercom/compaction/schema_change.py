"""Rewrites a table's files, month by month, when its declared columns have changed, without requests to Intercom.

First, staged rows are merged with the old columns, so that only published files are left. Then `rewrite` replaces each
file in one step. A run that dies in between leaves some months with old columns and some with new ones. The version in
a file's footer tells which columns it has, and the next run continues from there.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from intercom.compaction.compact import compact_table
from intercom.compaction.rewrite import rewrite_months, settled
from intercom.lake.findings import Findings, intact, missing_from
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.normalise.reshape import Reshape
from intercom.tables.column_rules import ColumnRules, key_id_of
from intercom.tables.schema import TableSchema
from intercom.tables.table import Table

log = logging.getLogger(__name__)


def migrate_columns(
    table: Table, lake_table: LakeTable, state: TableState, store: WatermarkStore, hash_key: str | None = None
) -> TableState:
    """Rewrite the table's files whose columns are not the declared ones; gives the table's new record.

    Rules that are new are applied to the rows. Where old rules have taken away what the columns are to hold now, the
    record has no watermark: see `TableState.migrated`. `hash_key` is the connection's.

    Some tables are not migrated but read again as a whole: replace tables without marks of deleted rows, tables with
    missing or foreign files, and tables whose record does not say the old columns.

    Raises DamagedFileError if a file is damaged (the next run repairs it by reading everything), and SchemaError if a
    file has other columns than the record says.
    """
    if state.rewrites_rows:
        findings = lake_table.findings(state)
        if missing_from(state, findings) is None:
            state = settled(lake_table, state, intact(state, findings))
    before = _columns_before(table, state)
    if before is None or missing_from(state, lake_table.findings(state)) is not None:
        return state
    if state.staged:
        compact_table(before, lake_table, store)
        state = lake_table.state() or state
    if state.rewriting is not None and state.rewriting.to != table.schema:
        # An earlier migration to other columns did not finish: finish it first.
        if not _has_key_of(state.rewriting.to.rules, hash_key):
            return state  # nothing can be merged into its files: they are replaced
        state = _rewrite(replace(table, schema=state.rewriting.to), lake_table, state, hash_key)
    return state if state.columns == table.schema else _rewrite(table, lake_table, state, hash_key)


def migrated(table: Table, state: TableState, findings: Findings) -> TableState:
    """The record as `migrate_columns` would leave it, whose files have these `findings`; nothing is written.

    It has no staged rows then, and its partitions are the files that are there now, with their stamps.
    """
    if _columns_before(table, state) is None or missing_from(state, findings) is not None:
        return state
    after = state.migrated(table.schema, {}, saved_at=state.saved_at or datetime.now(UTC))
    return replace(after, staged=(), partitions=intact(state, findings))


def _has_key_of(rules: ColumnRules, hash_key: str | None) -> bool:
    """Whether these rules, which were another run's, hash with this key or not at all."""
    return not rules.key_id or (hash_key is not None and key_id_of(hash_key) == rules.key_id)


def _columns_before(table: Table, state: TableState) -> Table | None:
    """The table with the columns that its files have, if these can be rewritten to the declared ones; else None."""
    marks = table.schema.marks_deleted or (state.columns is not None and state.columns.marks_deleted)
    read_anew = table.is_replaced and not marks  # rows that are marked would not be read
    if read_anew or (state.columns in (None, table.schema) and state.rewriting is None):
        return None
    return _declared(table, state.columns)


def _declared(table: Table, columns: TableSchema | None) -> Table | None:
    """The table with these columns; None if they are invalid for it, for example without its primary key."""
    try:
        return None if columns is None else replace(table, schema=columns)
    except ValueError:
        return None


def _rewrite(table: Table, lake_table: LakeTable, state: TableState, hash_key: str | None) -> TableState:
    columns = state.columns
    assert columns is not None
    months = lake_table.published()
    log.info("%s: %s; files to rewrite: %d", table.name, _difference(columns, table.schema), len(months))
    return rewrite_months(table, lake_table, state, months, lambda _: Reshape(table, columns, hash_key).rows)


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
    ruled = set(old.rules.rules) ^ set(new.rules.rules)
    changes["with another protection"] = sorted({rule.name for rule in ruled})
    said = [f"{what}: {', '.join(names)}" for what, names in changes.items() if names]
    return f"the declared columns have changed ({'; '.join(said) or 'their order'})"
