"""Row counts that decide when a search is split into slices and when a checkpoint is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Numbers of rows above which splitting a search, or writing a checkpoint, is worth its cost.

    `smallest_slice`: a search of at most this many rows is not split, because each slice costs requests: its count and
    its partly filled last page. A longer search may have smaller slices where pages are slow (`slice_rows`).
    `between_checkpoints`: a checkpoint is due after this many rows, even if the time between two has not passed.
    """

    smallest_slice: int = 34 * 150
    between_checkpoints: int = 100_000

    def is_long(self, rows: float) -> bool:
        """Whether a search of so many rows is worth splitting."""
        return rows > self.smallest_slice


DEFAULT_LIMITS = ReadLimits()
