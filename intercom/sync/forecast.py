"""What a run would read of one table and why, decided as a run decides it, without a change to the lake."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from intercom.api.client import IntercomClient, TableClient
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.workspace import Workspace, ask_workspace, identify
from intercom.compaction.schema_change import migrated
from intercom.errors import ApiError, FatalApiError, IntercomLakeError
from intercom.extract.date_comparison import SearchCheck
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.forecast import Range, ReadForecast, forecast_read
from intercom.extract.pages import Page
from intercom.extract.windows import Window
from intercom.lake.findings import Findings
from intercom.lake.identity import LakeIdentity
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.parquet import ParquetFile
from intercom.lake.storage import Lake
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.normalise.normaliser import Normaliser
from intercom.sync.ingest import check_workspace
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.read_table import NothingKept
from intercom.sync.removals import ASKED_ONE_BY_ONE, LARGE_SHARE
from intercom.sync.run import Run
from intercom.sync.skipped import why_skipped
from intercom.tables.table import Access, Strategy, Table

_NOTHING = Range(0, 0)


@dataclass(frozen=True, slots=True)
class TableForecast:
    """What a run would do with one table. Times are unix seconds, None where there is no limit.

    `watermark` is where the run would begin, None for the beginning, because of `reason`. Tables that are not `marked`
    never have one. Rows from `read_from` to `read_until` (excluded) of the cursor field are read. `received` and
    `parquet` are bytes: of the answers, and of the rows in Parquet. `chain` are the most requests that wait for each
    other, and `page_seconds` what each of them takes. `requests_of_the_plan` were sent to find all that out. `why`
    says why there are bounds and no numbers. `failure`: the run would fail over this table in the same way; `skipped`:
    it would leave the table out, and say this.
    """

    table: str
    watermark: int | None = None
    reason: str = ""
    replaces: bool = False
    marked: bool = True
    backfill: bool = False
    reads_all: bool = False
    read_from: int | None = None
    read_until: int | None = None
    rows: Range = _NOTHING
    requests: Range = _NOTHING
    received: Range = _NOTHING
    parquet: Range = _NOTHING
    chain: Range = _NOTHING
    page_seconds: float = 0.0
    requests_of_the_plan: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()
    failure: str | None = None
    skipped: str | None = None

    @property
    def is_read(self) -> bool:
        """Whether the run would read the table."""
        return self.failure is None and self.skipped is None


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
        whole = _NOTHING
        for table in self.read:
            whole += number(table)
        return whole

    @property
    def seconds(self) -> tuple[float, float | None]:
        """Bounds of the seconds for reading: requests at the rate that is left, or the longest chain of requests.

        What Prefect and the merge need comes on top.
        """
        free = max(1, self.limit - self.others) / QUOTA_SECONDS
        requests = self.total(lambda table: table.requests)
        least = max([requests.least / free, *(table.chain.least * table.page_seconds for table in self.read)])
        if requests.most is None:
            return least, None
        return least, max(
            [requests.most / free, *((table.chain.most or 0) * table.page_seconds for table in self.read)]
        )


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
    """Forecasts of all tables that are read, made at the same time; those that are derived of them need no request.

    `named` tables are not skipped, but fail, if they cannot be read. Raises PermissionDeniedError for a token that is
    none.
    """
    tables = [table for table in tables if table.access is not Access.DERIVED]
    workspace = _workspace(client)
    run = begin(workspace.server_time, workspace.code, workspace.doubt)

    def one(table: Table) -> TableForecast:
        lake_table = LakeTable(lake, TablePaths(run.connection, table.name), table_format=table_format)
        return forecast_table(
            table,
            client.for_table(table.name, table.scope),
            lake_table,
            identity,
            store,
            run,
            skipped=lambda error: None if table.name in named else why_skipped(table, error, client, lake_table.peek()),
        )

    with ThreadPoolExecutor(len(tables), thread_name_prefix="plan") as pool:
        made = tuple(pool.map(one, tables))
    limit, others = client.limiter.usage().limit, client.limiter.others()
    return RunForecast(made, limit, others, sum(table.requests_of_the_plan for table in made) + 1)


def _workspace(client: IntercomClient) -> Workspace:
    """As `identify`, but a token that Intercom does not know is told once, and not for each table."""
    try:
        return ask_workspace(client)
    except FatalApiError as error:
        if error.status == 401:
            raise
    return identify(client)


def forecast_table(
    table: Table,
    api: TableClient,
    lake_table: LakeTable,
    identity: LakeIdentity | None,
    store: WatermarkStore,
    run: Run,
    *,
    skipped: Callable[[ApiError], str | None] = lambda _: None,
) -> TableForecast:
    """Decide what the run would read of the table, and ask Intercom how much that is, by at most three requests.

    `identity` is the lake's, None if there is no lake yet. `skipped` gives what a run would say that leaves the table
    out over an error. Any other error of the package becomes the forecast's `failure`.
    """
    try:
        return _Forecast(table, api, lake_table, identity or LakeIdentity.new(), run).made(store)
    except IntercomLakeError as error:
        if isinstance(error, ApiError) and (told := skipped(error)) is not None:
            return TableForecast(table.name, skipped=told, requests_of_the_plan=api.traffic().requests)
        return TableForecast(table.name, failure=str(error), requests_of_the_plan=api.traffic().requests)


class _Forecast:
    def __init__(self, table: Table, api: TableClient, lake_table: LakeTable, identity: LakeIdentity, run: Run) -> None:
        self._table, self._api, self._lake_table = table, api, lake_table
        self._identity, self._run = identity, run

    def made(self, store: WatermarkStore) -> TableForecast:
        """The forecast; raises what the run would raise."""
        table, run = self._table, self._run
        plan, findings, notes = self._planned(store)
        in_lake = plan.state.rows if plan.state else 0
        read = forecast_read(self._extraction(plan), plan.window, self._known_check(plan), in_lake)
        requests, rows, records = self._with_second_read(read, plan)
        whole = not table.reads_by_window
        why = read.why if not (rows.exact and requests.exact) else ""
        if not why and not (rows.exact and requests.exact):
            why = "rows that the lake has may have to be confirmed as removed"
        return TableForecast(
            table.name,
            watermark=plan.start.watermark,
            reason=plan.start.reason,
            marked=table.cursor_field is not None,
            replaces=plan.start.replaces,
            backfill=run.until is not None and table.cursor_field is not None,
            reads_all=whole or plan.window == Window(),
            read_from=plan.window.start,
            read_until=plan.window.end,
            rows=rows,
            requests=requests,
            received=records.scaled(_received_of_a_record(read.sample)),
            parquet=rows.scaled(self._parquet_of_a_row(plan, findings, read.sample)),
            chain=read.chain,
            page_seconds=read.page_seconds,
            requests_of_the_plan=self._api.traffic().requests,
            why=why,
            notes=notes,
        )

    def _planned(self, store: WatermarkStore) -> tuple[ReadPlan, Findings, tuple[str, ...]]:
        table, run, lake_table = self._table, self._run, self._lake_table
        state = lake_table.peek()
        check_workspace(table, lake_table, state, run)
        findings = lake_table.findings(state)
        notes = []
        if state is not None:
            if state.staged:
                waiting = sum(staged.rows for staged in state.staged)
                notes.append(f"{waiting:,} staged rows of earlier runs wait to be merged")
            unfinished = findings.staged.keys() - {staged.attempt for staged in state.staged}
        else:
            unfinished = set(findings.staged)
        if unfinished:
            notes.append("an unfinished run has staged rows; only a retry of that very run goes on with them")
        if state is not None and not run.full_refresh and (after := migrated(table, state, findings)) is not state:
            notes.append("its files are rewritten to the declared columns first")
            state = after
        saved = None
        if table.cursor_field is not None:
            saved = store.load(run.connection, table.name, self._identity.id)
        plan = plan_read(table, run, state, findings, saved, self._identity.id)
        return plan, findings, tuple(notes)

    def _extraction(self, plan: ReadPlan) -> Extraction:
        def refuse(_: Page | SliceEnd) -> None:
            raise AssertionError("a forecast delivers no page")

        return Extraction(
            self._api,
            self._table,
            self._run.run_start,
            refuse,
            expect=lambda _: None,
            resumable=NothingKept(),
            exact=plan.start.replaces,
            limits=self._run.limits,
        )

    def _known_check(self, plan: ReadPlan) -> SearchCheck | None:
        found = plan.state.search_check if plan.state else None
        return SearchCheck.from_json(found) if found else None

    def _with_second_read(self, read: ReadForecast, plan: ReadPlan) -> tuple[Range, Range, Range]:
        """Requests, rows and records, with those by which the run would make sure that rows of the lake are gone.

        More than a fifth of the table missing, or any row of a list: all is read once more. Companies: each missing
        row is asked for, or all is read once more.
        """
        table, state = self._table, plan.state
        known = state.rows if state else 0
        requests, rows, records = read.requests, read.rows, read.records
        once, again = requests + Range.exactly(read.checks), requests
        may_remove = plan.start.replaces or table.strategy is Strategy.REPLACE
        if not known or not (may_remove or plan.repairs):
            return once, rows, records
        lacking, large = known - rows.least, LARGE_SHARE * known
        if table.strategy is Strategy.REPLACE:
            large = 0
        elif plan.window == Window() and rows.exact and lacking > large:
            return once + again, rows + rows, records + records
        one_by_one = Range.exactly(0)
        if may_remove and table.access is Access.SCROLL:
            one_by_one = Range(0, 1 + min(ASKED_ONE_BY_ONE, known))
            large = min(large, ASKED_ONE_BY_ONE)
        if lacking > large:
            return (
                once + again.or_none() + one_by_one,
                rows + rows.or_none(),
                records + records.or_none(),
            )
        return once + one_by_one, rows, records

    def _parquet_of_a_row(self, plan: ReadPlan, findings: Findings, sample: Page | None) -> float:
        """Bytes of a row in Parquet: of those in the lake, or else of the sample."""
        rows = plan.state.rows if plan.state else 0
        if rows and findings.published:
            return sum(map(stamped_size, findings.published.values())) / rows
        if sample is None or len(sample.records) < 2:
            return 0.0
        normaliser = Normaliser(self._table, datetime.now(UTC))
        batch = normaliser.batch(sample.records, where=sample.where)
        # What a file has beside its rows is left out, as most files have thousands of rows.
        one, all_of_them = (_parquet_size(pa.Table.from_batches([part])) for part in (batch.slice(0, 1), batch))
        return max(0, all_of_them - one) / (batch.num_rows - 1)


def _parquet_size(rows: pa.Table) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.parquet")
        with ParquetFile(path, rows.schema, "", dictionaries=False) as file:
            file.write(rows)
        return path.stat().st_size


def _received_of_a_record(sample: Page | None) -> float:
    return 0.0 if sample is None or not sample.records else sample.size / len(sample.records)
