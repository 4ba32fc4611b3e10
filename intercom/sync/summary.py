"""The result of each table of a run, and the table of them at its end, as text and as markdown. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from intercom.api.traffic import Traffic, total
from intercom.compaction.compact import Compacted
from intercom.sync.ingested import Ingested
from intercom.sync.time_text import duration, shown_time

HEADINGS = (
    "table", "rows read", "new", "changed", "unchanged", "removed", "in table",
    "requests", "429s", "received", "seconds", "watermark before", "watermark after",
)  # fmt: skip
"""Columns of a table's line, all of which `TableResult.cells` gives."""
WIDTH = 80
"""Columns of a terminal that the table of a run fits in."""
PAGE_WIDTH = 74
"""Letters of a table that Prefect's page has room for, with two between columns: 584 pixels in a window of 1280."""

_ROWS = HEADINGS[1:7]
_COSTS = HEADINGS[7:11]
_WATERMARKS = HEADINGS[11:]
_TEXT_GROUPS = (_ROWS, tuple(column for column in _COSTS if column != "received"), _WATERMARKS)
_MARKDOWN_GROUPS = (_ROWS, _COSTS, _WATERMARKS)
_OF_READING = frozenset({"rows read", "requests", "429s", "received", *_WATERMARKS})
"""What a run that only merges has not."""
_ONLY_IF_SOME = {"unchanged", "removed", "429s"}
"""Columns that are left out where every table has 0."""
_SHORT = {
    "rows read": "read",
    "unchanged": "same",
    "watermark before": "watermark before (UTC)",
    "watermark after": "after (UTC)",
}
_LONG = {"watermark before": "watermark before (UTC)", "watermark after": "watermark after (UTC)"}
_GAP = 2

_NOTHING_READ = Ingested(0, Traffic(), None, None, "nothing was read")


@dataclass(frozen=True, slots=True)
class TableResult:
    """One table of a run: what was read, what was merged, its wall seconds, or what went wrong.

    `ingested` is None where nothing was read, `compacted` until the table is merged. `skipped` says why the table was
    left out, which is no failure. A plain value, which travels between tasks and processes.
    """

    table: str
    ingested: Ingested | None = None
    compacted: Compacted = field(default_factory=Compacted)
    seconds: float = 0.0
    failure: str | None = None
    skipped: str | None = None

    @property
    def read(self) -> Ingested:
        """What was read; an empty result where nothing was."""
        return self.ingested or _NOTHING_READ

    @property
    def error(self) -> str | None:
        """What went wrong, also where all was read and its removals were refused."""
        return self.failure if self.failure is not None else self.read.refused

    @property
    def done(self) -> bool:
        """Whether the table was read or merged, so that its numbers say something."""
        return self.error is None and self.skipped is None

    @property
    def hints(self) -> tuple[str, ...]:
        """Lines on what is worth knowing and no reason for worry."""
        skipped = () if self.skipped is None else (f"{self.table}: {self.skipped}",)
        return (*skipped, *self.read.hints, *self.compacted.hints(self.table))

    def cells(self, headings: Sequence[str] = HEADINGS) -> list[str]:
        """The table's line under some of `HEADINGS`; without numbers there is its name, then what became of it."""
        if not self.done:
            told = next((heading for heading in headings if heading != "table"), None)
            return [{"table": self.table, told: self.outcome()}.get(heading, "") for heading in headings]
        read, merged = self.read, self.compacted
        traffic = read.traffic
        unchanged = read.unchanged + merged.unchanged
        numbers = (read.rows, merged.new, merged.changed, unchanged, merged.removed, merged.rows)
        cells = (
            self.table,
            *[f"{number:,}" for number in (*numbers, traffic.requests, traffic.throttled)],
            shown_size(traffic.received),
            f"{self.seconds:,.1f}",
            shown_time(read.watermark_before),
            shown_time(read.watermark_after),
        )
        by_heading = dict(zip(HEADINGS, cells, strict=True))
        return [by_heading[heading] for heading in headings]

    def outcome(self) -> str:
        """``1,204 rows, watermark 2026-11-03 11:59:59 UTC``, or ``failed``, or ``skipped``."""
        if not self.done:
            return "failed" if self.error is not None else "skipped"
        rows = "1 row" if self.compacted.rows == 1 else f"{self.compacted.rows:,} rows"
        after = self.read.watermark_after
        reached = "" if after is None else f", watermark {shown_time(after)} UTC"
        return f"{rows}{reached}"


def as_text(tables: Sequence[TableResult], terminal: int | None = None) -> str:
    """Aligned columns, in as many tables one below the other as `WIDTH` asks for; then a line per warning and hint.

    `terminal` is the number of its columns, to which long lines are wrapped; None leaves them whole, as for a pipe. Why
    a table failed is not said here: the run's verdict says it.
    """
    width = min(terminal or WIDTH, WIDTH)
    shown = [_text_block(*block) for block in _blocks(tables, _TEXT_GROUPS, width, _in_text)]
    lines = [line if terminal is None else _wrapped(line, width) for line in _notes(tables)]
    return "\n\n".join([*shown, *(["\n".join(lines)] if lines else [])])


def as_markdown(tables: Sequence[TableResult]) -> str:
    """The same in markdown, for Prefect's page; with the failures, and the share of the rate limit that was used."""
    traffic = total(table.read.traffic for table in tables)
    allowance = spent(traffic) + ("; without tables that failed" if failures(tables) else "")
    first, *others = [
        "\n".join(_markdown_block(*block)) for block in _blocks(tables, _MARKDOWN_GROUPS, PAGE_WIDTH, _in_markdown)
    ]
    told = "\n".join(f"- {remark}" for remark in remarks(tables))
    return "\n\n".join(part for part in (first, told, *others, allowance if traffic.requests else "") if part)


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


def unbroken(time: str) -> str:
    """A time that Prefect's page does not break into lines, as it does at every hyphen; any other text as it is."""
    if not time[:1].isdigit():
        return time
    return unbroken_words(time.replace("-", "\N{NON-BREAKING HYPHEN}"))


def unbroken_words(text: str) -> str:
    """A text that Prefect's page does not break into lines."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def spent(traffic: Traffic) -> str:
    """``260 requests in 34 s: 46 % of the 166 per 10 s that are allowed; 1.2 MB received``."""
    requests = "1 request" if traffic.requests == 1 else f"{traffic.requests:,} requests"
    of = ""
    if (share := traffic.share) is not None:
        percent = "under 1" if share < 0.01 else f"{100 * share:.0f}"
        of = f": {percent} % of the {traffic.limit:,} per 10 s that are allowed"
    return f"{requests} in {duration(traffic.seconds)}{of}; {shown_size(traffic.received)} received"


def remarks(tables: Sequence[TableResult]) -> list[str]:
    """One line per failed table, then one per warning, then one per hint."""
    return [*failures(tables), *_notes(tables)]


def verdict(tables: Sequence[TableResult]) -> str:
    """How the run ended, in a sentence, with what has to be known about tables that failed or stay short of rows."""
    failed, warned = failures(tables), warnings(tables)
    if failed:
        return "\n".join([f"{len(failed)} of {len(tables)} tables failed:", *failed])
    skipped = [table.table for table in tables if table.skipped is not None]
    done = len(tables) - len(skipped)
    ended = "1 table is in the lake" if done == 1 else f"{done} tables are in the lake"
    if skipped:
        ended += f", {len(skipped)} skipped ({', '.join(skipped)})"
    if not warned:
        return ended
    return f"{ended}; {len(warned)} {'warning' if len(warned) == 1 else 'warnings'}: {'; '.join(warned)}"


def warnings(tables: Sequence[TableResult]) -> list[str]:
    """The notes of all tables: rows that Intercom counts and did not give, files that are no table's, and the like."""
    return [note for table in tables for note in table.read.notes]


def failures(tables: Sequence[TableResult]) -> list[str]:
    """One line per failed table."""
    return [f"{table.table} failed: {table.error}" for table in tables if table.error is not None]


def _shown(tables: Sequence[TableResult], columns: Sequence[str]) -> list[str]:
    """Those of the columns that say something of these tables."""
    done = [table for table in tables if table.done]
    if not done:
        return [column for column in columns if column == "rows read"]
    read = any(table.ingested is not None for table in done)
    cells = [dict(zip(HEADINGS, table.cells(), strict=True)) for table in done]
    return [
        column
        for column in columns
        if (read or column not in _OF_READING)
        and not (column in _ONLY_IF_SOME and all(line[column] == "0" for line in cells))
        and not (column in _WATERMARKS and all(line[one] == "-" for line in cells for one in _WATERMARKS))
    ]


def _blocks(
    tables: Sequence[TableResult], groups: Sequence[Sequence[str]], most: int, width: Callable[[str, str], int]
) -> list[tuple[list[str], list[list[str]]]]:
    """Columns and lines of each table to show below the other, none wider than `most`; each begins with the names.

    Columns of a group stay together if they can. `width` gives that of a column with a heading and a cell. The first
    has a line for every table, the others for those that have something to tell there.
    """

    def wide(columns: Sequence[str]) -> int:
        lines = [table.cells(columns) for table in tables]
        each = [
            max(width(column, cell) for cell in ("", *cells)) for column, *cells in zip(columns, *lines, strict=True)
        ]
        return sum(each) + _GAP * (len(columns) - 1)

    blocks = [["table"]]
    for group in groups:
        shown = _shown(tables, group)
        for unit in [shown] if wide(["table", *shown]) <= most else [[column] for column in shown]:
            if len(blocks[-1]) > 1 and wide([*blocks[-1], *unit]) > most:
                blocks.append(["table"])
            blocks[-1] += unit
    done = [table for table in tables if table.done]
    lines = [[table.cells(columns) for table in (done if place else tables)] for place, columns in enumerate(blocks)]
    told = [
        [line for line in some if not place or any(cell != "-" for cell in line[1:])]
        for place, some in enumerate(lines)
    ]
    return list(zip(blocks, told, strict=True))


def _text_block(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [[_SHORT.get(column, column) for column in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    return "\n".join((" " * _GAP).join(line).rstrip() for line in aligned)


def _markdown_block(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    return markdown_table(
        [_LONG.get(column, column) for column in columns], [[line[0], *map(unbroken, line[1:])] for line in cells]
    )


def _in_text(column: str, cell: str) -> int:
    return max(len(_SHORT.get(column, column)), len(cell))


def _in_markdown(column: str, cell: str) -> int:
    """Prefect's page breaks headings at blanks."""
    return max(*map(len, _LONG.get(column, column).split()), len(cell))


def _notes(tables: Sequence[TableResult]) -> list[str]:
    """A line per warning, then one per hint; what is the same of several tables is one line with all their names."""
    about: dict[str, list[str]] = {}
    for table in tables:
        for hint in table.hints:
            about.setdefault(hint.removeprefix(f"{table.table}: "), []).append(table.table)
    hints = [f"note: {', '.join(names)}: {hint}" for hint, names in about.items()]
    return [*[f"warning: {warning}" for warning in warnings(tables)], *hints]


def _wrapped(line: str, width: int) -> str:
    """A long line in several, words whole: a path can be copied, even where it is longer than the terminal is wide."""
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def shown_size(count: int) -> str:
    """``812 B``, ``1.4 kB``, ``52.0 MB``."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{count:,} B" if unit == "B" else f"{size:.1f} {unit}"
