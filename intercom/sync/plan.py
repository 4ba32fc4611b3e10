"""What a run reads of a table, from the table's record and what lies in the lake. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.errors import ConfigurationError
from intercom.extract.windows import Window
from intercom.lake.findings import Findings, missing_from
from intercom.lake.state import TableState
from intercom.lake.watermark import Watermark
from intercom.sync.run import Run
from intercom.sync.start import LOOKBACK_SECONDS, StartingPoint, starting_point, watermark_before
from intercom.tables.schema import TableSchema
from intercom.tables.table import Strategy, Table


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a run will read of a table, and the record that this was decided by.

    `history_from` is the start date of the table's history after this run, unix seconds. `committed`: an earlier
    attempt at this run has read it all, and all of it is still there. `before` is the watermark that counted until now.
    """

    state: TableState | None
    start: StartingPoint
    window: Window
    history_from: int | None
    lake_id: str
    committed: bool
    before: int | None = None

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


def plan_read(
    table: Table, run: Run, state: TableState | None, findings: Findings, saved: Watermark | None, lake_id: str
) -> ReadPlan:
    """Plan a run over a table with this record, of which the lake `lake_id` holds the `findings`.

    `saved` is the watermark as it is kept outside the lake. Raises ConfigurationError when the table has to be written
    anew and the run has an end.
    """
    kept = state.history_from if state else None
    start = starting_point(
        state,
        saved,
        findings,
        lake_id=lake_id,
        columns=table.schema,
        full_refresh=run.full_refresh,
        history_from=run.history_from if run.until is None else kept,
    )
    if start.replaces and run.until is not None:
        raise ConfigurationError(
            f"Table {table.name} has to be written anew ({start.reason}), which a run with an end date cannot do. "
            "Run without an end date first; nothing was read and the watermark has not moved."
        )
    history = _history(state, start, run)
    tried = state is not None and state.run_id == run.run_id and state.complete and state.refused is None
    committed = tried and state is not None and missing_from(state, findings) is None
    before = watermark_before(state, saved, findings, lake_id=lake_id)
    return ReadPlan(state, start, _window(table, start, run, history), history, lake_id, committed, before)


def _history(state: TableState | None, start: StartingPoint, run: Run) -> int | None:
    """From which second on the table's history is complete after this run; None: from the beginning.

    A repair reads all of the history that the record names, also if this run's own start date is later.
    """
    if state is not None and (start.watermark is not None or run.until is not None):
        return state.history_from
    if state is None or run.full_refresh:
        return run.history_from
    asked = (run.history_from, state.history_from)
    return None if None in asked else min(second for second in asked if second is not None)


def _window(table: Table, start: StartingPoint, run: Run, history: int | None) -> Window:
    """The rows to keep. With an end the asked range is read, whatever the watermark says: a backfill."""
    if table.cursor_field is None:
        return Window()
    if run.until is not None:
        return Window(run.history_from, run.until)
    if start.watermark is None or not table.reads_by_window:
        return Window(history)  # all is read anyway, so the merge finds every change, also from before the watermark
    return Window(start.watermark - LOOKBACK_SECONDS)
