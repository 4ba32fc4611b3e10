"""A search index that lags: it shows each change of a table some time after it was made."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from intercom.sandbox.records import Record, RecordTable


class LaggingIndex:
    """A table as its search shows it, ``seconds`` later; the caller holds the workspace's lock.

    Records that were removed stay in it as long, too. It is the table itself until a lag is set. Where the lag is made
    shorter, later changes are shown before earlier ones, but never an older version of a record after a newer one.
    """

    def __init__(self, table: RecordTable, time: Callable[[], float]) -> None:
        self._table, self._time = table, time
        self._seconds = 0.0
        self._shown = table
        self._numbers = count()
        self._due: list[tuple[float, int, str, Record | None]] = []
        self._newest: dict[str, int] = {}
        """Number of the latest change of a record that was shown."""

    @property
    def seconds(self) -> float:
        """How long a change that is made now stays unseen."""
        return self._seconds

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._seconds = seconds
        if self._shown is self._table:
            self._shown = RecordTable()
            for record in self._table:
                self._shown.put(record)
            self._table.follow(self._changed)

    def shown(self) -> RecordTable:
        """The records that a search finds now."""
        while self._due and self._due[0][0] <= self._time():
            _, number, key, record = heappop(self._due)
            if number < self._newest.get(key, -1):
                continue
            self._newest[key] = number
            if record is not None:
                self._shown.put(record)
            elif key in self._shown:
                self._shown.remove(key)
        return self._shown

    def _changed(self, key: str, record: Record | None) -> None:
        heappush(self._due, (self._time() + self._seconds, next(self._numbers), key, record))
