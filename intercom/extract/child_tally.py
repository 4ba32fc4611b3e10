"""Counts what became of the parents whose children were asked for, and says it at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intercom.extract.child_answers import Verdict
from intercom.tables.table import Table


@dataclass(slots=True)
class ChildTally:
    """Parents of a child table: `asked` for their children, or `unchanged` since their last read and not asked for.

    Of those asked, `gone` were not there any more; see `intercom.extract.child_answers` for the others. Answers of
    `untold` have no mark, so they do not say which stored children are gone.
    """

    asked: int = 0
    unchanged: int = 0
    gone: int = 0
    cut: int = 0
    fewer: int = 0
    short: int = 0
    untold: int = 0

    def count(self, verdict: Verdict) -> None:
        """Count a parent by how much of its children came."""
        self.cut += verdict is Verdict.CUT
        self.fewer += verdict is Verdict.FEWER
        self.short += verdict is Verdict.SHORT

    def notes(self, table: Table) -> Iterator[str]:
        """Lines on what is not as it should be."""
        if self.short:
            yield (
                f"{table.name}: for {_parents(table, self.short)} two answers had fewer rows than they count, or "
                "differed. What came was merged, and nothing was removed"
            )

    def hints(self, table: Table) -> Iterator[str]:
        """Lines on what is only worth knowing."""
        if table.parent is None:
            return
        if self.cut:
            yield (
                f"{table.name}: {_parents(table, self.cut)} had {table.parent.most} rows or more, and Intercom gives "
                f"the newest {table.parent.most} only; older ones stay as earlier runs have read them"
            )
        if self.fewer:
            yield (
                f"{table.name}: for {_parents(table, self.fewer)} fewer rows came than "
                f"{'.'.join(table.parent.counted_by)} says, twice the same; none that is older than these was removed"
            )
        if self.gone:
            yield (
                f"{table.name}: {_parents(table, self.gone)} had gone when the rows were asked for; what the lake has "
                "of them stays"
            )


def _parents(table: Table, number: int) -> str:
    """``1 of the conversations``."""
    assert table.parent is not None
    return f"{number:,} of the {table.parent.table.name}"
