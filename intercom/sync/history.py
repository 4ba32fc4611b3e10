"""From which second on a table is complete, its history, and what a start date changes about that. Pure.

The first run's start date begins the history, and the table's record keeps it. Later runs may only widen it: a later
start would leave rows in the table that its history has not. None is a history from the beginning.
"""

from __future__ import annotations

from datetime import UTC, datetime

from intercom.errors import ConfigurationError
from intercom.lake.layout import TablePaths
from intercom.lake.state import TableState
from intercom.sync.run import ALL, Run
from intercom.tables.table import Table

_DAY_SECONDS = 86_400


def begins_before(one: int | None, other: int | None) -> bool:
    """Whether a history that begins at `one` has more than one that begins at `other`."""
    return other is not None and (one is None or one < other)


def kept_history(state: TableState | None) -> int | None:
    """Where the history of the record begins; None as well where there is no record, or backfills alone made it."""
    return None if state is None or state.backfills_only else state.history_from


def backfilled_after(kept: TableState, run: Run, *, read_whole: bool) -> int | None:
    """From which second on backfills have copied rows, after this run; 0 from the beginning, None if none has.

    `read_whole`: the table is now exactly what the run has read, so that no row is left that only a backfill knew.
    """
    if run.until is None:
        return None if read_whole else kept.backfilled_from
    begun = run.history_from if isinstance(run.history_from, int) else 0
    return begun if kept.backfilled_from is None else min(begun, kept.backfilled_from)


def with_backfills(history: int | None, state: TableState | None) -> int | None:
    """From which second on a read that takes the place of rows or files has to read; None: from the beginning.

    Else rows would go that only a backfill has copied. The history is complete from there on then.
    """
    if history is None or state is None or state.backfilled_from is None:
        return history
    return min(history, state.backfilled_from) or None


def history_after(table: Table, run: Run, state: TableState | None, *, has_rows: bool) -> int | None:
    """Where the table's history begins after this run, in unix seconds; a backfill leaves it as it is.

    A table without a cursor field has no history to limit. `has_rows`: files of the table are in the lake. Raises
    ConfigurationError for a start date that is later than the history of such a table, since rows would have to go.
    """
    kept = kept_history(state)
    if table.cursor_field is None or run.until is not None:
        return kept
    asked = kept if run.history_from is None else None if run.history_from == ALL else run.history_from
    begun = state is not None and not state.backfills_only
    if begun and has_rows and begins_before(kept, asked):
        paths = TablePaths(run.connection, table.name)
        raise ConfigurationError(
            f"The start date {shown_day(asked)} is later than the history of table {table.name}, which is complete "
            f"{from_day(kept)}: rows would have to go. Leave out --start-date to keep the history. For a shorter one "
            f"use another connection name or another lake, or delete the folders {paths.data} and {paths.staging} of "
            "the lake first; nothing was read and the watermark has not moved."
        )
    return asked


def change_of(kept: int | None, asked: int | None) -> str:
    """Why a table is read again whose history is to begin elsewhere."""
    return f"the table was complete {from_day(kept)} and is asked for {from_day(asked)}"


def hint_on_history(table: Table, run: Run, before: TableState | None, after: TableState, rows: int) -> tuple[str, ...]:
    """A line on what this run did to the history of a table, if a start date or a full refresh asked for anything.

    `before` and `after` are the table's records; `rows` were read. Nothing is said of a table whose history has just
    begun, and of a backfill.
    """
    if table.cursor_field is None or run.until is not None or before is None or before.backfills_only:
        return ()
    was, now = before.history_from, after.history_from
    read = "everything" if now is None else "everything since then"
    if begins_before(now, was) and after.complete:
        said = f"was complete {from_day(was)} and is now complete {from_day(now)}; {read} was read again, {rows:,} rows"
    elif begins_before(now, was):
        said = (
            f"was complete {from_day(was)} and is asked for {from_day(now)}; {read} was read again, {rows:,} rows, but "
            "not all that Intercom counts, so the next run reads it once more"
        )
    elif was != now:
        said = f"had no rows in the lake, so its history is now {from_day(now)}, and no longer {from_day(was)}"
    elif run.history_from is None:
        if was is None or not run.full_refresh:
            return ()
        said = (
            f"the full refresh has kept the history {from_day(was)}; rows that were last changed before that day were "
            "not read (--start-date all reads them, too)"
        )
    elif run.history_from == (ALL if was is None else was):
        already = "has no limit" if was is None else "begins there already"
        said = f"start date {_named(run.history_from)} changes nothing, the history {already}"
    else:
        said = (
            f"start date {_named(run.history_from)} could not be met, since the full refresh was short of rows; the "
            f"table is still complete {from_day(was)}. Run again"
        )
    return (f"{table.name}: {said}",)


def from_day(second: int | None) -> str:
    """``from 2026-05-01 on``, or ``from the beginning``."""
    return "from the beginning" if second is None else f"from {shown_day(second)} on"


def shown_day(second: int | None) -> str:
    """``2026-05-01``, the day (UTC) that begins with the second; the time too where no day begins with it."""
    if second is None:
        return ALL
    time = datetime.fromtimestamp(second, UTC)
    return str(time.date()) if second % _DAY_SECONDS == 0 else f"{time:%Y-%m-%d %H:%M:%S}"


def _named(asked: int | str) -> str:
    return asked if isinstance(asked, str) else shown_day(asked)
