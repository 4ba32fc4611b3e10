"""Ends the read of a table: saves its record with the new watermark, once every part is in the lake."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from intercom.errors import LakeError
from intercom.extract.pages import greatest
from intercom.lake.findings import adopted, intact, missing_from
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.state import FinishedRead, TableState
from intercom.lake.state_entries import SweepMark
from intercom.normalise.rules import rules
from intercom.sync.confirm_removals import Verdict
from intercom.sync.history import backfilled_after
from intercom.sync.owed import still_owed
from intercom.sync.plan import ReadPlan
from intercom.sync.read_table import TableReader
from intercom.sync.run import Run
from intercom.sync.start import watermark_after
from intercom.sync.sweep import Swept


def commit(reader: TableReader, plan: ReadPlan, verdict: Verdict, run: Run, swept: Swept) -> TableState:
    """Save the table's record, on top of what another run may have saved meanwhile, once every part is there.

    An incomplete read is merged like any other, but it moves no watermark and removes no row. `verdict`: whether rows
    that were not read may be removed. `swept`: rows that are doubted, or to be removed when all is merged. Raises
    LakeError when parts are gone, or the record that this run began with.
    """
    table, lake_table, completeness = reader.table, reader.lake_table, reader.completeness
    staged = StagedRun(
        reader.checkpoints.attempt,
        reader.staged.parts,
        _coverage(reader, plan, verdict, run),
        rows=reader.staged.rows,
        committed_at=int(datetime.now(UTC).timestamp()),
    )
    latest = lake_table.state()
    if latest is None and plan.start.watermark is not None:
        raise LakeError(
            f"{table.name}: the table's record {lake_table.paths.state} in {lake_table.lake.url} has gone, or is "
            "damaged, since the run began to read what is new after its watermark. Nothing more is written; run again: "
            "the whole table is read."
        )
    backfill = run.until is not None
    kept = latest or TableState(plan.lake_id, table.schema.fingerprint, backfills_only=backfill)
    earlier = reader.checkpoints.staged_runs()
    findings = lake_table.findings(replace(kept, staged=(*kept.staged, *earlier, staged)))
    if latest is None:
        kept = replace(kept, partitions=adopted(findings))
    for part in (*earlier, staged):
        if findings.staged.get(part.attempt, 0) != part.parts:
            raise LakeError(
                f"{table.name}: {part.parts} parts were staged, but {findings.staged.get(part.attempt, 0)} are in the "
                f"lake {lake_table.lake.url}. Another run over the same table may have removed them. Run again; the "
                "watermark has not moved."
            )
    # An incomplete full refresh only merges its rows, so an undamaged table keeps its watermark and history start.
    in_order = latest is not None and kept.lake_id == plan.lake_id and missing_from(kept, findings) is None
    as_far = in_order and (run.full_refresh or run.reconciles) and not completeness.complete
    reached = kept.watermark if as_far else _reached(reader, plan, latest, run)
    if in_order and run.reconciles and not plan.start.replaces:  # its newest rows may be gone
        reached = greatest((reached, kept.watermark))
    same_history = as_far or backfill or plan.start.watermark is not None
    finished = FinishedRead(
        staged=staged,
        earlier=tuple(earlier),
        to_replace=plan.start.replaces,
        lake_id=plan.lake_id,
        columns=table.schema,
        watermark=reached,
        history_from=kept.history_from if same_history else plan.history_from,
        backfills_only=same_history and kept.backfills_only,
        backfilled_from=backfilled_after(kept, run, read_whole=staged.coverage is Coverage.REPLACES),
        workspace=run.workspace,
        run_id=run.run_id,
        ingested_at=reader.checkpoints.ingested_at,
        saved_at=datetime.now(UTC),
        complete=completeness.complete,
        notes=tuple(completeness.notes),
        search_check=reader.search_check.to_json() if reader.search_check else None,
        refused=verdict.refused,
        digests=_digests(reader, plan, latest),
        sweep=None if staged.coverage is Coverage.REPLACES else _swept(reader, plan, latest, run, swept),
        owed=still_owed(
            kept.owed,
            plan.state.owed if plan.state else (),
            completeness.owed,
            replaced=staged.coverage is Coverage.REPLACES,
        ),
    )
    waiting = {old.attempt for old in kept.staged if findings.staged.get(old.attempt, 0) == old.parts}
    return lake_table.save(kept.committed(finished, intact(kept, findings), waiting))


def _swept(reader: TableReader, plan: ReadPlan, latest: TableState | None, run: Run, swept: Swept) -> SweepMark | None:
    """The mark of the rows that are doubted after this commit; None if there are none, or nothing is sure."""
    before = plan.state
    if not swept.sweep or (latest and latest.generation) != (before and before.generation):
        return None  # another run has saved rows meanwhile, and may have met some of them
    kept = before.sweep if before is not None and swept.carried else None
    if kept is not None and swept.sweep == reader.doubted:
        return kept
    mark = reader.lake_table.write_sweep(swept.sweep)
    if kept is not None:
        return replace(kept, mark=mark)
    fingerprint = reader.table.schema.fingerprint
    return SweepMark(mark, run.run_id, reader.checkpoints.ingested_at, run.workspace, fingerprint)


def _digests(reader: TableReader, plan: ReadPlan, latest: TableState | None) -> str | None:
    """The mark of the digests of rows that the lake has after this commit; None when nothing is sure."""
    before = plan.state
    if reader.table.is_replaced or (latest and latest.generation) != (before and before.generation):
        return None  # its file is written anew when anything has changed; or another run has saved rows meanwhile
    rows = reader.digests
    if reader.known and before is not None and rows == reader.known:
        return before.digests
    return reader.lake_table.write_digests(rows, rules()) if rows else None


def _coverage(reader: TableReader, plan: ReadPlan, verdict: Verdict, run: Run) -> Coverage:
    """How much of the table was read: all of it only if no row was missing and rows that were not read may go."""
    if not (reader.completeness.complete and verdict.allowed):
        return Coverage.SOME
    if plan.start.replaces or reader.table.is_replaced:
        return Coverage.REPLACES
    return Coverage.WHOLE if plan.start.watermark is None and run.until is None else Coverage.SOME


def _reached(reader: TableReader, plan: ReadPlan, latest: TableState | None, run: Run) -> int | None:
    """The watermark after this run; a run that was incomplete, or that read a range with an end, does not move it."""
    return watermark_after(
        plan.start.watermark,
        None if latest is None else latest.watermark,
        reader.newest if reader.completeness.complete and run.until is None else None,
        reader.checkpoints.run_start - run.doubt,
    )
