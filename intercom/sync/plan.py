"""What a run reads of a table, from the table's record and what lies in the lake. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.errors import ConfigurationError
from intercom.extract.windows import Window
from intercom.lake.findings import Findings, missing_from
from intercom.lake.state import TableState
from intercom.lake.watermark import Watermark
from intercom.sync.history import begins_before, history_after, kept_history, with_backfills
from intercom.sync.run import ALL, Run
from intercom.sync.start import StartingPoint, starting_point, watermark_before
from intercom.tables.schema import TableSchema
from intercom.tables.table import Table


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a run will read of a table, and the record that this was decided by.

    `history_from` is where the table's history begins after this run, unix seconds, None from the beginning.
    `committed`: an earlier attempt at this run has read it all, and all of it is still there. `repairs`: a merge table
    that has rows is read from the beginning, to be whole again, and has no fewer rows then.
    `before` is the watermark that counted until now. `sound`: the table has a record, and its files fit it.
    """

    state: TableState | None
    start: StartingPoint
    window: Window
    history_from: int | None
    lake_id: str
    committed: bool
    repairs: bool = False
    before: int | None = None
    sound: bool = False

    def has_other_columns(self, columns: TableSchema) -> bool:
        """Whether files of the table lack the declared columns, so that nothing can be merged into them."""
        return self.state is not None and bool(self.state.partitions) and self.state.columns not in (None, columns)


def plan_read(
    table: Table, run: Run, state: TableState | None, findings: Findings, saved: Watermark | None, lake_id: str
) -> ReadPlan:
    """Plan a run over a table with this record, of which the lake `lake_id` holds the `findings`.

    `saved` is the watermark as it is kept outside the lake. Raises ConfigurationError when the table has to be written
    anew and the run has an end, or when the run's start date is later than the history of a table that has rows.
    """
    history = history_after(table, run, state, has_rows=_has_rows(state, findings))
    start = starting_point(
        state,
        saved,
        findings,
        lake_id=lake_id,
        columns=table.schema,
        full_refresh=run.full_refresh,
        history_from=history,
        reconciles=reads_all(table, run),
    )
    if start.replaces and run.until is not None:
        raise ConfigurationError(
            f"Table {table.name} has to be written again ({start.reason}), which a run with an end date cannot do. "
            "Run without an end date first; nothing was read and the watermark has not moved."
        )
    sound = state is not None and missing_from(state, findings) is None
    if run.until is None and (start.replaces or reads_all(table, run) or not sound):
        history = with_backfills(history, state)
    tried = state is not None and state.run_id == run.run_id and state.complete and state.refused is None
    return ReadPlan(
        state,
        start,
        _window(table, start, run, history),
        history,
        lake_id,
        committed=tried and sound,
        repairs=_repairs(table, start, run, state, history, sound=sound),
        before=watermark_before(state, saved, findings, lake_id=lake_id),
        sound=sound,
    )


def reads_all(table: Table, run: Run) -> bool:
    """Whether the run reads all of the table to find out which rows are gone: children go with their parents."""
    return run.reconciles and not table.is_child


def _has_rows(state: TableState | None, findings: Findings) -> bool:
    """Whether files of the table are in the lake: published ones, or parts that its record names."""
    staged = () if state is None else state.staged
    return bool(findings.published) or any(findings.staged.get(run.attempt) for run in staged)


def _repairs(
    table: Table, start: StartingPoint, run: Run, state: TableState | None, history: int | None, *, sound: bool
) -> bool:
    """Whether the table is read from the beginning to be whole again.

    Not where its files are sound and only more of the history is wanted; and rows of a history that begins later may
    well be fewer than the record has.
    """
    if table.is_replaced or state is None or state.rows == 0:
        return False
    if start.watermark is not None or run.until is not None or begins_before(kept_history(state), history):
        return False
    if sound and reads_all(table, run):
        return False
    return not sound or (history == state.history_from and not state.backfills_only)


def _window(table: Table, start: StartingPoint, run: Run, history: int | None) -> Window:
    """The rows to keep. With an end the asked range is read, whatever the watermark says: a backfill."""
    if table.cursor_field is None:
        return Window()
    if run.until is not None:
        return Window(None if run.history_from == ALL else run.history_from, run.until)
    if start.watermark is None or not table.reads_by_window:
        return Window(history)  # all is read anyway, so the merge finds every change, also from before the watermark
    again_from = start.watermark - run.lookback.of(table.name)
    return Window(again_from if history is None else max(history, again_from))
