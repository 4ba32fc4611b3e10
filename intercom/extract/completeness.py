"""Completeness of a read: the rows received, compared with the rows that Intercom counts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from intercom.tables.owed import OwedParent


@dataclass(slots=True)
class Completeness:
    """Whether what was read of a table is all that Intercom counts; `notes` has a line for each shortfall.

    `is_cut`: rows may be missing of a list that has no count. `owed`: by key, parents that gave no usable answer when
    their children were asked for, and None for those that were owed until then; such a read is complete without them.

    A read that lacks up to 1 % of the counted rows is still complete: Intercom's index may count deleted records, which
    no request returns.
    """

    notes: list[str] = field(default_factory=list)
    counted: int = 0
    missing: int = 0
    is_cut: bool = False
    owed: dict[str, OwedParent | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether at most one in a hundred rows is missing."""
        return not self.is_cut and self.missing * 100 <= self.counted

    @property
    def owes(self) -> list[OwedParent]:
        """The parents that are owed."""
        return [one for one in self.owed.values() if one is not None]

    def add(self, other: Completeness) -> None:
        """Take over what was found about another part of the same table."""
        with self._lock:
            self.notes.extend(other.notes)
            self.counted += other.counted
            self.missing += other.missing
            self.is_cut |= other.is_cut
            self.owed |= other.owed

    def found(self, rows: int) -> None:
        """Note rows that were counted and found."""
        with self._lock:
            self.counted += rows

    def short(self, what: str, counted: int, found: int, reads: int, why: str = "") -> None:
        """Note that fewer rows were found than counted, in each of so many reads; `what` names table and window."""
        with self._lock:
            self.notes.append(f"{what}: Intercom counts {counted} rows, {found} were found in {reads} reads{why}")
            self.counted += counted
            self.missing += counted - found

    def cut(self, what: str, found: int, why: str) -> None:
        """Note that a list has ended after so many rows although it says that it goes on."""
        with self._lock:
            self.notes.append(f"{what}: rows beyond the {found} that were found may be missing: {why}")
            self.counted += found
            self.is_cut = True
