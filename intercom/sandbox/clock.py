"""The workspace's clock: it may start at any second, runs with real time from there, and can be moved on."""

from __future__ import annotations

import time


class Clock:
    """Unix time with an offset against the machine's."""

    def __init__(self, start: float | None = None) -> None:
        self._offset = 0.0
        if start is not None:
            self.set(start)

    def time(self) -> float:
        return time.time() + self._offset

    def set(self, unix_second: float) -> None:
        self._offset = unix_second - time.time()

    def advance(self, seconds: float) -> None:
        self._offset += seconds
