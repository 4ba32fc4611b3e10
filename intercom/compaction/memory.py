"""A memory budget for work that goes on at the same time, counted in bytes; who finds none free waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import pyarrow as pa


class MemoryBudget:
    """At most `limit` bytes at a time; work that would take more than all of them is done alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._changed = Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Waits until there is room for `size` bytes, and keeps it for the time of the block.

        What Arrow's pool holds back is given to the system then: a pool grows with each thread that used it.
        """
        size = min(size, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._limit)
            self._taken += size
        try:
            yield
        finally:
            pa.default_memory_pool().release_unused()
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
