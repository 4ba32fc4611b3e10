"""What the latest runs did to one table: a markdown table that each run writes anew, with its own row on top. Pure."""

from __future__ import annotations

from typing import Final

from intercom.summary import TableSummary, markdown_row, markdown_table, remarks

ROWS: Final = 20
_SHOWN: Final = (
    "rows read", "new", "changed", "removed", "in table", "seconds", "watermark after", "requests", "429s", "received",
)  # fmt: skip
_HEADINGS: Final = ("run (UTC)", "kind", *_SHOWN, "lake")
"""What is asked for most comes first: Prefect's pages cut off what is too wide."""


def as_history(table: TableSummary, *, at: str, kind: str, lake: str, previous: str | None) -> str:
    """Markdown: this run of the table, then those that the previous version of this text shows, then remarks.

    `at` is the run's end, perhaps as a link. Of a text with other columns, as another version wrote it, nothing is
    taken over.
    """
    row = [at, kind, *table.cells(_SHOWN), lake]
    return "\n".join(
        [
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
