"""Lookup of a connection by name: in Prefect's blocks, then in the connections file, then in the environment.

The only reader of the environment for connections. Everything is checked before the first request, and every error
names the place and the cure.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from intercom.config.connection import Connection, Region, connection_slug, make_connection
from intercom.config.connections_file import read_entries
from intercom.errors import ConfigurationError

DEFAULT_CONNECTION = "default"
DEFAULT_FILE = Path("connections.yml")
TOKEN_VARIABLE = "INTERCOM_ACCESS_TOKEN"  # nosec B105  # its name
REGION_VARIABLE = "INTERCOM_REGION"


def read_connections_file(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, Connection]:
    """All connections of a file by name, with their variables filled in; raises ConfigurationError for any fault."""
    return {entry.name: entry.connection(environ) for entry in read_entries(path, environ)}


def connection_from_environment(environ: Mapping[str, str]) -> Connection | None:
    """The connection ``default`` from INTERCOM_ACCESS_TOKEN and INTERCOM_REGION; None without a token.

    Raises ConfigurationError for a bad value.
    """
    token = environ.get(TOKEN_VARIABLE, "")
    if not token:
        return None
    return make_connection(
        name=DEFAULT_CONNECTION,
        access_token=token,
        region=environ.get(REGION_VARIABLE) or Region.US,
        place=f"environment variables {TOKEN_VARIABLE} and {REGION_VARIABLE}",
    )


def _passed_over(path: Path | None, names: Sequence[str]) -> str:
    """Whoever has forgotten to name a connection would copy its workspace without region, rules and limits of it."""
    return (
        f"{path} is not used, since it has no connection {DEFAULT_CONNECTION!r}, which is therefore that of "
        f"{TOKEN_VARIABLE} in the environment, without any setting of the file. If you mean a connection of the file, "
        f"name it: --connection {shlex.quote(names[0])}"
    )


def find_connection(
    name: str,
    *,
    connections_file: Path | None,
    environ: Mapping[str, str],
    load_block: Callable[[str], Connection | None],
) -> Connection:
    """The connection of this name: from its Prefect block, else the file, else (``default`` only) the environment.

    ``connections_file`` None means ./connections.yml if there is one. Only the chosen entry of a file needs its
    variables: a machine may hold the token of one workspace only. ``load_block`` gives the connection of a block, None
    if there is no such block. Raises ConfigurationError when nothing is found or a value is bad.
    """
    slug = connection_slug(name)
    if (found := load_block(name)) is not None:
        return found
    path = connections_file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    entries = [] if path is None else read_entries(path, environ, skip_unnamed=True)
    for entry in entries:
        if entry.name == name:
            return entry.connection(environ)
    own, names = name == DEFAULT_CONNECTION, sorted(entry.name for entry in entries)
    if own and (found := connection_from_environment(environ)) is not None:
        return replace(found, remark=_passed_over(path, names)) if names else found
    if names:
        told = f"{path} has {', '.join(map(repr, names))}: name {'it' if len(names) == 1 else 'one of them'} with"
        told += f" --connection {shlex.quote(names[0])}, the parameter `connection` in Prefect."
    else:
        told = f"{path} names none." if path else f"There is no {DEFAULT_FILE} here: `intercom-lake init` writes one."
    raise ConfigurationError(
        f"No connection {name!r}. {told} A connection may also be a Prefect block, intercom-connection/{slug}"
        + (f", or, as {name!r}, {TOKEN_VARIABLE} and {REGION_VARIABLE} in the environment." if own else ".")
    )
