"""Decides which version of a row is kept, from key columns as Arrow arrays. Pure.

A version has a cursor value, a time of ingestion and a position. Per primary key the newest version is kept. The
columns in `Table.newest_by` are compared in their order, and then the position. If a staged row is equal to the stored
row in these columns, the stored row is kept, so that merging again rewrites nothing. A stored row that is marked as
deleted stays unless the staged row was read after that time: then this one is kept, whatever else they have. A table of
versions has the primary key in one column (see `versions_of`), also if the key has several columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.keys import KEY, keys_of
from intercom.tables.schema import DELETED_AT, INGESTED_AT

POSITION = "_position"
_BEFORE_ALL = pa.scalar(-(2**63), pa.int64())


def key_columns(primary_key: Sequence[str], newest_by: Sequence[str]) -> list[str]:
    """The columns that decide between versions."""
    return [*primary_key, *newest_by]


def versions_of(rows: pa.Table, primary_key: tuple[str, ...], newest_by: Sequence[str]) -> pa.Table:
    """A table of versions: the primary key as `KEY`, the columns `newest_by`, `DELETED_AT` and `POSITION` if there.

    Times become int64; a null time becomes the smallest int64, except that of `DELETED_AT`, which stays null.
    """
    columns = {KEY: keys_of(rows, primary_key)}
    for name in newest_by:
        columns[name] = rows.column(name).cast(pa.int64()).fill_null(_BEFORE_ALL)
    if DELETED_AT in rows.schema.names:
        columns[DELETED_AT] = rows.column(DELETED_AT).cast(pa.int64())
    if POSITION in rows.schema.names:
        columns[POSITION] = rows.column(POSITION)
    return pa.table(columns)


def newest_positions(versions: pa.Table) -> pa.Array:
    """Positions (sorted, int64) of each key's newest version.

    `versions` is a result of `versions_of` with `POSITION`. Positions are unique and grow in the order of reading: of
    versions that are equal in all other columns, the one that was read last is the newest.
    """
    keys = flat(versions.column(KEY)).dictionary_encode()
    if len(keys.dictionary) == len(keys):  # each key once, as in most small runs
        return _sorted(flat(versions.column(POSITION)))
    codes = keys.indices
    counts = pc.struct_field(pc.value_counts(codes), "counts")  # by code: codes are given in the order of appearance
    again = pc.greater(counts.take(codes), pa.scalar(1))
    positions = flat(versions.column(POSITION))
    several = versions.set_column(0, KEY, codes).filter(again)
    return _sorted(joined([positions.filter(pc.invert(again)), _last_of_each(several)], pa.int64()))


def _last_of_each(versions: pa.Table) -> pa.ChunkedArray:
    """Position of the last row of each key (the first column) when the rows are sorted by all columns."""
    if versions.num_rows == 0:
        return versions.column(POSITION)
    ordered = versions.sort_by([(name, "ascending") for name in versions.schema.names])
    keys = flat(ordered.column(0))
    last_of_its_key = pa.concat_arrays([pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)), pa.array([True])])
    return ordered.column(POSITION).filter(last_of_its_key)


@dataclass(frozen=True, slots=True)
class KeyMatches:
    """Stored rows whose key is also staged, as parallel arrays.

    `stored` (uint64) and `staged` (int32) are the row numbers of the two versions. `newer`: the staged version is newer
    by its cursor value, or was read after the stored one was marked as deleted. `tie`: both have the same cursor value
    and the staged version was read later, so the content has to be compared.
    """

    stored: pa.Array
    staged: pa.Array
    newer: pa.Array
    tie: pa.Array


def match_keys(stored: pa.Table, staged: pa.Table, newest_by: Sequence[str]) -> KeyMatches:
    """Match stored versions with staged ones, both as `versions_of` gives them; the staged keys are distinct."""
    # Flat, because Arrow 20 to 23 crash on a chunked array without chunks, which is what an empty file gives.
    found = pc.index_in(flat(stored.column(KEY)), value_set=flat(staged.column(KEY)))
    of_stored = pc.indices_nonzero(pc.is_valid(found))
    of_staged = found.take(of_stored)
    ours, theirs = stored.take(of_stored), staged.take(of_staged)
    greater, same = (pa.repeat(pa.scalar(value), len(of_stored)) for value in (False, True))
    for name in reversed(newest_by):
        equal = pc.equal(theirs.column(name), ours.column(name))
        greater = pc.or_(pc.greater(theirs.column(name), ours.column(name)), pc.and_(equal, greater))
        same = same if name == INGESTED_AT else pc.and_(same, equal)
    newer, tie = pc.and_not(greater, same), pc.and_(greater, same)
    if DELETED_AT in ours.schema.names:
        deleted_at = ours.column(DELETED_AT)
        is_alive = pc.is_null(deleted_at)
        newer = pc.if_else(is_alive, newer, pc.greater(theirs.column(INGESTED_AT), deleted_at))
        tie = pc.and_(tie, is_alive)
    return KeyMatches(flat(of_stored), flat(of_staged), flat(newer), flat(tie))


def match_in_order(pieces: Sequence[tuple[int, KeyMatches]]) -> KeyMatches:
    """The matches of a whole file. `pieces` are its consecutive pieces: number of the first row, and matches."""
    return KeyMatches(
        joined([pc.add(met.stored, pa.scalar(first, pa.uint64())) for first, met in pieces], pa.uint64()),
        joined([met.staged for _, met in pieces], pa.int32()),
        joined([met.newer for _, met in pieces], pa.bool_()),
        joined([met.tie for _, met in pieces], pa.bool_()),
    )


def same_content(left: pa.Table, right: pa.Table) -> pa.Array:
    """For each row: whether both tables, of one schema, agree in all columns except `INGESTED_AT`; null equals null."""
    same = pa.array([True] * left.num_rows, pa.bool_())
    for name in left.schema.names:
        ours, theirs = left.column(name), right.column(name)
        # Most columns are equal as a whole, which one call finds out.
        if name != INGESTED_AT and not ours.equals(theirs):
            same = pc.and_(same, _equal_or_null(flat(ours), flat(theirs)))
    return same


def _equal_or_null(left: pa.Array, right: pa.Array) -> pa.Array:
    equal = pc.equal(left, right)
    if pa.types.is_floating(left.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))
    return pc.coalesce(equal, pc.and_(pc.is_null(left), pc.is_null(right)))  # `equal` is null if either is


def _sorted(values: pa.Array) -> pa.Array:
    return values.take(pc.sort_indices(values))
