"""Reads a table of a lake once, month by month and in slices of rows, for counting. Nothing is written or locked.

Only the columns that are counted are fetched, also from an object store. Rows that are marked as deleted count as gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from intercom.config.redaction import one_line
from intercom.errors import IntercomLakeError
from intercom.lake.layout import UNKNOWN_MONTH
from intercom.lake.parquet import ParquetReader, is_damage, open_parquet
from intercom.lake.table import LakeTable
from intercom.tables.column_rules import NO_RULES, ColumnRules, Fate
from intercom.tables.schema import DELETED_AT, INGESTED_AT, plain_path
from intercom.tables.table import Table

ROWS_AT_ONCE: Final = 65_536
TRIES: Final = 3
"""How often a table is read, at most, that runs change at the same time."""


class Tally(Protocol):
    """Counts rows of one table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it needs: `add` gets all of them, in their declared types."""

    def add(self, rows: pa.Table, month: str) -> None:
        """Count some rows of a month, none of which is deleted. Months come in order, the unknown one last."""


@dataclass(slots=True)
class TableScan:
    """What was seen of a table beside what its tallies have counted.

    `rows` are those that are not deleted, `marked` those that are. `damaged` are sentences on files of which only the
    rows before the damage were counted. `failure` is why the table could not be read.
    """

    rows: int = 0
    marked: int = 0
    damaged: list[str] = field(default_factory=list)
    failure: str | None = None


def scan(table: Table, lake_table: LakeTable, make: Callable[[], Sequence[Tally]]) -> tuple[TableScan, Sequence[Tally]]:
    """One pass over the published files of a table. If a run changes them meanwhile, all is counted anew.

    `make` gives fresh tallies. A table that cannot be read has a `failure`, and its tallies count nothing.
    """
    try:
        for _ in range(TRIES):
            done, tallies, stamps = TableScan(), make(), lake_table.published()
            try:
                for month in sorted(stamps):
                    _month(table, lake_table, month, stamps[month], done, tallies)
            except FileNotFoundError:
                continue
            if lake_table.published() == stamps:
                return done, tallies
    except (IntercomLakeError, OSError) as error:
        return TableScan(failure=f"it could not be read: {one_line(error).rstrip('.')}"), make()
    return TableScan(failure=f"runs changed it each of the {TRIES} times that it was read"), make()


def why_hidden(table: Table, rules: ColumnRules | None, column: str) -> str | None:
    """Why a column does not have the values of Intercom, as a clause: excluded, hashed or masked; else None."""
    declared = {one.name: one for one in (*table.schema.fields, *table.schema.flat)}
    path = plain_path(declared[column].path or (column,))
    fate = (rules or NO_RULES).fate(path)
    if fate is Fate.AS_SENT:
        return None
    what = "leave out" if fate is Fate.GONE else "hash or mask"
    return f"the connection's rules {what} {table.name}.{column}"


def _month(
    table: Table, lake_table: LakeTable, month: str, stamp: str, done: TableScan, tallies: Sequence[Tally]
) -> None:
    try:
        with lake_table.files.open(month, stamp) as source, open_parquet(source) as file:
            for rows in _rows(table, file, {name for tally in tallies for name in tally.columns}):
                alive = rows.filter(pc.is_null(rows.column(DELETED_AT)))
                done.rows += alive.num_rows
                done.marked += rows.num_rows - alive.num_rows
                for tally in tallies:
                    tally.add(alive, month)
    except Exception as error:
        if not is_damage(error):
            raise
        file_of = f"the file of {month}" if month not in ("", UNKNOWN_MONTH) else "its file"
        done.damaged.append(f"{file_of} is damaged, and only its rows before the damage are counted")


def _rows(table: Table, file: ParquetReader, wanted: Iterable[str]) -> Iterator[pa.Table]:
    """Slices of a file with these columns, `DELETED_AT` and `INGESTED_AT`; nulls where the file has no such column."""
    declared = {one.name: one.type for one in table.schema.arrow}
    declared[DELETED_AT] = declared[INGESTED_AT]
    names = list(dict.fromkeys((INGESTED_AT, DELETED_AT, *sorted(wanted))))
    found = file.schema_arrow
    there = [name for name in names if name in found.names and found.field(name).type == declared[name]]
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=there, use_threads=False):
        size = batch.num_rows
        yield pa.table(
            {name: batch.column(name) if name in there else pa.nulls(size, declared[name]) for name in names}
        )
