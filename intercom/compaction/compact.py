"""Compaction of one table: merges the staged rows of committed runs into the published files, by partition.

The order of the steps makes a crash harmless: partitions are published first, then the table's record is saved, and
last the merged parts are deleted. Merging the same parts again changes nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from intercom.compaction.child_lookup import find_stale
from intercom.compaction.column_reader import ColumnReader
from intercom.compaction.key_lookup import find_moves
from intercom.compaction.move_steps import after, both, counted_as_changed, in_steps, without_stale
from intercom.compaction.moved_rows import Moves
from intercom.compaction.policy import CompactionMode, is_due, waiting_rows
from intercom.compaction.publish import MergeWork, PartitionResult, PartitionWork, publish_partitions
from intercom.compaction.row_counts import RowCounts
from intercom.compaction.shared_parts import SharedParts
from intercom.errors import DamagedFileError, LakeError
from intercom.lake.findings import intact, missing_from, not_to_be_merged
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable, StagedPart
from intercom.lake.watermark import WatermarkStore
from intercom.tables.table import Table

log = logging.getLogger(__name__)

Publish = Callable[[Table, LakeTable, MergeWork], Sequence[PartitionResult]]
"""Merges and publishes partitions: on threads of this process, or on a cluster."""


@dataclass(frozen=True, slots=True)
class Compacted(RowCounts):
    """Result of a compaction: `rows` is the size of the published table, `waiting` counts staged rows not merged."""

    waiting: int = 0

    def hints(self, table: str) -> tuple[str, ...]:
        """A line for the summary of the run, if staged rows wait."""
        return (f"{table}: {self.waiting:,} staged rows wait to be merged with later ones",) if self.waiting else ()


def compact_table(
    table: Table,
    lake_table: LakeTable,
    store: WatermarkStore,
    *,
    when: CompactionMode = CompactionMode.ALWAYS,
    publish: Publish = publish_partitions,
    committed: bool = False,
) -> Compacted:
    """Merge the staged parts of all committed runs into a table's published files, if due, then delete these parts.

    `committed`: the calling run has just saved the table's record; LakeError if the record is gone nevertheless. Raises
    LakeError if staged parts of a committed run are missing, and DamagedFileError if a published file is damaged. The
    next run then reads the table again.
    """
    files = lake_table.staged_files()  # before the record is read: parts that a later run commits are not deleted
    state = lake_table.state()
    if state is None:
        if committed:
            raise LakeError(
                f"{table.name}: the table's record {lake_table.paths.state} in the lake {lake_table.lake.url}, which "
                "this run has saved when it had read the table, has gone or is damaged before its rows were merged. "
                "They are not in the table; run again: the whole table is read."
            )
        return Compacted()
    if state.staged and not is_due(state, when, datetime.now(UTC)):
        log.info("%s: %d staged rows wait to be merged with later ones", table.name, waiting_rows(state))
        _clean_up(lake_table, state, files)
        return Compacted(rows=state.rows, waiting=waiting_rows(state))
    parts = _committed(lake_table, state, lake_table.parts_of(files))
    counts = RowCounts()
    if state.staged:
        findings = lake_table.findings(state)
        damage, foreign = missing_from(state, findings), not_to_be_merged(state, findings)
        # Each attempt has its own version, which is saved in the record before a file with it is published. Files of an
        # attempt that died are recorded as found. If that attempt continues after all, its later files are unknown.
        state = lake_table.save(state.compacting(uuid4().hex, intact(state, findings)))
        discarded = set(foreign) if state.staged_whole else set()
        shared = SharedParts(table, lake_table)
        while True:
            published = lake_table.published()
            work = _work(table, state, _by_month(table, parts, shared), files, published, discarded)
            sizes = {part.path: files[part.path] for part in parts}
            trusted = {month: stamp for month, stamp in published.items() if month not in discarded}
            as_written = replace(table, schema=work.columns)
            columns, rows = ColumnReader(as_written, lake_table, work, sizes, trusted, shared), _staged_rows(state)
            try:
                stale = find_stale(columns, rows)
                work = without_stale(work, stale, published)
                moves = find_moves(columns, rows, stale.keys)
                outcomes = _published(table, lake_table, work, moves, published, publish)
                break
            except DamagedFileError as error:
                if error.month in discarded or not (state.staged_whole or table.is_replaced):
                    lake_table.note_damage(error.month)
                    raise
                log.warning("%s: %s is damaged and is left out", table.name, lake_table.files.path(error.month))
                discarded.add(error.month)
                # Start again: other months may have left rows out because this file has a newer version of them.
                state = state.only_with(lake_table.published())
        state = _finish(table, lake_table, state, outcomes, damage, foreign, store)
        counts = sum((outcome.counts for outcome in outcomes), RowCounts(unchanged=moves.outdated))
    _clean_up(lake_table, state, files)
    log.info(
        "%s: %d rows new, %d changed, %d unchanged, %d removed; files written: %d",
        *(table.name, counts.new, counts.changed, counts.unchanged, counts.removed, counts.files),
    )
    return Compacted(**{**asdict(counts), "rows": state.rows})


def _staged_rows(state: TableState) -> int | None:
    """Rows of all staged parts; None if the record is of an older package version, which did not count them."""
    return waiting_rows(state) if all(run.rows for run in state.staged if run.parts) else None


def _clean_up(lake_table: LakeTable, state: TableState, files: Iterable[str]) -> None:
    """Delete staged files of merged runs and of runs that never committed, and expired rejected records."""
    waiting = {run.attempt for run in state.staged}
    lake_table.delete_staged(path for path in files if lake_table.paths.attempt_of(path) not in waiting)
    lake_table.delete_expired_rejects(datetime.now(UTC))


def _committed(lake_table: LakeTable, state: TableState, parts: Sequence[StagedPart]) -> list[StagedPart]:
    """The parts of committed runs: runs in the order of their commits, parts in the order of reading.

    Parts beyond the committed number are ignored, because an abandoned attempt may still add some. LakeError if a
    committed part is missing.
    """
    by_run = {
        run.attempt: sorted(
            (part for part in parts if part.attempt == run.attempt and part.number < run.parts), key=lambda p: p.number
        )
        for run in state.staged
    }
    for run in state.staged:
        if len(by_run[run.attempt]) != run.parts:
            raise LakeError(
                f"Attempt {run.attempt} staged {run.parts} parts for {lake_table.paths.table}, but "
                f"{len(by_run[run.attempt])} are in {lake_table.lake.url}/{lake_table.paths.staging}. Run again: the "
                "whole table will be read."
            )
    return [part for run in state.staged for part in by_run[run.attempt]]


def _finish(
    table: Table,
    lake_table: LakeTable,
    state: TableState,
    outcomes: Sequence[PartitionResult],
    damage: str | None,
    foreign: Collection[str],
    store: WatermarkStore,
) -> TableState:
    """Save the record of a finished compaction, replacing the one that it began with.

    `damage` says which files went missing while the run was reading. The record then loses its watermark, so that the
    next run reads everything. `foreign` are months whose file another writer has put there.
    """
    lake_table.commit_files(
        [outcome.added for outcome in outcomes if outcome.added],
        [outcome.month for outcome in outcomes if outcome.partition is None],
    )
    if damage:
        log.warning("%s: %s; the next run will read the table from the beginning", table.name, damage)
    merged = {outcome.month: outcome.partition for outcome in outcomes}
    state = lake_table.save(
        state.compacted(merged, foreign=foreign, lost=damage is not None, saved_at=datetime.now(UTC))
    )
    if table.cursor_field is not None:
        store.save(lake_table.watermark(table.cursor_field, state))
    return state


def _published(
    table: Table, lake_table: LakeTable, work: MergeWork, moves: Moves, published: Mapping[str, str], publish: Publish
) -> list[PartitionResult]:
    """Merge and publish; gives one outcome per month.

    A row that moves is removed from its old month before it is added to the new one. A reader of plain files may miss
    the row in between, but never finds it twice. After a crash in between, the row is still staged for the next run.
    """
    if not moves:
        return list(publish(table, lake_table, work))
    log.info("%s: rows that are in another month now: %d", table.name, sum(map(len, moves.gained.values())))
    first, then = in_steps(work, moves, published, together=lake_table.files.together)
    outcomes = {outcome.month: outcome for outcome in publish(table, lake_table, first)}
    if then is not None:
        for outcome in publish(table, lake_table, after(then, outcomes)):
            outcomes[outcome.month] = both(outcomes.get(outcome.month), outcome)
    return [counted_as_changed(outcome, len(moves.gained.get(month, ()))) for month, outcome in outcomes.items()]


def _work(
    table: Table,
    state: TableState,
    staged: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    published: Mapping[str, str],
    discarded: Collection[str],
) -> MergeWork:
    """The partitions to merge: those with staged rows; `staged` maps months to parts.

    If everything was read, all published partitions too, because some may have no rows any more. Files of `discarded`
    months are replaced without being read.
    """
    by_month = dict(staged)
    columns = state.columns or table.schema  # not table.schema first: an upgrade may have changed it since
    if state.staged_whole and not table.is_replaced:
        by_month = {month: [] for month in published} | by_month
    months_of = Counter(path for paths in by_month.values() for path in paths)
    return MergeWork(
        version=state.compaction or "",
        columns=columns,
        coverage=state.coverage,
        months=tuple(
            PartitionWork(
                month,
                tuple(paths),
                stored=published.get(month),
                size=stamped_size(published.get(month)) + sum(sizes[path] // months_of[path] for path in paths),
                discarded=month in discarded and month in published,
                recorded=_recorded(state, month, published),
            )
            for month, paths in by_month.items()
        ),
        # No row was read later, and every later run reads its rows after this time.
        deleted_at=(state.ingested_at or datetime.now(UTC)) if columns.marks_deleted else None,
    )


def _by_month(table: Table, parts: Sequence[StagedPart], shared: SharedParts) -> dict[str, list[str]]:
    """Month -> paths of the parts with rows of that month, in order; ``""`` for an unpartitioned table."""
    nothing: dict[str, list[str]] = {"": []} if table.is_replaced else {}
    return nothing | {month: [part.path for part in found] for month, found in shared.by_month(parts).items()}


def _recorded(state: TableState, month: str, published: Mapping[str, str]) -> Partition | None:
    """The record's entry of a month's file; None if the file has been written since."""
    entry = state.partitions.get(month)
    return entry if entry is not None and entry.stamp == published.get(month) else None
