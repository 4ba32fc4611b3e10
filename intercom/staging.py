"""Staged parts: rows of a run that is still reading, kept in the lake outside the table until they are merged.

Rows are collected up to a number of bytes, split by month of ``created_at`` and written in the background, so that
memory does not grow with the table and no page waits for the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from intercom.lake import Lake
from intercom.parquet import ParquetFile
from intercom.paths import UNKNOWN_MONTH, TablePaths

FLUSH_BYTES = 32 << 20
"""Arrow bytes that are collected before parts are written."""

_FLUSHES_IN_FLIGHT = 2
_UPLOADS = 4


class PartWriter:
    """Collects record batches of one table and run, and stages them as parts.

    Leaving the block without an exception waits until every part is durable; `parts` and `rows` count them then.
    With an exception, parts that are not yet on their way are dropped: the run is not committed anyway.
    """

    def __init__(
        self, lake: Lake, paths: TablePaths, run_id: str, schema: Any, *, by_month: bool, flush_bytes: int = FLUSH_BYTES
    ) -> None:
        self.parts = 0
        self.rows = 0
        self._lake, self._paths, self._run_id, self._schema = lake, paths, run_id, schema
        self._by_month, self._flush_bytes = by_month, flush_bytes
        self._batches: list[Any] = []
        self._bytes = 0
        self._numbers = count()
        self._pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix=f"stage-{paths.table}")
        self._flushes: deque[list[Future[None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
                self._wait(until=0)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, batch: Any) -> None:
        """Take a record batch of the table's schema; may block while earlier parts are still being written."""
        if batch.num_rows == 0:
            return
        self._batches.append(batch)
        self._bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._bytes >= self._flush_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._batches:
            return
        rows = pa.Table.from_batches(self._batches, schema=self._schema)
        self._batches, self._bytes = [], 0
        months = split_by_month(rows) if self._by_month else iter([(None, rows)])
        self._flushes.append([self._pool.submit(self._write, next(self._numbers), *month) for month in months])
        self._wait(until=_FLUSHES_IN_FLIGHT - 1)

    def _wait(self, *, until: int) -> None:
        while len(self._flushes) > until:
            for written in self._flushes.popleft():
                written.result()
                self.parts += 1

    def _write(self, number: int, month: str | None, rows: Any) -> None:
        with self._lake.scratch() as path:
            with ParquetFile(path, self._schema, self._run_id) as file:
                file.write(rows)
            self._lake.publish(path, self._paths.part(self._run_id, month, number), rows=rows.num_rows)


def split_by_month(rows: Any) -> Iterator[tuple[str, Any]]:
    """``(YYYY-MM, rows)`` for each month of ``created_at`` in UTC; ``unknown`` for rows without one."""
    created = rows.column("created_at")
    months = pc.strftime(created, format="%Y-%m").fill_null(UNKNOWN_MONTH)
    distinct = pc.unique(months).to_pylist()
    if len(distinct) == 1:
        yield distinct[0], rows
        return
    for month in sorted(distinct):
        yield month, rows.filter(pc.equal(months, month))
