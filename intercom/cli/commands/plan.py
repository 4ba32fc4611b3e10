"""``intercom-lake plan``: what a sync would read and why, how many rows, requests, minutes and megabytes. A dry run.

Nothing is written, no lock is taken, and no Prefect server is started. At most three requests are sent for each table
(six with a lookback), and two for the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from intercom.cli.options import day_or_all, list_of_names, parsed_by

if TYPE_CHECKING:
    from intercom.config.connection import Connection
    from intercom.lake.watermark import Watermark, WatermarkStore
    from intercom.sync.forecast import RunForecast

_PREFECT_SECONDS = 10.0
"""How long Prefect's server may be away before the plan goes on without it."""


def plan(
    *,
    connection: Annotated[str, Parameter(metavar="NAME", help="Name of the connection.")] = "default",
    connections_file: Annotated[
        str | None, Parameter(metavar="FILE", help="YAML file with connections; ./connections.yml if it exists.")
    ] = None,
    lake: Annotated[str, Parameter(metavar="URL", help="Folder, or fsspec URL such as s3://bucket/prefix.")] = "./lake",
    tables: Annotated[
        Sequence[str],
        parsed_by(list_of_names, "A,B,...", "Tables to plan, by name or group; the default ones if none is named."),
    ] = (),
    full_refresh: Annotated[bool, Parameter(negative=(), show_default=False, help="Plan a full refresh.")] = False,
    start_date: Annotated[
        Any, parsed_by(day_or_all, "YYYY-MM-DD|all", "First day (UTC) of updated_at, or all.")
    ] = None,
    end_date: Annotated[
        date | None, Parameter(metavar="YYYY-MM-DD", help="Last day (UTC) of updated_at: plan a backfill.")
    ] = None,
    storage_options: Annotated[
        str | None,
        Parameter(
            metavar="JSON|BLOCK", help="How to reach the lake's store: a JSON object, or the name of a Prefect block."
        ),
    ] = None,
    table_format: Annotated[Literal["parquet", "delta"], Parameter(help="Format of the lake's tables.")] = "parquet",
    refill_lists: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Include the requests for the rest of cut lists.")
    ] = False,
    lookback: Annotated[
        str, Parameter(metavar="26h,TABLE=2d", help="How far before its watermark a table is read again.")
    ] = "1h",
    json: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Print one JSON object instead of the table.")
    ] = False,
) -> int:
    """Show what a sync would read, why, and how much. Nothing is written.

    If Intercom counts only whole days, or only a part of the rows, the numbers are bounds.
    """
    import sys

    from intercom.errors import ConfigurationError, IntercomLakeError
    from intercom.sync.forecast_text import as_json, as_text

    try:
        forecast, remarks = _forecast(
            connection,
            connections_file,
            lake,
            tables,
            full_refresh,
            start_date,
            end_date,
            storage_options,
            table_format,
            refill_lists,
            lookback,
        )
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    if json:
        import json as json_module

        print(json_module.dumps(as_json(forecast, connection=connection, lake=lake, remarks=remarks), indent=1))
    else:
        print(as_text(forecast, remarks))
    return 1 if any(table.failure is not None for table in forecast.tables) else 0


def _forecast(
    connection: str,
    connections_file: str | None,
    lake_url: str,
    names: Sequence[str],
    full_refresh: bool,
    start_date: date | Literal["all"] | None,
    end_date: date | None,
    storage_options: str | None,
    table_format: str,
    refill_lists: bool,
    lookback: str,
) -> tuple[RunForecast, list[str]]:
    """The forecast, and remarks on what it goes by. Raises IntercomLakeError for what ends a run before its tables."""
    import os
    from datetime import UTC, datetime
    from pathlib import Path
    from uuid import uuid4

    from intercom.api.client import IntercomClient
    from intercom.api.rate_limit.limiter import RateLimiter
    from intercom.config.lookback import parse_lookback
    from intercom.config.lookup import find_connection
    from intercom.lake.layout import TableFormat
    from intercom.lake.storage import Lake
    from intercom.sync.forecast import forecast_run
    from intercom.sync.run import Run, asked_range
    from intercom.tables.selection import select_tables

    chosen = select_tables(names)
    selected = list(chosen.tables)
    history_from, until = asked_range(start_date, end_date, full_refresh=full_refresh)
    again = parse_lookback(lookback)
    prefect = Prefect()
    lake = Lake(lake_url, prefect.storage_options(storage_options))
    found = find_connection(
        connection,
        connections_file=None if connections_file is None else Path(connections_file),
        environ=os.environ,
        load_block=prefect.connection,
    )
    selected = [table.configured(found.settings) for table in selected]
    client = IntercomClient(found, RateLimiter(found.requests_per_10s, most_in_flight=found.requests_in_flight))
    try:
        identity = lake.known_identity()

        def begun(run_start: int, workspace: str | None, doubt: int) -> Run:
            return Run(
                run_id=f"plan-{uuid4()}",
                connection=connection,
                started_at=datetime.now(UTC),
                run_start=run_start,
                full_refresh=full_refresh,
                history_from=history_from,
                until=until,
                workspace=workspace,
                refill_lists=refill_lists,
                lookback=again,
                doubt=doubt,
            )

        store = prefect.watermarks(connection, [table.name for table in selected if table.cursor_field], identity)
        forecast = forecast_run(selected, client, lake, TableFormat(table_format), identity, store, begun, chosen.named)
    finally:
        client.close()
    protected = [f"Columns protected: {found.settings.protected}."] if found.settings.rules else []
    nothing = "Nothing was written, and no watermark has moved."
    place = [f"{found.remark}."] if found.remark else []
    return forecast, [*chosen.remarks(), *place, *protected, *prefect.remarks, nothing]


class Prefect:
    """What a command that starts no server takes from Prefect's, if one is configured and answers.

    `remarks` say what was not looked at.
    """

    def __init__(self) -> None:
        import os
        from pathlib import Path

        from intercom.orchestration.server.api_settings import read_api_settings

        self._url = read_api_settings(os.environ, Path()).url  # Prefect itself, of two seconds, only where it is asked
        self.remarks: list[str] = []
        if self._url is None:
            self.remarks.append(
                "No Prefect API is configured here (PREFECT_API_URL): blocks were not looked at, and watermarks are "
                "the lake's own."
            )

    def connection(self, name: str) -> Connection | None:
        """The connection of a block; None if there is none, or no server to ask."""
        from intercom.errors import PrefectError

        if self._url is None:
            return None
        from intercom.orchestration.server.documents import load_connection
        from intercom.orchestration.server.retry import TIMING

        TIMING.most = min(TIMING.most, _PREFECT_SECONDS)
        try:
            return load_connection(name)
        except PrefectError as error:
            self._without(error)
            return None

    def storage_options(self, given: str | None) -> dict[str, Any]:
        """The options, or those of the block that is named. Raises ConfigurationError or PrefectError."""
        from intercom.config.storage_options import block_named, checked_options, parse_options
        from intercom.errors import ConfigurationError

        options = parse_options(given) if given else {}
        if isinstance(options, Mapping):
            return checked_options(options)
        block_named(options)
        if self._url is None:
            raise ConfigurationError(
                f"The storage options are in the Prefect block {options!r}, and no Prefect API is configured here. "
                "Set PREFECT_API_URL, or give the options as a JSON object. Nothing was read."
            )
        from intercom.orchestration.server.documents import load_storage_options
        from intercom.orchestration.server.retry import TIMING

        TIMING.most = min(TIMING.most, _PREFECT_SECONDS)
        return load_storage_options(options)

    def watermarks(self, connection: str, tables: Sequence[str], identity: Any) -> WatermarkStore:
        """The watermarks in Prefect's blocks; none where no server answers, so that the lake's own count."""
        if self._url is None or identity is None:
            return _NoWatermarks()
        from intercom.errors import PrefectError
        from intercom.orchestration.server.watermark_store import BlockWatermarks, document_name

        store = BlockWatermarks([document_name(connection, table, identity.id) for table in tables])
        try:
            for table in tables:
                store.load(connection, table, identity.id)
        except PrefectError as error:
            self._without(error)
            return _NoWatermarks()
        return store

    def _without(self, error: Exception) -> None:
        """Go on without the server, and say so."""
        self._url = None
        self.remarks.append(
            f"{error} A run would wait for it; this plan looked at no block, and goes by the lake's own watermarks."
        )


class _NoWatermarks:
    """A store without any watermark: the lake's own count."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        del connection, table, lake_id
        return None

    def save(self, watermark: Watermark) -> None:
        """Does nothing: the lake's own is saved, and of two the smaller counts."""
