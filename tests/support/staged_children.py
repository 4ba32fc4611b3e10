"""A child table in a lake, and runs that stage marks and children for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from intercom.compaction.keys import telling_columns
from intercom.lake.staged_run import Coverage, StagedRun
from intercom.lake.staging import PartWriter
from intercom.lake.state import TableState
from intercom.tables.catalogue import TABLES
from intercom.tables.read_marks import SIGN
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Access, Parent, Strategy, Table
from tests.support.staged import StagedTable, created, folder

COLUMNS = TableSchema(
    (
        Column("conversation_id", ColumnKind.STRING),
        Column("conversation_created_at", ColumnKind.TIMESTAMP),
        Column("id", ColumnKind.STRING),
        Column("created_at", ColumnKind.TIMESTAMP),
        Column("body", ColumnKind.STRING),
    )
)
PARENT = Parent(
    table=TABLES["conversations"],
    inherits={"conversation_id": "id", "conversation_created_at": "created_at"},
    cut_by="created_at",
)
PARTS = Table(
    name="conversations",  # not of its own: `LakeTable` looks up by name whether a table has months
    path="/conversations/{key}",
    access=Access.CHILD,
    records_at=("conversation_parts", "conversation_parts"),
    schema=COLUMNS,
    cursor_field="updated_at",
    partition_field="conversation_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="Read conversations",
    parent=PARENT,
)
KEYED_BY_BOTH = replace(PARTS, primary_key=("conversation_id", "id"))
"""A child has its id for each of its parents, as a segment has that a contact is in."""


class Child(NamedTuple):
    """A child of a conversation. `month` is that of the conversation, from January 2026 (0); `at` in unix seconds."""

    id: str
    parent: str
    month: int | None = 0
    at: int | None = 1
    body: str = ""


class Mark(NamedTuple):
    """Says that all children of `parent` follow, or those from the second `oldest` on."""

    parent: str
    month: int | None = 0
    oldest: int | None = None


@dataclass
class StagedChildren(StagedTable):
    """As `StagedTable`, with marks and children in the order of reading."""

    table: Table = PARTS
    per_part: int = 1000
    """Marks and children in one part."""

    def stage(self, rows: Sequence[Any], *, whole: bool = False, replaces: bool = False) -> None:
        self.runs += 1
        lake_table, run_id = self.lake_table(), f"run-{self.runs}"
        coverage = Coverage.REPLACES if replaces else Coverage.WHOLE if whole else Coverage.SOME
        sizes: dict[str, Any] = {"split_bytes": 1} if self.split else {}
        sizes["keys"] = telling_columns(self.table)
        field = self.table.month_field
        writer = PartWriter(lake_table.lake, lake_table.paths, run_id, COLUMNS.arrow, partition_field=field, **sizes)
        with writer:
            for stretch in stretches(rows, self.per_part):
                writer.add(as_batch(stretch, self.runs))
                writer.flush()
        state = lake_table.state() or TableState(lake_table.lake.identity().id, COLUMNS.fingerprint, columns=COLUMNS)
        lake_table.save(
            state.with_staged(StagedRun(run_id, writer.parts, coverage, len(rows) if self.counted else 0, 1))
        )

    def key(self, row: Any) -> tuple[str, ...]:
        return (row.parent, row.id) if len(self.table.primary_key) == 2 else (row.id,)

    def rows(self) -> list[Any]:
        """All children that a reader finds; asserts that each is in the month of its conversation."""
        found: list[Child] = []
        for month, rows in self._files():
            here = list(_children(rows))
            found += here
            assert {folder(row.month) for row in here} <= {month}
        return found

    def ids(self) -> list[str]:
        """The ids of all children that a reader finds, sorted."""
        return sorted(row.id for row in self.rows())


def stretches(rows: Sequence[Child | Mark], most: int) -> Iterator[list[Child | Mark]]:
    """Rows, `most` at a time, and cut before a key or parent that comes again in another month.

    The order of reading is lost between parts of several months that a writer fills at the same time.
    """
    stretch: list[Child | Mark] = []
    months: dict[str, int | None] = {}
    for row in rows:
        names = {f"parent {row.parent}", f"id {row.id}" if isinstance(row, Child) else f"parent {row.parent}"}
        if len(stretch) == most or any(months.get(name, row.month) != row.month for name in names):
            yield stretch
            stretch, months = [], {}
        stretch.append(row)
        months |= dict.fromkeys(names, row.month)
    if stretch:
        yield stretch


def as_batch(rows: Sequence[Child | Mark], run: int) -> Any:
    values: dict[str, list[Any]] = {name: [] for name in COLUMNS.arrow.names}
    for row in rows:
        child = row if isinstance(row, Child) else Child(SIGN + row.parent, row.parent, row.month, row.oldest)
        one = {
            "conversation_id": child.parent,
            "conversation_created_at": None if child.month is None else created(child.month),
            "id": child.id,
            "created_at": None if child.at is None else datetime.fromtimestamp(child.at, UTC),
            "body": child.body if isinstance(row, Child) else None,
            "_ingested_at": datetime.fromtimestamp(run, UTC),
        }
        for name, column in values.items():
            column.append(one.get(name))
    schema = COLUMNS.arrow
    return pa.record_batch([pa.array(values[name], schema.field(name).type) for name in schema.names], schema=schema)


def _children(rows: Any) -> Iterator[Child]:
    for row in rows.to_pylist():
        month, at = row["conversation_created_at"], row["created_at"]
        yield Child(
            row["id"],
            row["conversation_id"],
            None if month is None else round((month - created(0)).days / 30),
            None if at is None else int(at.timestamp()),
            row["body"],
        )
