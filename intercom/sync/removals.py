"""Finds what a full read would remove from a table, and decides whether it may go.

A read can be well formed and wrong, so that rows are missing from it that the workspace still has. Few of them are
asked for one by one; many are removed only when a second read lacks them as well, and a large part of a table only
when the person who runs this has said so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import joined
from intercom.compaction.deleted import alive
from intercom.compaction.keys import keys_of
from intercom.compaction.marks import are_marks
from intercom.compaction.shared_parts import SharedParts
from intercom.lake.findings import not_to_be_merged
from intercom.lake.parquet import ParquetReader, is_damage, open_parquet
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable, StagedPart
from intercom.sync.vanished import LARGE_SHARE, SMALL_TABLE
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table


@dataclass(frozen=True, slots=True)
class Missing:
    """Rows of a table that a full read lacks: `known` rows are alive in the lake, `keys` (strings) were not read."""

    known: int
    keys: Sequence[str]

    @property
    def count(self) -> int:
        """How many rows the read lacks."""
        return len(self.keys)

    @property
    def is_large(self) -> bool:
        """Whether they are more than a fifth of the table."""
        return self.count > LARGE_SHARE * self.known

    @property
    def needs_permission(self) -> bool:
        """Whether they are a large part of a table of more than a hundred rows."""
        return self.is_large and self.known > SMALL_TABLE

    def __str__(self) -> str:
        return f"{self.count:,} of {self.known:,} rows ({100 * self.count / max(1, self.known):.0f} %)"


def find_missing(
    table: Table,
    lake_table: LakeTable,
    state: TableState | None,
    read: Iterable[tuple[str, int]],
    met: pa.Array | None = None,
) -> Missing:
    """Compare the keys in the lake with those in staged parts; `read` has attempts and their numbers of valid parts.

    `met` are further keys that were read, of rows that were not staged. Rows that are marked as deleted count as not
    there.

    Memory grows with the missing keys, not with the table. Files that cannot be read, or that are not in the record,
    count as empty.
    """
    counted = dict(read)
    waiting = {run.attempt: run.parts for run in state.staged if run.attempt not in counted} if state else {}
    staged = _StagedKeys(table, lake_table)
    now, before = staged.by_month(counted), staged.by_month(waiting)
    known = 0
    missing: pa.Array = pa.array([], pa.string())
    findings = lake_table.findings(state)
    foreign = not_to_be_merged(state, findings) if state else set()
    published = findings.published.keys() - foreign
    for month in dict.fromkeys([*sorted(published), *before]):
        stored = [_keys_of_month(table, lake_table, month)] if month in published else []
        keys = pc.unique(joined([*stored, staged.keys(before.get(month, []), month)], pa.string()))
        known += len(keys)
        lacking = _without(keys, staged.keys(now.get(month, []), month))
        missing = joined([missing, lacking if met is None else _without(lacking, met)], pa.string())
    for month, parts in now.items():  # a row may have moved to another month
        if len(missing) == 0:
            break
        missing = _without(missing, staged.keys(parts, month))
    return Missing(known, [str(key) for key in pc.unique(missing).to_pylist()])


def count_read(table: Table, lake_table: LakeTable, read: Iterable[tuple[str, int]]) -> int:
    """The number of distinct keys in staged parts; `read` has attempts and their numbers of valid parts."""
    staged = _StagedKeys(table, lake_table)
    return sum(len(pc.unique(staged.keys(parts, month))) for month, parts in staged.by_month(dict(read)).items())


def a_key(table: Table, lake_table: LakeTable, read: Iterable[tuple[str, int]]) -> str | None:
    """A key that was staged by these attempts; None when they have staged no row."""
    staged = _StagedKeys(table, lake_table)
    for month, parts in staged.by_month(dict(read)).items():
        for part in parts:
            if len(keys := staged.keys([part], month)):
                return str(keys[0])
    return None


def _without(keys: pa.Array, others: pa.Array) -> pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, value_set=others))) if len(keys) else keys


class _StagedKeys:
    """Keys of the rows in a table's staged parts, month by month; ``""`` is the month of a table without months."""

    def __init__(self, table: Table, lake_table: LakeTable) -> None:
        self._table, self._lake_table = table, lake_table
        self._shared = SharedParts(table, lake_table)
        self._parts = lake_table.parts()

    def by_month(self, counted: Mapping[str, int]) -> dict[str, list[StagedPart]]:
        """Month -> parts of these attempts with rows of it; `counted` maps attempts to their numbers of valid parts."""
        return self._shared.by_month(part for part in self._parts if part.number < counted.get(part.attempt, 0))

    def keys(self, parts: Iterable[StagedPart], month: str) -> pa.Array:
        """The keys of the parts' rows of this month."""
        return joined([self._of_part(part, month) for part in parts], pa.string())

    def _of_part(self, part: StagedPart, month: str) -> pa.Array | pa.ChunkedArray:
        if self._shared.has(part.path):
            return _keys(self._table, self._shared.rows(part.path, month))
        with (
            self._lake_table.lake.still_there(part.path),
            self._lake_table.lake.fetch(part.path) as path,
            open_parquet(path) as file,
        ):
            return _keys_in(self._table, file)


def _keys_of_month(table: Table, lake_table: LakeTable, month: str) -> pa.Array:
    with _nothing_where_damaged() as keys, lake_table.files.fetch(month) as path, open_parquet(path) as file:
        keys.append(_keys_in(table, file))
    return joined(keys, pa.string())


@contextmanager
def _nothing_where_damaged() -> Iterator[list[pa.Array | pa.ChunkedArray]]:
    found: list[pa.Array | pa.ChunkedArray] = []
    try:
        yield found
    except Exception as error:
        if not (is_damage(error) or isinstance(error, KeyError)):
            raise
        found.clear()


def _keys_in(table: Table, file: ParquetReader) -> pa.Array | pa.ChunkedArray:
    """The keys of a file's rows that are alive, as `_keys`; KeyError where the file lacks a column of the key."""
    if absent := [name for name in table.primary_key if name not in file.schema_arrow.names]:
        raise KeyError(absent[0])
    marks = [name for name in file.schema_arrow.names if name == DELETED_AT]
    rows = file.read(columns=[*table.primary_key, *marks])
    return _keys(table, rows.filter(alive(rows)) if marks else rows)


def _keys(table: Table, rows: pa.Table) -> pa.Array | pa.ChunkedArray:
    """The keys of rows, as `keys_of` gives them."""
    # A replace table may have rows without a part of the key.
    columns = {name: rows.column(name).fill_null(pa.scalar("")) for name in table.primary_key}
    if table.replaces_children:
        marks = are_marks(pa.table(columns), table)
        columns = {name: column.filter(pc.invert(marks)) for name, column in columns.items()}
    return keys_of(pa.table(columns), table.primary_key)
