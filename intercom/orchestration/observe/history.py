"""A table's latest runs as markdown: each run writes it anew with its own row on top. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from intercom.sync.summary import TableResult, markdown_row, markdown_table, remarks, unbroken

ROWS: Final = 20
_COUNTS: Final = ("rows read", "new", "changed", "removed", "in table")
_COSTS: Final = ("requests", "seconds", "watermark after")
_HEADINGS: Final = (
    ("run (UTC)", "kind", *_COUNTS),
    ("run (UTC)", *_COSTS[:-1], "watermark after (UTC)", "lake"),
)
"""Two tables, since Prefect's page has no room for all of it; what a run received stands in the run's summary."""


def as_history(table: TableResult, *, at: str, kind: str, lake: str, previous: str | None) -> str:
    """Markdown: this run of the table, remarks on it, then the runs that the previous version of this text shows.

    `at` is the run's end, perhaps as a link. A row has the last part of its lake's URL; the whole URL of this run's
    `lake` is on top. Rows of a `previous` text with other columns, which another version wrote, are dropped.
    """
    costs = table.cells(_COSTS) if table.error is None else [""] * len(_COSTS)
    run = (
        [at, kind, *table.cells(_COUNTS)],
        [at, *map(unbroken, costs), lake.rstrip("/").rpartition("/")[2]],
    )
    counts, costs_and_lake = [
        "\n".join([*markdown_table(headings, [row]), *_rows(previous or "", headings)[: ROWS - 1]])
        for headings, row in zip(_HEADINGS, run, strict=True)
    ]
    told = "\n".join(f"- {remark}" for remark in remarks([table]))
    return "\n\n".join(part for part in (f"`{lake}`", counts, told, costs_and_lake) if part)


def _rows(previous: str, headings: Sequence[str]) -> list[str]:
    """Lines of the runs before in the table with these headings."""
    lines = previous.splitlines()
    heading = markdown_row(headings)
    if heading not in lines:
        return []
    below = lines[lines.index(heading) + 2 :]
    end = next((place for place, line in enumerate(below) if not line.startswith("|")), len(below))
    return below[:end]
