"""A lake's tables as sources of a dbt project for DuckDB: the text of a ``sources.yml``.

Everything in it follows from the catalogue: where a table lies, its columns and what they hold, its keys, its parents.

Sources: dbt documentation, *Add sources to your DAG*, *Source properties*, *freshness*; dbt-duckdb, *Reading from
external files*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from intercom import ddl
from intercom.lake.layout import PARTITION_COLUMN, UNKNOWN_MONTH, TableFormat
from intercom.tables import schema
from intercom.tables.schema import Column, ColumnKind
from intercom.tables.table import Access, Selection, Strategy, Table

SOURCE: Final = "intercom"
"""The name of the source unless another is given."""

_FRESH_DAYS: Final = {"warn_after": 1, "error_after": 3}
_OWN_COLUMNS: Final = {
    schema.EXTRA: "JSON: members of the record that have no column, and values that do not fit theirs.",
    schema.DELETED_AT: "When the row was found to be deleted in Intercom. Null while it is alive.",
    schema.INGESTED_AT: "When the run that read this version of the row started. A row that has not changed keeps it.",
    PARTITION_COLUMN: f"The month of the row's file, as YYYY-MM, or {UNKNOWN_MONTH!r}. Name it to read few files.",
}


def sources(
    tables: Sequence[Table],
    connection: str,
    location: str,
    name: str | None = None,
    table_format: TableFormat = TableFormat.PARQUET,
) -> str:
    """The sources file for tables of the lake at `location`, with tests of their keys, references and freshness."""
    there = {table.name for table in tables}
    listed = [_table(table, connection, location, there, name or SOURCE, table_format) for table in tables]
    source = {
        "name": name or SOURCE,
        "description": f"Intercom, connection {connection}, as copied by intercom-lake.",
        "tables": listed,
    }
    head = "# Made by `intercom-lake ddl dbt`: make it again when the lake has further tables or columns.\n"
    document = {"version": 2, "sources": [source]}
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _table(
    table: Table, connection: str, location: str, there: Iterable[str], source: str, table_format: TableFormat
) -> dict[str, Any]:
    # dbt-duckdb fills names in braces in, so a brace of the path itself is doubled.
    rows = ddl.duckdb_rows(table, connection, location, table_format).replace("}", "}}")
    config: dict[str, Any] = {"meta": {"external_location": rows}}
    if table.access is Access.SEARCH and table.selection is Selection.DEFAULT:  # others may be quiet for days
        fresh = {level: {"count": days, "period": "day"} for level, days in _FRESH_DAYS.items()}
        config |= {"loaded_at_field": schema.INGESTED_AT, "freshness": fresh}
    entry: dict[str, Any] = {"name": table.name, "description": _described(table), "config": config}
    if len(table.primary_key) > 1 and _has_unique_key(table):
        entry["data_tests"] = [{"unique_together": {"arguments": {"columns": list(table.primary_key)}}}]
    entry["columns"] = [_column(table, column, there, source) for column in _columns(table)]
    return entry


def _columns(table: Table) -> Iterable[Column]:
    yield from (*table.schema.fields, *table.schema.flat)
    yield Column(schema.EXTRA, ColumnKind.JSON)
    yield from (Column(name, ColumnKind.TIMESTAMP) for name in table.schema.times_of_ours)
    if table.month_field is not None:
        yield Column(PARTITION_COLUMN, ColumnKind.STRING)


def _described(table: Table) -> str:
    key = " and ".join(table.primary_key)
    if table.made_of is not None:
        return f"One row for each {key}, out of {'.'.join(table.records_at)} of {table.made_of.name}."
    kept = "The newest version" if table.strategy is Strategy.MERGE else "One row"
    return f"{kept} for each {key}, from {table.path}."


def _has_unique_key(table: Table) -> bool:
    """Whether no two rows share the key. In a table that is replaced, they may where a record may lack a part of it."""
    return set(table.required_columns) == set(table.primary_key)


def _column(table: Table, column: Column, there: Iterable[str], source: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "data_type": ddl.duckdb_type(column.kind.arrow)}
    if description := _of_column(table, column):
        entry["description"] = description
    tests: list[Any] = []
    if column.name in (*table.required_columns, schema.INGESTED_AT, PARTITION_COLUMN):
        tests.append("not_null")
    if table.primary_key == (column.name,) and _has_unique_key(table):
        tests.append("unique")
    parent = table.parent
    if parent is not None and column.name == table.parent_column and parent.table.name in there:
        # Parents that Intercom has deleted leave the lake with the next full refresh, their children with the next one.
        severity = "warn" if table.made_of is None else "error"
        to = f"source('{source}', '{parent.table.name}')"
        tests.append(
            {"relationships": {"arguments": {"to": to, "field": parent.key}, "config": {"severity": severity}}}
        )
    return entry | ({"data_tests": tests} if tests else {})


def _of_column(table: Table, column: Column) -> str:
    if column.name in _OWN_COLUMNS:
        return _OWN_COLUMNS[column.name]
    parent = table.parent
    if parent is not None and column.name in parent.inherits:
        return f"{parent.inherits[column.name]} of the record in {parent.table.name} that this one belongs to."
    if column.name in table.primary_key:
        return "The key." if len(table.primary_key) == 1 else "A part of the key."
    if column.name == table.cursor_field:
        return "When the record was changed last; a run reads from the newest one on."
    if column.name == table.month_field:
        return "The time whose month says in which file the row lies."
    path = ".".join(column.path)
    if column.kind is ColumnKind.JSON:
        return f"JSON: {path}." if path else "JSON, as sent."
    return f"{path}, from the column {column.path[0]}." if path else ""
