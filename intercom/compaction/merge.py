"""Which version of a row stays: pure decisions over key columns, as Arrow arrays.

A version is a cursor value, a time of ingestion and a position. Per primary key the newest wins: `Table.newest_by`
names the columns to compare, in their order, and the position comes last. A stored row keeps its place against a staged
one that is equal in these columns, which makes merging again free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.tables.schema import INGESTED_AT

POSITION = "_position"
_BEFORE_ALL = -(2**63)


def key_columns(primary_key: str, newest_by: Sequence[str]) -> list[str]:
    """The columns that decide between versions."""
    return [primary_key, *newest_by]


def newest_positions(keys: Any, primary_key: str, newest_by: Sequence[str]) -> Any:
    """Positions (sorted, int64) of each primary key's newest version.

    `keys` holds `key_columns` and `POSITION`, unique, growing in the order in which rows were read: among rows that
    are equal in all else the one that was read last is the newest.
    """
    codes = flat(keys.column(primary_key)).dictionary_encode().indices
    counts = pc.struct_field(pc.value_counts(codes), "counts")  # by code: codes are given in the order of appearance
    again = pc.greater(counts.take(codes), 1)
    positions = flat(keys.column(POSITION))
    rivals = comparable(keys, primary_key, newest_by).set_column(0, primary_key, codes).filter(again)
    return _sorted(joined([positions.filter(pc.invert(again)), _last_of_each(rivals)], pa.int64()))


def _last_of_each(rivals: Any) -> Any:
    """Positions of the greatest row of each key (the first column), in the order of all columns."""
    if rivals.num_rows == 0:
        return rivals.column(POSITION)
    ordered = rivals.sort_by([(name, "ascending") for name in rivals.schema.names])
    ids = flat(ordered.column(0))
    last_of_its_key = pa.concat_arrays([pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)), pa.array([True])])
    return ordered.column(POSITION).filter(last_of_its_key)


@dataclass(frozen=True, slots=True)
class KeyMatches:
    """Stored rows that meet a staged version of their key; the arrays run in parallel.

    `row`: index of the stored row; `rival`: index of the staged one. The staged version is the newer one where `newer`,
    with another cursor value, and where `tie`, with the same one: it was only read later, so the content has to decide.
    """

    row: Any
    rival: Any
    newer: Any
    tie: Any


def match_keys(stored: Any, staged: Any, primary_key: str, newest_by: Sequence[str]) -> KeyMatches:
    """Match stored keys with staged ones; both hold `key_columns`, the staged keys are distinct."""
    # Flat: of no chunks at all, which is what an empty file has, older Arrows (20 to 23) crash.
    rival = pc.index_in(flat(stored.column(primary_key)), value_set=flat(staged.column(primary_key)))
    row = pc.indices_nonzero(pc.is_valid(rival))
    rival = rival.take(row)
    ours = comparable(stored.take(row), primary_key, newest_by)
    theirs = comparable(staged.take(rival), primary_key, newest_by)
    greater, same = (pa.repeat(pa.scalar(value), len(row)) for value in (False, True))
    for name in reversed(newest_by):
        equal = pc.equal(theirs.column(name), ours.column(name))
        greater = pc.or_(pc.greater(theirs.column(name), ours.column(name)), pc.and_(equal, greater))
        same = same if name == INGESTED_AT else pc.and_(same, equal)
    return KeyMatches(flat(row), flat(rival), flat(pc.and_not(greater, same)), flat(pc.and_(greater, same)))


def match_in_order(contests: Sequence[tuple[int, KeyMatches]]) -> KeyMatches:
    """Contests of consecutive pieces of one file, each with the number of its first row; `row` counts from 0 then."""
    return KeyMatches(
        joined([pc.add(met.row, pa.scalar(first, pa.uint64())) for first, met in contests], pa.uint64()),
        joined([met.rival for _, met in contests], pa.int32()),
        joined([met.newer for _, met in contests], pa.bool_()),
        joined([met.tie for _, met in contests], pa.bool_()),
    )


def same_content(left: Any, right: Any) -> Any:
    """Row by row, whether two tables of one schema agree in all columns but the time of ingestion; null equals null."""
    same = pa.array([True] * left.num_rows, pa.bool_())
    for name in left.schema.names:
        ours, theirs = left.column(name), right.column(name)
        # Most columns of most months are the same throughout, which one call tells.
        if name != INGESTED_AT and not ours.equals(theirs):
            same = pc.and_(same, _equal_or_null(flat(ours), flat(theirs)))
    return same


def _equal_or_null(left: Any, right: Any) -> Any:
    equal = pc.equal(left, right).fill_null(False)
    if pa.types.is_floating(left.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(left).fill_null(False), pc.is_nan(right).fill_null(False)))
    return pc.or_(equal, pc.and_(pc.is_null(left), pc.is_null(right)))


def comparable(keys: Any, primary_key: str, newest_by: Sequence[str]) -> Any:
    """Key columns with times as integers, a missing cursor value before every other, and positions if there are any."""
    columns = {primary_key: keys.column(primary_key)}
    for name in newest_by:
        columns[name] = keys.column(name).cast(pa.int64()).fill_null(_BEFORE_ALL)
    if POSITION in keys.schema.names:
        columns[POSITION] = keys.column(POSITION)
    return pa.table(columns)


def _sorted(values: Any) -> Any:
    return values.take(pc.sort_indices(values))
