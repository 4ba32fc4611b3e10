"""Ends the reading of a table: saves its record with the new watermark, once every part is in the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from intercom.errors import LakeError
from intercom.extract.completeness import Completeness
from intercom.lake.findings import adopted, intact, missing_from
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import FinishedRead, TableState
from intercom.lake.table import LakeTable
from intercom.sync.checkpoints import RunCheckpoints
from intercom.sync.plan import ReadPlan
from intercom.sync.run import Run
from intercom.sync.start import watermark_after
from intercom.tables.table import Strategy, Table


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
    staged = StagedRun(
        journal.attempt,
        read.parts,
        _coverage(table, plan, read, run),
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
    earlier = journal.staged()
    findings = lake_table.findings(replace(kept, staged=(*kept.staged, *earlier, staged)))
    if latest is None:
        kept = replace(kept, partitions=adopted(findings))
    for part in (*earlier, staged):
        if findings.staged.get(part.run_id, 0) != part.parts:
            raise LakeError(
                f"{table.name}: {part.parts} parts were staged, but {findings.staged.get(part.run_id, 0)} are in the "
                f"lake {lake_table.lake.url}. Another run over the same table may have removed them. Run again; the "
                "watermark has not moved."
            )
    complete = read.completeness.complete
    # A full refresh that was short has only merged, so that an undamaged table is read as far as it was.
    short = run.full_refresh and not complete
    as_far = short and kept.lake_id == plan.lake_id and missing_from(kept, findings) is None
    finished = FinishedRead(
        staged=staged,
        earlier=tuple(earlier),
        to_replace=plan.start.replaces,
        lake_id=plan.lake_id,
        columns=table.schema,
        watermark=kept.watermark if as_far else _reached(plan, latest, journal, read, run),
        history_from=kept.history_from if as_far else plan.history_from,
        workspace=run.workspace,
        run_id=run.run_id,
        ingested_at=journal.ingested_at,
        saved_at=datetime.now(UTC),
        complete=complete,
        notes=tuple(read.completeness.notes),
        search_check=read.search_check,
        refused=read.refused,
    )
    waiting = {old.run_id for old in kept.staged if findings.staged.get(old.run_id, 0) == old.parts}
    return lake_table.save(kept.committed(finished, intact(kept, findings), waiting))


def _coverage(table: Table, plan: ReadPlan, read: Read, run: Run) -> Coverage:
    """What the rows are that were read: all of the table only where nothing was short or has to stay."""
    if not (read.completeness.complete and read.removes):
        return Coverage.SOME
    if plan.start.replaces or table.strategy is Strategy.REPLACE:
        return Coverage.REPLACES
    return Coverage.WHOLE if plan.start.watermark is None and run.until is None else Coverage.SOME


def _reached(plan: ReadPlan, latest: TableState | None, journal: RunCheckpoints, read: Read, run: Run) -> int | None:
    """The watermark after this run, which moves none when it was short or read a range with an end."""
    return watermark_after(
        plan.start.watermark,
        None if latest is None else latest.watermark,
        read.newest if read.completeness.complete and run.until is None else None,
        journal.run_start - run.doubt,
    )
