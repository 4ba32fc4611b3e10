"""A bound on requests that holds for several tables or steps together, each try counted. Safe for any thread."""

from __future__ import annotations

from threading import Lock

from intercom.errors import RequestsSpentError


class Allowance:
    """So many requests may be sent, and no more; failed ones, and those that repeat them, count as well."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._spent = 0
        self._lock = Lock()

    @property
    def spent(self) -> int:
        """Requests that were sent."""
        return self._spent

    @property
    def left(self) -> int:
        """Requests that may still be sent."""
        return self.most - self._spent

    def take(self) -> None:
        """Count a request that is about to be sent. Raises RequestsSpentError when none is left."""
        with self._lock:
            if self._spent >= self.most:
                raise RequestsSpentError(self.most)
            self._spent += 1
