"""Parents whose children are owed, from run to run: which the table's record keeps, and what the summary says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from intercom.sync.time_text import shown_time
from intercom.tables.owed import OwedParent
from intercom.tables.table import Table


def still_owed(
    saved: Sequence[OwedParent],
    known: Sequence[OwedParent],
    found: Mapping[str, OwedParent | None],
    *,
    replaced: bool,
) -> tuple[OwedParent, ...]:
    """The parents that are owed after a run, by key.

    `found` is what the run has found out of parents, None: not owed any more. `known` were owed when the run began, and
    `saved` are when it ends: what another run has added meanwhile stays. `replaced`: nothing else that the table had
    before the run is in it any more.
    """
    begun = {one.key: one for one in known}
    kept = {one.key: one for one in saved if begun.get(one.key) != one or not (replaced or one.key in found)}
    kept |= {key: one for key, one in found.items() if one is not None}
    return tuple(kept[key] for key in sorted(kept))


def notes_on_owed(table: Table, owed: Sequence[OwedParent]) -> Iterator[str]:
    """A line on parents that are owed, with one that has been for longest."""
    if not owed:
        return
    assert table.parent is not None
    first = min(owed, key=lambda one: (one.since, one.key))
    parents = table.parent.table.name
    yield (
        f"{table.name}: {len(owed):,} of the {parents} gave no usable answer, since {shown_time(first.since)} UTC (id "
        f"{first.key}). What the lake has of their rows stays, and each run asks for them again"
    )
