"""Views named like ``contacts_v1``, whose columns have the types that they had in earlier versions of this package.

A value that the old type cannot hold is null, and a duration with a fraction is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from intercom.ddl import quoted
from intercom.errors import ConfigurationError
from intercom.lake.layout import PARTITION_COLUMN
from intercom.tables.earlier_types import EARLIER_KINDS
from intercom.tables.schema import ColumnKind
from intercom.tables.table import Table
from intercom.views.statements import Engine

SUFFIX: Final = "_v1"
_SQL_TYPES: Final = {ColumnKind.INT: "BIGINT"}


def statements(engine: Engine, tables: Iterable[Table]) -> Iterator[str]:
    """The database, if one is named, and a view for each of the tables that have columns of another type now.

    Raises ConfigurationError where none of them has any.
    """
    changed = [table for table in tables if table.name in EARLIER_KINDS]
    if not changed:
        names = ", ".join(EARLIER_KINDS)
        raise ConfigurationError(
            f"None of these tables has a column of another type than before. Those that do: {names}."
        )
    if (database := engine.database()) is not None:
        yield database
    for table in changed:
        yield _statement(engine, table)


def _statement(engine: Engine, table: Table) -> str:
    before = EARLIER_KINDS[table.name]
    names = [*table.schema.arrow.names, *([PARTITION_COLUMN] if table.month_field is not None else [])]
    columns = [
        f"TRY_CAST({quoted(name)} AS {_SQL_TYPES[before[name]]}) AS {quoted(name)}" if name in before else quoted(name)
        for name in names
    ]
    listed = ",\n".join(f"  {column}" for column in columns)
    name, rows = engine.view_name(table.name + SUFFIX), engine.rows(table.name)
    return f"CREATE OR REPLACE VIEW {name} AS SELECT\n{listed}\nFROM {rows};"
