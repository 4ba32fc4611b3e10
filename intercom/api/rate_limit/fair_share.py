"""Fair share of a rate limit that other clients use too. Pure: time is passed in.

The server's count of a rate window, less our own requests in it, is what others have sent: other apps, or other
processes of ours. All clients on one token see the same count, so that they share the quota without knowing of each
other. Each client keeps the requests of all in ten seconds below the limit, gives up a little of its own pace, and
takes a part of what is free. That gives about the same share to all clients that want one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

QUOTA_SECONDS: Final = 10.0
"""Intercom deals its limit out over so many seconds."""
# Share of the limit up to which others are ignored: the server's count keeps room for them, and we go at full speed.
# Not before others have been watched for some time: of clients that begin together each seems small at first.
_SMALL = 0.1
_KNOWN_SECONDS = 2 * QUOTA_SECONDS
_LOST = 1  # requests that may be our own, lost on their way
# Share of the limit that stays free: requests of others are known one latency later, at the turn of a window not all.
_RESERVE = 0.05
_KEPT = 0.8  # share of the own pace that is kept; the rest is free for all, so that shares even out
# What is free is taken over some time, in seconds at least and in latencies: else all clients would see it and take it
# at once.
_SHORTEST_SECONDS, _LATENCIES = 1.5, 5.0
_TAKERS = 4  # clients that may take it at the same time
_SMOOTHING = 0.1  # weight of a new latency in the mean
_LEAST_SECONDS = 3.0  # of a window, at least, from which a rate is told
_RECENT_SECONDS = 2.0  # requests of others in this time tell their present rate


class _Count:
    """Requests in one rate window."""

    def __init__(self) -> None:
        self.used = self.own = self.others = 0


class FairShare:
    """Counts the requests of other clients. Times are local seconds that never run backwards."""

    def __init__(self) -> None:
        self._windows: dict[int, _Count] = {}  # by reset, the two newest
        self._taken: deque[tuple[float, int]] = deque()  # when it was known, how many; of the last ten seconds
        self._sum = 0
        self._latency = 0.0
        self._since = 0.0

    def counted(self, reset: int, used: int, *, own: bool, unsure: int, sent: float, now: float) -> None:
        """Report that the server has counted `used` requests in the window that ends at `reset` (its unix second).

        `own`: our request that left at `sent` is among them. `unsure`: as many more of ours may be, not answered yet.
        """
        if not self._windows:
            self._since, self._latency = now, now - sent
        # Requests in the first window that we see, or an older one, say nothing about who sends now.
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

    def others(self, seconds: float) -> int:
        """Requests of other clients per ten seconds, of the one or two newest windows; the last began `seconds` ago.

        Of a window that has just begun little is known, so its first seconds count as some seconds.
        """
        if not self._windows:
            return 0
        seconds = min(max(seconds, _LEAST_SECONDS), QUOTA_SECONDS) + QUOTA_SECONDS * (len(self._windows) - 1)
        return round(QUOTA_SECONDS * sum(count.others for count in self._windows.values()) / seconds)

    def wait(self, limit: int, sent: Sequence[float], in_flight: int, now: float) -> float:
        """Seconds until our next request may leave; 0.0 without others, or with few requests of theirs.

        `limit` is the quota of all clients in ten seconds. `sent`: when our own requests of the last ten seconds left,
        ascending. `in_flight`: how many of ours have no answer yet.
        """
        while self._taken and self._taken[0][0] <= now - QUOTA_SECONDS:
            self._sum -= self._taken.popleft()[1]
        if self._sum <= (_SMALL * limit if now - self._since > _KNOWN_SECONDS else _LOST):
            return 0.0
        own, reserve = len(sent), _RESERVE * limit
        free = limit - reserve - own - self._sum - in_flight - self._unseen(limit, now)
        pace = _KEPT * own / QUOTA_SECONDS * min(1.0, 1.0 + free / reserve)
        part = min(1.0, _TAKERS * max(own / (own + self._sum), 1.0 / _TAKERS**2))
        pace += part * max(0.0, free) / max(_SHORTEST_SECONDS, _LATENCIES * self._latency)
        if pace <= 0.0:
            return QUOTA_SECONDS
        return max(0.0, (sent[-1] if sent else self._since) + 1.0 / pace - now)

    def _unseen(self, limit: int, now: float) -> float:
        """Estimated requests of others that are not known yet: those in flight, and those from before we began.

        A client that begins beside others assumes that they had used the whole quota.
        """
        before = (QUOTA_SECONDS - (now - self._since)) / QUOTA_SECONDS * limit
        recent = sum(n for _, n in takewhile(lambda one: one[0] > now - _RECENT_SECONDS, reversed(self._taken)))
        return max(before, recent / _RECENT_SECONDS * self._latency)
