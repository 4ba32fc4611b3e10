"""How a long search is split into slices that can be read at the same time.

Slices are counted before they are read, and the parts of one must hold at least as many rows as it has itself: where
they do not, it is read as it is. So an unknown way of comparing days, or rows that lack the field, cost time and never
a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from intercom.errors import RequestRejectedError
from intercom.windows import Bounds, Grid, Slice

log = logging.getLogger(__name__)

SMALLEST_ROWS = 34 * 150
"""A slice is not split below this: counting it and its last, partly filled page cost requests too."""
_LARGEST_ROWS = 100 * 150
_SLICES = 64  # about twice as many as are read at the same time, so that none is waited for in the end
_MOST_PARTS = 16
_HEX = "0123456789abcdef"
_ROLES = ("user", "lead")
_LONGEST_SUFFIX = 2

Count = Callable[[Sequence[Slice]], list[int]]
"""Rows of each slice. Raises RequestRejectedError when the API does not take such a search."""


def is_long(rows: float) -> bool:
    """Whether so many rows are worth splitting."""
    return rows > SMALLEST_ROWS


@dataclass(frozen=True, slots=True)
class Part:
    """A slice and the rows that were counted in it."""

    slice: Slice
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Slices of one search over `field` between the bounds `whole`, each to be read in the order of `sort_field`."""

    field: str
    sort_field: str
    whole: Bounds
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`; KeyError, TypeError or ValueError when it is none."""
        return cls(
            field=str(record["field"]),
            sort_field=str(record["sort_field"]),
            whole=Bounds(**record["whole"]),
            parts=tuple(Part(_slice(entry["slice"]), int(entry["rows"])) for entry in record["parts"]),
        )


@dataclass(frozen=True, slots=True)
class Splitter:
    """Splits one search. `lowest` and `highest` are seconds between which its rows are expected.

    `by_id`: slices of a single cell may be split by what their rows' ids end with, or by role (contacts).
    """

    grid: Grid
    lowest: int
    highest: int
    by_id: bool
    count: Count

    def split(self, rows: int) -> tuple[Part, ...]:
        """Slices that together hold the whole search of `rows` rows, each of some tens of pages, in order of time."""
        size = max(SMALLEST_ROWS, min(_LARGEST_ROWS, rows // _SLICES))
        done: list[Part] = []
        level = [Part(Slice(), rows)]
        while level:
            families = [(part, self._pieces(part, size)) for part in level]
            counted = iter(self.count([piece for _, pieces in families for piece in pieces]))
            level = []
            for part, pieces in families:
                parts = [Part(piece, next(counted)) for piece in pieces]
                children = self._checked(part, parts) if parts else self._by_id(part, size)
                level += [child for child in children if child != part and self._too_large(child, size)]
                done += [child for child in children if child == part or not self._too_large(child, size)]
        return tuple(_joined(sorted(done, key=_place), size))

    def _too_large(self, part: Part, size: int) -> bool:
        return part.rows > size + size // 2

    def _pieces(self, part: Part, size: int) -> list[Slice]:
        """Ranges of cells to count; none when the slice has one cell only or is narrowed already."""
        if part.slice.narrowed:
            return []
        wanted = min(_MOST_PARTS, max(2, -(-part.rows // size)))
        pieces = self.grid.cut(part.slice, self.lowest, self.highest, wanted)
        return pieces if len(pieces) > 1 else []

    def _checked(self, whole: Part, parts: list[Part]) -> list[Part]:
        """The parts when they hold what the whole holds; else the whole.

        Rows come and go while they are counted, so the whole is counted once more before the parts are given up.
        """
        found = sum(part.rows for part in parts)
        if found >= whole.rows or found >= self.count([whole.slice])[0]:
            return parts
        again = self.count([part.slice for part in parts])
        parts = [replace(part, rows=rows) for part, rows in zip(parts, again, strict=True)]
        found, expected = sum(again), self.count([whole.slice])[0]
        if found >= expected:
            return parts
        log.warning("the parts of a search hold %d rows of %d, so it is read in one piece", found, expected)
        return [whole]

    def _by_id(self, part: Part, size: int) -> list[Part]:
        """A slice of one cell by the ends of its rows' ids, or by role; as it is where these do not add up."""
        if not self.by_id:
            return [part]
        for pieces in _narrower(part.slice):
            try:
                parts = [Part(*both) for both in zip(pieces, self.count(pieces), strict=True)]
            except RequestRejectedError as refused:
                log.info("a day cannot be split further: %s", refused)
                continue
            # Too many would mean that the filter is not understood: each piece would then be the whole.
            if part.rows <= sum(piece.rows for piece in parts) <= part.rows + max(size, part.rows // 10):
                return parts
        return [part]


def _narrower(whole: Slice) -> Iterator[list[Slice]]:
    field, _, value = whole.narrowed or ("id", "$", "")
    if field == "id" and len(value) < _LONGEST_SUFFIX:
        yield [replace(whole, narrowed=("id", "$", f"{digit}{value}")) for digit in _HEX]
    if not whole.narrowed:
        yield [replace(whole, narrowed=("role", "=", role)) for role in _ROLES]


def _joined(parts: Sequence[Part], size: int) -> Iterator[Part]:
    """Neighbours that are small together made one; slices without rows are read with a neighbour."""
    last: Part | None = None
    for part in parts:
        if last is not None and _may_join(last, part, size):
            last = Part(replace(last.slice, end=part.slice.end), last.rows + part.rows)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last


def _may_join(left: Part, right: Part, size: int) -> bool:
    whole = not left.slice.narrowed and not right.slice.narrowed and left.slice.end == right.slice.start
    return whole and (left.rows + right.rows <= size or 0 in (left.rows, right.rows))


def _place(part: Part) -> tuple[float, str]:
    start = part.slice.start
    return (float("-inf") if start is None else start, str(part.slice.narrowed))


def _slice(record: Mapping[str, Any]) -> Slice:
    narrowed = record["narrowed"]
    return Slice(record["start"], record["end"], tuple(narrowed) if narrowed else None)
