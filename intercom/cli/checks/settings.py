"""What is to be checked: options, tables, connection, lake, and Prefect's API with the blocks that name them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercom.cli.checks.findings import Finding, Verdict, fault
from intercom.config.connection import Connection, connection_slug
from intercom.config.connections_file import read_entries
from intercom.config.lookup import DEFAULT_FILE, TOKEN_VARIABLE, find_connection
from intercom.config.storage_options import block_named, checked_options, options_from_block, parse_options
from intercom.errors import ConfigurationError, IntercomLakeError, PrefectError
from intercom.lake.storage import Lake
from intercom.orchestration.server.api_settings import ApiSettings, read_api_settings
from intercom.tables.selection import SelectedTables, select_tables, unknown_names, valid_names

if TYPE_CHECKING:
    from intercom.orchestration.server.plain_api import PlainApi


@dataclass(frozen=True, slots=True)
class Asked:
    """What to check beside the tables, as the options of the command line say it."""

    connection: str
    connections_file: str | None
    lake: str
    storage_options: str | None


@dataclass(frozen=True, slots=True)
class PrefectAccess:
    """Prefect as this process would use it: its API, None if none is configured, and why it is of no use, if it is not.

    `block` has the values of the connection's block, None if there is none or it could not be asked for.
    """

    settings: ApiSettings | None
    api: PlainApi | None = None
    fault: IntercomLakeError | None = None
    block: Mapping[str, Any] | None = None


def selected_tables(names: Sequence[str]) -> tuple[SelectedTables, list[Finding]]:
    """The tables to try, and one finding about all names that no table has."""
    near = unknown_names(names)
    known = [name for name in names if name not in near]
    chosen = SelectedTables((), frozenset(), {}) if names and not known else select_tables(known)
    if not near:
        return chosen, []
    meant = [f"{name}: did you mean {found}?" for name, found in near.items() if found]
    detail = f"there is no table {', '.join(map(repr, near))}"
    cure = " ".join([*meant, valid_names()])
    return chosen, [Finding("tables", Verdict.FAIL, detail, cure, setting=True, facts={"unknown": near})]


def prefect_access(asked: Asked) -> PrefectAccess:
    """Prefect's API, and the block of the connection, which counts before the file and the environment."""
    settings = None
    try:
        settings = read_api_settings(os.environ, Path())
        if settings.url is None:
            return PrefectAccess(settings)
        from intercom.orchestration.server.plain_api import PlainApi  # with httpx, which takes 0.2 s

        api = PlainApi(settings)
    except ConfigurationError as error:
        return PrefectAccess(settings, fault=error)
    try:
        api.check_health()
        slug = slug_of(asked.connection)
        return PrefectAccess(settings, api, block=api.block_values("intercom-connection", slug) if slug else None)
    except PrefectError as error:
        return PrefectAccess(settings, api, error)


def open_lake(asked: Asked, prefect: PrefectAccess) -> Lake | Finding:
    """The lake, not looked at yet; a finding if its URL or its options cannot be used."""
    try:
        return Lake(asked.lake, _options(asked.storage_options, prefect))
    except IntercomLakeError as error:
        return fault("lake", error)


def _options(text: str | None, prefect: PrefectAccess) -> dict[str, Any]:
    given = parse_options(text) if text is not None else {}
    if not isinstance(given, str):
        return checked_options(given)
    kind, name = block_named(given)
    if prefect.fault is not None:
        raise PrefectError(
            f"The storage options are in the block {given}, and Prefect does not give it: see the line about Prefect",
            refused=True,
        )
    values = None if prefect.api is None else prefect.api.block_values(kind, name)
    if values is None:
        where = "no Prefect API is configured to have it" if prefect.api is None else f"{prefect.api.url} has no such"
        raise ConfigurationError(
            f"The storage options name the block {given}, and {where}. Save it, name another, or set PREFECT_API_URL."
        )
    return options_from_block(kind, values)


def connection_in_use(asked: Asked, prefect: PrefectAccess) -> tuple[Connection, str]:
    """The connection, and where it is from, in words."""
    file = Path(asked.connections_file) if asked.connections_file else None

    def load_block(name: str) -> Connection | None:
        if prefect.block is None:
            return None
        from intercom.orchestration.server.plain_api import connection_of

        return connection_of(name, prefect.block)

    found = find_connection(asked.connection, connections_file=file, environ=os.environ, load_block=load_block)
    if prefect.block is not None:
        return found, f"block intercom-connection/{connection_slug(asked.connection)}"
    path = file or DEFAULT_FILE
    entries = read_entries(path, os.environ, skip_unnamed=True) if path.is_file() else []
    named = any(entry.name == asked.connection for entry in entries)
    return found, str(path) if named else f"the environment ({TOKEN_VARIABLE})"


def slug_of(connection: str) -> str | None:
    """The connection's name on Prefect's server; None for one that cannot be, which `find_connection` tells."""
    try:
        return connection_slug(connection)
    except ConfigurationError:
        return None
