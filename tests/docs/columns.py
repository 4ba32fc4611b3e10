"""The pages of tables: `reference/tables/<table>.md`, made of the catalogue and of what `meanings.yml` says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from intercom.lake.layout import PARTITION_COLUMN, UNKNOWN_MONTH
from intercom.tables import schema
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import COUNT, EACH, Column, ColumnKind
from intercom.tables.table import Access, Selection, Strategy, Table

_MEANINGS: Final = Path(__file__).with_name("meanings.yml")
_OF_RUNS: Final = {
    schema.EXTRA: "fields of the record without a column, and values that do not fit their column; null if none",
    schema.DELETED_AT: "when a run found that the row is deleted in Intercom, or null; only with `deleted: mark`",
    schema.INGESTED_AT: "the start of the run that read this version of the row; an unchanged row keeps it",
}
_OF_FOLDERS: Final = (
    f"the month of the file, such as `2026-11`, or `{UNKNOWN_MONTH}`; readers take it from the name of the folder"
)
_SELECTED: Final = {
    Selection.DEFAULT: "by default",
    Selection.ALL: "with `--tables all`, or by name",
    Selection.NAME: "by name only, since it costs one request for each parent",
}
_READ_BY: Final = {
    Access.SEARCH: "a search for what changed",
    Access.SCROLL: "a scroll over all records",
    Access.PAGES: "all pages of the list",
    Access.LIST: "one answer",
    Access.TIME_LOG: "the log, from the last known entry on",
}


def table_page(table: Table) -> str:
    """One table, as Markdown."""
    lines = [f"# {table.name}", "", *(f"- **{fact}**: {value}" for fact, value in _facts(table))]
    lines += ["", "| column | type | source | what it has |", "|---|---|---|---|"]
    for column in (*table.schema.fields, *table.schema.flat):
        lines.append(_row(column.name, _type(column.kind), _source(table, column), meaning(table, column)))
    for name, text in _OF_RUNS.items():
        lines.append(
            _row(name, _type(ColumnKind.JSON if name == schema.EXTRA else ColumnKind.TIMESTAMP), "the run", text)
        )
    if table.month_field is not None:
        lines.append(_row(PARTITION_COLUMN, _type(ColumnKind.STRING), f"`{table.month_field}`", _OF_FOLDERS))
    return "\n".join(lines) + "\n"


def meaning(table: Table, column: Column) -> str:
    """What a column holds. Raises KeyError for one of which nothing is said."""
    said = _meanings()
    own = said.get(table.name, {})
    return str(own[column.name] if column.name in own else said["every"][column.name])


def unknown_names() -> list[str]:
    """Names in `meanings.yml` that no table has."""
    said = dict(_meanings())
    columns = {
        name: {column.name for column in (*table.schema.fields, *table.schema.flat)} for name, table in TABLES.items()
    }
    used = {name for table, names in columns.items() for name in names if name not in said.get(table, {})}
    found = [f"every.{name}" for name in said.pop("every") if name not in used]
    return found + [
        f"{table}.{name}" for table, own in said.items() for name in own if name not in columns.get(table, ())
    ]


@cache
def _meanings() -> dict[str, dict[str, str]]:
    loaded: dict[str, dict[str, str]] = yaml.safe_load(_MEANINGS.read_text(encoding="utf-8"))
    return loaded


def _facts(table: Table) -> Iterator[tuple[str, str]]:
    yield "Copied", _SELECTED[table.selection]
    yield "Primary key", ", ".join(f"`{name}`" for name in table.primary_key)
    yield "Cursor field", f"`{table.cursor_field}`" if table.cursor_field else "none"
    yield "Strategy", f"[{table.strategy}](../tables.md#strategies)"
    if table.made_of is not None:
        yield (
            "Made from",
            f"`{'.'.join(table.records_at)}` of [{table.made_of.name}]({table.made_of.name}.md), without a request",
        )
    elif table.parent is not None and table.is_child:
        parent = table.parent.table.name
        each = "each record" if table.is_replaced else "each record that has changed"
        yield "Read by", f"`GET {table.path}`, for {each} of [{parent}]({parent}.md)"
    else:
        method = "POST" if table.access is Access.SEARCH else "GET"
        yield "Read by", f"`{method} {table.path}`: {_READ_BY[table.access]}"
    if table.made_of is None:
        yield "Permission", f"*{table.scope}*"
    if table.strategy is Strategy.REPLACE or table.month_field is None:
        yield "Files", "one"
    else:
        yield "Files", f"one for each month of `{table.month_field}` (UTC)"


def _row(*cells: str) -> str:
    name, *others = (cell.replace("|", "\\|") for cell in cells)
    return f"| `{name}` | {' | '.join(others)} |"


def _type(kind: ColumnKind) -> str:
    if kind is ColumnKind.JSON:
        return "string (JSON)"
    return "timestamp" if kind is ColumnKind.TIMESTAMP else str(kind.arrow)


def _source(table: Table, column: Column) -> str:
    """Where the values come from: the path in the record, or the parent's record."""
    if table.parent is not None and column.name in table.parent.inherits:
        return f"`{table.parent.table.name}.{table.parent.inherits[column.name]}`"
    if column.name in table.carries:
        return "the request"
    paths = [path for path in (column.path or (column.name,), column.otherwise) if path]
    return " or ".join(f"`{_path(path)}`" for path in paths)


def _path(path: tuple[str, ...]) -> str:
    """``tags.data[].id`` for ``("tags", "data", EACH, "id")``; ``data.length`` for a count."""
    text = ""
    for name in path:
        text += "[]" if name == EACH else ".length" if name == COUNT else f".{name}"
    return text.removeprefix(".")
