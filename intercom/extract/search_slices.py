"""Splits a long search into slices that can be read at the same time.

Slices are counted before they are read. The parts of a slice must together count at least as many rows as the slice; if
no way to split it meets that, the slice is read unsplit. Every row must have the field that slices are cut by: slices
of days may overlap, and rows that are counted twice would hide missing ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from intercom.extract.limits import DEFAULT_LIMITS
from intercom.extract.windows import Bounds, Grid, Slice

log = logging.getLogger(__name__)

_LARGEST_ROWS = 100 * 150
_SLICES = 64  # about twice as many as are read at the same time, so that none is waited for in the end
_MOST_PARTS = 16
_TOLERANCE = 1.25
"""Factor on the target size. A slice of up to this size is not cut again, and neighbours are joined up to this size."""
_LOPSIDED = 0.9
"""A piece with more than this share of its parent's rows is asked for its last row's time before it is cut again."""
_MOST_OVERLAP = 4
"""Parts by time that count more than this many times the rows of their slice show that the bounds are ignored."""
_HEX = "0123456789abcdef"
_ROLES = ("user", "lead")
_LONGEST_SUFFIX = 2


@dataclass(frozen=True, slots=True)
class SliceCount:
    """Rows of a slice; `first` is the first row's time in the field that slices are cut by, None if unknown."""

    rows: int
    first: int | None = None


Count = Callable[[Sequence[Slice]], list[SliceCount | None]]
"""Counts each slice; None for one that the API refuses to search for."""


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice and the rows that were counted in it."""

    slice: Slice
    rows: int


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """Slices of one search over `field` between the bounds `whole`, each to be read in the order of `sort_field`.

    `by_day`: their cells are days, for a search that compares days, else seconds.
    """

    field: str
    sort_field: str
    whole: Bounds
    parts: tuple[PlannedSlice, ...]
    by_day: bool = False

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SlicePlan:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for any other object."""
        return cls(
            field=str(record["field"]),
            sort_field=str(record["sort_field"]),
            whole=Bounds(**record["whole"]),
            parts=tuple(PlannedSlice(_slice(entry["slice"]), int(entry["rows"])) for entry in record["parts"]),
            by_day=bool(record["by_day"]),
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A slice to be split. `first` and `last` are seconds between which its rows are expected."""

    slice: Slice
    rows: int
    first: int
    last: int
    ways: tuple[tuple[Slice, ...], ...] = ()
    """Ways to split the slice, to be tried in this order until the counts of one add up."""


@dataclass(frozen=True, slots=True)
class Splitter:
    """Splits one search. `lowest` and `highest` are seconds between which its rows are expected.

    `last` gives the time of a slice's last row, in unix seconds. `narrowed_by`: slices of a single cell may be split by
    the last characters of ``id``, by ``role``, or both. Slices of fewer rows than `smallest` are not split. One call of
    `count` counts many slices at the same time.
    """

    grid: Grid
    lowest: int
    highest: int
    narrowed_by: tuple[str, ...]
    count: Count
    last: Callable[[Slice], int | None]
    smallest: int = DEFAULT_LIMITS.smallest_slice

    def split(self, rows: int) -> Iterator[tuple[PlannedSlice, ...]]:
        """Slices that together hold the whole search of `rows` rows, each of some tens of pages.

        They are yielded after each round of counts, so the first ones can be read while others are still being cut.
        Small slices are held back until the last round, because a neighbour to join them with may still appear.
        """
        size = max(self.smallest, min(_LARGEST_ROWS, rows // _SLICES))
        held: list[PlannedSlice] = []
        level = [self._with_ways(_Piece(Slice(), rows, self.lowest, self.highest), size)]
        while level:
            following: list[_Piece] = []
            done = [piece for piece in level if not piece.ways]
            for piece, children in self._round([piece for piece in level if piece.ways], size):
                if not children:
                    following.append(replace(piece, ways=piece.ways[1:]))
                for child in children:
                    large = child.rows > _TOLERANCE * size
                    lump = large and child.rows > _LOPSIDED * piece.rows
                    child = replace(child, last=self._last(child)) if lump and not child.slice.narrowed else child
                    (following if large else done).append(self._with_ways(child, size) if large else child)
            level = following
            settled = in_order([*held, *(PlannedSlice(piece.slice, piece.rows) for piece in done)])
            joined = list(_joined(settled, size))
            held = [part for part in joined if level and part.rows < size // 2]
            yield tuple(part for part in joined if part not in held)

    def _round(self, pieces: list[_Piece], size: int) -> list[tuple[_Piece, list[_Piece]]]:
        """Each piece with its children; without any where the parts of its current way count too few rows.

        Rows come and go during the counts, so a piece whose parts do not add up is counted once more.
        """
        answers = self._counts([piece.ways[0] for piece in pieces])
        unsure = [place for place, piece in enumerate(pieces) if not _adds_up(piece, answers[place], size)]
        again = self._counts([(pieces[place].slice, *pieces[place].ways[0]) for place in unsure])
        for place, (whole, *parts) in zip(unsure, again, strict=True):
            answers[place] = parts
            if whole is not None:
                pieces[place] = replace(pieces[place], rows=whole.rows)
        found = []
        for piece, counted in zip(pieces, answers, strict=True):
            children = self._children(piece, counted) if _adds_up(piece, counted, size) else []
            if not children and not piece.slice.narrowed:
                known = sum(count.rows for count in counted if count is not None)
                log.info("pieces of a search hold %d of its %d rows, so another way is taken", known, piece.rows)
            found.append((piece, children))
        return found

    def _children(self, piece: _Piece, counted: Sequence[SliceCount | None]) -> list[_Piece]:
        children = []
        for part, count in zip(piece.ways[0], counted, strict=True):
            assert count is not None
            first = piece.first if count.first is None else max(piece.first, count.first)
            children.append(_Piece(part, count.rows, first, piece.last))
        return children

    def _counts(self, families: Sequence[Sequence[Slice]]) -> list[list[SliceCount | None]]:
        flat = [part for family in families for part in family]
        answers = iter(self.count(flat) if flat else [])
        return [[next(answers) for _ in family] for family in families]

    def _with_ways(self, piece: _Piece, size: int) -> _Piece:
        """The piece with its ways to split: by time if it has several cells, else by the end of ids, then by role."""
        if not piece.slice.narrowed:
            wanted = min(_MOST_PARTS, max(2, -(-piece.rows // size)))
            pieces = self.grid.cut(piece.slice, piece.first, piece.last, wanted)
            if len(pieces) > 1:
                return replace(piece, ways=(tuple(pieces),))
        return replace(piece, ways=tuple(_narrower(piece.slice, self.narrowed_by)))

    def _last(self, piece: _Piece) -> int:
        last = self.last(piece.slice)
        return piece.last if last is None else max(piece.first, min(piece.last, last))


def _adds_up(piece: _Piece, counted: Sequence[SliceCount | None], size: int) -> bool:
    rows = [count.rows for count in counted if count is not None]
    if len(rows) < len(counted) or sum(rows) < piece.rows:
        return False
    # Far more rows than the slice has mean that the API ignores the filter, and counts the whole slice for each part.
    if piece.ways[0][0].narrowed:
        return sum(rows) <= piece.rows + max(size, piece.rows // 10)
    return sum(rows) <= _MOST_OVERLAP * piece.rows + len(rows) * size  # slices of one day each bring two


def _narrower(whole: Slice, by: Collection[str]) -> Iterator[tuple[Slice, ...]]:
    field, _, value = whole.narrowed or ("id", "$", "")
    if field == "id" and "id" in by and len(value) < _LONGEST_SUFFIX:
        yield tuple(replace(whole, narrowed=("id", "$", f"{digit}{value}")) for digit in _HEX)
    if not whole.narrowed and "role" in by:
        yield tuple(replace(whole, narrowed=("role", "=", role)) for role in _ROLES)


def in_order(parts: Iterable[PlannedSlice]) -> tuple[PlannedSlice, ...]:
    """Slices in order of time."""
    return tuple(sorted(parts, key=_place))


def _joined(parts: Sequence[PlannedSlice], size: int) -> Iterator[PlannedSlice]:
    """The slices, with neighbours joined that are small together; one without rows is joined with any neighbour."""
    last: PlannedSlice | None = None
    for part in parts:
        if last is not None and _may_join(last, part, size):
            last = PlannedSlice(replace(last.slice, end=part.slice.end), last.rows + part.rows)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last


def _may_join(left: PlannedSlice, right: PlannedSlice, size: int) -> bool:
    whole = not left.slice.narrowed and not right.slice.narrowed and left.slice.end == right.slice.start
    return whole and (left.rows + right.rows <= _TOLERANCE * size or 0 in (left.rows, right.rows))


def _place(part: PlannedSlice) -> tuple[float, str]:
    start = part.slice.start
    return (float("-inf") if start is None else start, str(part.slice.narrowed))


def _slice(record: Mapping[str, Any]) -> Slice:
    narrowed = record["narrowed"]
    return Slice(record["start"], record["end"], tuple(narrowed) if narrowed else None)
