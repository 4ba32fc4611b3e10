"""One table in a lake, and runs that stage rows of a few columns for it: compactions without an API and a workspace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from intercom.compaction.compact import Compacted, compact_table
from intercom.compaction.keys import telling_columns
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.own_parts import OwnParts
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.staging import PartWriter
from intercom.lake.state import TableState
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from intercom.lake.table import LakeTable
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.rig import MemoryWatermarks

COLUMNS = TableSchema(
    (
        Column("id", ColumnKind.STRING),
        Column("created_at", ColumnKind.TIMESTAMP),
        Column("updated_at", ColumnKind.TIMESTAMP),
        Column("name", ColumnKind.STRING),
        Column("owner_id", ColumnKind.STRING),
        Column("begun_at", ColumnKind.TIMESTAMP),
    )
)
SEARCHED = replace(TABLES["contacts"], schema=COLUMNS)
READ_WHOLE = replace(TABLES["companies"], schema=COLUMNS)
TWO_COLUMNS = replace(SEARCHED, primary_key=("id", "owner_id"), partition_field="begun_at", record_path="")
TWO_COLUMNS_READ_WHOLE = replace(READ_WHOLE, primary_key=("id", "owner_id"), partition_field="begun_at", record_path="")
"""Tables with a primary key of two columns, partitioned by the month of `begun_at` instead of `created_at`."""
ONE_FILE = replace(TWO_COLUMNS_READ_WHOLE, name="tags", partition_field=None)
"""An unpartitioned table. It is named `tags` because `LakeTable` looks up by name whether a table has months."""


class Row(NamedTuple):
    """A row as Intercom sends it. `month` counts months from January 2026 (0); `updated_at` is in unix seconds."""

    id: str
    month: int | None
    updated_at: int | None
    name: str = ""
    owner_id: str = ""


@dataclass
class StagedTable:
    """`stage` is a run that has read rows and is committed; `compact` merges all that wait."""

    url: str
    table: Table = SEARCHED
    table_format: TableFormat = TableFormat.PARQUET
    storage: dict[str, Any] = field(default_factory=dict)
    runs: int = 0
    counted: bool = True
    """Whether the table's record has the number of staged rows; records of the first package versions do not."""
    split: bool = False
    """Whether each month is staged as a part of its own, as large runs do, and not as one part."""
    one_process: bool = False
    """Whether the process that merges is the one that has staged, and so knows its parts."""
    own_parts: OwnParts = field(default_factory=OwnParts)

    def lake(self) -> Lake:
        return Lake(self.url, self.storage)

    def lake_table(self, lake: Lake | None = None) -> LakeTable:
        paths, lake = TablePaths("acme", self.table.name), lake or self.lake()
        if self.one_process:
            lake.own_parts = self.own_parts
        return LakeTable(lake, paths, table_format=self.table_format)

    def stage(self, rows: Sequence[Row], *, whole: bool = False, replaces: bool = False) -> None:
        """Stage rows in the order of reading, as one part per stretch (see `stretches`), or per month of it."""
        self.runs += 1
        lake_table, run_id = self.lake_table(), f"run-{self.runs}"
        coverage = Coverage.REPLACES if replaces else Coverage.WHOLE if whole else Coverage.SOME
        field = self.table.month_field
        sizes: dict[str, Any] = {"split_bytes": 1} if self.split else {}
        sizes["keys"] = telling_columns(self.table)
        columns = self.table.schema
        writer = PartWriter(lake_table.lake, lake_table.paths, run_id, columns.arrow, partition_field=field, **sizes)
        with writer:
            for stretch in stretches(rows):
                writer.add(
                    as_arrow(stretch, self.runs, field or "created_at", columns.arrow).combine_chunks().to_batches()[0]
                )
                writer.flush()
        state = lake_table.state() or TableState(lake_table.lake.identity().id, columns.fingerprint, columns=columns)
        state = replace(state, ingested_at=read_at(self.runs))
        lake_table.save(
            state.with_staged(StagedRun(run_id, writer.parts, coverage, len(rows) if self.counted else 0, 1))
        )

    def compact(self, lake: Lake | None = None) -> Compacted:
        return compact_table(self.table, self.lake_table(lake), MemoryWatermarks())

    def key(self, row: Row) -> tuple[str, ...]:
        """The values of a row's primary key."""
        return tuple(getattr(row, name) for name in self.table.primary_key)

    def rows(self) -> list[Row]:
        """All rows that a reader finds; asserts that each is in the partition of its month."""
        found: list[Row] = []
        for month, rows in self._files():
            here = rows_of(rows, self.table.month_field or "created_at")
            found += here
            assert self.table.month_field is None or {folder(row.month) for row in here} <= {month}
        return found

    def deleted(self) -> dict[tuple[str, ...], datetime | None]:
        """Key -> the time in ``_deleted_at``, of all rows that a reader finds; asserts that each key is there once."""
        found = [row for _, rows in self._files() for row in rows.to_pylist()]
        keys = [tuple(row[name] for name in self.table.primary_key) for row in found]
        assert len(keys) == len(set(keys)), sorted(keys)
        return {key: row["_deleted_at"] for key, row in zip(keys, found, strict=True)}

    def _files(self) -> Iterator[tuple[str, Any]]:
        root = f"{self.url}/data/acme/{self.table.name}"
        if self.table_format is TableFormat.DELTA:
            rows = DeltaTable(root).to_pyarrow_table()
            if self.table.month_field is None:
                yield "", rows
                return
            for month in rows.column("created_month").unique().to_pylist():
                yield (
                    f"created_month={month}",
                    rows.filter(pc.equal(rows.column("created_month"), pa.scalar(str(month)))),
                )
            return
        for path in sorted(Path(root).glob("*.parquet" if self.table.month_field is None else "*/*.parquet")):
            yield path.parent.name, pq.read_table(path, partitioning=None)


class WatchedLake(Lake):
    """A lake that reads the table with a plain glob after each step that changes it, and asserts unique keys."""

    def __init__(self, staged: StagedTable) -> None:
        super().__init__(staged.url, staged.storage)
        self.at_a_time = 1  # else a file may be deleted between listing and reading it
        self._staged = staged
        self.missing: list[set[tuple[str, ...]]] = []
        """For each step: keys that existed at the beginning and were not found after the step."""
        self._all = {staged.key(row) for row in staged.rows()}

    def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY, **more: Any) -> FileStat:
        there = super().publish(written, path, rows=rows, over=over, **more)
        self._look(path)
        return there

    def delete(self, paths: Any) -> None:
        for path in paths:
            super().delete([path])
            self._look(path)

    def _look(self, path: str) -> None:
        if path.startswith("data/"):
            found = [self._staged.key(row) for row in self._staged.rows()]
            assert len(found) == len(set(found)), (path, found)
            self.missing.append(self._all - set(found))


def stretches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows, cut before each repeated id, so that only the parts' numbers tell the order of versions of a key."""
    stretch: list[Row] = []
    for row in rows:
        if row.id in {other.id for other in stretch}:
            yield stretch
            stretch = []
        stretch.append(row)
    if stretch:
        yield stretch


def folder(month: int | None) -> str:
    return "created_month=unknown" if month is None else f"created_month={created(month):%Y-%m}"


def created(month: int) -> datetime:
    return datetime(2026, 1, 15, tzinfo=UTC) + timedelta(days=30 * month)


def read_at(run: int) -> datetime:
    """When a run has read its rows."""
    return datetime.fromtimestamp(run, UTC)


def as_arrow(rows: Sequence[Row], run: int, month_field: str, columns: Any = COLUMNS.arrow) -> Any:
    nothing: list[Any] = [None] * len(rows)
    values = {
        "id": [row.id for row in rows],
        "owner_id": [row.owner_id for row in rows],
        "created_at": nothing,
        "begun_at": nothing,
        month_field: [None if row.month is None else created(row.month) for row in rows],
        "updated_at": [None if row.updated_at is None else datetime.fromtimestamp(row.updated_at, UTC) for row in rows],
        "name": [row.name for row in rows],
        "_extra": nothing,
        "_deleted_at": nothing,
        "_ingested_at": [read_at(run)] * len(rows),
    }
    return pa.table([pa.array(values[field.name], field.type) for field in columns], schema=columns)


def rows_of(rows: Any, month_field: str) -> list[Row]:
    return [
        Row(
            row["id"],
            None if row[month_field] is None else round((row[month_field] - created(0)).days / 30),
            None if row["updated_at"] is None else int(row["updated_at"].timestamp()),
            row["name"],
            row["owner_id"],
        )
        for row in rows.to_pylist()
    ]
