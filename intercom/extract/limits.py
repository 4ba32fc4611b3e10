"""Sizes by which a read is cut: into slices, and by checkpoints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Rows from which on something is worth its requests or its files.

    `smallest_slice`: a search of so many rows, or fewer, is not split, since counting a slice and its last, partly
    filled page cost requests too. The slices of a longer one may be smaller where pages are slow (`slice_rows`).
    `between_checkpoints`: after so many rows what is finished is written down, also before the time for it has come.
    """

    smallest_slice: int = 34 * 150
    between_checkpoints: int = 100_000

    def is_long(self, rows: float) -> bool:
        """Whether a search of so many rows is worth splitting."""
        return rows > self.smallest_slice


DEFAULT_LIMITS = ReadLimits()
