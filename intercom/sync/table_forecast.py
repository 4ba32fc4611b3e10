"""What a run would read of one table and why, decided as a run decides it, without a change to the lake."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from intercom.api.client import TableClient
from intercom.compaction.schema_change import migrated
from intercom.config.lookback import USUAL_LOOKBACK
from intercom.errors import ApiError, IntercomLakeError
from intercom.extract.date_comparison import SearchCheck
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.forecast import forecast_read
from intercom.extract.pages import Page
from intercom.extract.read_forecast import LakeRows, Range, ReadForecast
from intercom.extract.windows import Window
from intercom.lake.findings import Findings
from intercom.lake.identity import LakeIdentity
from intercom.lake.parquet import ParquetFile
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.normalise.normaliser import Normaliser
from intercom.sync.ingest import known_rows
from intercom.sync.known_parents import KnownParents
from intercom.sync.plan import ReadPlan, plan_read
from intercom.sync.protection import Protection
from intercom.sync.read_table import NothingKept
from intercom.sync.run import Run
from intercom.sync.table_record import check_workspace
from intercom.sync.vanished import ASKED_ONE_BY_ONE, LARGE_SHARE
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Table

NOTHING = Range(0, 0)


@dataclass(frozen=True, slots=True)
class TableForecast:
    """What a run would do with one table. Times are unix seconds, None where there is no limit.

    `parent` is the table that a child or derived table goes by. Of a child table, `asked` are the parents whose
    children are asked for, one request each. A derived table (`derived`) takes no request, and its rows are not told:
    its files are made anew of those files of the parent that the run changes.

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
    rows: Range = NOTHING
    requests: Range = NOTHING
    received: Range = NOTHING
    parquet: Range = NOTHING
    chain: Range = NOTHING
    page_seconds: float = 0.0
    requests_of_the_plan: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()
    failure: str | None = None
    skipped: str | None = None
    parent: str = ""
    asked: Range | None = None
    derived: bool = False

    @property
    def is_read(self) -> bool:
        """Whether the run would read the table."""
        return self.failure is None and self.skipped is None


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

    Where the run's lookback is not the usual one, a run with the usual one is asked about, too, for comparison.

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
        in_lake = self._in_lake(plan)
        read = forecast_read(
            self._extraction(plan), plan.window, self._known_check(plan), in_lake, refills=run.refill_lists
        )
        notes = (*notes, *self._cost_of_lookback(read, plan, in_lake))
        requests, rows, received = self._with_second_read(read, plan)
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
            received=received,
            parquet=rows.scaled(self._parquet_of_a_row(plan, findings, read.sample)),
            chain=read.chain,
            page_seconds=read.page_seconds,
            requests_of_the_plan=self._api.traffic().requests,
            why=why,
            notes=notes,
            parent=table.parent.table.name if table.parent else "",
            asked=read.asked,
        )

    def _cost_of_lookback(self, read: ReadForecast, plan: ReadPlan, in_lake: LakeRows) -> Iterator[str]:
        """What a run with the usual lookback would read, for comparison, if this one has another."""
        lookback, usual = self._run.lookback.of(self._table.name), USUAL_LOOKBACK.of(self._table.name)
        if lookback == usual or plan.start.watermark is None or self._run.until is not None:
            return
        if not self._table.reads_by_window:
            return
        window = replace(plan.window, start=plan.start.watermark - usual)
        short = forecast_read(
            self._extraction(plan), window, self._known_check(plan), in_lake, refills=self._run.refill_lists
        )
        yield (
            f"rows and requests with this lookback: {_shown(read.rows)} and {_shown(read.requests)}; with the usual "
            f"one of an hour: {_shown(short.rows)} and {_shown(short.requests)}"
        )

    def _planned(self, store: WatermarkStore) -> tuple[ReadPlan, Findings, tuple[str, ...]]:
        table, run, lake_table = self._table, self._run, self._lake_table
        state = lake_table.peek()
        check_workspace(table, lake_table, state, run.workspace)
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
            parents=self._known_parents(plan),
            parent_text=Protection(self._table, self._api.hash_key).parent_text,
        )

    def _known_parents(self, plan: ReadPlan) -> KnownParents:
        table, run = self._table, self._run
        known = known_rows(self._lake_table, plan, run) if table.is_child else {}
        return KnownParents(table, known, run_start=run.run_start)

    def _in_lake(self, plan: ReadPlan) -> LakeRows:
        own = plan.state.rows if plan.state else 0
        parents = self._lake_table.peek_at(self._table.listed.name) if self._table.is_child else None
        return LakeRows(own, parents.rows if parents else 0, self._cut() if self._run.refill_lists else None)

    def _cut(self) -> int | None:
        """Lists that are cut, as tables that are made of them have counted; None unless there is one for each list."""
        records = {
            table.records_at[0]: self._lake_table.peek_at(name)
            for name, table in TABLES.items()
            if table.made_of is not None and table.made_of.name == self._table.name
        }
        found = [records.get(name) for name in self._table.refilled]
        made = [record for record in found if record is not None]
        if len(made) < len(found):
            return None
        return sum(month.cut for record in made for month in record.derived_from.values())

    def _known_check(self, plan: ReadPlan) -> SearchCheck | None:
        found = plan.state.search_check if plan.state else None
        return SearchCheck.from_json(found) if found else None

    def _with_second_read(self, read: ReadForecast, plan: ReadPlan) -> tuple[Range, Range, Range]:
        """Requests, rows and bytes, with those by which the run would make sure that rows of the lake are gone.

        More than a fifth of the table missing, or any row of a list: all is read once more. Companies: each missing
        row is asked for, or all is read once more.
        """
        table, state = self._table, plan.state
        known = state.rows if state else 0
        requests, rows, received = read.requests, read.rows, read.received
        once, again = requests + Range.exactly(read.checks), requests
        may_remove = plan.start.replaces or table.is_replaced
        if not known or not (may_remove or plan.repairs):
            return once, rows, received
        lacking, large = known - rows.least, LARGE_SHARE * known
        if table.is_replaced:
            large = 0
        elif plan.window == Window() and rows.exact and lacking > large:
            return once + again, rows + rows, received + received
        one_by_one = Range.exactly(0)
        if may_remove and table.access is Access.SCROLL:
            one_by_one = Range(0, 1 + min(ASKED_ONE_BY_ONE, known))
            large = min(large, ASKED_ONE_BY_ONE)
        if lacking > large:
            return (
                once + again.or_none() + one_by_one,
                rows + rows.or_none(),
                received + received.or_none(),
            )
        return once + one_by_one, rows, received

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


def _shown(number: Range) -> str:
    if number.exact:
        return f"{number.least:,}"
    return f"at least {number.least:,}" if number.most is None else f"{number.least:,} to {number.most:,}"


def _parquet_size(rows: pa.Table) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.parquet")
        with ParquetFile(path, rows.schema, "", dictionaries=False) as file:
            file.write(rows)
        return path.stat().st_size
