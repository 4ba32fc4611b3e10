"""The record of a table as a run finds it: of the token's workspace, with files of the declared columns.

Files of other columns are rewritten here, before the first request, if no row has to be read again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from intercom.api.client import TableClient
from intercom.compaction.schema_change import migrate_columns, retyped
from intercom.errors import ConfigurationError, LakeError, SchemaError
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.sync.open_children import merged_before
from intercom.sync.protection import Protection, protection_hints
from intercom.sync.run import Run
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_CASTS = "views with the types of before: intercom-lake ddl --casts"


def check_workspace(table: Table, lake_table: LakeTable, state: TableState | None, workspace: str | None) -> None:
    """Refuse to mix two workspaces in one table; `workspace` is the code of the token's, None if it is not known."""
    if state is not None and workspace and state.workspace and workspace != state.workspace:
        raise ConfigurationError(
            f"Table {table.name} of connection {lake_table.paths.connection!r} in {lake_table.lake.url} was read from "
            f"the workspace {state.workspace}, but the token belongs to {workspace}. Use another connection name or "
            "another lake; nothing was read and the watermark has not moved."
        )


def migrated(
    table: Table, api: TableClient, lake_table: LakeTable, store: WatermarkStore, run: Run
) -> tuple[TableState | None, Sequence[str]]:
    """The table's record, and hints if columns get another type, which breaks readers, or another protection.

    The table's files are first rewritten to the declared columns, if no row has to be read again.
    """
    state = lake_table.state()
    check_workspace(table, lake_table, state, run.workspace)
    before = state.columns if state is not None else None
    if Protection(table, api.hash_key).hides_rejected and (before is None or table.is_child or before != table.schema):
        lake_table.hide_rejected_texts()
    if state is None:
        return None, ()
    names = [] if before is None else retyped(before, table.schema)
    hints = [f"{table.name}: columns have another type from now on: {', '.join(names)}; {_CASTS}"] if names else []
    if before is not None:
        hints += protection_hints(table, before.rules)
    if run.full_refresh:
        kept = _with_marks_kept(table, api, lake_table, state, store)
        return merged_before(table, lake_table, kept, store), hints
    return migrate_columns(table, lake_table, state, store, api.hash_key), hints


def _with_marks_kept(
    table: Table, api: TableClient, lake_table: LakeTable, state: TableState, store: WatermarkStore
) -> TableState:
    """The record with the declared columns, if deleted rows are marked: what is read anew does not have these rows.

    Files that cannot be rewritten stay as they are, for the read to replace.
    """
    if not table.schema.marks_deleted:
        return state
    try:
        return migrate_columns(table, lake_table, state, store, api.hash_key)
    except (LakeError, SchemaError) as error:
        log.warning("%s: rows that are marked as deleted cannot be kept: %s", table.name, error)
        return lake_table.state() or state
