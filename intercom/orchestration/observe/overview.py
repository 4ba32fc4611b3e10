"""An overview of a connection as markdown: each table that the lake has of it, then those of the latest run. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from intercom.sync.summary import markdown_table, unbroken

_HEADINGS: Final = ("table", "up to date as of", "rows", "last run", "last error")
"""As much as Prefect's page has room for: texts of errors stand below the table."""
_ERROR_SHOWN: Final = 300
"""Characters of an error that are shown; the run that it links to has all of it."""


def as_overview(
    summary: Mapping[str, Any], of_the_run: str, linked: Callable[[str, str], str], report_url: str | None = None
) -> str:
    """Markdown for the summary of a run (`intercom.sync.run_summary`); `of_the_run` is that of the run's own tables.

    Times are in UTC. `linked` makes a text a link to the run of an id. `report_url` is where the report on this lake
    is published; without it the overview names the command that makes one.
    """
    tables = summary["lake_tables"]
    return "\n".join(
        [
            f"All tables of `{summary['connection']}` in `{summary['lake']}`, times in UTC",
            "",
            *(markdown_table(_HEADINGS, [_row(table, linked) for table in tables]) if tables else []),
            "",
            *[_error(table, linked) for table in tables if table["last_error"] is not None],
            "",
            f"### Latest run: {summary['kind']}, {linked(_minute(summary['ended_at']), summary['run_id'])}",
            "",
            of_the_run,
            "",
            _report(summary, report_url),
        ]
    )


def _report(summary: Mapping[str, Any], url: str | None) -> str:
    """Where the lake is drawn: a link, or the command that does it, as a shell takes it."""
    if url is not None:
        return f"All of the lake as one page: [the report]({url})"
    of = ("--lake", summary["lake"], "--connection", summary["connection"], "--output", "report.html")
    return f"All of the lake as one page: `{shlex.join(['intercom-lake', 'report', *map(str, of)])}`"


def _row(table: Mapping[str, Any], linked: Callable[[str, str], str]) -> list[str]:
    ended = f" {table['last_status']}" if table["last_status"] in ("failed", "skipped") else ""
    return [
        table["table"],
        _minute(table["synced_at"]),
        "-" if table["rows"] is None else f"{table['rows']:,}",
        _run(table["last_run_at"], table["last_run_id"], linked) + ended,
        "" if table["last_error"] is None else _minute(table["last_error_at"]),
    ]


def _error(table: Mapping[str, Any], linked: Callable[[str, str], str]) -> str:
    text = " ".join(str(table["last_error"]).split())
    shown = text if len(text) <= _ERROR_SHOWN else f"{text[:_ERROR_SHOWN].rstrip()}..."
    return f"- {table['table']}, {_run(table['last_error_at'], table['last_error_run_id'], linked)}: {shown}"


def _run(at: str | None, run_id: str | None, linked: Callable[[str, str], str]) -> str:
    return linked(_minute(at), run_id) if at and run_id else _minute(at)


def _minute(time: str | None) -> str:
    """``2026-11-03 12:07``, in one piece; a dash for none."""
    return "-" if time is None else unbroken(f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}")
