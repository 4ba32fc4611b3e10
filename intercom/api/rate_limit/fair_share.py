"""What others take from the same quota, and how fast to go beside them: without clock, threads or sleep.

The server's count of a window, less our own requests in it, is what others have taken: other apps, or other processes
of ours. All on one token see the same count, so that they share it without knowing of each other. Each holds what all
have sent in ten seconds below the limit, lets a little of its own pace go, and takes a part of what is free: that comes
to about the same share for all who want one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

WINDOW_SECONDS = 10.0
# Of the limit: who takes less is no match for us, and the server's count alone keeps room for it, at full speed. Not
# before it is known how much others take: of those that begin together each seems small at first.
_SMALL = 0.1
_KNOWN_SECONDS = 2 * WINDOW_SECONDS
_LOST = 1  # so many may be our own, which went missing on their way
# Shares of the limit: what others have sent is known an answer's time later, and at the turn of a window not all of it.
_RESERVE = 0.05
_KEPT = 0.8  # of the own pace. What is let go is free for all, so that shares even out
# What is free is taken over some answers' time, else all would see it and take it at once; by four at most.
_SHORTEST_SECONDS, _LATENCIES = 1.5, 5.0
_TAKERS = 4
_SMOOTHING = 0.1
_LATELY_SECONDS = 2.0


class _Count:
    """Requests in one window of the server's quota."""

    def __init__(self) -> None:
        self.used = self.own = self.others = 0


class FairShare:
    """Counts what others take. Times are local seconds that never run backwards."""

    def __init__(self) -> None:
        self._windows: dict[int, _Count] = {}  # by reset, the two newest
        self._taken: deque[tuple[float, int]] = deque()  # when we knew of it, how many; in the last ten seconds
        self._sum = 0
        self._latency = 0.0
        self._since = 0.0

    def counted(self, reset: int, used: int, *, own: bool, unsure: int, sent: float, now: float) -> None:
        """The server has counted `used` requests in the window that ends at `reset`.

        `own`: the one that left at `sent` is among them; `unsure`: so many of ours may be, which have not come back.
        """
        if not self._windows:
            self._since, self._latency = now, now - sent
        # What was used before we came says nothing of who is here now, and was no part of what we could know.
        before = all(reset < window for window in self._windows)
        self._latency += _SMOOTHING * (now - sent - self._latency)
        count = self._windows.setdefault(reset, _Count())
        while len(self._windows) > 2:
            del self._windows[min(self._windows)]
        count.own += own
        count.used = max(count.used, used)
        more = count.used - count.own - unsure - count.others
        if more > 0:
            count.others += more
            if not before:
                self._sum += more
                self._taken.append((now, more))

    def wait(self, limit: int, sent: Sequence[float], in_flight: int, now: float) -> float:
        """Seconds until a request may leave beside others; 0.0 when there are none, or few requests of theirs.

        `limit` is everybody's in ten seconds; `sent`: when our own of the last ten seconds left, ascending.
        """
        while self._taken and self._taken[0][0] <= now - WINDOW_SECONDS:
            self._sum -= self._taken.popleft()[1]
        if self._sum <= (_SMALL * limit if now - self._since > _KNOWN_SECONDS else _LOST):
            return 0.0
        own, reserve = len(sent), _RESERVE * limit
        free = limit - reserve - own - self._sum - in_flight - self._unseen(limit, now)
        pace = _KEPT * own / WINDOW_SECONDS * min(1.0, 1.0 + free / reserve)
        part = min(1.0, _TAKERS * max(own / (own + self._sum), 1.0 / _TAKERS**2))
        pace += part * max(0.0, free) / max(_SHORTEST_SECONDS, _LATENCIES * self._latency)
        if pace <= 0.0:
            return WINDOW_SECONDS
        return max(0.0, (sent[-1] if sent else self._since) + 1.0 / pace - now)

    def _unseen(self, limit: int, now: float) -> float:
        """Requests of others that we cannot know of: those on their way, and those from before we came.

        Who comes late to others takes it that they had used all.
        """
        before = (WINDOW_SECONDS - (now - self._since)) / WINDOW_SECONDS * limit
        lately = sum(n for _, n in takewhile(lambda one: one[0] > now - _LATELY_SECONDS, reversed(self._taken)))
        return max(before, lately / _LATELY_SECONDS * self._latency)
