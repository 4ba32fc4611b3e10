"""A table's latest runs as markdown: each run writes it anew with its own row on top. Pure."""

from __future__ import annotations

from typing import Final

from intercom.sync.summary import TableResult, markdown_row, markdown_table, remarks, unbroken

ROWS: Final = 20
_SHOWN: Final = ("rows read", "new", "changed", "removed", "in table", "requests", "seconds", "watermark after")
_HEADINGS: Final = ("run (UTC)", "kind", *_SHOWN, "lake")
"""As much as Prefect's page has room for; what a run received and where the lake is stands in the run's summary."""


def as_history(table: TableResult, *, at: str, kind: str, lake: str, previous: str | None) -> str:
    """Markdown: this run of the table, then those that the previous version of this text shows, then remarks.

    `at` is the run's end, perhaps as a link. A row has the last part of its lake's URL; the whole URL of this run's
    `lake` is on top. Rows of a `previous` text with other columns, which another version wrote, are dropped.
    """
    row = [at, kind, *map(unbroken, table.cells(_SHOWN)), lake.rstrip("/").rpartition("/")[2]]
    return "\n".join(
        [
            f"`{lake}`",
            "",
            *markdown_table(_HEADINGS, [row]),
            *_rows(previous or "")[: ROWS - 1],
            "",
            *[f"- {remark}" for remark in remarks([table])],
        ]
    )


def _rows(previous: str) -> list[str]:
    """Lines of the runs before."""
    lines = previous.splitlines()
    heading = markdown_row(_HEADINGS)
    if heading not in lines:
        return []
    below = lines[lines.index(heading) + 2 :]
    end = next((place for place, line in enumerate(below) if not line.startswith("|")), len(below))
    return below[:end]
