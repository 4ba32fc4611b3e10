"""An overview of a connection as markdown: each table that the lake has of it, then those of the latest run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from intercom.orchestration.observe.history import unbroken
from intercom.sync.summary import markdown_table

_HEADINGS: Final = ("table", "in step with Intercom", "rows", "watermark", "last run", "last error")
_ERROR_SHOWN: Final = 120
"""Characters of an error: the whole of it is in the run's own table below, or in that run's."""


def as_overview(summary: Mapping[str, Any], of_the_run: str, linked: Callable[[str, str], str]) -> str:
    """Markdown for the summary of a run (`intercom.sync.run_summary`); `of_the_run` is that of the run's own tables.

    Times are in UTC. `linked` makes a text a link to the run of an id.
    """
    rows = [_row(table, linked) for table in summary["lake_tables"]]
    return "\n".join(
        [
            f"`{summary['connection']}` in `{summary['lake']}`, times in UTC",
            "",
            *(markdown_table(_HEADINGS, rows) if rows else []),
            "",
            f"### {linked(_minute(summary['ended_at']), summary['run_id'])}: {summary['kind']}",
            "",
            of_the_run,
        ]
    )


def _row(table: Mapping[str, Any], linked: Callable[[str, str], str]) -> list[str]:
    return [
        table["table"],
        _minute(table["synced_at"]),
        "-" if table["rows"] is None else f"{table['rows']:,}",
        _minute(table["watermark"]),
        _run(table["last_run_at"], table["last_run_id"], linked)
        + ("" if table["last_status"] != "failed" else ": **failed**"),
        _error(table, linked),
    ]


def _error(table: Mapping[str, Any], linked: Callable[[str, str], str]) -> str:
    error = table["last_error"]
    if error is None:
        return ""
    text = " ".join(str(error).split())
    shown = text if len(text) <= _ERROR_SHOWN else f"{text[:_ERROR_SHOWN].rstrip()}..."
    return f"{_run(table['last_error_at'], table['last_error_run_id'], linked)} {shown}"


def _run(at: str | None, run_id: str | None, linked: Callable[[str, str], str]) -> str:
    return linked(_minute(at), run_id) if at and run_id else _minute(at)


def _minute(time: str | None) -> str:
    """``2026-11-03 12:07``, in one piece; a dash for none."""
    return "-" if time is None else unbroken(f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}")
