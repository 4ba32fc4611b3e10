"""Ends the reading of a table: saves its record with the new watermark, once every part is in the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from intercom.errors import LakeError
from intercom.extract.completeness import Completeness
from intercom.extract.windows import Window
from intercom.lake.findings import adopted, intact, missing_from
from intercom.lake.state import StagedRun, TableState
from intercom.lake.table import LakeTable
from intercom.sync.checkpoints import RunCheckpoints
from intercom.sync.run import Run
from intercom.sync.start import StartingPoint, watermark_after
from intercom.tables.schema import TableSchema
from intercom.tables.table import Strategy, Table


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a run will read of a table, and the record that this was decided by.

    `history_from` is the start date of the table's history after this run, unix seconds. `committed`: an earlier
    attempt at this run has read it all, and all of it is still there.
    """

    state: TableState | None
    start: StartingPoint
    window: Window
    history_from: int | None
    lake_id: str
    committed: bool

    def repairs(self, table: Table, run: Run) -> bool:
        """Whether a merge table that has rows is read from the beginning, to be whole again."""
        return (
            table.strategy is Strategy.MERGE
            and self.state is not None
            and self.start.watermark is None
            and run.until is None
            and self.state.rows > 0
        )

    def has_other_columns(self, columns: TableSchema) -> bool:
        """Whether files of the table lack the declared columns, so that nothing can be merged into them."""
        return self.state is not None and bool(self.state.partitions) and self.state.columns not in (None, columns)


@dataclass(frozen=True, slots=True)
class Read:
    """What was read and is staged, with that of earlier attempts: parts of this attempt, the newest cursor value.

    `unknown` are the names of fields without a column that this attempt met. `removes`: rows that were not read may be
    removed, `refused` says why a large part of the table was not. `search_check` is how search compares dates, as JSON.
    """

    parts: int
    rows: int
    newest: int | None
    completeness: Completeness
    unknown: Sequence[str]
    removes: bool = True
    refused: str | None = None
    search_check: Mapping[str, Any] | None = None


def commit(
    table: Table, lake_table: LakeTable, plan: ReadPlan, journal: RunCheckpoints, read: Read, run: Run
) -> TableState:
    """Save the table's record, on top of what another run may have saved meanwhile, once every part is there.

    An incomplete read is merged like any other, but it moves no watermark and removes no row. Raises LakeError when
    parts are gone, or the record that this run began with.
    """
    complete = read.completeness.complete
    everything = plan.start.watermark is None and run.until is None and complete and read.removes
    staged = StagedRun(
        journal.attempt,
        read.parts,
        replaces=complete and read.removes and (plan.start.replaces or table.strategy is Strategy.REPLACE),
        whole=everything and plan.window in (Window(), Window(plan.history_from)),
        rows=read.rows - sum(kept.rows for kept in journal.earlier.values()),
        committed_at=int(datetime.now(UTC).timestamp()),
    )
    latest = lake_table.state()
    if latest is None and plan.start.watermark is not None:
        raise LakeError(
            f"{table.name}: the table's record {lake_table.paths.state} in {lake_table.lake.url} has gone, or is "
            "damaged, since the run began to read what is new after its watermark. Nothing more is written; run again: "
            "the whole table is read."
        )
    kept = latest or TableState(lake_id=plan.lake_id, fingerprint=table.schema.fingerprint)
    findings = lake_table.findings(replace(kept, staged=(*kept.staged, *journal.staged(), staged)))
    if latest is None:
        kept = replace(kept, partitions=adopted(findings))
    for part in (*journal.staged(), staged):
        if findings.staged.get(part.run_id, 0) != part.parts:
            raise LakeError(
                f"{table.name}: {part.parts} parts were staged, but {findings.staged.get(part.run_id, 0)} are in the "
                f"lake {lake_table.lake.url}. Another run over the same table may have removed them. Run again; the "
                "watermark has not moved."
            )
    anew = everything or not plan.start.replaces  # else parts with the declared columns lie beside files without them
    after = replace(
        kept,
        lake_id=plan.lake_id,
        fingerprint=table.schema.fingerprint if anew else kept.fingerprint,
        columns=table.schema if anew or (kept.columns == table.schema and kept.rewriting is None) else None,
        rewriting=None if everything else kept.rewriting,
        watermark=_reached(plan, latest, journal, read, run),
        history_from=plan.history_from,
        workspace=run.workspace or kept.workspace,
        complete=complete,
        notes=tuple(read.completeness.notes),
        refused=read.refused,
        search_check=read.search_check or kept.search_check,
        run_id=run.run_id,
        ingested_at=journal.ingested_at,
        saved_at=datetime.now(UTC),
        partitions=intact(kept, findings) if everything else kept.partitions,
        staged=tuple(old for old in kept.staged if not everything or findings.staged.get(old.run_id, 0) == old.parts),
    ).with_staged(staged, *journal.staged())
    if run.full_refresh and not complete and kept.lake_id == plan.lake_id and missing_from(kept, findings) is None:
        # It has only merged; an undamaged table is read as far as it was.
        after = replace(after, watermark=kept.watermark, history_from=kept.history_from)
    return lake_table.save(after)


def _reached(plan: ReadPlan, latest: TableState | None, journal: RunCheckpoints, read: Read, run: Run) -> int | None:
    """The watermark after this run, which moves none when it was short or read a range with an end."""
    return watermark_after(
        plan.start.watermark,
        None if latest is None else latest.watermark,
        read.newest if read.completeness.complete and run.until is None else None,
        journal.run_start - run.doubt,
    )
