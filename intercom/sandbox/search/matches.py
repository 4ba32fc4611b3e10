"""The records that match a condition, in the order of a search; a condition on times alone needs no full scan.

A workspace may have a million contacts, and a reader that plans its windows requests many counts. So the ends of a span
of times are found by bisection in the view sorted by that time.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice

from intercom.sandbox.records import Position, RecordTable, position
from intercom.sandbox.search.query import Check, Condition, Group, Span

INDEXED = ("updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Matches:
    """``positions[low:high]``, ascending. ``total`` counts all matches, also if only the first ones are here."""

    positions: list[Position]
    low: int
    high: int
    total: int

    @classmethod
    def whole(cls, positions: list[Position]) -> Matches:
        return cls(positions, 0, len(positions), len(positions))


def quick_matches(table: RecordTable, condition: Condition, sort: str) -> Matches | None:
    """All matches, if they are one contiguous stretch of a sorted view; else None."""
    if sort not in INDEXED:
        return None
    if isinstance(condition, Group) and not condition.every:
        return _widest(table, condition, sort)
    stretch = _stretch_of(condition, sort)
    return None if stretch is None else stretch.matches(table)


def first_matches(
    table: RecordTable, condition: Condition, sort: str, *, descending: bool, most: int
) -> Matches | None:
    """The first matches and the count of all, if scanning in sort order is faster than sorting; else None."""
    stretch = next((stretch for field in INDEXED if (stretch := _stretch_of(condition, field))), None)
    if stretch is None:
        return None
    order, total = table.order(sort, stretch.ending), stretch.matches(table).total
    if total * total < most * len(order):
        return None
    span, column = stretch.span, table.column(stretch.span.path)
    hits = (place for place in (reversed(order) if descending else order) if span.holds(column[place[2]]))
    positions = list(islice(hits, most))
    return Matches(positions[::-1] if descending else positions, 0, len(positions), total)


def all_matches(table: RecordTable, condition: Condition, sort: str) -> Matches:
    """All matches, found by testing the records of the narrowest stretch that contains them."""
    parts = _flat(condition)
    ending = next((part.ending[-1] for part in parts if isinstance(part, Check) and part.ending), "")
    stretches = [_Stretch(part, ending) for part in parts if isinstance(part, Span) and part.path in INDEXED]
    found = [(stretch.matches(table), stretch.span.path) for stretch in stretches]
    narrowest, path = min(found, key=lambda pair: pair[0].total, default=(None, sort))
    candidates = narrowest.positions[narrowest.low : narrowest.high] if narrowest else table.order(sort, ending)
    kept = _kept(table, condition, candidates)
    return Matches.whole(kept if path == sort else sorted(position(table[key].value(sort), key) for _, _, key in kept))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A span of one indexed time, of all records or of those whose id ends with this character."""

    span: Span
    ending: str = ""

    def matches(self, table: RecordTable) -> Matches:
        order = table.order(self.span.path, self.ending)
        # A time that is null has rank 0, in front of every bound.
        low, high = (bisect_left(order, (1, bound, "")) for bound in (self.span.low, self.span.high))
        return Matches(order, low, max(low, high), max(0, high - low))


def _stretch_of(condition: Condition, field: str) -> _Stretch | None:
    """The condition as one stretch by this field; None if it is more than that."""
    parts = _flat(condition)
    spans = [part for part in parts if isinstance(part, Span) and part.path == field]
    endings = [part.ending for part in parts if isinstance(part, Check) and len(part.ending) == 1]
    if not spans or len(endings) > 1 or len(spans) + len(endings) < len(parts):
        return None
    span = Span(field, max(span.low for span in spans), min(span.high for span in spans))
    return _Stretch(span, *endings)


def _flat(condition: Condition) -> list[Condition]:
    """Conditions that all have to hold: the parts of AND groups, one by one."""
    if isinstance(condition, Group) and condition.every:
        return [leaf for part in condition.parts for leaf in _flat(part)]
    return [condition]


def _widest(table: RecordTable, either: Group, sort: str) -> Matches | None:
    """The matches, if one of several OR conditions is a stretch that has the matches of all others; else None."""
    stretches = [stretch.matches(table) for part in either.parts if (stretch := _stretch_of(part, sort)) is not None]
    if not stretches:
        return None
    widest = max(stretches, key=lambda stretch: stretch.total)
    order = table.order(sort)
    return None if _kept(table, either, order[: widest.low] + order[widest.high :]) else widest


def _kept(table: RecordTable, condition: Condition, places: list[Position]) -> list[Position]:
    """The places whose records match the condition, in the same order."""
    if not places:
        return places
    if isinstance(condition, Group):
        if condition.every:
            for part in condition.parts:
                places = _kept(table, part, places)
            return places
        keys = {key for part in condition.parts for _, _, key in _kept(table, part, places)}
        return [place for place in places if place[2] in keys]
    holds = condition.holds
    if condition.path == "id":
        return [place for place in places if holds(place[2])]
    column = table.column(condition.path)
    return [place for place in places if holds(column[place[2]])]
