"""The table at the end of a run: what each table cost and what it brought. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

HEADINGS = (
    "table", "rows read", "new", "changed", "unchanged", "removed", "in table",
    "requests", "429s", "seconds", "watermark before", "watermark after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableSummary:
    """One table of a run. Watermarks in unix seconds.

    `error` is what went wrong, `notes` what stayed short, `hints` what is worth knowing and no reason to worry.
    """

    table: str
    rows_read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    rows: int = 0
    requests: int = 0
    throttled: int = 0
    seconds: float = 0.0
    watermark_before: int | None = None
    watermark_after: int | None = None
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    error: str | None = None

    def cells(self) -> list[str]:
        """The table's line under `HEADINGS`."""
        if self.error is not None:
            return [self.table, "failed", *[""] * (len(HEADINGS) - 2)]
        numbers = (self.rows_read, self.new, self.changed, self.unchanged, self.removed, self.rows)
        return [
            self.table,
            *[f"{number:,}" for number in numbers],
            f"{self.requests:,}",
            f"{self.throttled:,}",
            f"{self.seconds:.1f}",
            _time(self.watermark_before),
            _time(self.watermark_after),
        ]


def as_text(tables: Sequence[TableSummary]) -> str:
    """Aligned columns for a terminal, then a line for each failure, warning and hint."""
    lines = [list(HEADINGS), *[table.cells() for table in tables]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = ["  ".join(map(_aligned, line, widths, range(len(HEADINGS)))) for line in lines]
    return "\n".join([*[line.rstrip() for line in text], *remarks(tables)])


def as_markdown(tables: Sequence[TableSummary]) -> str:
    """The same as a markdown table, for a Prefect artifact."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|---|" + "---:|" * (len(HEADINGS) - 1),
        *["| " + " | ".join(table.cells()) + " |" for table in tables],
        "",
        *[f"- {remark}" for remark in remarks(tables)],
    ]
    return "\n".join(lines)


def remarks(tables: Sequence[TableSummary]) -> list[str]:
    """One line per failed table, then one per warning, then one per hint."""
    hints = [f"note: {hint}" for table in tables for hint in table.hints]
    return [*failures(tables), *[f"warning: {warning}" for warning in warnings(tables)], *hints]


def verdict(tables: Sequence[TableSummary]) -> str:
    """How the run ended, in a sentence, with what has to be known about tables that failed or stay short of rows."""
    failed, warned = failures(tables), warnings(tables)
    if failed:
        return "\n".join([f"{len(failed)} of {len(tables)} tables failed:", *failed])
    ended = "1 table is in the lake" if len(tables) == 1 else f"{len(tables)} tables are in the lake"
    if not warned:
        return ended
    return f"{ended}; {len(warned)} {'warning' if len(warned) == 1 else 'warnings'}: {'; '.join(warned)}"


def warnings(tables: Sequence[TableSummary]) -> list[str]:
    """The notes of all tables: rows that Intercom counts and did not give, table by table."""
    return [note for table in tables for note in table.notes]


def failures(tables: Sequence[TableSummary]) -> list[str]:
    """One line per failed table."""
    return [f"{table.table} failed: {table.error}" for table in tables if table.error is not None]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _time(second: int | None) -> str:
    return "-" if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
