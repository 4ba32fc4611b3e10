"""Lines about the reading of one table: what is read, files that no run has written, fields without a column."""

from __future__ import annotations

from collections.abc import Sequence

from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import MOST_NAMED
from intercom.sync.history import from_day
from intercom.sync.plan import ReadPlan
from intercom.sync.run import Run
from intercom.sync.time_text import shown_time
from intercom.tables.table import Table

_NAMES_SHOWN = 10
_NAME_LENGTH = 40
_STRANGERS_SHOWN = 3


def described(table: Table, plan: ReadPlan, run: Run) -> str:
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


def _days(since: int | None, until: int) -> str:
    """Both ends of a backfill as its options say them: days in UTC, both included. `until` is the second after."""
    last = _day(until - 1)
    return f"until {last} (UTC)" if since is None else f"on the days {_day(since)} to {last} (UTC)"


def _day(second: int) -> str:
    return shown_time(second).partition(" ")[0]
