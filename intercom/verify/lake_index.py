"""Keys and times of a table's rows as the lake has them, without the rows: what the workspace is held against.

Rows that are deleted and marked are left out: the workspace should not have them. Staged rows of committed runs are in
it, since the next merge publishes them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, numbers
from intercom.compaction.keys import KEY, keys_of
from intercom.compaction.marks import are_marks
from intercom.lake.parquet import ParquetReader, open_parquet
from intercom.lake.staged_run import Coverage
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.tables.schema import DELETED_AT, INGESTED_AT
from intercom.tables.table import Table

CREATED: Final = "_created"
CHANGED: Final = "_changed"
MONTH: Final = "_month"
WAITING: Final = "_waiting"
_TYPES: Final[Mapping[str, pa.DataType]] = {
    KEY: pa.string(),
    CREATED: pa.int64(),
    CHANGED: pa.int64(),
    MONTH: pa.string(),
    WAITING: pa.bool_(),
}
_SCHEMA: Final = pa.schema(_TYPES)
_ROWS_AT_A_TIME: Final = 4_096
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class LakeIndex:
    """One row for each row of the table: KEY, CREATED and CHANGED (unix seconds, null where there is none), MONTH.

    WAITING: the newest version is staged, and not merged yet. `state` is the record that the rows belong to.
    """

    state: TableState
    rows: pa.Table
    _times: dict[tuple[str, int | None], list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def keys(self) -> pa.Array:
        """The rows' keys."""
        return flat(self.rows.column(KEY))

    def times(self, column: str, changed_from: int | None = None) -> list[int]:
        """Values of CREATED or CHANGED in order; with `changed_from` of rows that have changed then or later."""
        if (column, changed_from) not in self._times:
            rows = self.rows
            if changed_from is not None:
                rows = rows.filter(pc.greater_equal(rows.column(CHANGED), pa.scalar(changed_from)))
            found = flat(rows.column(column)).drop_null()
            self._times[column, changed_from] = [
                int(at) for at in found.take(pc.sort_indices(found)).to_pylist() if at is not None
            ]
        return self._times[column, changed_from]

    def count(self, column: str, span: tuple[float, float], changed_from: int | None = None) -> int:
        """Rows whose CREATED or CHANGED is in ``[start, end)``; else as `times`."""
        times = self.times(column, changed_from)
        return max(0, bisect_left(times, span[1]) - bisect_left(times, span[0]))

    def places_of(self, keys: pa.Array) -> pa.Array:
        """The row number of each of these keys; null for one that is not there."""
        return pc.index_in(keys, value_set=self.keys)

    def at(self, places: pa.Array) -> pa.Table:
        """The rows with these numbers, nulls as nulls."""
        return self.rows.take(places)


def indexed(table: Table, lake_table: LakeTable) -> LakeIndex | None:
    """The index of a table whose record stays the same meanwhile; None without a record, or if it changes each time.

    Raises what reading a damaged file raises.
    """
    for _ in range(_TRIES):
        state = lake_table.peek()
        if state is None:
            return None
        try:
            rows = _rows(table, lake_table, state)
        except FileNotFoundError:
            if lake_table.peek() == state:
                raise
            continue
        if lake_table.peek() == state:
            return LakeIndex(state, rows)
    return None


def _rows(table: Table, lake_table: LakeTable, state: TableState) -> pa.Table:
    replaced = any(run.coverage is Coverage.REPLACES for run in state.staged)
    found = [] if replaced else [_of_month(table, lake_table, month) for month in lake_table.published()]
    counted = {run.attempt: run.parts for run in state.staged}
    waiting = [part.path for part in lake_table.parts() if part.number < counted.get(part.attempt, 0)]
    found += [_of_part(table, lake_table, path) for path in waiting]
    rows = pa.concat_tables([_SCHEMA.empty_table(), *found]).combine_chunks()
    return _newest(rows) if waiting else rows


def _of_month(table: Table, lake_table: LakeTable, month: str) -> pa.Table:
    with lake_table.files.fetch(month) as path, open_parquet(path) as file:
        return _of_file(table, file, month, waiting=False)


def _of_part(table: Table, lake_table: LakeTable, path: str) -> pa.Table:
    with lake_table.lake.fetch(path) as local, open_parquet(local) as file:
        return _of_file(table, file, "", waiting=True)


def _of_file(table: Table, file: ParquetReader, month: str, *, waiting: bool) -> pa.Table:
    created, changed = times_of(table)
    wanted = {*table.primary_key, created, changed, DELETED_AT}
    rows = file.read(columns=[name for name in file.schema_arrow.names if name in wanted])
    if DELETED_AT in rows.column_names:
        rows = rows.filter(pc.is_null(rows.column(DELETED_AT)))
    keys = pa.table({name: rows.column(name).fill_null(pa.scalar("")) for name in table.primary_key})
    if waiting:
        kept = pc.invert(are_marks(keys, table))
        rows, keys = rows.filter(kept), keys.filter(kept)
    size = rows.num_rows
    return pa.table(
        [
            flat(keys_of(keys, table.primary_key)),
            seconds_in(rows, created),
            seconds_in(rows, changed),
            pa.repeat(pa.scalar(month), size),
            pa.repeat(pa.scalar(waiting), size),
        ],
        schema=_SCHEMA,
    )


def times_of(table: Table) -> tuple[str | None, str | None]:
    """The columns with the time of creation and of the last change of a table's own rows, None where it has none."""
    names = table.schema.arrow.names
    created = "created_at" if "created_at" in names else None
    changed = None if table.is_child else table.version_field or table.cursor_field
    return created, changed or ("updated_at" if "updated_at" in names else None)


def seconds_in(rows: pa.Table, name: str | None) -> pa.Array:
    """A time column in whole unix seconds, rounded down; nulls where there is no such column."""
    if name is None or name not in rows.column_names:
        return pa.nulls(rows.num_rows, pa.int64())
    times: pa.Array = flat(rows.column(name)).cast(pa.timestamp("us"))
    seconds: pa.Array = pc.floor_temporal(times, unit="second").cast(pa.timestamp("s")).cast(pa.int64())
    return seconds


def _newest(rows: pa.Table) -> pa.Table:
    """One row for each key, the last that came, with the latest of their times of change."""
    placed = rows.append_column("_place", numbers(rows.num_rows).cast(pa.int64()))
    last = placed.group_by(KEY).aggregate([("_place", "max"), (CHANGED, "max")])
    kept = rows.take(flat(last.column("_place_max")))
    return kept.set_column(kept.schema.get_field_index(CHANGED), CHANGED, last.column(f"{CHANGED}_max"))


def rows_of(table: Table, lake_table: LakeTable, index: LakeIndex, keys: Sequence[str]) -> pa.Table:
    """Published rows of these keys in no order; none of files without the declared columns, or under other rules."""
    declared = table.schema.arrow
    if not has_columns(table, index):
        return declared.empty_table()
    asked = pa.array(keys, pa.string())
    held = index.at(index.places_of(asked).drop_null())
    by_month: dict[str, list[str]] = {}
    for key, month, waiting in zip(*(held.column(name).to_pylist() for name in (KEY, MONTH, WAITING)), strict=True):
        if not waiting:
            by_month.setdefault(month, []).append(key)
    found = [declared.empty_table()]
    for month, some in by_month.items():
        with lake_table.files.fetch(month) as path, open_parquet(path) as file:
            if file.schema_arrow.equals(declared):
                found += _among(table, file, pa.array(some, pa.string()))
    return pa.concat_tables(found)


def has_columns(table: Table, index: LakeIndex) -> bool:
    """Whether the table's files have the declared columns, under the declared rules."""
    return index.state.columns == table.schema and index.state.rewriting is None


def _among(table: Table, file: ParquetReader, keys: pa.Array) -> Iterator[pa.Table]:
    for batch in file.iter_batches(_ROWS_AT_A_TIME):
        own = pa.table({name: batch.column(name).fill_null("") for name in table.primary_key})
        chosen = pc.is_in(flat(keys_of(own, table.primary_key)), value_set=keys)
        rows = pa.Table.from_batches([batch]).filter(chosen)
        yield rows.filter(pc.is_null(rows.column(DELETED_AT))) if DELETED_AT in rows.column_names else rows


def without_our_times(table: Table) -> list[str]:
    """The declared columns that a record decides, and no run."""
    return [name for name in table.schema.arrow.names if name not in (INGESTED_AT, DELETED_AT)]
