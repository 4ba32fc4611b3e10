"""Puts what was found across months into the work of each month: rows that are stale, and rows that move.

A compaction that moves rows is divided into steps, so that no reader finds a row twice. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from intercom.compaction.moved_rows import Moves
from intercom.compaction.publish import MergeWork, PartitionResult, PartitionWork
from intercom.compaction.stale_children import Stale


def without_stale(work: MergeWork, stale: Stale, published: Mapping[str, str]) -> MergeWork:
    """The work that leaves out and removes stale rows, also of months without staged rows.

    `published` maps months to the stamps of their files.
    """
    months = [
        replace(month, left_out=stale.staged.get(month.month, ()), stale=stale.stored.get(month.month, ()))
        for month in (*work.months, *_untouched(work, stale.stored, published))
    ]
    return replace(work, months=tuple(months))


def in_steps(
    work: MergeWork, moves: Moves, published: Mapping[str, str], *, together: bool
) -> tuple[MergeWork, MergeWork | None]:
    """The work of both steps, including the moves; the second step is None if one step is enough.

    The first step has all months except those that only gain rows, and no month gets its gained rows. The second step
    has the months that gain rows. A format that shows all months `together` needs one step. `published` maps months to
    the stamps of their files.
    """
    months = [
        replace(
            month,
            left_out=(*month.left_out, *moves.left_out.get(month.month, ())),
            evicted=moves.evicted.get(month.month, ()),
        )
        for month in (*work.months, *_untouched(work, moves.evicted, published))
    ]
    if together or not moves.gained:
        return replace(work, months=tuple(months)), None
    first = [
        replace(month, left_out=(*month.left_out, *moves.gained.get(month.month, ())))
        for month in months
        if month.month not in moves.gained or month.evicted
    ]
    then = [month for month in months if month.month in moves.gained]
    return replace(work, months=tuple(first)), replace(work, months=tuple(then))


def after(work: MergeWork, outcomes: Mapping[str, PartitionResult]) -> MergeWork:
    """The second step, with the stored files of its months as the first step has left them."""

    def left(month: PartitionWork) -> PartitionWork:
        if month.month not in outcomes:
            return month
        partition = outcomes[month.month].partition
        stamp = None if partition is None else partition.stamp
        return replace(month, stored=stamp, evicted=(), stale=(), discarded=False, recorded=None)

    return replace(work, months=tuple(map(left, work.months)))


def _untouched(work: MergeWork, concerned: Iterable[str], published: Mapping[str, str]) -> list[PartitionWork]:
    """Work on the months that are concerned and have no staged rows."""
    met = {month.month for month in work.months}
    return [PartitionWork(month, (), stored=published[month], size=0) for month in concerned if month not in met]


def both(first: PartitionResult | None, second: PartitionResult) -> PartitionResult:
    """The combined result of both steps for one month; each staged row is counted once."""
    if first is None:
        return second
    one, two = first.counts, second.counts
    new, changed = one.new + two.new, one.changed + two.changed
    counts = replace(
        two,
        new=new,
        changed=changed,
        unchanged=two.new + two.changed + two.unchanged - new - changed,
        removed=one.removed + two.removed,
        files=max(one.files, two.files),
    )
    return replace(second, counts=counts, added=second.added or first.added)


def counted_as_changed(outcome: PartitionResult, gained: int) -> PartitionResult:
    """The result, with the `gained` rows from other months counted as changed instead of new."""
    counts = outcome.counts
    return replace(outcome, counts=replace(counts, new=counts.new - gained, changed=counts.changed + gained))
