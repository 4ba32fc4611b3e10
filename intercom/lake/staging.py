"""Staged parts: rows of a run that is still reading, kept in the lake outside the table until they are merged.

Rows are split by month of the table's partition field. When enough rows are held, months are written in the background.
So memory does not grow with the table, parts are not too small, and no page waits for the store. A run with too few
rows to be split writes one part with rows of all months, because a file costs more than the rows of a small run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from intercom.lake.layout import UNKNOWN_MONTH, TablePaths
from intercom.lake.parquet import ParquetFile
from intercom.lake.storage import Lake

SPLIT_BYTES = 4 << 20
"""Arrow bytes that are collected before they are split by month."""
WAITING_MONTHS_BYTES = 12 << 20
"""Arrow bytes of rows, split by month, that are held for more rows of their month."""
WRITING_BYTES = 16 << 20
"""Arrow bytes of parts that are being written to the store."""


class PartWriter:
    """Collects record batches of one table and run, and stages them as parts, numbered from `first` on.

    Each part has rows of one month. Exception: if the run has few rows and `one_part` is True, the first part may have
    rows of several months. The merge reads such a part as a whole, so only one of them may wait at a time.
    `keys` are columns that the lake keeps in memory for a merge by this process, see `own_parts`.

    Leaving the block without an exception waits until every part is durable; `parts` and `rows` are final then.
    With an exception, parts whose write has not begun are dropped. To be used by one thread.
    """

    def __init__(
        self,
        lake: Lake,
        paths: TablePaths,
        attempt: str,
        schema: pa.Schema,
        *,
        partition_field: str | None,
        keys: Sequence[str] = (),
        first: int = 0,
        one_part: bool = True,
        split_bytes: int = SPLIT_BYTES,
        held_bytes: int = WAITING_MONTHS_BYTES,
        writing_bytes: int = WRITING_BYTES,
    ) -> None:
        self.rows = 0
        self.parts = first
        """The number after the last durable part: all parts below it are in the lake."""
        self._lake, self._paths, self._attempt, self._schema = lake, paths, attempt, schema
        self._one_part, self._keys = one_part, list(keys)
        self._partition_field, self._split_bytes, self._held_bytes = partition_field, split_bytes, held_bytes
        self._writing_bytes = writing_bytes
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._held: dict[str | None, list[pa.Table]] = {}
        self._sizes: dict[str | None, int] = {}
        self._numbers = count(first)
        self._pool = ThreadPoolExecutor(lake.at_a_time, thread_name_prefix=f"stage-{paths.table}")
        self._writing: deque[tuple[Future[None], int]] = deque()
        self._checkpoints: deque[tuple[int, Callable[[int], None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a record batch of the table's schema; may block while earlier parts are still being written."""
        if batch.num_rows == 0:
            return
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._bytes >= self._split_bytes:
            self._split()
        self._settle(self._writing_bytes)

    def checkpoint(self, durable: Callable[[int], None]) -> None:
        """Write everything that was added; `durable` is called with the number of parts once all of it is in the lake.

        It is called by the thread that uses this writer, in `add`, `checkpoint`, `flush` or when the block ends.
        """
        self._write_all()
        self._checkpoints.append((self.parts + len(self._writing), durable))
        self._settle(self._writing_bytes)

    def flush(self) -> None:
        """Write everything that was added, and wait until it is durable."""
        self._write_all()
        self._settle(-1)

    def _split(self) -> None:
        batches, self._batches, self._bytes = self._batches, [], 0
        parts: Iterable[tuple[str | None, pa.Table]]
        if self._partition_field is None:
            parts = [(None, pa.Table.from_batches(batches, schema=self._schema))]
        else:
            parts = split_by_month(batches, self._partition_field)
        found_now: set[str | None] = set()
        for month, found in parts:
            self._held.setdefault(month, []).append(found)
            self._sizes[month] = self._sizes.get(month, 0) + found.nbytes
            found_now.add(month)
        while (size := sum(self._sizes.values())) > self._held_bytes:
            self._write(self._to_write(found_now, size))

    def _to_write(self, found_now: Set[str | None], size: int) -> str | None:
        """The month to write first: the largest, but of two that are not small the one that may be complete.

        A search is read in ranges of `created_at`. So a month that the newest rows are not of has come to its end more
        often than not, and one part has all of it.
        """
        small = size / len(self._sizes) / 2
        return max(
            self._sizes,
            key=lambda month: (month not in found_now and self._sizes[month] >= small, self._sizes[month]),
        )

    def _write_all(self) -> None:
        if self._one_part and self._batches and not self._held and not self.parts and not self._writing:
            rows = pa.Table.from_batches(self._batches, schema=self._schema)
            self._batches, self._bytes = [], 0
            self._start(self._one_month(rows), rows, rows.nbytes)
        if self._batches:
            self._split()
        for month in list(self._held):
            self._write(month)

    def _one_month(self, rows: pa.Table) -> str | None:
        """The month of all these rows; None if they have several months or the table has no months."""
        months = [] if self._partition_field is None else ByMonth(rows, self._partition_field).months
        return months[0] if len(months) == 1 else None

    def _write(self, month: str | None) -> None:
        self._start(month, pa.concat_tables(self._held.pop(month)), self._sizes.pop(month))

    def _start(self, month: str | None, rows: pa.Table, size: int) -> None:
        """Write a part in the background, once the parts being written leave room for its `size` (Arrow bytes)."""
        self._settle(self._writing_bytes - size)
        self._writing.append((self._pool.submit(self._stage, next(self._numbers), month, rows), size))

    def _settle(self, most: int) -> None:
        """Wait until at most `most` Arrow bytes are being written (-1: no part at all), and count finished parts."""
        while self._writing and (self._writing[0][0].done() or sum(size for _, size in self._writing) > most):
            self._writing[0][0].result()
            self._writing.popleft()
            self.parts += 1
        while self._checkpoints and self._checkpoints[0][0] <= self.parts:
            parts, durable = self._checkpoints.popleft()
            durable(parts)

    def _stage(self, number: int, month: str | None, rows: pa.Table) -> None:
        with self._lake.scratch() as path:
            with ParquetFile(path, self._schema, self._attempt, dictionaries=False) as file:
                file.write(rows)
            part = self._paths.part(self._attempt, month, number)
            self._lake.own_parts.note(part, path, self._attempt, rows.select(self._keys))  # before its file is moved
            self._lake.publish(path, part, rows=rows.num_rows, wrote=file.written)


class ByMonth:
    """Rows sorted by the UTC month of a time column; within a month they keep their order.

    `months` are ``YYYY-MM``, or ``unknown`` for rows without the time. `order` has the row numbers, month after month.
    """

    def __init__(self, rows: pa.Table, partition_field: str) -> None:
        begins = pc.floor_temporal(rows.column(partition_field), unit="month").combine_chunks()
        self.order = pc.sort_indices(begins)
        runs = pc.run_end_encode(begins.take(self.order).cast(pa.int64()))  # type: ignore[attr-defined, unused-ignore]
        self.months = [_month(begin) for begin in runs.values.cast(begins.type).to_pylist()]
        self._ends = runs.run_ends.to_pylist()

    def slices(self) -> Iterator[tuple[str, int, int]]:
        """For each month: (month, index in `order` of its first row, number of rows)."""
        for month, first, end in zip(self.months, [0, *self._ends], self._ends, strict=False):
            yield month, first, end - first


def split_by_month(batches: list[pa.RecordBatch], partition_field: str) -> Iterator[tuple[str, pa.Table]]:
    """``(YYYY-MM, rows)`` for each month of a time in UTC; ``unknown`` for rows without one. The list is emptied.

    Rows of several months are copied, so that the memory of one month can be freed while others are kept.
    """
    rows = pa.Table.from_batches(batches)
    batches.clear()  # after this the rows are in memory once, and each month's once more
    found = ByMonth(rows, partition_field)
    if len(found.months) <= 1:
        yield from [(month, rows) for month in found.months]
        return
    rows = rows.combine_chunks()
    for month, first, size in found.slices():
        yield month, rows.take(found.order.slice(first, size))


def _month(begin: datetime | None) -> str:
    return UNKNOWN_MONTH if begin is None else f"{begin.year:04d}-{begin.month:02d}"  # not every platform pads %Y
