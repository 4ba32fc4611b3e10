"""A workspace, a server and a lake, and runs over them without Prefect: what the flow does, table by table."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import identify
from intercom.compaction.compact import Compacted, compact_table
from intercom.compaction.deleted import alive
from intercom.compaction.policy import CompactionMode
from intercom.config.connection import MOST_IN_FLIGHT, Connection, make_connection
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark
from intercom.sandbox import LoggedRequest, SandboxServer, Workspace
from intercom.sync.derived import derive
from intercom.sync.ingest import ingest_table
from intercom.sync.ingested import Ingested
from intercom.sync.remove_gone import remove_gone
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Access, Selection, Table
from tests.support.children import served_records
from tests.support.effort import by_turns
from tests.support.loaded import FirstLoads
from tests.support.seeded import made_of
from tests.support.truth import assert_exact, exploded, read_lake

CONNECTION = "acme"
in_both_formats = by_turns("table_format", list(TableFormat))
removing_and_marking = by_turns(
    ("table_format", "marks"),
    [(TableFormat.PARQUET, True), (TableFormat.DELTA, False)],
    ids=["mark in plain files", "remove from Delta"],
)
"""Both formats, and both things that may become of rows that are gone."""
IN_SLICES = ReadLimits(smallest_slice=24)
in_slices = pytest.mark.parametrize("limits", [IN_SLICES], ids=["in slices"])
"""Searches of a few rows are read in slices, which otherwise only searches of some thousand rows are."""
FOUR_MONTHS: dict[str, Any] = {"contacts": 300, "history_days": 80}
in_four_months = pytest.mark.parametrize("sizes", [FOUR_MONTHS], ids=["four months"])
"""For tests that need more rows, or more files, than a workspace has by default."""
BY_DEFAULT = tuple(name for name, table in TABLES.items() if table.selection is Selection.DEFAULT)
"""The tables of a run for which none are chosen."""
_runs = count(1)


class MemoryWatermarks:
    """Watermarks as Prefect's blocks keep them, without Prefect: copies, by connection, table and lake."""

    def __init__(self, kept: Mapping[tuple[str, str, str], Watermark] | None = None) -> None:
        self.kept = dict(kept or {})

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        return self.kept.get((connection, table, lake_id))

    def save(self, watermark: Watermark) -> None:
        self.kept[watermark.connection, watermark.table, watermark.lake_id] = replace(watermark)


@dataclass
class Rig:
    """`sync` is one run; `check` compares the lake with the workspace.

    `per_page`: rows per page instead of the number that the table declares, for many pages with few rows. `options` are
    further values of the connection.
    """

    server: SandboxServer
    lake_url: str
    connection: str = CONNECTION
    store: MemoryWatermarks = field(default_factory=MemoryWatermarks)
    storage: dict[str, Any] = field(default_factory=dict)
    table_format: TableFormat = TableFormat.PARQUET
    waited: list[float] = field(default_factory=list)
    per_page: int | None = None
    limits: ReadLimits = DEFAULT_LIMITS
    in_flight: int = MOST_IN_FLIGHT
    options: dict[str, Any] = field(default_factory=dict)
    _slept: float = 0.0
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(read_seconds=5.0))
    first_loads: FirstLoads | None = None

    @property
    def workspace(self) -> Workspace:
        return self.server.workspace

    @property
    def lake_folder(self) -> Path:
        return Path(self.lake_url)

    def lake(self) -> Lake:
        return Lake(self.lake_url, self.storage)

    def lake_table(self, table: str, lake: Lake | None = None) -> LakeTable:
        return LakeTable(lake or self.lake(), TablePaths(self.connection, table), table_format=self.table_format)

    def sleep(self, seconds: float) -> None:
        """Waiting moves the workspace's clock, and the limiter's, instead of taking time."""
        self.waited.append(seconds)
        self._nap(seconds)

    def _nap(self, seconds: float) -> None:
        self._slept += seconds
        self.workspace.travel(seconds)

    def _clock(self) -> float:
        return time.monotonic() + self._slept

    def client(self) -> IntercomClient:
        limiter = RateLimiter(most_in_flight=self.in_flight, clock=self._clock, sleep=self._nap)
        return IntercomClient(self._connection(), limiter, policy=self.policy, sleep=self.sleep)

    def _connection(self) -> Connection:
        token, url = self.server.token, self.server.base_url
        return make_connection(name=self.connection, access_token=token, base_url=url, place="test", **self.options)

    def table(self, name: str) -> Table:
        """A table as the connection has it copied."""
        return TABLES[name].configured(self._connection().settings)

    def sync(
        self,
        tables: Iterable[str] = BY_DEFAULT,
        *,
        lake: Lake | None = None,
        started_at: datetime | None = None,
        run_id: str | None = None,
        when: CompactionMode = CompactionMode.ALWAYS,
        **options: Any,
    ) -> dict[str, tuple[Ingested, Compacted]]:
        """One run over the tables, one after the other; the first error ends it."""
        lake, client = lake or self.lake(), self.client()
        try:
            workspace = identify(client)
            run = Run(
                run_id=run_id or f"run-{next(_runs)}",
                connection=self.connection,
                started_at=started_at or datetime.now(UTC),
                run_start=workspace.server_time,
                workspace=workspace.code,
                doubt=workspace.doubt,
                limits=self.limits,
                **options,
            )
            return {name: self._table(name, client, lake, run, when) for name in tables}
        finally:
            client.close()

    def load(self, tables: Iterable[str] = BY_DEFAULT) -> None:
        """A first run, or a copy of what one has left of this very workspace: for tests that ask nothing of it.

        A copy has sent no requests. A workspace, a server or a rig that a test has changed before is always read.
        """
        names = tuple(tables)
        key = self._of_a_first_load(names)
        entries = [self.table(name) for name in names]
        if key is None or self.first_loads is None:
            self.sync(names)
        elif (watermarks := self.first_loads.copy(key, entries, self.lake_folder)) is not None:
            self.store.kept.update(watermarks)
        else:
            self.sync(names)
            self.first_loads.keep(key, entries, self.lake_folder, self.store.kept)

    def _of_a_first_load(self, names: tuple[str, ...]) -> Hashable | None:
        """What the lake of a first load depends on beside the tables; None if anything else may be in it."""
        seeded = made_of(self.workspace)
        disturbed = self.storage or self.store.kept or type(self.store) is not MemoryWatermarks
        if seeded is None or disturbed or self.lake_folder.exists() or not _is_undisturbed(self.server):
            return None
        return seeded, names, self.connection, self.table_format, self.per_page, self.limits, repr(self.options)

    def _table(
        self, name: str, client: IntercomClient, lake: Lake, run: Run, when: CompactionMode
    ) -> tuple[Ingested, Compacted]:
        table = self.table(name)
        if table.access is Access.DERIVED:
            return derive(table, self.lake_table(name, lake), self.lake_table(parent_of(name), lake), run)
        table = table if self.per_page is None else with_pages_of(table, self.per_page)
        lake_table = self.lake_table(name, lake)
        ingested = ingest_table(table, client.for_table(name, table.scope), lake_table, self.store, run)
        merged = compact_table(table, lake_table, self.store, when=when, committed=True)
        return ingested, remove_gone(table, lake_table, self.store, merged)

    def reconcile(self, tables: Iterable[str] = BY_DEFAULT, **options: Any) -> dict[str, tuple[Ingested, Compacted]]:
        """One run that looks for rows that are gone; arguments as for `sync`."""
        return self.sync(tables, reconciles=True, **options)

    def connections_file(self, folder: Path, token: str = "${INTERCOM_ACCESS_TOKEN}") -> Path:
        """A connections file for the workspace; the token is in the environment unless it is given."""
        file = folder / "connections.yml"
        file.write_text(
            f"connections:\n  intercom:\n    - name: {self.connection}\n      base_url: {self.server.base_url}\n"
            f"      access_token: {token}\n"
        )
        return file

    def rows(self, table: str) -> Any:
        """The rows of the lake; where deletions are marked those that are alive, without the mark's column."""
        rows = read_lake(self.lake_url, self.connection, self.table(table), **self.storage)
        return rows.filter(alive(rows)).drop_columns([name for name in rows.column_names if name == DELETED_AT])

    def check(self, tables: Iterable[str] = BY_DEFAULT) -> None:
        """Every table of the lake is exactly what the workspace serves now, and nothing is left in staging."""
        for table in tables:
            if table == "data_attributes":  # archived ones are not served
                assert_exact(self.workspace.rows(table), self.rows(table), table)
            elif TABLES[table].access is Access.DERIVED:
                parents = self.workspace.rows(parent_of(table))
                assert_exact(exploded(TABLES[table], parents), self.rows(table), table)
            else:
                assert_exact(served_records(self.workspace, TABLES[table]), self.rows(table), table)
        assert self.lake().list("_staging") == {}

    def serve_short(self, times: int) -> None:
        """Make the next `times` pages of contact searches have only the three newest rows, but a total_count of 13."""
        rows = sorted(self.workspace.rows("contacts"), key=lambda row: int(row["updated_at"]), reverse=True)
        body = {"type": "list", "data": rows[:3], "total_count": 13, "pages": None}
        self.server.fail("/contacts/search", kind="status", status=200, body=body, times=times, where=is_page)


def _is_undisturbed(server: SandboxServer) -> bool:
    """Whether the server answers rightly, and nothing happens when it is asked."""
    return not server._faults._faults and not server._hooks and not server.date_ahead_seconds


def with_pages_of(table: Table, per_page: int) -> Table:
    """The table with so many rows on a page; those of the parent of a child table likewise."""
    if table.is_child and table.parent is not None:
        table = replace(table, parent=replace(table.parent, table=replace(table.parent.table, per_page=per_page)))
    return replace(table, per_page=per_page)


def parent_of(name: str) -> str:
    """The name of the table that a child or derived table goes by."""
    parent = TABLES[name].parent
    assert parent is not None
    return parent.table.name


def is_page(request: LoggedRequest) -> bool:
    """Whether a search requests a page of rows; a request for one row only counts."""
    return request.body is not None and request.body["pagination"]["per_page"] > 1


def is_of_everything(request: LoggedRequest) -> bool:
    """Whether a request, to read or to count, is for the whole search and not for a range of it."""
    return request.body is not None and request.body["query"].get("operator") == "OR"
