"""Which connections and tables a lake has, by the names of its folders and records."""

from __future__ import annotations

import shlex
from urllib.parse import unquote

from intercom.errors import ConfigurationError, LakeError
from intercom.lake.layout import data_folder
from intercom.lake.storage import Lake
from intercom.lake.table import recorded_tables
from intercom.tables.catalogue import TABLES


def tables_in(lake: Lake, connection: str) -> list[str]:
    """Names of the connection's tables of which the lake has a record or files, in the order of the catalogue."""
    there = {*recorded_tables(lake, connection), *lake.names(data_folder(connection))}
    return [name for name in TABLES if name in there]


def connections_in(lake: Lake) -> list[str]:
    """Names of the connections of which the lake has tables, in the order of the alphabet."""
    folders = {unquote(folder) for root in ("_state", "data") for folder in lake.names(root)}
    return sorted(folder for folder in folders if _has_tables(lake, folder))


def no_table_of(lake: Lake, connection: str) -> ConfigurationError:
    """The error for a connection of which the lake has no table; it names those of which the lake has some."""
    if not (there := connections_in(lake)):
        return ConfigurationError(f"The lake {lake.url} has no table: nothing was synced. Check --lake.")
    return ConfigurationError(
        f"The lake {lake.url} has no table of connection {connection!r}: nothing was synced under that name. It has "
        f"tables of {', '.join(map(repr, there))}: --connection {shlex.quote(there[0])}. Nothing was read or changed."
    )


def _has_tables(lake: Lake, connection: str) -> bool:
    try:
        return bool(tables_in(lake, connection))
    except LakeError:  # a file, such as the lake's identity
        return False
