"""What is wrong with a run's options and settings, as far as it can be known without Prefect: all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from intercom.cli.local_prefect import api_fault, home_fault, may_have_block
from intercom.config.connection import connection_slug
from intercom.config.lookback import parse_lookback
from intercom.config.lookup import find_connection
from intercom.config.storage_options import block_named, checked_options
from intercom.errors import ConfigurationError, IntercomLakeError, PrefectError
from intercom.lake.storage import Lake
from intercom.lake.trial import check_place
from intercom.orchestration.server.api_settings import ApiSettings, read_api_settings
from intercom.sync.run import asked_range
from intercom.tables.selection import select_tables

_NO_API: Final = ApiSettings(url=None, place="", temporary=True)


def faults(options: Mapping[str, Any], environ: Mapping[str, str], *, demo: bool = False) -> list[str]:
    """One text for each fault; the flow would say the same seconds later. `demo`: connection and server are its own."""
    checks: list[Callable[[], Any]] = [
        lambda: select_tables(options["tables"]),
        lambda: asked_range(
            options.get("start_date"), options.get("end_date"), full_refresh=options.get("full_refresh", False)
        ),
        lambda: parse_lookback(options.get("lookback", "1h")),
        lambda: _check_lake(options["lake"], options["storage_options"]),
    ]
    if environ.get("INTERCOM_REPORT_URL"):
        from intercom.orchestration.observe.report_link import ReportSettings  # with pydantic-settings, 0.1 s

        checks.append(ReportSettings.read)
    found = list(_told(checks))
    if demo:  # whose connection and server are its own
        return found
    try:
        settings = read_api_settings(environ, Path())
        if settings.url:
            fault = api_fault(settings.url, settings.place, environ) or _refusal_of(settings)
        else:
            fault = home_fault(environ)
    except ConfigurationError as error:
        settings, fault = _NO_API, home_fault(environ) or str(error)
    if fault:
        found.append(fault)
        settings = _NO_API  # nor can blocks be asked for
    if "connections_file" in options and not options.get("local_only"):
        connection, file = options["connection"], options["connections_file"]
        found += _told([lambda: _check_connection(connection, file, settings, environ)])
    return found


def _refusal_of(settings: ApiSettings) -> str | None:
    """Why the API at the configured address is of no use; None where it is, and where the run has to wait for it."""
    from intercom.orchestration.server.plain_api import PlainApi

    try:
        with closing(PlainApi(settings)) as api:
            api.check_health()
    except ConfigurationError as error:
        return str(error)
    except PrefectError as error:
        return f"{error} Nothing was read." if error.refused else None
    return None


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
        check_place(Lake(url, checked_options(storage_options or {})))


def _check_connection(
    name: str, connections_file: str | None, settings: ApiSettings, environ: Mapping[str, str]
) -> None:
    """Look for the connection in file and environment, unless Prefect may have its block, which counts first."""
    if not may_have_block(connection_slug(name), settings, environ):
        file = Path(connections_file) if connections_file is not None else None
        find_connection(name, connections_file=file, environ=environ, load_block=lambda _: None)
