"""A verification of a connection's tables in a lake: both halves of each table. Nothing is written or locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from intercom.api.client import IntercomClient
from intercom.api.workspace import Workspace, identify
from intercom.errors import LakeError
from intercom.lake.contents import no_table_of, tables_in
from intercom.lake.layout import TableFormat, TablePaths, data_folder
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.selection import select_tables
from intercom.tables.table import Table
from intercom.verify.against_api import most_requests, verify_against_api
from intercom.verify.case import ApiLimits
from intercom.verify.findings import Difference, Kind, Repair, TableProof
from intercom.verify.table_files import Seen, verify_files


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a verification asks for the rows that there should be, and how much."""

    client: IntercomClient
    workspace: Workspace
    limits: ApiLimits

    @classmethod
    def of(cls, client: IntercomClient, limits: ApiLimits) -> Asked:
        """Sends one request, for the workspace and its time. Raises ApiError."""
        return cls(client, identify(client), limits)

    def run(self, run_id: str, connection: str) -> Run:
        """A run that reads some rows again."""
        return Run(
            run_id=run_id,
            connection=connection,
            started_at=datetime.now(UTC),
            run_start=self.workspace.server_time,
            workspace=self.workspace.code,
            doubt=self.workspace.doubt,
        )


def announcement(names: Iterable[str], limits: ApiLimits) -> str:
    """How many requests a verification of these tables sends at most, said before it sends one."""
    most = 1 + sum(most_requests(TABLES[name], limits) for name in names)
    return f"This verification sends at most {most:,} requests to Intercom, and changes no table."


def tables_to_verify(lake: Lake, connection: str, names: Sequence[str]) -> list[str]:
    """The tables that names and groups select, or all that the lake has of the connection if there is no name.

    Raises ConfigurationError for unknown names, and where the lake has nothing of the connection.
    """
    selected = select_tables(names).names if names else ()
    there = tables_in(lake, connection)
    if not there:
        raise no_table_of(lake, connection)
    return list(selected) or there


def format_of(lake: Lake, connection: str, name: str) -> TableFormat:
    """The format of a table's files; plain where there are files of both formats and no log."""
    paths = TablePaths(connection, name)
    listed = lake.list(paths.data)
    has_log = any(path.startswith(f"{paths.delta_log}/") for path in listed)
    formats = {paths.format_of(path) for path in listed}  # a first load that died has left no log yet
    is_delta = has_log or (TableFormat.DELTA in formats and TableFormat.PARQUET not in formats)
    return TableFormat.DELTA if is_delta else TableFormat.PARQUET


def table_in(lake: Lake, connection: str, name: str, still_ours: Callable[[], None] = lambda: None) -> LakeTable:
    """A table's record and files, in the format that its files have; for reading only without a lock's check."""
    return LakeTable(lake, TablePaths(connection, name), still_ours, format_of(lake, connection, name))


def as_in_lake(lake: Lake, connection: str, name: str) -> Table:
    """A table of the catalogue with the columns and settings that the lake's records name, of its parent, too."""
    table = TABLES[name]
    states = {one.name: Seen.now(table_in(lake, connection, one.name)).state for one in _with_parent(table)}
    columns = {one: state.columns for one, state in states.items() if state is not None and state.columns is not None}
    marks = name in columns and columns[name].marks_deleted
    return table.configured(CopySettings(marks, tuple((one, schema.rules) for one, schema in columns.items())))


def verify_table(lake: Lake, connection: str, name: str, asked: Asked | None = None) -> TableProof:
    """The proof of a table: its files against its record, then, if `asked`, its rows against the workspace.

    Where its files are not right, nothing is asked of Intercom: they are to be repaired first. A table that the storage
    refuses is not proven, and told.
    """
    try:
        identity, table = lake.known_identity(), as_in_lake(lake, connection, name)
        lake_table = table_in(lake, connection, name)
        parent = None if table.made_of is None else table_in(lake, connection, table.made_of.name)
        proof = verify_files(table, lake_table, identity.id if identity else None, parent)
        if asked is None or proof.skipped or proof.failure:
            return proof
        if proof.differences:
            told = "its files are not right, so its rows were not compared with Intercom"
            return replace(proof, notes=(*proof.notes, told))
        return proof.with_api(verify_against_api(table, asked.client, lake_table, asked.workspace, asked.limits))
    except LakeError as error:
        return TableProof(name, failure=str(error))


def strangers(lake: Lake, connection: str) -> list[Difference]:
    """Folders and files beside those of the connection's tables, which readers of the whole lake would read."""
    folder = data_folder(connection)
    return [
        Difference(name, Kind.STRANGER, f"{folder}/{name}", "no such folder", "files of no table", Repair.BY_HAND)
        for name in sorted(lake.names(folder))
        if name not in TABLES and not name.startswith((".", "_"))
    ]


def _with_parent(table: Table) -> list[Table]:
    return [table] if table.made_of is None else [table, table.made_of]
