"""What is wrong with a run's options and settings, as far as it can be known without Prefect: all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from intercom.cli.local_prefect import api_fault, home_fault, may_have_block
from intercom.config.connection import connection_slug
from intercom.config.connections_file import read_entries
from intercom.config.lookup import find_connection
from intercom.config.storage_options import block_named, checked_options
from intercom.errors import IntercomLakeError
from intercom.lake.storage import Lake
from intercom.sync.run import asked_range
from intercom.tables.catalogue import select_tables


def faults(options: Mapping[str, Any], environ: Mapping[str, str], *, demo: bool = False) -> list[str]:
    """One text for each fault; the flow would say the same seconds later. `demo`: connection and server are its own."""
    checks: list[Callable[[], Any]] = [
        lambda: select_tables(options["tables"]),
        lambda: asked_range(
            options.get("start_date"), options.get("end_date"), full_refresh=options.get("full_refresh", False)
        ),
        lambda: _check_lake(options["lake"], options["storage_options"]),
    ]
    if "connections_file" in options and not demo:
        checks.append(lambda: _check_connection(options["connection"], options["connections_file"], environ))
    found = list(_told(checks))
    if not demo:  # a server's own home is elsewhere
        fault = api_fault(environ) if environ.get("PREFECT_API_URL") else home_fault(environ)
        found += [fault] if fault else []
    return found


def _told(checks: list[Callable[[], Any]]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except IntercomLakeError as error:
            yield str(error)


def _check_lake(url: str, storage_options: dict[str, Any] | str | None) -> None:
    if isinstance(storage_options, str):
        block_named(storage_options)
    else:
        Lake(url, checked_options(storage_options or {}))


def _check_connection(name: str, connections_file: str | None, environ: Mapping[str, str]) -> None:
    """Look for the connection in file and environment, unless Prefect may have a block of that name: it counts first.

    A file that was named is checked all the same, as far as it is about this connection.
    """
    file = Path(connections_file) if connections_file is not None else None
    if not may_have_block(connection_slug(name), environ):
        find_connection(name, connections_file=file, environ=environ, load_block=lambda _: None)
        return
    if file is not None:
        for entry in read_entries(file, environ, skip_unnamed=True):
            if entry.name == name:
                entry.connection(environ)
