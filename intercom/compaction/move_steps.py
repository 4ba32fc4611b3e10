"""Orders a compaction that moves rows between months in steps that never show a row twice. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from intercom.compaction.moved_rows import Moves
from intercom.compaction.publish import MergeWork, PartitionResult, PartitionWork


def in_steps(
    work: MergeWork, moves: Moves, published: Mapping[str, str], *, together: bool
) -> tuple[MergeWork, MergeWork | None]:
    """The work with the moves in it: what is published first, and what once all of that is there; None: nothing.

    First come all months but those that only gain rows, each without what it gains; then those that gain. Where a
    format shows all months `together` there is one step. `published` are the months' stamps.
    """
    met = {month.month for month in work.months}
    untouched = [
        PartitionWork(month, (), stored=published[month], size=0) for month in moves.evicted if month not in met
    ]
    months = [
        replace(
            month,
            left_out=moves.left_out.get(month.month, ()),
            evicted=moves.evicted.get(month.month, ()),
        )
        for month in (*work.months, *untouched)
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
    """A second step of work, after the first one had these outcomes: what it left of months that it published, too."""

    def left(month: PartitionWork) -> PartitionWork:
        if month.month not in outcomes:
            return month
        partition = outcomes[month.month].partition
        stamp = None if partition is None else partition.stamp
        return replace(month, stored=stamp, evicted=(), discarded=False, footer="")

    return replace(work, months=tuple(map(left, work.months)))


def both(first: PartitionResult | None, second: PartitionResult) -> PartitionResult:
    """The outcome of two steps of one month; each staged row is counted by what the steps together have made of it."""
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
    """A row that came from another month is no new one: it has changed."""
    counts = outcome.counts
    return replace(outcome, counts=replace(counts, new=counts.new - gained, changed=counts.changed + gained))
