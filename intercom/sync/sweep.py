"""Holds what a read has met against the rows of the lake: which rows are gone from the workspace, or doubted.

    a reconcile             everything was read; rows that are missing are asked for by their own address
    companies, articles     each run reads them whole, so each is a sweep; the second in a row that lacks a row decides
    child tables            in a reconcile, by their parents: those that the parent table has no more

What was decided is saved with the table's record; rows are removed when all that is staged is merged
(`sync.remove_gone`). A read that is not complete decides nothing, and is no sweep.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from intercom.compaction.arrow import flat
from intercom.lake.state import TableState
from intercom.lake.sweeps import NO_SWEEP, Sweep
from intercom.lake.table import LakeTable
from intercom.sync.by_address import ask_each
from intercom.sync.orphans import find_orphans
from intercom.sync.plan import ReadPlan, reads_all
from intercom.sync.read_table import TableReader
from intercom.sync.removals import Missing, a_key, find_missing
from intercom.sync.run import Run
from intercom.sync.sightings import has_sweeps, is_read_whole
from intercom.sync.vanished import Answer, Decision, decide, is_large, to_ask
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_NOTHING: Missing = Missing(0, ())


@dataclass(frozen=True, slots=True)
class Swept:
    """What a read has found of rows that it did not meet.

    `sweep` is kept for the next one; `carried`: it is that of an earlier run, without rows that this one has met. The
    number of rows that are `kept` (there by their own address) and `undecided` (they stay until another sweep agrees).
    `hints` and `notes` are lines for the end of the run; with `refused` the table has failed, since too many rows would
    have been removed.
    """

    sweep: Sweep = NO_SWEEP
    carried: bool = False
    kept: int = 0
    undecided: int = 0
    hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str | None = None


def valid_sweep(table: Table, lake_table: LakeTable, plan: ReadPlan, run: Run) -> Sweep:
    """What the last sweep has left, if it is of this lake, this workspace and these columns; else empty.

    An earlier try of the same run is no second question.
    """
    state = plan.state
    mark = state.sweep if state is not None else None
    if state is None or mark is None or not has_sweeps(table) or state.lake_id != plan.lake_id:
        return NO_SWEEP
    if mark.fingerprint != table.schema.fingerprint or (run.workspace and mark.workspace != run.workspace):
        return NO_SWEEP
    found = lake_table.sweep(state) or NO_SWEEP
    return Sweep(kept=found.kept) if mark.run_id == run.run_id else found


def sweep(read: TableReader, plan: ReadPlan, run: Run) -> Swept:
    """Decide about the rows of the lake that a read has not met; asks for them and stages those that are there."""
    earlier = read.sightings.left
    if not _is_sweep(read, plan, run):
        return Swept(earlier, carried=True)
    assert plan.state is not None
    found, asked_of, control = _NOTHING, read.table, None
    if read.table.is_child:
        orphans = find_orphans(read.table, read.lake_table, plan.state, run)
        if orphans is None:
            return Swept(earlier, carried=True)
        found, control = orphans.missing, orphans.control
        assert read.table.parent is not None
        asked_of = read.table.parent.table
    elif not _has_met_all(read, plan.state):
        found = find_missing(read.table, read.lake_table, plan.state, read.staged_parts(), read.sightings.met)
    if not found.count:
        return Swept()
    whole = _is_exact(read)
    answers: dict[str, Answer] | None = None
    hints: list[str] = []
    if run.reconciles and asked_of.record_path:
        if asked_of is read.table:
            control = a_key(read.table, read.lake_table, read.staged_parts())
        asked = ask_each(read, asked_of, to_ask(found.keys, earlier, whole=whole, salt=run.run_id), control)
        answers = dict(asked.said)
        if asked_of is read.table:
            read.add(asked.pages)
        if asked.why is not None:
            hints.append(f"{read.table.name}: nothing is removed of what was not read: {asked.why}")
    decision = decide(found.keys, earlier, answers, whole=whole)
    return _told(read.table, found.known, decision, earlier, run, hints, whole=whole)


def _is_sweep(read: TableReader, plan: ReadPlan, run: Run) -> bool:
    """Whether the read has met every row of the table's history, so that one that it has not met is missing."""
    table = read.table
    if not (has_sweeps(table) and plan.sound and plan.state is not None and plan.state.lake_id == plan.lake_id):
        return False
    if run.until is not None or plan.start.replaces or not read.completeness.complete:
        return False
    if run.reconciles:
        return table.is_child or (reads_all(table, run) and plan.start.watermark is None)
    # Rows of an earlier try that came unchanged are not staged; one that could not be a row may be any.
    return is_read_whole(table) and plan.start.watermark is not None and _is_exact(read)


def _is_exact(read: TableReader) -> bool:
    """Whether nothing is missing at all of what Intercom counts, and every record that came was met."""
    return not (read.completeness.missing or read.rejected.total or read.checkpoints.earlier)


def _has_met_all(read: TableReader, state: TableState) -> bool:
    """Whether the keys that were met hold every row of the lake, as far as that is known without reading its files.

    Rows with a digest lie in the lake. If as many of these were met as are alive, they are all of them.
    """
    if state.staged or not read.known or not is_read_whole(read.table):
        return False
    met = read.sightings.met
    known = {key.decode(errors="replace") for key in read.known}
    return sum(key in known for key in flat(met).to_pylist()) >= state.alive


def _told(
    table: Table, known: int, decision: Decision, earlier: Sweep, run: Run, hints: list[str], *, whole: bool
) -> Swept:
    name = table.name
    rows = "rows" if table.parent is None else f"{table.parent.table.name} with rows"
    notes: list[str] = []
    refused: str | None = None
    if is_large(len(decision.gone), known) and not run.allow_mass_removal:
        share = f"{len(decision.gone):,} of {known:,} {rows} ({100 * len(decision.gone) / known:.0f} %)"
        told = (
            f"this would remove {share}, which are gone by two answers. Nothing was removed, and all that was read is "
            f"in the lake. If they are gone from Intercom on purpose, run a reconcile with --allow-mass-removal"
        )
        if run.reconciles:
            refused = told
        else:
            notes.append(f"{name}: {told}")
        decision = decision.refused()
    if decision.kept:
        hints.append(
            f"{name}: {len(decision.kept):,} {rows} that no list shows are there by their own address (archived, "
            "perhaps), and stay"
        )
    if decision.undecided:
        hints.append(
            f"{name}: {len(decision.undecided):,} of {known:,} {rows} were not read; they stay until another "
            f"{'reconcile' if run.reconciles else 'run'} agrees"
        )
    return Swept(
        decision.sweep(earlier, whole=whole),
        kept=len(decision.kept),
        undecided=len(decision.undecided),
        hints=tuple(hints),
        notes=tuple(notes),
        refused=refused,
    )
