"""The local half of a verification over a connection's tables in a lake. Nothing is written or locked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intercom.errors import LakeError
from intercom.lake.layout import TableFormat, TablePaths, data_folder
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable, recorded_tables
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.table import Table
from intercom.verify.findings import Difference, Kind, Repair, TableProof
from intercom.verify.table_files import Seen, verify_files


def tables_in(lake: Lake, connection: str) -> list[str]:
    """Names of the connection's tables of which the lake has a record or files, in the order of the catalogue."""
    there = {*recorded_tables(lake, connection), *lake.names(data_folder(connection))}
    return [name for name in TABLES if name in there]


def table_in(lake: Lake, connection: str, name: str) -> LakeTable:
    """A table's record and files, for reading, in the format of its files; plain where there are both and no log."""
    paths = TablePaths(connection, name)
    listed = lake.list(paths.data)
    has_log = any(path.startswith(f"{paths.delta_log}/") for path in listed)
    formats = {paths.format_of(path) for path in listed}  # a first load that died has left no log yet
    is_delta = has_log or (TableFormat.DELTA in formats and TableFormat.PARQUET not in formats)
    return LakeTable(lake, paths, table_format=TableFormat.DELTA if is_delta else TableFormat.PARQUET)


def as_in_lake(lake: Lake, connection: str, name: str) -> Table:
    """A table of the catalogue with the columns and settings that the lake's records name, of its parent, too."""
    table = TABLES[name]
    states = {one.name: Seen.now(table_in(lake, connection, one.name)).state for one in _with_parent(table)}
    columns = {one: state.columns for one, state in states.items() if state is not None and state.columns is not None}
    marks = name in columns and columns[name].marks_deleted
    return table.configured(CopySettings(marks, tuple((one, schema.rules) for one, schema in columns.items())))


def verify_lake(lake: Lake, connection: str, names: Sequence[str]) -> Iterator[TableProof]:
    """The proof of each table, one after the other. A table that the storage refuses is not proven, and told."""
    identity = lake.known_identity()
    for name in names:
        table = as_in_lake(lake, connection, name)
        parent = None if table.made_of is None else table_in(lake, connection, table.made_of.name)
        try:
            yield verify_files(table, table_in(lake, connection, name), identity.id if identity else None, parent)
        except LakeError as error:
            yield TableProof(name, failure=str(error))


def strangers(lake: Lake, connection: str) -> list[Difference]:
    """Folders and files beside those of the connection's tables, which readers of the whole lake would read."""
    folder = data_folder(connection)
    return [
        Difference(name, Kind.STRANGER, f"{folder}/{name}", "no such folder", "what is no table's", Repair.BY_HAND)
        for name in sorted(lake.names(folder))
        if name not in TABLES and not name.startswith((".", "_"))
    ]


def _with_parent(table: Table) -> list[Table]:
    return [table] if table.made_of is None else [table, table.made_of]
