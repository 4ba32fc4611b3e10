"""The result of each table of a run, and the table of them at its end, as text and as markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intercom.api.traffic import Traffic, total
from intercom.compaction.compact import Compacted
from intercom.sync.ingest import Ingested
from intercom.sync.progress import duration, shown_time

HEADINGS = (
    "table", "rows read", "new", "changed", "unchanged", "removed", "in table",
    "requests", "429s", "received", "seconds", "watermark before", "watermark after",
)  # fmt: skip
TEXT_HEADINGS = tuple(heading for heading in HEADINGS if heading != "received")
"""Those of them that there is room for in a terminal."""
_WATERMARKS = ("table", "watermark before", "watermark after")
_COUNTS = tuple(heading for heading in HEADINGS if heading not in _WATERMARKS[1:])
"""Prefect's page is too narrow for all columns: it would break times into three lines each."""

_NOTHING_READ = Ingested(0, Traffic(), None, None, "nothing was read")


@dataclass(frozen=True, slots=True)
class TableResult:
    """One table of a run: what was read, what was merged, its wall seconds, or what went wrong.

    `ingested` is None where nothing was read, `compacted` until the table is merged. A plain value, which travels
    between tasks and processes.
    """

    table: str
    ingested: Ingested | None = None
    compacted: Compacted = field(default_factory=Compacted)
    seconds: float = 0.0
    failure: str | None = None

    @property
    def read(self) -> Ingested:
        """What was read; an empty result where nothing was."""
        return self.ingested or _NOTHING_READ

    @property
    def error(self) -> str | None:
        """What went wrong, also where all was read and its removals were refused."""
        return self.failure if self.failure is not None else self.read.refused

    @property
    def hints(self) -> tuple[str, ...]:
        """Lines on what is worth knowing and no reason for worry."""
        return (*self.read.hints, *self.compacted.hints(self.table))

    def cells(self, headings: Sequence[str] = HEADINGS) -> list[str]:
        """The table's line under some of `HEADINGS`."""
        if self.error is not None:
            return [{"table": self.table, "rows read": "failed"}.get(heading, "") for heading in headings]
        read, merged = self.read, self.compacted
        traffic = read.traffic
        unchanged = read.unchanged + merged.unchanged
        numbers = (read.rows, merged.new, merged.changed, unchanged, merged.removed, merged.rows)
        cells = (
            self.table,
            *[f"{number:,}" for number in (*numbers, traffic.requests, traffic.throttled)],
            _size(traffic.received),
            f"{self.seconds:.1f}",
            shown_time(read.watermark_before),
            shown_time(read.watermark_after),
        )
        by_heading = dict(zip(HEADINGS, cells, strict=True))
        return [by_heading[heading] for heading in headings]

    def outcome(self) -> str:
        """``1,204 rows, watermark 2026-11-03 11:59:59 UTC``, or that it failed."""
        if self.error is not None:
            return "failed"
        rows = "1 row" if self.compacted.rows == 1 else f"{self.compacted.rows:,} rows"
        after = self.read.watermark_after
        reached = "" if after is None else f", watermark {shown_time(after)} UTC"
        return f"{rows}{reached}"


def as_text(tables: Sequence[TableResult]) -> str:
    """Aligned columns for a terminal, then a line for each failure, warning and hint."""
    lines = [list(TEXT_HEADINGS), *[table.cells(TEXT_HEADINGS) for table in tables]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TEXT_HEADINGS))]
    text = ["  ".join(map(_aligned, line, widths, range(len(TEXT_HEADINGS)))) for line in lines]
    return "\n".join([*[line.rstrip() for line in text], *remarks(tables)])


def as_markdown(tables: Sequence[TableResult]) -> str:
    """The same in markdown: the counts, the share of the rate limit used, the remarks, then the watermarks in UTC."""
    traffic = total(table.read.traffic for table in tables)
    allowance = spent(traffic) + ("; without tables that failed" if failures(tables) else "")
    marked = [table for table in tables if (table.read.watermark_before, table.read.watermark_after) != (None, None)]
    return "\n".join(
        [
            *markdown_table(_COUNTS, [table.cells(_COUNTS) for table in tables]),
            *(["", allowance] if traffic.requests else []),
            "",
            *[f"- {remark}" for remark in remarks(tables)],
            *(["", *markdown_table(_WATERMARKS, [table.cells(_WATERMARKS) for table in marked])] if marked else []),
        ]
    )


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a markdown table, all columns but the first aligned to the right."""
    return [
        markdown_row(headings),
        "|---|" + "---:|" * (len(headings) - 1),
        *[markdown_row(row) for row in rows],
    ]


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a markdown table; ``|`` in a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def spent(traffic: Traffic) -> str:
    """``260 requests in 34 s: 46 % of the 166 per 10 s that are allowed; 1.2 MB received``."""
    requests = "1 request" if traffic.requests == 1 else f"{traffic.requests:,} requests"
    of = ""
    if (share := traffic.share) is not None:
        percent = "under 1" if share < 0.01 else f"{100 * share:.0f}"
        of = f": {percent} % of the {traffic.limit:,} per 10 s that are allowed"
    return f"{requests} in {duration(traffic.seconds)}{of}; {_size(traffic.received)} received"


def remarks(tables: Sequence[TableResult]) -> list[str]:
    """One line per failed table, then one per warning, then one per hint."""
    hints = [f"note: {hint}" for table in tables for hint in table.hints]
    return [*failures(tables), *[f"warning: {warning}" for warning in warnings(tables)], *hints]


def verdict(tables: Sequence[TableResult]) -> str:
    """How the run ended, in a sentence, with what has to be known about tables that failed or stay short of rows."""
    failed, warned = failures(tables), warnings(tables)
    if failed:
        return "\n".join([f"{len(failed)} of {len(tables)} tables failed:", *failed])
    ended = "1 table is in the lake" if len(tables) == 1 else f"{len(tables)} tables are in the lake"
    if not warned:
        return ended
    return f"{ended}; {len(warned)} {'warning' if len(warned) == 1 else 'warnings'}: {'; '.join(warned)}"


def warnings(tables: Sequence[TableResult]) -> list[str]:
    """The notes of all tables: rows that Intercom counts and did not give, files that are no table's, and the like."""
    return [note for table in tables for note in table.read.notes]


def failures(tables: Sequence[TableResult]) -> list[str]:
    """One line per failed table."""
    return [f"{table.table} failed: {table.error}" for table in tables if table.error is not None]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _size(count: int) -> str:
    """``812 B``, ``1.4 kB``, ``52.0 MB``."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{count:,} B" if unit == "B" else f"{size:.1f} {unit}"
