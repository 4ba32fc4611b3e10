"""How many rows a merge left, added, changed and removed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Row counts of a merge, each primary key counted once, and the number of `files` it wrote. They can be added.

    `rows` is the number of rows in the new file, or in the old file if none was written. Evicted rows, staged rows
    that were left out, and marks are in none of the other counts.
    """

    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    files: int = 0

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(
            rows=self.rows + other.rows,
            new=self.new + other.new,
            changed=self.changed + other.changed,
            unchanged=self.unchanged + other.unchanged,
            removed=self.removed + other.removed,
            files=self.files + other.files,
        )
