"""The rate limit: fixed windows on the workspace's clock (developer pages: "Rate limiting").

The quota per minute is divided into 10-second windows, and the headers give the numbers of the current window.
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
        """Number of a window -> requests in it that were not refused with 429."""

    def take(self) -> Allowance:
        """Take one request from the current window; a refused request does not count."""
        with self._lock:
            self._roll()
            allowed = self._used < self.limit
            self._used += allowed
            self.let_through[self._window] = self.let_through.get(self._window, 0) + allowed
            # Whole seconds, as in the header, rounded up: not before the window ends.
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
