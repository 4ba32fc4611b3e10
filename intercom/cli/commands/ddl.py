"""The command `ddl`: SQL that shows a lake's tables to Athena or DuckDB, for those tables that the lake has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from intercom.cli.options import list_of_names, parsed_by, storage_options_of
from intercom.errors import ConfigurationError, LakeError

if TYPE_CHECKING:
    from intercom.tables.table import Table
    from intercom.views.statements import Engine


def ddl(
    engine: Annotated[
        Literal["athena", "duckdb", "dbt"],
        Parameter(help="The engine that reads the SQL; dbt: a sources.yml for a project with DuckDB."),
    ],
    /,
    *,
    connection: Annotated[str, Parameter(help="Name of the connection.", metavar="NAME")],
    lake: Annotated[
        str,
        Parameter(
            name=("--lake", "--location"), metavar="URL",
            help="The lake as the engine reads it: a folder, or a URL such as s3://bucket/prefix.",
        ),
    ],
    tables: Annotated[Sequence[str], parsed_by(list_of_names, "A,B,...", "Only these; if none, all in the lake.")] = (),
    database: Annotated[
        str | None, Parameter(help="Database (DuckDB: schema, dbt: source) for the views or tables.", metavar="NAME")
    ] = None,
    views: Annotated[
        Literal["fivetran", "ingestr"] | None,
        Parameter(help="Views with the names of the tables and columns that this tool writes."),
    ] = None,
    casts: Annotated[
        bool, Parameter(help="Views contacts_v1, ... with the earlier types: references are numbers.", negative="")
    ] = False,
    tables_in: Annotated[
        str | None,
        Parameter(help="Athena, --views, --casts: the database of the lake's tables.", metavar="NAME"),
    ] = None,
    table_format: Annotated[
        Literal["parquet", "delta"],
        Parameter(help="delta reads a table through its log; its plain files have replaced rows, too."),
    ] = "parquet",
    storage_options: Annotated[
        Any, parsed_by(storage_options_of, "JSON", "How to reach the lake's store: fsspec's options.")
    ] = None,
    first_month: Annotated[
        str | None, Parameter(help="Athena: the first month that queries look for (2011-01).", metavar="YYYY-MM")
    ] = None,
    last_month: Annotated[
        str | None,
        Parameter(help="Athena: the last month (the end of the fifth year from now).", metavar="YYYY-MM"),
    ] = None,
) -> int:  # fmt: skip
    """Print the SQL that shows a lake's tables to an engine: one statement for each table that the lake has."""
    from datetime import UTC, datetime

    from intercom import ddl as sql
    from intercom.lake.layout import TableFormat
    from intercom.tables.earlier_types import EARLIER_KINDS
    from intercom.views import dbt
    from intercom.views.casts import statements as casts_of
    from intercom.views.statements import Athena, DuckDB

    if tables_in is not None and ((views is None and not casts) or engine != "athena"):
        print("--tables-in is for Athena's views: give it with athena and --views or --casts.", file=sys.stderr)
        return 2
    if casts and (views is not None or engine == "dbt"):
        print("--casts are views of their own: give it without --views, with athena or duckdb.", file=sys.stderr)
        return 2
    if views is not None and engine == "dbt":
        print("--views is for athena and duckdb. dbt reads DuckDB's views like any tables.", file=sys.stderr)
        return 2
    if engine != "athena" and "://" not in lake:
        lake = str(Path(lake).absolute())  # whoever reads the views may be in another folder
    try:
        whole = sql.Months.until_years_after(datetime.now(UTC).year)
        months = sql.Months(first_month or whole.first, last_month or whole.last)
        find = partial(_tables_in, lake, storage_options, connection)
        form = TableFormat(table_format)
        target: Engine = DuckDB(connection, lake, database, form)
        if engine == "athena":
            target = Athena(database, tables_in or database)
        if engine == "dbt":
            statements = [dbt.sources(find(tables), connection, lake, database, form).rstrip("\n")]
        elif views is not None:
            statements = _views(views, target, tables, find)
        elif casts:
            statements = list(casts_of(target, find(tables or list(EARLIER_KINDS))))
        elif engine == "athena":
            statements = list(sql.athena(find(tables), connection, lake, months, database, form))
        else:
            statements = list(sql.duckdb(find(tables), connection, lake, database, form))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n\n".join(statements))
    return 0


def _views(tool: str, engine: Engine, tables: Sequence[str], find: Callable[[Sequence[str]], list[Table]]) -> list[str]:
    """The statements for a tool's views over those tables that `find` has found. What is left out is told."""
    from intercom.views.fivetran import FIVETRAN
    from intercom.views.ingestr import INGESTR
    from intercom.views.statements import statements

    views = {"fivetran": FIVETRAN, "ingestr": INGESTR}[tool]
    there = {table.name: table for table in find(tables or views.tables)}
    printed = list(statements(views, engine, there))
    if left_out := [view.name for view in views.views if not there.keys() >= set(view.tables)]:
        lacking = ",".join(name for name in views.tables if name not in there)
        print(f"So these views are left out: {', '.join(left_out)}", file=sys.stderr)
        print(f"Their tables are copied by: intercom-lake sync --tables default,{lacking}", file=sys.stderr)
    return printed


def _tables_in(lake: str, storage_options: Any, connection: str, names: Sequence[str]) -> list[Table]:
    """Those of the tables that have a file in the lake, of all tables if none is named; with the columns of its record.

    What is left out, or could not be looked up, is told. Raises ConfigurationError for an unknown name, or where the
    lake has none of them.
    """
    from intercom.config.storage_options import checked_options
    from intercom.lake.contents import no_table_of
    from intercom.lake.layout import TablePaths, data_folder
    from intercom.lake.storage import Lake
    from intercom.lake.table import LakeTable
    from intercom.tables.catalogue import TABLES
    from intercom.tables.selection import select_tables

    selected = select_tables(names)
    asked = [table for table in selected.tables if table.name not in selected.brought]
    try:
        opened = Lake(lake, checked_options(storage_options or {}))
        if not names:
            more = set(opened.names(data_folder(connection)))
            asked = [table for table in TABLES.values() if table in asked or table.name in more]
        there = [table for table in asked if opened.list(TablePaths(connection, table.name).data)]
        states = {table.name: LakeTable(opened, TablePaths(connection, table.name)).peek() for table in there}
        there = [table.as_recorded(state.columns) if (state := states[table.name]) else table for table in there]
    except LakeError as error:
        print(f"The lake could not be looked at, so every selected table is printed: {error}", file=sys.stderr)
        return asked
    if not there and not names:
        raise no_table_of(opened, connection)
    if not there:
        raise ConfigurationError(
            f"The lake {lake} has none of these tables of connection {connection!r}. Check --lake, --connection and "
            "--tables."
        )
    names_there = {table.name for table in there}
    if missing := [table.name for table in asked if table.name not in names_there]:
        print(f"Left out, since the lake has no file of them yet: {', '.join(missing)}", file=sys.stderr)
    return there
