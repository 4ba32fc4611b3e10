"""Reads one table of one run: where to start, pages, staged parts, then the watermark, in that order.

The watermark moves last and only when every row is durable, so a run that dies anywhere is repaired by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from intercom.api.client import TableClient
from intercom.api.traffic import Traffic
from intercom.compaction.schema_change import migrate_columns, retyped
from intercom.errors import ConfigurationError, LakeError, SchemaError
from intercom.extract.date_comparison import SearchCheck
from intercom.lake.row_digests import RowDigest
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark, WatermarkStore
from intercom.normalise.normaliser import MOST_NAMED
from intercom.normalise.rules import rules
from intercom.sync.checkpoints import ResumeKey, RunCheckpoints
from intercom.sync.commit import commit
from intercom.sync.confirm_removals import Verdict, confirm_removals, confirm_repair
from intercom.sync.history import from_day, hint_on_history
from intercom.sync.open_children import keep_open_children, merged_before
from intercom.sync.owed import notes_on_owed
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.progress import TableProgress
from intercom.sync.protection import Protection, protection_hints
from intercom.sync.read_table import TableReader
from intercom.sync.run import Run
from intercom.sync.sweep import sweep, valid_sweep
from intercom.sync.time_text import shown_time
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_NAMES_SHOWN = 10
_NAME_LENGTH = 40
_STRANGERS_SHOWN = 3
_CASTS = "views with the types of before: intercom-lake ddl --casts"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a run read of one table. Watermarks in unix seconds.

    `watermark_before` is the one that counted when the run began, also where it was not used, as in a full refresh.
    `complete`: nothing, or next to nothing, of what Intercom counts was missing. `earlier_try`: an earlier try of the
    run has read the table, this one has not.
    `notes` and `hints` are lines for the end of the run: what is not as it should be, and what is only worth knowing.
    `unchanged` rows were not staged, since the lake has them as they were read.
    `rejected` records could not be rows, and are kept in `rejected_file`, a path in the lake; a folder where files of
    earlier runs have them.
    `kept` rows of the lake were not read and are there by their own address; `undecided` ones were not read, and stay
    until another sweep agrees.
    `refused`: the table has failed, since a large part of it would have been removed; all that was read is committed.
    """

    rows: int
    traffic: Traffic
    watermark_before: int | None
    watermark_after: int | None
    reason: str
    complete: bool = True
    earlier_try: bool = False
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    refused: str | None = None
    unchanged: int = 0
    rejected: int = 0
    rejected_file: str | None = None
    kept: int = 0
    undecided: int = 0


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
    state, on_columns = _migrated(table, api, lake_table, store, run)
    lake_id = lake_table.lake_id()
    plan = plan_read(
        table, run, state, lake_table.findings(state), _saved(table, store, run.connection, lake_id), lake_id
    )
    strangers = strangers_note(table, lake_table)
    if plan.state is not None and plan.committed:
        return _read_already(table, lake_table, store, plan.state, strangers)
    log.info("%s: %s", table.name, _described(table, plan, run))
    reader = _reader(table, api, lake_table, plan, progress or TableProgress(table.name), run)
    reader.read()
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


def _migrated(
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


def _saved(table: Table, store: WatermarkStore, connection: str, lake_id: str) -> Watermark | None:
    return None if table.cursor_field is None else store.load(connection, table.name, lake_id)


def check_workspace(table: Table, lake_table: LakeTable, state: TableState | None, workspace: str | None) -> None:
    """Refuse to mix two workspaces in one table; `workspace` is the code of the token's, None if it is not known."""
    if state is not None and workspace and state.workspace and workspace != state.workspace:
        raise ConfigurationError(
            f"Table {table.name} of connection {lake_table.paths.connection!r} in {lake_table.lake.url} was read from "
            f"the workspace {state.workspace}, but the token belongs to {workspace}. Use another connection name or "
            "another lake; nothing was read and the watermark has not moved."
        )


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
            f"Table {table.name} has to be written anew, since its columns have changed, and that cannot be done now: "
            f"the read is short ({'; '.join(reader.completeness.notes)}). Nothing was changed at all."
        )
    replaces = complete and (plan.start.replaces or table.is_replaced)
    if replaces:
        keep_open_children(reader, plan.state)
        verdict = confirm_removals(reader, plan.state, permitted=run.allow_mass_removal)
        if not verdict.allowed and plan.has_other_columns(table.schema):
            raise LakeError(
                f"Table {table.name} has to be written anew ({plan.start.reason}), since nothing can be merged into "
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


def strangers_note(table: Table, lake_table: LakeTable) -> list[str]:
    """A warning if the table's folder has files that no run has written, since readers of the table read them, too.

    `lake_table.findings` or `published` must have listed the folder before.
    """
    paths = lake_table.files.strangers()
    if not paths:
        return []
    files, them = ("1 file", "it") if len(paths) == 1 else (f"{len(paths)} files", "them")
    shown = ", ".join(paths[:_STRANGERS_SHOWN]) + (", ..." if len(paths) > _STRANGERS_SHOWN else "")
    return [
        f"{table.name}: {files} in the table's folder in {lake_table.lake.url} that no run has put there, and that "
        f"readers of the table take for rows of it: {shown}. Move {them} elsewhere, or delete {them}; no run does"
    ]


def unknown_fields_hint(unknown: Sequence[str]) -> tuple[str, ...]:
    """A hint on fields that Intercom sent and that are not declared: names only, since values are customers' data."""
    if not unknown:
        return ()
    count = f"{len(unknown)}{' or more' if len(unknown) >= MOST_NAMED else ''}"
    fields = "1 field has no column and is" if count == "1" else f"{count} fields have no column and are"
    shown = [name if name.isprintable() else ascii(name) for name in unknown[:_NAMES_SHOWN]]
    names = [name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}..." for name in shown]
    more = ["..."] if len(unknown) > len(names) else []
    return (f"{fields} kept in _extra: {', '.join(names + more)}",)


def _described(table: Table, plan: ReadPlan, run: Run) -> str:
    """What is read, and what of it is new: a table without a search is read whole, whatever the run looks for."""
    if table.cursor_field is None:
        return "reading the whole table"
    all_of = "reading" if table.reads_by_window else "reading all of it for"
    if run.until is not None:
        return f"{all_of} what changed {_days(plan.window.start, run.until)}"
    if plan.start.watermark is not None:
        return f"{all_of} what changed since {shown_time(plan.start.watermark)} UTC"
    if plan.history_from is None:
        return f"reading from the beginning, because {plan.start.reason}"
    everything = "reading everything" if table.reads_by_window else "reading all of it for what changed"
    return f"{everything} {from_day(plan.history_from)}, because {plan.start.reason}"


def _days(since: int | None, until: int) -> str:
    """Both ends of a backfill as its options say them: days in UTC, both included. `until` is the second after."""
    last = _day(until - 1)
    return f"until {last} (UTC)" if since is None else f"on the days {_day(since)} to {last} (UTC)"


def _day(second: int) -> str:
    return shown_time(second).partition(" ")[0]


def _later(now: datetime, last: datetime | None) -> datetime:
    """`now`, or just after the last run's time where the clock was set back: later runs win by this value."""
    return now if last is None or now > last else last + timedelta(microseconds=1)
