"""What a run would read of all its tables, and how long that takes. Nothing of the lake is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.workspace import Workspace, ask_workspace, identify
from intercom.compaction.derive import lacking_parent
from intercom.errors import FatalApiError
from intercom.extract.read_forecast import Range
from intercom.lake.identity import LakeIdentity
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.sync.run import Run
from intercom.sync.skipped import why_skipped
from intercom.sync.table_forecast import NOTHING, TableForecast, forecast_table
from intercom.tables.table import Table


@dataclass(frozen=True, slots=True)
class RunForecast:
    """All tables of a run, and how fast the API lets it be read.

    `limit` are the requests per ten seconds that are allowed, `others` those that other clients of the workspace send.
    """

    tables: tuple[TableForecast, ...]
    limit: int
    others: int
    requests_of_the_plan: int

    @property
    def read(self) -> list[TableForecast]:
        """The tables that would be read."""
        return [table for table in self.tables if table.is_read]

    def total(self, number: Callable[[TableForecast], Range]) -> Range:
        """The sum of a number of all tables."""
        whole = NOTHING
        for table in self.read:
            whole += number(table)
        return whole

    @property
    def seconds(self) -> tuple[float, float | None]:
        """Bounds of the seconds for reading: requests at the rate that is left, or the longest chain of requests.

        What Prefect and the merge need comes on top.
        """
        return self._seconds(self.total(lambda table: table.requests), self.read)

    def seconds_of(self, table: TableForecast) -> tuple[float, float | None]:
        """As `seconds`, for one of the tables, if no other is read at the same time."""
        return self._seconds(table.requests, [table])

    def _seconds(self, requests: Range, tables: Sequence[TableForecast]) -> tuple[float, float | None]:
        free = max(1, self.limit - self.others) / QUOTA_SECONDS
        least = max([requests.least / free, *(table.chain.least * table.page_seconds for table in tables)])
        if requests.most is None:
            return least, None
        return least, max([requests.most / free, *((table.chain.most or 0) * table.page_seconds for table in tables)])


Begin = Callable[[int, str | None, int], Run]
"""Makes the run from the server's time, the workspace's code and the doubt about the time, as in `Run`."""


def forecast_run(
    tables: Sequence[Table],
    client: IntercomClient,
    lake: Lake,
    table_format: TableFormat,
    identity: LakeIdentity | None,
    store: WatermarkStore,
    begin: Begin,
    named: Collection[str] = (),
) -> RunForecast:
    """Forecasts of all tables, made at the same time; those that are derived of others need no request.

    `named` tables are not skipped, but fail, if they cannot be read. Raises PermissionDeniedError for a token that is
    none.
    """
    workspace = _workspace(client)
    run = begin(workspace.server_time, workspace.code, workspace.doubt)

    def in_lake(table: Table) -> LakeTable:
        return LakeTable(lake, TablePaths(run.connection, table.name), table_format=table_format)

    def one(table: Table) -> TableForecast:
        lake_table = in_lake(table)
        return forecast_table(
            table,
            client.for_table(table.name, table.scope),
            lake_table,
            identity,
            store,
            run,
            skipped=lambda error: None if table.name in named else why_skipped(table, error, client, lake_table.peek()),
        )

    asked = [table for table in tables if table.made_of is None]
    with ThreadPoolExecutor(max(1, len(asked)), thread_name_prefix="plan") as pool:
        made = {table.name: found for table, found in zip(asked, pool.map(one, asked), strict=True)}
    for table in tables:
        if table.made_of is not None:
            made[table.name] = _derived(table, made, in_lake(table.made_of), named)
    limit, others = client.limiter.usage().limit, client.limiter.others()
    every = tuple(made[table.name] for table in tables)
    return RunForecast(every, limit, others, sum(table.requests_of_the_plan for table in every) + 1)


def _derived(
    table: Table, made: Mapping[str, TableForecast], parent_table: LakeTable, named: Collection[str]
) -> TableForecast:
    """A derived table, which takes no request, but fails or is skipped where the lake would have nothing of its parent.

    `made` are the forecasts of the other tables.
    """
    parent = parent_table.paths.table
    found = TableForecast(table.name, reason=f"made of {parent} in the lake", marked=False, parent=parent, derived=True)
    if parent in made and made[parent].is_read:
        return found
    if parent_table.peek() is None and not parent_table.published():
        error = lacking_parent(table, parent_table)
        if table.name in named or not table.optional:
            return replace(found, failure=str(error))
        return replace(found, skipped=f"skipped: {error}")
    return replace(found, notes=(f"is made from {parent} as the lake has it; this run would not bring it up to date",))


def _workspace(client: IntercomClient) -> Workspace:
    """As `identify`, but a token that Intercom does not know is told once, and not for each table."""
    try:
        return ask_workspace(client)
    except FatalApiError as error:
        if error.status == 401:
            raise
    return identify(client)
