"""Decides which rows of a child table are stale, since a later answer said that their parent has them no more. Pure.

A mark (see `tables.read_marks`) says that an answer had all children of a parent, or all that are newer than a time.
So a row is stale if a mark of its parent comes after it and the answer should have had it, and if no row of its key
comes after the mark. Times have whole seconds: of several children in one second the answer may have had only some, so
only rows after that second count as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.keys import KEY
from intercom.compaction.moved_rows import PLACE

PARENT: Final = "_parent"
CUT: Final = "_cut"
MARK: Final = "_mark"
HASH: Final = "_hash"

_TYPES: Final[Mapping[str, pa.DataType]] = {
    KEY: pa.string(),
    PARENT: pa.string(),
    CUT: pa.int64(),
    MARK: pa.bool_(),
    PLACE: pa.int64(),
    HASH: pa.int64(),
}
EVENTS: Final = pa.schema([(name, _TYPES[name]) for name in (KEY, PARENT, CUT, MARK, PLACE)])
"""Columns of staged rows and marks. CUT is the time `Parent.cut_by` as int64, or null; PLACE is unique."""

STARTS: Final = pa.schema([(name, _TYPES[name]) for name in (HASH, MARK, PLACE)])
"""Columns of the rows at which another parent, or another answer for the same one, begins: HASH is the parent's."""

_ALL: Final = pa.scalar(-(2**63), pa.int64())
"""In place of a mark's time, if all children came."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Rows that are removed because their parents have them no more, by month: staged and stored ones.

    `keys` (strings) are those of `staged`. A stored row whose key is staged too is in `stored` only if its key is in
    `keys`.
    """

    keys: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    staged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def begins_answer(events: pa.Table) -> pa.Array:
    """For each row of a part: whether it is a mark, or has another parent than the row before."""
    if events.num_rows == 0:
        return pa.array([], pa.bool_())
    begins: pa.Array = pc.or_(flat(events.column(MARK)), _differs_from_previous(flat(events.column(PARENT))))
    return begins


def marked_later(starts: pa.Table) -> pa.Array:
    """Hashes of the parents of which a row or mark comes before a mark: only these can have stale staged rows."""
    if starts.num_rows == 0:
        return pa.array([], pa.int64())
    ordered = starts.sort_by([(HASH, "ascending"), (PLACE, "ascending")])
    hashes = flat(ordered.column(HASH))
    later = pc.and_not(flat(ordered.column(MARK)), _differs_from_previous(hashes))
    return pc.unique(hashes.filter(later))


def stale_keys(events: pa.Table) -> pa.Array:
    """Keys whose last row is stale.

    `events` has the columns of `EVENTS`: for each key whose last row it has, all marks of this row's parent.
    """
    if events.num_rows == 0:
        return pa.array([], pa.string())
    ordered = events.sort_by([(PARENT, "ascending"), (PLACE, "descending")])  # so each row comes after its later marks
    marks, cuts = flat(ordered.column(MARK)), flat(ordered.column(CUT))
    limits = _least_so_far(flat(ordered.column(PARENT)), pc.if_else(marks, cuts.fill_null(_ALL), None))
    rows = ordered.append_column("_stale", _is_covered(cuts, limits)).filter(pc.invert(marks))
    last = rows.group_by(KEY).aggregate([(PLACE, "max")]).column(f"{PLACE}_max")
    stale = pc.and_(rows.column("_stale"), pc.is_in(rows.column(PLACE), value_set=flat(last)))
    return flat(rows.column(KEY).filter(stale))


def reach_of(marks: pa.Table) -> pa.Table:
    """For each marked PARENT the least CUT of its marks: all its stored rows after this time should have been read."""
    cuts = marks.column(CUT).fill_null(_ALL)
    least = pa.table({PARENT: marks.column(PARENT), CUT: cuts}).group_by(PARENT).aggregate([(CUT, "min")])
    return pa.table({PARENT: flat(least.column(PARENT)), CUT: flat(least.column(f"{CUT}_min"))})


def is_reached(parents: pa.Array, cuts: pa.Array, reach: pa.Table) -> pa.Array:
    """For each stored row, with its parent and its time as int64: whether one of the marks should have had it."""
    limits = flat(reach.column(CUT)).take(pc.index_in(parents, value_set=flat(reach.column(PARENT))))
    return _is_covered(cuts, limits)


def _is_covered(cuts: pa.Array, limits: pa.Array) -> pa.Array:
    """Whether there is a limit, and it is `_ALL` or less than the time; a row without a time is covered by `_ALL`."""
    covered: pa.Array = pc.or_kleene(pc.equal(limits, _ALL), pc.greater(cuts, limits))
    return covered.fill_null(False)


def _least_so_far(groups: pa.Array, values: pa.Array) -> pa.Array:
    """For each row the least value of its group up to it, null if there is none. Rows of a group are consecutive.

    Values become ranks, and each group's ranks are less than all ranks of the groups before: so a running minimum over
    all rows never takes one from another group.
    """
    distinct = pc.drop_null(pc.unique(values))
    distinct = distinct.take(pc.sort_indices(distinct))
    none = pa.scalar(len(distinct), pa.int64())
    ranks = pc.coalesce(pc.index_in(values, value_set=distinct).cast(pa.int64()), none)
    number = pc.cumulative_sum(_differs_from_previous(groups).cast(pa.int64()))
    base = pc.multiply(number, pa.scalar(-(len(distinct) + 1), pa.int64()))
    least = pc.subtract(pc.cumulative_min(pc.add(base, ranks)), base)
    return joined([distinct, pa.nulls(1, pa.int64())], pa.int64()).take(least)


def _differs_from_previous(values: pa.Array) -> pa.Array:
    """For each value, of at least one: whether it is the first one or another one than the value before."""
    return joined([pa.array([True]), pc.not_equal(values.slice(1), values.slice(0, len(values) - 1))], pa.bool_())
