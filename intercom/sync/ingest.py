"""Reads one table of one run: where to start, pages, staged parts, then the watermark, in that order.

The watermark moves last and only when every row is durable, so a run that dies anywhere is repaired by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from intercom.api.client import TableClient
from intercom.api.traffic import Traffic
from intercom.errors import LakeError
from intercom.extract.date_comparison import SearchCheck
from intercom.lake.row_digests import RowDigest
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark, WatermarkStore
from intercom.normalise.rules import rules
from intercom.sync.checkpoints import ResumeKey, RunCheckpoints
from intercom.sync.commit import commit
from intercom.sync.confirm_removals import Verdict, confirm_removals, confirm_repair
from intercom.sync.doubted_answers import ask_once_more
from intercom.sync.history import hint_on_history
from intercom.sync.ingest_lines import described, strangers_note, unknown_fields_hint
from intercom.sync.ingested import Ingested
from intercom.sync.open_children import keep_open_children
from intercom.sync.owed import notes_on_owed
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.progress import TableProgress
from intercom.sync.read_table import TableReader
from intercom.sync.run import Run
from intercom.sync.sweep import sweep, valid_sweep
from intercom.sync.table_record import migrated
from intercom.tables.table import Table

log = logging.getLogger(__name__)


def ingest_table(
    table: Table,
    api: TableClient,
    lake_table: LakeTable,
    store: WatermarkStore,
    run: Run,
    progress: TableProgress | None = None,
) -> Ingested:
    """Read what is new of a table, stage it, and commit; a table that this run has committed already is left alone.

    Raises ApiError, SchemaError or LakeError; the watermark has not moved then. Rows that were staged by then do no
    harm: the next attempt at this run builds on them, and any other run reads them again.
    """
    table = table.in_plain_text() if run.plain_text else table
    state, on_columns = migrated(table, api, lake_table, store, run)
    lake_id = lake_table.lake_id()
    plan = plan_read(
        table, run, state, lake_table.findings(state), _saved(table, store, run.connection, lake_id), lake_id
    )
    strangers = strangers_note(table, lake_table)
    if plan.state is not None and plan.committed:
        return _read_already(table, lake_table, store, plan.state, strangers)
    log.info("%s: %s", table.name, described(table, plan, run))
    reader = _reader(table, api, lake_table, plan, progress or TableProgress(table.name), run)
    reader.read()
    if table.replaces_children and plan.state is not None and plan.start.watermark is not None:
        ask_once_more(reader, plan.state)
    swept = sweep(reader, plan, run)
    verdict = _confirmed(reader, plan, run)
    reader.completeness.notes += swept.notes
    if swept.refused is not None:
        verdict = Verdict(verdict.allowed, swept.refused, failed=True)
    after = commit(reader, plan, verdict, run, swept)
    if table.cursor_field is not None:
        store.save(lake_table.watermark(table.cursor_field, after))
    return Ingested(
        rows=reader.rows,
        traffic=api.traffic(),
        watermark_before=plan.before,
        watermark_after=after.watermark,
        reason=plan.start.reason,
        complete=reader.completeness.complete,
        notes=(*reader.completeness.notes, *strangers),
        hints=(
            *on_columns,
            *(f"{table.name}: {hint}" for hint in unknown_fields_hint(reader.unknown)),
            *reader.tally.hints(table),
            *reader.refill_hints(),
            *swept.hints,
            *hint_on_history(table, run, plan.state, after, reader.rows),
        ),
        refused=verdict.refused,
        unchanged=reader.unchanged.left_out,
        rejected=reader.rejected.total,
        rejected_file=reader.rejected.kept_in,
        kept=swept.kept,
        undecided=swept.undecided,
    )


def _read_already(
    table: Table, lake_table: LakeTable, store: WatermarkStore, state: TableState, strangers: Sequence[str]
) -> Ingested:
    """An earlier attempt at this run has got so far; only the copy of its watermark may be missing."""
    log.info("%s: was read by an earlier try of this run", table.name)
    if table.cursor_field is not None:
        store.save(lake_table.watermark(table.cursor_field, state))
    reason = "read by an earlier try of this run"
    notes = (*state.notes, *strangers)
    return Ingested(0, Traffic(), state.watermark, state.watermark, reason, earlier_try=True, notes=notes)


def _saved(table: Table, store: WatermarkStore, connection: str, lake_id: str) -> Watermark | None:
    return None if table.cursor_field is None else store.load(connection, table.name, lake_id)


def _checkpoints(table: Table, lake_table: LakeTable, plan: ReadPlan, run: Run) -> RunCheckpoints:
    last = plan.state.ingested_at if plan.state else lake_table.newest_time()
    return RunCheckpoints.opened(
        lake_table,
        run.run_id,
        ResumeKey(
            table.schema.fingerprint,
            plan.window,
            plan.lake_id,
            run.workspace,
            run.doubt,
            after=last.isoformat() if last and table.schema.marks_deleted else None,
        ),
        run_start=run.run_start,
        ingested_at=_later(run.started_at, last),
    )


def _reader(
    table: Table, api: TableClient, lake_table: LakeTable, plan: ReadPlan, progress: TableProgress, run: Run
) -> TableReader:
    search = plan.state.search_check if plan.state else None
    doubted = valid_sweep(table, lake_table, plan, run)
    return TableReader(
        table,
        api,
        lake_table,
        _checkpoints(table, lake_table, plan, run),
        plan.window,
        progress,
        rejected=lake_table.rejected_records(run.run_id),
        limits=run.limits,
        exact=plan.start.replaces,
        search_check=SearchCheck.from_json(search) if search else None,
        known=known_rows(lake_table, plan, run),
        lookback=run.lookback.of(table.name),
        refills=run.refill_lists,
        owed=plan.state.owed if plan.state else (),
        doubted=doubted,
        asks_owed=not plan.start.replaces,  # what a full read does not come upon is not in the lake after it
        one_part=plan.state is None or not plan.state.staged,  # else rows wait for a merge, and these may wait as well
    )


def known_rows(lake_table: LakeTable, plan: ReadPlan, run: Run) -> dict[bytes, RowDigest]:
    """Rows that need not be staged if they come unchanged; none unless the run reads what is new after a watermark."""
    if plan.state is None or plan.start.watermark is None or run.until is not None:
        return {}
    return lake_table.known_rows(plan.state, rules())


def _confirmed(reader: TableReader, plan: ReadPlan, run: Run) -> Verdict:
    """Whether rows that were not read may be removed, after whatever more had to be read to decide that."""
    table, complete = reader.table, reader.completeness.complete
    verdict = Verdict(True)
    if not complete and table.is_replaced and plan.has_other_columns(table.schema):
        raise LakeError(
            f"Table {table.name} has to be written again, since its columns have changed, and that cannot be done now: "
            f"the read is short ({'; '.join(reader.completeness.notes)}). Nothing was changed at all."
        )
    replaces = complete and (plan.start.replaces or table.is_replaced)
    if replaces:
        keep_open_children(reader, plan.state)
        verdict = confirm_removals(reader, plan.state, permitted=run.allow_mass_removal)
        if not verdict.allowed and plan.has_other_columns(table.schema):
            raise LakeError(
                f"Table {table.name} has to be written again ({plan.start.reason}), since nothing can be merged into "
                f"its files, and that cannot be done now: {verdict.note}. Nothing was changed at all, and the "
                "watermark has not moved."
            )
    elif complete and plan.repairs:
        assert plan.state is not None
        if not plan.state.staged:  # a mark that waits may say that they are gone
            keep_open_children(reader, plan.state)  # else they would count as missing
        confirm_repair(reader, plan.state, permitted=run.allow_mass_removal)
    if verdict.note and not verdict.failed:
        reader.completeness.notes.append(verdict.note)
    reader.completeness.notes += reader.tally.notes(table)
    reader.completeness.notes += notes_on_owed(table, reader.completeness.owes)
    reader.completeness.notes += reader.rejected.notes(replaces=replaces and verdict.allowed)
    return verdict


def _later(now: datetime, last: datetime | None) -> datetime:
    """`now`, or just after the last run's time where the clock was set back: later runs win by this value."""
    return now if last is None or now > last else last + timedelta(microseconds=1)
