"""Decides on rows whose month has changed: which version of a key is kept, and which months lose theirs. Pure.

Each month is merged on its own, and a row's month is that of its partition field, which may change. So versions of one
key may be in several months: staged in two, or staged in one and stored in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined, numbers
from intercom.compaction.keys import KEY
from intercom.tables.schema import DELETED_AT, INGESTED_AT

MONTH, STORED, PLACE = "_month", "_stored", "_place"

Keys = Mapping[str, tuple[str, ...]]
"""Month -> keys, as `keys_of` gives them."""

HASHES_AT_A_TIME: Final = 1 << 16
"""About how many hashes of keys are compared at a time."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Changes to months for keys that are in several months, so that each key is in one month only afterwards.

    `left_out`: staged rows that a month does not take, because another month has a newer version. `evicted`: stored
    rows that are removed from a month. `gained`: staged rows that a month takes and does not have stored, and that are
    evicted from another month, which is published first. `outdated`: number of keys whose staged versions are all older
    than the version stored in another month.
    """

    left_out: Keys = field(default_factory=dict)
    evicted: Keys = field(default_factory=dict)
    gained: Keys = field(default_factory=dict)
    outdated: int = 0

    def __bool__(self) -> bool:
        return bool(self.left_out or self.evicted)


def versions_schema(newest_by: Sequence[str]) -> pa.Schema:
    """Columns of a table of versions in several months: key, month, `newest_by` as int64, whether stored, place.

    `PLACE` grows in the order in which staged rows were read; it is 0 for stored rows.
    """
    decisive: list[tuple[str, pa.DataType]] = [(name, pa.int64()) for name in newest_by]
    return pa.schema([(KEY, pa.string()), (MONTH, pa.string()), *decisive, (STORED, pa.bool_()), (PLACE, pa.int64())])


def with_marks(newest_by: Sequence[str]) -> pa.Schema:
    """The columns of `versions_schema`, and the time at which a stored row was marked as deleted, as int64 or null."""
    return versions_schema(newest_by).append(pa.field(DELETED_AT, pa.int64()))


def without_marks(versions: pa.Table, newest_by: Sequence[str]) -> pa.Table:
    """Versions with the columns of `with_marks`, as those of `versions_schema`.

    A stored row that is marked as deleted becomes older than all others if one of its key was staged after that time,
    else newer than all others.
    """
    deleted_at = flat(versions.column(DELETED_AT))
    versions = versions.drop_columns([DELETED_AT])
    is_marked = pc.is_valid(deleted_at)
    if not pc.any(is_marked).as_py():
        return versions
    staged = versions.filter(pc.invert(versions.column(STORED)))
    last = staged.group_by(KEY).aggregate([(INGESTED_AT, "max")])
    place = pc.index_in(flat(versions.column(KEY)), value_set=flat(last.column(KEY)))
    read_at = flat(last.column(f"{INGESTED_AT}_max")).take(place)
    read_since = pc.greater(read_at, deleted_at).fill_null(False)
    rank = pc.if_else(read_since, pa.scalar(-(2**63), pa.int64()), pa.scalar(2**63 - 1, pa.int64()))
    for name in newest_by:
        column = versions.schema.get_field_index(name)
        values = pc.if_else(is_marked, rank, flat(versions.column(name)))
        versions = versions.set_column(column, versions.schema.field(column), values)
    return versions


def decide(versions: pa.Table, newest_by: Sequence[str], *, replaces: bool) -> Moves:
    """The moves that keep the month of each key's newest version, and remove the key from its other months.

    `versions` has all versions of these keys, with the columns of `versions_schema`. A stored version counts as newer
    than an equal staged one. With `replaces`, every staged version counts as newer than every stored one.
    """
    if versions.num_rows == 0:
        return Moves()
    # The newest version sorts last: of equal ones the stored one, of equal staged ones the one that was read last.
    order = [STORED, *newest_by, PLACE, MONTH] if replaces else [*newest_by, STORED, PLACE, MONTH]
    down = {STORED} if replaces else set()
    rows = versions.sort_by([(name, "descending" if name in down else "ascending") for name in (KEY, *order)])
    keys, months, stored = (flat(rows.column(name)) for name in (KEY, MONTH, STORED))
    ends = joined([pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)), pa.array([True])], pa.bool_())
    lasts = pc.indices_nonzero(ends)
    number = pc.subtract(pc.cumulative_sum(ends.cast(pa.int64())), ends.cast(pa.int64()))  # of its key, per row
    winner = lasts.take(number)
    home = pc.equal(months, months.take(winner))
    stays = stored.take(winner)
    evicted = pc.and_not(stored, home)
    left_out = pc.and_not(pc.invert(home), stored)

    def of_keys_with(rows: pa.Array) -> pa.Array:
        """For each row: whether its key has a row for which `rows` is True."""
        return pc.is_in(number, value_set=pc.unique(number.filter(rows)))

    is_winner = pc.equal(winner, numbers(len(keys)))
    gained = pc.and_not(
        pc.and_(pc.and_not(is_winner, stays), of_keys_with(evicted)), of_keys_with(pc.and_(stored, home))
    )
    staged_at_home = of_keys_with(pc.and_not(home, stored))
    outdated = pc.and_not(pc.and_(pc.and_(is_winner, stays), of_keys_with(left_out)), staged_at_home)
    lost, given_up, taken = (_by_month(keys, months, chosen) for chosen in (left_out, evicted, gained))
    return Moves(lost, given_up, taken, pc.sum(outdated).as_py() or 0)


def _by_month(keys: pa.Array, months: pa.Array, chosen: pa.Array) -> dict[str, tuple[str, ...]]:
    keys, months = keys.filter(chosen), months.filter(chosen)
    return {
        month: tuple(map(str, pc.unique(keys.filter(pc.equal(months, pa.scalar(month)))).to_pylist()))
        for month in sorted(map(str, pc.unique(months).to_pylist()))
    }


def in_two_months(
    staged: Mapping[str, pa.Array], stored: Mapping[str, pa.Array], *, at_a_time: int = HASHES_AT_A_TIME
) -> pa.Array:
    """Hashes of keys (int64) that are staged in one month, and staged or stored in a second month.

    `staged` and `stored` map a month to the hashes of its keys. They are compared in shares of about `at_a_time`,
    so that memory grows with the table only by the hashes themselves, 8 bytes per row.
    """
    total = sum(len(hashes) for months in (staged, stored) for hashes in months.values())
    shares = 1 << max(0, (total // at_a_time).bit_length())
    found = []
    for share in range(shares):
        ours = {month: _share(hashes, share, shares) for month, hashes in staged.items()}
        theirs = {month: _share(hashes, share, shares) for month, hashes in stored.items()}
        both = [
            pc.unique(joined([months[month] for months in (ours, theirs) if month in months], pa.int64()))
            for month in ours.keys() | theirs.keys()
        ]
        counts = pc.value_counts(joined(both, pa.int64()))
        twice = counts.field(0).filter(pc.greater(counts.field(1), pa.scalar(1)))
        if len(twice):
            found.append(twice.filter(pc.is_in(twice, value_set=joined(list(ours.values()), pa.int64()))))
    return joined(found, pa.int64())


def _share(hashes: pa.Array, share: int, shares: int) -> pa.Array:
    if shares == 1:
        return hashes
    return hashes.filter(pc.equal(pc.bit_wise_and(hashes, pa.scalar(shares - 1)), pa.scalar(share)))
