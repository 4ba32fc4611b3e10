"""SQL that declares a lake's tables to query engines: Athena tables, DuckDB views.

``python -m intercom.ddl athena --connection acme --location s3://bucket/prefix`` prints it. The columns are the
declared ones, by name; nothing is looked up in the lake.

Sources: Amazon Athena User Guide, *Supported types for partition projection*, *Names for tables, databases, and
columns*, *Specify a table location in Amazon S3*, *Create tables for Linux Foundation Delta Lake*; DuckDB
documentation, *Hive partitioning*, *Delta extension*.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import fill
from typing import Final, Self

import pyarrow as pa

from intercom.errors import ConfigurationError
from intercom.lake.layout import PARTITION_COLUMN, UNKNOWN_MONTH, TableFormat, TablePaths
from intercom.tables.catalogue import select_tables
from intercom.tables.table import Table

FIRST_MONTH: Final = "2011-01"
"""Intercom was founded in 2011, so no row is older."""
YEARS_AHEAD: Final = 5

_HIVE_TYPES: Final[dict[pa.DataType, str]] = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.timestamp("us", tz="UTC"): "timestamp",  # Athena's has milliseconds and no zone; the values are UTC
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
                raise ConfigurationError(f"{month!r} is no month. Write it as YYYY-MM, for example {FIRST_MONTH}.")
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
    if database is not None and not re.fullmatch(r"[a-z0-9_]{1,255}", database):
        raise ConfigurationError(
            f"Athena has no database {database!r}: lower-case letters, digits and underscores make a name."
        )
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
    columns: list[str] = [_duckdb_name(name) for name in table.schema.arrow.names]
    partitioned = table.month_field is not None
    if partitioned:
        columns.append(_duckdb_name(PARTITION_COLUMN))
    folder = _folder(table, connection, location)
    rows = f"delta_scan({_duckdb_text(folder)})"
    if table_format is TableFormat.PARQUET:
        rows = f"read_parquet({_duckdb_text(folder + '/**/*.parquet')}, hive_partitioning = {str(partitioned).lower()})"
    selected = fill(", ".join(columns), 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    name = ".".join(_duckdb_name(part) for part in (database, table.name) if part is not None)
    return f"CREATE OR REPLACE VIEW {name} AS SELECT\n{selected}\nFROM {rows};"


def _folder(table: Table, connection: str, location: str) -> str:
    if not location.strip("/") or set(location) & set("*?[{"):
        raise ConfigurationError(f"{location!r} is no lake: give one folder or URL, without *, ?, [ and {{.")
    return f"{location.rstrip('/')}/{TablePaths(connection, table.name).data}"


def _hive_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _duckdb_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duckdb_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _athena(arguments: argparse.Namespace, tables: Sequence[Table]) -> Iterator[str]:
    months = Months(arguments.first_month, arguments.last_month)
    if arguments.database is not None:
        yield f"CREATE DATABASE IF NOT EXISTS `{arguments.database}`;"
    for table in tables:
        yield athena_table(
            table, arguments.connection, arguments.location, months, arguments.database, arguments.table_format
        )


def _duckdb(arguments: argparse.Namespace, tables: Sequence[Table]) -> Iterator[str]:
    if arguments.database is not None:
        yield f"CREATE SCHEMA IF NOT EXISTS {_duckdb_name(arguments.database)};"
    for table in tables:
        yield duckdb_view(table, arguments.connection, arguments.location, arguments.database, arguments.table_format)


def _parser(months: Months) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m intercom.ddl",
        description="Print the SQL that shows a lake's tables to an engine: one statement per table.",
    )
    engines = parser.add_subparsers(metavar="ENGINE", required=True)
    athena = engines.add_parser("athena", help="external tables for Athena and the Glue catalogue")
    athena.set_defaults(made=_athena)
    duckdb = engines.add_parser("duckdb", help="views for DuckDB; each table needs a file, so name those with rows")
    duckdb.set_defaults(made=_duckdb)
    for engine, location, database in (
        (athena, "the lake, such as s3://bucket/prefix", "the database to make the tables in"),
        (duckdb, "the lake: a folder, or a URL that DuckDB reads", "the schema to make the views in"),
    ):
        engine.add_argument("--connection", required=True, metavar="NAME", help="the connection that was copied")
        engine.add_argument("--location", required=True, metavar="URL", help=location)
        engine.add_argument("--database", metavar="NAME", help=database)
        engine.add_argument(
            "--table-format", type=TableFormat, choices=list(TableFormat), default=TableFormat.PARQUET,
            help="parquet if not given; of a Delta table plain files would show replaced rows as well",
        )  # fmt: skip
        engine.add_argument("--tables", metavar="A,B,...", help="only these tables")
    for option, month, end in (("--first-month", months.first, "first"), ("--last-month", months.last, "last")):
        athena.add_argument(
            option, default=month, metavar="YYYY-MM", help=f"the {end} month that queries look for (%(default)s)"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Print the statements; exit status 2 and a line with the reason for wrong arguments."""
    parser = _parser(Months.until_years_after(datetime.now(UTC).year))
    arguments = parser.parse_args(argv)
    names = None if arguments.tables is None else [name.strip() for name in arguments.tables.split(",")]
    try:
        tables = select_tables(names)
        print("\n\n".join(arguments.made(arguments, tables)))
    except ConfigurationError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
