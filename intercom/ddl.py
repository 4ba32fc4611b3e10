"""SQL that declares a lake's tables to query engines: Athena tables, DuckDB views.

The command ``intercom-lake ddl`` prints it. The columns are the declared ones, by name; nothing is looked up
in the lake. Where deleted rows are marked, ``<table>_current`` has the rows that are alive, with the columns that the
table has where deleted rows are removed.

Sources: Amazon Athena User Guide, *Supported types for partition projection*, *Names for tables, databases, and
columns*, *Specify a table location in Amazon S3*, *Create tables for Linux Foundation Delta Lake*; DuckDB
documentation, *Hive partitioning*, *Delta extension*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Final, Self

import pyarrow as pa

from intercom.errors import ConfigurationError
from intercom.lake.layout import PARTITION_COLUMN, UNKNOWN_MONTH, TableFormat, TablePaths
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table

FIRST_MONTH: Final = "2011-01"
"""Intercom was founded in 2011, so no row is older."""
YEARS_AHEAD: Final = 5
CURRENT: Final = "_current"
"""What the name of a view of rows that are alive has in addition."""

_HIVE_TYPES: Final[dict[pa.DataType, str]] = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp",  # Athena's has milliseconds and no zone; the values are UTC
}

_DUCKDB_TYPES: Final[dict[pa.DataType, str]] = {
    pa.string(): "varchar",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp with time zone",
}


@dataclass(frozen=True, slots=True)
class Months:
    """The months that Athena looks for, both ends included, each as ``YYYY-MM``.

    Raises ConfigurationError for another text, and for ends in the wrong order.
    """

    first: str
    last: str

    def __post_init__(self) -> None:
        for month in (self.first, self.last):
            if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
                raise ConfigurationError(f"{month!r} is not a month. Write it as YYYY-MM, for example {FIRST_MONTH}.")
        if self.first > self.last:
            raise ConfigurationError(f"The first month, {self.first}, comes after the last, {self.last}.")

    @classmethod
    def until_years_after(cls, year: int) -> Self:
        """From Intercom's beginning to the December that is `YEARS_AHEAD` after a year."""
        return cls(FIRST_MONTH, f"{year + YEARS_AHEAD}-12")

    @property
    def partitions(self) -> list[str]:
        """Every value of ``created_month``: the months in order, then ``unknown`` for rows without a time."""
        years = range(int(self.first[:4]), int(self.last[:4]) + 1)
        months = [f"{year:04d}-{month:02d}" for year in years for month in range(1, 13)]
        return [*(month for month in months if self.first <= month <= self.last), UNKNOWN_MONTH]


def athena_table(
    table: Table,
    connection: str,
    location: str,
    months: Months,
    database: str | None = None,
    table_format: TableFormat = TableFormat.PARQUET,
) -> str:
    """One ``CREATE EXTERNAL TABLE`` for Athena and the Glue catalogue, over the lake at `location` (``s3://...``).

    Partition projection uses an enumeration of months. A projection of type ``date`` would include new months without a
    change, but cannot have the month ``unknown``; one of type ``injected`` refuses queries that do not name a month. A
    month without a file has no rows and is no error. Rows of a month that is not enumerated are not found, so the
    table's comment says which months are. For a Delta table, Athena reads columns and months from the log.
    """
    if not re.match(r"s3://[^/]", location):
        raise ConfigurationError(f"Athena reads S3 only, and {location!r} is not there: give s3://bucket/prefix.")
    check_athena_database(database)
    name = f"`{table.name}`" if database is None else f"`{database}`.`{table.name}`"
    where = f"LOCATION {_hive_text(_folder(table, connection, location) + '/')}"
    if table_format is TableFormat.DELTA:
        return f"CREATE EXTERNAL TABLE {name}\n{where}\nTBLPROPERTIES (\n  'table_type' = 'DELTA'\n);"
    columns = ",\n".join(f"  `{column.name}` {_HIVE_TYPES[column.type]}" for column in table.schema.arrow)
    comment, partitioned, properties = "", "", {"classification": "parquet"}
    if table.month_field is not None:
        seen = f"Months {months.first} to {months.last} and {UNKNOWN_MONTH}: rows of other months are not seen"
        comment = f"COMMENT {_hive_text(seen)}\n"
        partitioned = f"PARTITIONED BY (`{PARTITION_COLUMN}` string)\n"
        properties |= _projection(months)
    listed = ",\n".join(f"  {_hive_text(name)} = {_hive_text(value)}" for name, value in properties.items())
    return (
        f"CREATE EXTERNAL TABLE {name} (\n{columns}\n)\n{comment}{partitioned}STORED AS PARQUET\n"
        f"{where}\nTBLPROPERTIES (\n{listed}\n);"
    )


def check_athena_database(database: str | None) -> None:
    """Raise ConfigurationError for a name that no database of Athena can have."""
    if database is not None and not re.fullmatch(r"[a-z0-9_]{1,255}", database):
        raise ConfigurationError(
            f"Athena has no database {database!r}: lower-case letters, digits and underscores make a name."
        )


def _projection(months: Months) -> dict[str, str]:
    return {
        "projection.enabled": "true",
        f"projection.{PARTITION_COLUMN}.type": "enum",
        f"projection.{PARTITION_COLUMN}.values": ",".join(months.partitions),
    }


def duckdb_view(
    table: Table,
    connection: str,
    location: str,
    database: str | None = None,
    table_format: TableFormat = TableFormat.PARQUET,
) -> str:
    """One ``CREATE OR REPLACE VIEW`` for DuckDB, over the lake at `location` (a folder or a URL that DuckDB reads).

    Columns are named, so that a lake below a folder such as ``env=prod`` does not get an additional column. DuckDB
    opens a file when it creates the view, which fails for a merge table without rows, because it has no file yet. A
    Delta table is read through its log, which needs DuckDB's extension ``delta``.
    """
    columns: list[str] = [quoted(name) for name in table.schema.arrow.names]
    if table.month_field is not None:
        columns.append(quoted(PARTITION_COLUMN))
    rows = duckdb_rows(table, connection, location, table_format)
    selected = fill(", ".join(columns), 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    name = ".".join(quoted(part) for part in (database, table.name) if part is not None)
    return f"CREATE OR REPLACE VIEW {name} AS SELECT\n{selected}\nFROM {rows};"


def current_view(table: Table, database: str | None = None) -> str:
    """The ``CREATE OR REPLACE VIEW`` of a table's rows that are alive, over its table or view, in DuckDB or Athena."""
    columns = [quoted(name) for name in table.schema.arrow.names if name != DELETED_AT]
    if table.month_field is not None:
        columns.append(quoted(PARTITION_COLUMN))
    selected = fill(", ".join(columns), 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    view, rows = (
        ".".join(quoted(part) for part in (database, name) if part is not None)
        for name in (table.name + CURRENT, table.name)
    )
    return f"CREATE OR REPLACE VIEW {view} AS SELECT\n{selected}\nFROM {rows}\nWHERE {quoted(DELETED_AT)} IS NULL;"


def duckdb_type(column: pa.DataType) -> str:
    """The name of a column's type in DuckDB."""
    return _DUCKDB_TYPES[column]


def duckdb_rows(table: Table, connection: str, location: str, table_format: TableFormat) -> str:
    """What stands after FROM in DuckDB for a table of the lake at `location`."""
    folder = _folder(table, connection, location)
    if table_format is TableFormat.DELTA:
        return f"delta_scan({_duckdb_text(folder)})"
    partitioned = str(table.month_field is not None).lower()
    return f"read_parquet({_duckdb_text(folder + '/**/*.parquet')}, hive_partitioning = {partitioned})"


def _folder(table: Table, connection: str, location: str) -> str:
    if not location.strip("/") or set(location) & set("*?[{"):
        raise ConfigurationError(f"{location!r} is not a lake: give one folder or URL, without *, ?, [ and {{.")
    return f"{location.rstrip('/')}/{TablePaths(connection, table.name).data}"


def _hive_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _duckdb_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name in double quotes, for DuckDB and for Athena's queries."""
    return '"' + name.replace('"', '""') + '"'


def athena(
    tables: Sequence[Table],
    connection: str,
    location: str,
    months: Months,
    database: str | None = None,
    table_format: TableFormat = TableFormat.PARQUET,
) -> Iterator[str]:
    """The statements for several tables, after one for the database if it is named."""
    if database is not None:
        yield f"CREATE DATABASE IF NOT EXISTS `{database}`;"
    for table in tables:
        yield athena_table(table, connection, location, months, database, table_format)
        if table.schema.marks_deleted:
            yield current_view(table, database)


def duckdb(
    tables: Sequence[Table],
    connection: str,
    location: str,
    database: str | None = None,
    table_format: TableFormat = TableFormat.PARQUET,
) -> Iterator[str]:
    """The statements for several tables, after one for the schema if it is named."""
    if database is not None:
        yield f"CREATE SCHEMA IF NOT EXISTS {quoted(database)};"
    for table in tables:
        yield duckdb_view(table, connection, location, database, table_format)
        if table.schema.marks_deleted:
            yield current_view(table, database)
