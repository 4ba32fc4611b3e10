"""Mends what a comparison with the workspace has found: reads again only what differs, merges it, removes what is gone.

The caller holds the table's lock. Neither the watermark nor what the record says of the last run changes. Rows are read
and staged as a run does it, and the merge decides between versions, so that a repair that dies, or that comes late,
does no harm. A row is removed only if its own address does not know it for a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import pyarrow as pa

from intercom.api.client import IntercomClient
from intercom.compaction.compact import Compacted, compact_table
from intercom.compaction.remove import remove_rows
from intercom.errors import FatalApiError, LakeError
from intercom.extract.children import read_children
from intercom.extract.cursor_pages import CursorSearch, range_query, read_cursor_pages
from intercom.extract.date_comparison import SearchCheck
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.log_pages import read_range
from intercom.extract.one_record import ask_record
from intercom.extract.pages import Page
from intercom.extract.whole_search import window_bounds
from intercom.extract.windows import Window as Seconds
from intercom.extract.windows import second_bounds
from intercom.lake.findings import intact, missing_from
from intercom.lake.staged_run import StagedRun
from intercom.lake.state import FinishedRead, TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.sync.checkpoints import ResumeKey, RunCheckpoints
from intercom.sync.progress import TableProgress
from intercom.sync.read_table import TableReader
from intercom.sync.removals import Missing
from intercom.sync.run import Run
from intercom.sync.table_record import check_workspace
from intercom.tables.table import Access, Table
from intercom.verify.findings import Difference, Repair, Window
from intercom.verify.lake_index import indexed

log = logging.getLogger(__name__)

_CONTROLS: Final = 3
MENDED: Final = frozenset({Repair.READ_WINDOWS, Repair.READ_KEYS, Repair.REMOVE})
"""What `mend_from_api` does; other repairs read the table as a run does, or ask nothing of Intercom."""


@dataclass(frozen=True, slots=True)
class Mended:
    """`read`: records that were read again; `merged`: what became of them; `removed` rows, or newly marked ones.

    `notes` are lines on what was not mended, and why.
    """

    read: int = 0
    merged: Compacted = field(default_factory=Compacted)
    removed: int = 0
    notes: tuple[str, ...] = ()


def mend_from_api(
    table: Table,
    client: IntercomClient,
    lake_table: LakeTable,
    store: WatermarkStore,
    run: Run,
    differences: Iterable[Difference],
) -> Mended:
    """Mend differences of a table whose `repair` is in `MENDED`. Derived tables are not made anew.

    Raises ApiError, LakeError or SchemaError, and ConfigurationError for the token of another workspace; rows that were
    merged until then are right.
    """
    asked = [one for one in differences if one.table == table.name and one.repair in MENDED]
    if not asked:
        return Mended()
    state = _sound(table, lake_table)
    check_workspace(table, lake_table, state, run.workspace)
    reader = _reader(table, client, lake_table, state, run)
    notes = list(_read(reader, client, state, asked))
    merged, read = Compacted(rows=state.rows), reader.staged.rows
    if reader.staged.parts:
        _commit(reader, state)
        merged = compact_table(table, lake_table, store, committed=True)
    gone = list(dict.fromkeys(key for one in asked if one.repair is Repair.REMOVE for key in one.all_keys))
    removed, why = _remove(reader, store, run, gone)
    return Mended(read, merged, removed, (*notes, *why))


def _sound(table: Table, lake_table: LakeTable) -> TableState:
    state = lake_table.state()
    wrong = "it has no record" if state is None else missing_from(state, lake_table.findings(state))
    if state is not None and wrong is None and (state.columns != table.schema or state.rewriting is not None):
        wrong = "its files do not have the declared columns"
    if state is None or wrong is not None:
        raise LakeError(
            f"{table.name}: rows cannot be read again one by one, since {wrong} in {lake_table.lake.url}. Nothing was "
            "changed; sync the table, then verify it again."
        )
    return state


def _reader(table: Table, client: IntercomClient, lake_table: LakeTable, state: TableState, run: Run) -> TableReader:
    started = run.started_at
    if state.ingested_at is not None:
        started = max(started, state.ingested_at + timedelta(microseconds=1))
    key = ResumeKey(table.schema.fingerprint, Seconds(), state.lake_id, run.workspace, run.doubt)
    return TableReader(
        table,
        client.for_table(table.name, table.scope),
        lake_table,
        RunCheckpoints(lake_table, run.run_id, key, run.run_start, started),
        Seconds(),
        TableProgress(table.name),
        rejected=lake_table.rejected_records(run.run_id),
        limits=run.limits,
        one_part=not state.staged,
        refills=run.refill_lists,
        search_check=SearchCheck.from_json(state.search_check) if state.search_check else None,
    )


# -- reading ------------------------------------------------------------------------------------------------------


def _read(reader: TableReader, client: IntercomClient, state: TableState, asked: Sequence[Difference]) -> Iterable[str]:
    """Stage all that is to be read again; gives lines on what was not."""
    table = reader.table
    keys = list(dict.fromkeys(key for one in asked if one.repair is Repair.READ_KEYS for key in one.all_keys))
    if keys:
        owner = table.parent.table if table.is_child and table.parent is not None else table
        api = client.for_table(owner.name, owner.scope)
        answers = reader.in_parallel([partial(ask_record, api, owner, key) for key in keys])
        pages = [answer for answer in answers if isinstance(answer, Page)]
        refused = [answer for answer in answers if isinstance(answer, FatalApiError)]
        if table.is_child:
            reader.stage(lambda extraction: read_children(extraction, partial(_hand_on, pages)))
        else:
            reader.add(pages)
        if refused:
            yield f"{table.name}: {len(refused):,} records were refused by their own addresses ({refused[0]})"
    windows = dict.fromkeys(window for one in asked if one.repair is Repair.READ_WINDOWS for window in one.windows)
    for window in windows:
        reader.stage(partial(_read_window, window, state.history_from))
    yield from reader.completeness.notes


def _hand_on(pages: Iterable[Page], parents: Extraction) -> None:
    for page in pages:
        parents.deliver(page)


def _read_window(window: Window, history_from: int | None, extraction: Extraction) -> None:
    """Read a window, without rows from before the table's history."""
    table, deliver = extraction.table, extraction.receive
    cursor, history = str(table.cursor_field), Seconds(history_from)

    def inside(item: Page | SliceEnd) -> None:
        if isinstance(item, Page):
            times = item.seconds(cursor)
            kept = [record for record, at in zip(item.records, times, strict=True) if history.holds(at)]
            item = replace(item, records=kept)
        deliver(item)

    extraction = replace(extraction, receive=inside)
    seconds = Seconds(window.start, window.end)
    if table.access is Access.TIME_LOG:
        end = extraction.run_start + 1 if window.end is None else window.end
        read_range(extraction, f"{table.name}, {window}", second_bounds(Seconds(window.start, end)))
        return
    query = range_query(window.field, window_bounds(extraction, seconds))
    read_cursor_pages(extraction, CursorSearch(f"{table.name}, {window}", query, window.field, "ascending"))


def _commit(reader: TableReader, before: TableState) -> None:
    """Add the parts to the table's record, and change nothing else of what it says."""
    table, lake_table = reader.table, reader.lake_table
    latest = lake_table.state()
    if latest is None or latest != before:
        raise LakeError(
            f"{table.name}: another run has changed the table's record {lake_table.paths.state} in "
            f"{lake_table.lake.url} meanwhile. Nothing was changed; verify again."
        )
    now = datetime.now(UTC)
    staged = StagedRun(
        reader.checkpoints.attempt,
        reader.staged.parts,
        rows=reader.staged.rows,
        committed_at=int(now.timestamp()),
    )
    findings = lake_table.findings(replace(latest, staged=(*latest.staged, staged)))
    if findings.staged.get(staged.attempt, 0) != staged.parts:
        raise LakeError(f"{table.name}: staged parts are gone from {lake_table.lake.url}. Run again.")
    read = FinishedRead(
        staged=staged,
        earlier=(),
        to_replace=False,
        lake_id=latest.lake_id,
        columns=table.schema,
        watermark=latest.watermark,
        history_from=latest.history_from,
        workspace=latest.workspace,
        run_id=latest.run_id,
        ingested_at=reader.checkpoints.ingested_at,
        saved_at=now,
        complete=latest.complete,
        notes=latest.notes,
        search_check=latest.search_check,
        refused=latest.refused,
        digests=None,  # the next run stages what it reads again: it knows other versions of these rows
        backfills_only=latest.backfills_only,
        backfilled_from=latest.backfilled_from,
        owed=latest.owed,
    )
    lake_table.save(latest.committed(read, intact(latest, findings), {run.attempt for run in latest.staged}))


# -- removing -----------------------------------------------------------------------------------------------------


def _remove(reader: TableReader, store: WatermarkStore, run: Run, keys: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Remove rows whose own address does not know them now, either; how many, and a line on those that stay.

    A row that should be there is asked for as well: if that is not found, a 404 says nothing.
    """
    table, lake_table = reader.table, reader.lake_table
    index = indexed(table, lake_table) if keys else None
    if index is None:
        return 0, ()
    others = [str(key) for key in index.keys.slice(0, len(keys) + _CONTROLS).to_pylist() if key not in keys]
    asked = [*keys, *others[:_CONTROLS]]
    answers = dict(
        zip(asked, reader.in_parallel([partial(ask_record, reader.api, table, key) for key in asked]), strict=True)
    )
    gone = [key for key in keys if answers[key] is None]
    if gone and not any(isinstance(answers[key], Page) for key in others[:_CONTROLS]):
        return 0, (f"{table.name}: nothing was removed, since not even other rows are found by their own addresses",)
    missing = Missing(len(index.rows), gone)
    if missing.needs_permission and not run.allow_mass_removal:
        return 0, (
            f"{table.name}: {missing} are gone from Intercom, and were not removed: that is a large part of the table. "
            "Run reconcile, which reads everything to confirm it",
        )
    at = run.started_at if index.state.ingested_at is None else max(run.started_at, index.state.ingested_at)
    counts = remove_rows(table, lake_table, store, pa.array(gone, pa.string()), at=at, hash_key=reader.api.hash_key)
    stay = len(keys) - len(gone)
    return counts.removed, (f"{table.name}: {stay:,} rows are there after all, and stay",) if stay else ()
