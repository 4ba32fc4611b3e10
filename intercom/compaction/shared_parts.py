"""Staged parts with rows of several months, as small runs write them. Each is read once and divided by month."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Final

import pyarrow as pa

from intercom.compaction.damage import remove_damaged
from intercom.lake.parquet import is_damage, open_parquet
from intercom.lake.staging import ByMonth
from intercom.lake.table import LakeTable, StagedPart
from intercom.tables.table import Table

DIVIDED_BYTES: Final = 32 << 20
"""Most Arrow bytes of parts that are kept in memory; parts beyond that are read again for each month."""


@dataclass(frozen=True, slots=True)
class _Divided:
    """The rows of a part, sorted by month. `places` has their row numbers in the part; `months`: (first row, size)."""

    rows: pa.Table
    places: pa.Array
    months: dict[str, tuple[int, int]]


class SharedParts:
    """The rows of a table's shared parts by month. Any thread may ask.

    Raises LakeError for a damaged part, which is deleted: the next run then reads the table again.
    """

    def __init__(self, table: Table, lake_table: LakeTable, held_bytes: int = DIVIDED_BYTES) -> None:
        self._table, self._lake_table = table, lake_table
        self._held: dict[str, _Divided] = {}
        self._free_bytes = held_bytes
        self._lock = Lock()

    def has(self, path: str) -> bool:
        """Whether a staged part is shared by several months, judged by its path."""
        place = self._lake_table.paths.run_and_month(path)
        return self._table.month_field is not None and place is not None and place[1] is None

    def by_month(self, parts: Iterable[StagedPart]) -> dict[str, list[StagedPart]]:
        """Month -> the parts with rows of it, in their order; ``""`` is the month of a part without months."""
        found: dict[str, list[StagedPart]] = {}
        for part in parts:
            months = list(self._divided(part.path).months) if self.has(part.path) else [part.month or ""]
            for month in months:
                found.setdefault(month, []).append(part)
        return found

    def rows(self, path: str, month: str) -> pa.Table:
        """A month's rows of a part, in the order in which they were read, with the columns that the part has."""
        found = self._divided(path)
        rows = found.rows.slice(*found.months.get(month, (0, 0)))
        # A slice keeps the whole part in memory.
        return rows if path in self._held else rows.take(pa.array(range(rows.num_rows), pa.int64()))

    def places(self, path: str, month: str) -> pa.Array:
        """For each row of `rows(path, month)`: its row number in the part, which is the order of reading."""
        found = self._divided(path)
        return found.places.slice(*found.months.get(month, (0, 0)))

    def _divided(self, path: str) -> _Divided:
        with self._lock:
            found = self._held.get(path)
            if found is None:
                found = self._read(path)
                if found.rows.nbytes <= self._free_bytes:
                    self._held[path] = found
                    self._free_bytes -= found.rows.nbytes
            return found

    def _read(self, path: str) -> _Divided:
        with self._lake_table.lake.still_there(path), self._lake_table.lake.fetch(path) as local:
            try:
                self._lake_table.lake.own_parts.check(path, local)
                with open_parquet(local) as file:
                    rows = file.read(use_threads=False)
            except Exception as error:
                if not is_damage(error):
                    raise
                remove_damaged(self._table, self._lake_table, {path: local}, error)
                raise
        by_month = ByMonth(rows, str(self._table.month_field))
        months = {month: (first, size) for month, first, size in by_month.slices()}
        return _Divided(rows.take(by_month.order).combine_chunks(), by_month.order, months)
