"""The rate limit: fixed windows on the workspace's clock (developer pages: "Rate limiting").

The minute's quota is dealt out over 10-second windows, and the headers tell the window's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Allowance:
    """One request's place in its window."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimit:
    """Counts the requests of the current window; thread-safe."""

    def __init__(self, clock: Callable[[], float], limit: int, window_seconds: float) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self._clock = clock
        self._lock = Lock()
        self._window = -1
        self._used = 0
        self.let_through: dict[int, int] = {}
        """Requests that were answered with something else than 429, by the number of their window."""

    def take(self) -> Allowance:
        """Take one request from the window; a refused one costs nothing."""
        with self._lock:
            self._roll()
            allowed = self._used < self.limit
            self._used += allowed
            self.let_through[self._window] = self.let_through.get(self._window, 0) + allowed
            # Whole seconds, as the header has them: never before the window really ends.
            reset = math.ceil((self._window + 1) * self.window_seconds)
            return Allowance(allowed, self.limit, max(0, self.limit - self._used), reset)

    def use(self, requests: int) -> None:
        """Requests by other apps of the workspace."""
        with self._lock:
            self._roll()
            self._used += requests

    def _roll(self) -> None:
        window = math.floor(self._clock() / self.window_seconds)
        if window != self._window:
            self._window, self._used = window, 0
