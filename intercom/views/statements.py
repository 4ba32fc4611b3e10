"""The statements that make views of another tool's tables, in the SQL of DuckDB and of Athena.

A view for DuckDB reads the lake's files itself. One for Athena reads the tables that ``intercom-lake ddl athena`` has
declared.

Sources: DuckDB documentation, *Timestamp with Time Zone Functions*, *JSON Extraction Functions*; Amazon Athena User
Guide, *CREATE VIEW*; Trino documentation, *Date and time functions*, *JSON functions*.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap

from intercom import ddl
from intercom.errors import ConfigurationError
from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table
from intercom.views.definition import (
    IS_DELETED,
    KINDS,
    REFERENCE,
    Kind,
    Reference,
    View,
    ViewColumn,
    ViewSet,
    reference,
)


class Engine(ABC):
    """What differs between engines: where rows come from, how a view is named, times and members of JSON."""

    @abstractmethod
    def database(self) -> str | None:
        """The statement that makes the database of the views, if one is named."""

    @abstractmethod
    def view_name(self, name: str) -> str:
        """The name of a view, quoted, with its database."""

    @abstractmethod
    def rows(self, table: str) -> str:
        """What stands after FROM for a table of the lake."""

    @abstractmethod
    def time(self, column: str) -> str:
        """A time column as a timestamp without a zone, in UTC."""

    @abstractmethod
    def seconds(self, column: str) -> str:
        """A time column as whole seconds since 1970."""

    @abstractmethod
    def member(self, column: str, name: str) -> str:
        """A member of the JSON object in a text column, as text."""


@dataclass(frozen=True, slots=True)
class DuckDB(Engine):
    """Views in DuckDB over the lake at `location`, in the schema `into`."""

    connection: str
    location: str
    into: str | None = None
    table_format: TableFormat = TableFormat.PARQUET

    def database(self) -> str | None:
        return None if self.into is None else f"CREATE SCHEMA IF NOT EXISTS {ddl.quoted(self.into)};"

    def view_name(self, name: str) -> str:
        return ".".join(ddl.quoted(part) for part in (self.into, name) if part is not None)

    def rows(self, table: str) -> str:
        return ddl.duckdb_rows(TABLES[table], self.connection, self.location, self.table_format)

    def time(self, column: str) -> str:
        return f"{column} AT TIME ZONE 'UTC'"

    def seconds(self, column: str) -> str:
        return f"CAST(epoch({column}) AS BIGINT)"

    def member(self, column: str, name: str) -> str:
        return f"json_extract_string({column}, '$.{name}')"


@dataclass(frozen=True, slots=True)
class Athena(Engine):
    """Views in Athena's database `into` over the lake's tables in its database `tables_in`.

    None is the database that a query is run in. Raises ConfigurationError for a name that Athena has not.
    """

    into: str | None = None
    tables_in: str | None = None

    def __post_init__(self) -> None:
        ddl.check_athena_database(self.into)
        ddl.check_athena_database(self.tables_in)

    def database(self) -> str | None:
        return None if self.into is None else f"CREATE DATABASE IF NOT EXISTS `{self.into}`;"

    def view_name(self, name: str) -> str:
        return ".".join(ddl.quoted(part) for part in (self.into, name) if part is not None)

    def rows(self, table: str) -> str:
        return ".".join(ddl.quoted(part) for part in (self.tables_in, table) if part is not None)

    def time(self, column: str) -> str:
        return column  # Athena's tables have timestamps without a zone already

    def seconds(self, column: str) -> str:
        return f"CAST(to_unixtime({column}) AS BIGINT)"

    def member(self, column: str, name: str) -> str:
        return f"json_extract_scalar({column}, '$.{name}')"


def statements(views: ViewSet, engine: Engine, there: Mapping[str, Table]) -> Iterator[str]:
    """What the views do not have, as comments; the database, if one is named; each view whose tables are `there`.

    Columns that these tables lack, since a connection leaves them out, are null. Rows that are marked as deleted are in
    views that tell them.

    Raises ConfigurationError where views of Athena would take the names of the tables that they read.
    """
    if isinstance(engine, Athena) and engine.into == engine.tables_in and views.names & set(views.tables):
        raise ConfigurationError(
            "These views have the names of the tables that they read, so Athena needs a database for each: give "
            "--database for the views and --tables-in for the database of the lake's tables."
        )
    told = [
        f"Views with the names and columns of {views.title}. What differs:",
        *(f"- {text}" for text in views.differs),
    ]
    yield "\n".join(line for text in told for line in _comment(text))
    if (database := engine.database()) is not None:
        yield database
    for view in views.views:
        if all(table in there for table in view.tables):
            yield _statement(view, engine, there)


def _comment(text: str) -> list[str]:
    return wrap(text, 110, initial_indent="-- ", subsequent_indent="--   ", break_long_words=False)


def _statement(view: View, engine: Engine, there: Mapping[str, Table]) -> str:
    marks = there[view.table].schema.marks_deleted
    deleted_at = f"{'own.' if view.parent else ''}{ddl.quoted(DELETED_AT)}"
    is_deleted = f"{deleted_at} IS NOT NULL" if marks else "FALSE"
    columns = ",\n".join(f"  {_selected(view, column, engine, there, is_deleted)}" for column in view.columns)
    rows = engine.rows(view.table)
    if view.parent:
        on = f"own.{ddl.quoted(view.parent_key)} = parent.{ddl.quoted('id')}"
        rows += f" AS own\nLEFT JOIN {engine.rows(view.parent)} AS parent ON {on}"
    where = f"\nWHERE {deleted_at} IS NULL" if marks and not view.has_deleted else ""
    return f"CREATE OR REPLACE VIEW {engine.view_name(view.name)} AS SELECT\n{columns}\nFROM {rows}{where};"


def _selected(view: View, column: ViewColumn, engine: Engine, there: Mapping[str, Table], is_deleted: str) -> str:
    expression = is_deleted if column.source == IS_DELETED else column.expression
    if alone := REFERENCE.fullmatch(expression):
        found, kind = _value(view, reference(alone), engine, there, seconds=column.kind is Kind.NUMBER)
        sql = found if kind is column.kind else f"TRY_CAST({found} AS {column.kind})"
    else:
        sql = REFERENCE.sub(lambda one: _value(view, reference(one), engine, there)[0], expression)
    name = ddl.quoted(column.name)
    return sql if sql.removeprefix("own.") == name else f"{sql} AS {name}"


def _value(
    view: View, wanted: Reference, engine: Engine, there: Mapping[str, Table], seconds: bool = False
) -> tuple[str, Kind]:
    """The SQL of a column or member, and its kind. A time becomes one without a zone, or a number of seconds."""
    name = view.parent if wanted.of_parent else view.table
    table = there[name]
    if wanted.column not in table.schema.arrow.names:
        kind = Kind.TEXT if wanted.member else KINDS[TABLES[name].schema.arrow.field(wanted.column).type]
        return f"CAST(NULL AS {kind})", kind
    kind = KINDS[table.schema.arrow.field(wanted.column).type]
    sql = ddl.quoted(wanted.column)
    if view.parent:
        sql = f"{'parent' if wanted.of_parent else 'own'}.{sql}"
    if wanted.member:
        return engine.member(sql, wanted.member), Kind.TEXT
    if kind is Kind.TIME:
        return (engine.seconds(sql), Kind.NUMBER) if seconds else (engine.time(sql), Kind.TIME)
    return sql, kind
