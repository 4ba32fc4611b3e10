"""One derived table of one run: brought up to date with its parent table in the lake, and what is to be told of it."""

from __future__ import annotations

from datetime import UTC, datetime

from intercom.api.traffic import Traffic
from intercom.compaction.compact import Compacted
from intercom.compaction.derive import Derived, derive_table
from intercom.compaction.policy import waiting_rows
from intercom.lake.table import LakeTable
from intercom.sync.ingest_lines import strangers_note, unknown_fields_hint
from intercom.sync.ingested import Ingested
from intercom.sync.run import Run
from intercom.tables.table import Table


def derive(table: Table, lake_table: LakeTable, parent_table: LakeTable, run: Run) -> tuple[Ingested, Compacted]:
    """Derive a table in a run that reads others, after its parent was read and merged.

    If the parent has failed, or its rows wait to be merged, the table follows what is published of it, and says so.
    Raises LakeError as `derive_table`.
    """
    assert table.parent is not None
    parent = table.parent.table.name
    done = derive_table(
        table,
        lake_table,
        parent_table,
        run_id=run.run_id,
        started_at=run.started_at,
        anew=run.full_refresh,
    )
    behind = _behind(parent, done, run)
    ingested = Ingested(
        rows=done.made,
        traffic=Traffic(),
        watermark_before=None,
        watermark_after=None,
        reason=f"made of {parent} in the lake",
        complete=not behind and done.parent is not None and done.parent.complete,
        notes=tuple(strangers_note(table, lake_table)),
        hints=tuple(
            f"{table.name}: {hint}" for hint in (*behind, *_lacking(table, done), *unknown_fields_hint(done.unknown))
        ),
        rejected=done.rejected,
    )
    return ingested, done.compacted


def derive_after_merge(table: Table, lake_table: LakeTable, parent_table: LakeTable, run_id: str) -> Compacted:
    """Derive a table in a run that only merges; nothing is told of what its lists lack. Else as `derive`."""
    done = derive_table(table, lake_table, parent_table, run_id=run_id, started_at=datetime.now(UTC))
    return done.compacted


def _behind(parent: str, done: Derived, run: Run) -> list[str]:
    """Why the table does not have all that Intercom had when the run began."""
    if done.parent is None or done.parent.run_id != run.run_id:
        return [f"is made from {parent} as the lake has it; this run has not brought {parent} up to date"]
    waiting = waiting_rows(done.parent)
    return [f"{waiting:,} staged rows of {parent} wait to be merged, and are not in it"] if waiting else []


def _lacking(table: Table, done: Derived) -> list[str]:
    assert table.parent is not None
    parent, found = table.parent.table.name, []
    column = table.records_at[0]
    if done.cut:
        found.append(
            f"{parent} whose {column} are not all here, since Intercom sends only the first ones: {done.cut:,} "
            "(--refill-lists asks for the others)"
        )
    if done.rejected:
        key = " and ".join(name for name in table.primary_key if name not in table.parent.inherits)
        found.append(
            f"elements without a usable {key}, which are no rows: {done.rejected:,}; {parent} has them in its column "
            f"{column}"
        )
    return found
