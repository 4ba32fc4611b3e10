"""How many rows a slice of a search should have, from the seconds that a page takes and the rate limit. Pure.

Every slice costs extra requests: its count, and a last page that is partly filled. Small slices save time: the pages of
one slice are read one after the other, however many requests the rate limit allows. Where pages come quickly, or where
a few requests in flight use up the rate limit, large slices are as fast as small ones.
"""

from __future__ import annotations

from dataclasses import dataclass

_SLICE_SECONDS = 4.5
"""Seconds in which the pages of one slice should be read."""
_FEWEST_PAGES = 8
"""Pages of a slice, at least. With fewer, one request in five would be overhead of the slice."""
_SPARE = 1.5
"""Slices for each request in flight, so that some are left when others have ended."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What limits a search: seconds that a full page takes, requests that are allowed a second, and at a time."""

    page_seconds: float
    allowed_per_second: float
    most_in_flight: int

    @property
    def in_flight(self) -> float:
        """Requests in flight that use the rate limit up, by Little's law, or as many as there may be; at least one."""
        return max(1.0, min(self.most_in_flight, self.allowed_per_second * self.page_seconds))


def slice_rows(rows: int, per_page: int, pace: Pace, most: int) -> int:
    """Rows that a slice should have in a search of so many rows, in pages of `per_page`; never more than `most`."""
    by_latency = min(most, _SLICE_SECONDS / max(pace.page_seconds, 1e-6))
    by_rate = rows / per_page / (_SPARE * pace.in_flight)
    return max(1, min(most, int(per_page * max(_FEWEST_PAGES, by_latency, by_rate))))
