"""Each key once over all months of a table: keys are compared as hashes, and those that meet are looked at as texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import joined

AT_ONCE: Final = 1 << 20
"""About as many hashes are compared at a time; beside them there are 8 bytes for each row of the table."""


def met_twice(keys: Mapping[str, pa.Array]) -> pa.Array:
    """Hashes (int64) that are there twice, in one month or in two; `keys` maps months to the hashes of their rows."""
    total = sum(map(len, keys.values()))
    shares = 1 << max(0, (total // AT_ONCE).bit_length())
    found = []
    for share in range(shares):
        some = joined([_share(hashes, share, shares) for hashes in keys.values()], pa.int64())
        counts = pc.value_counts(some)
        found.append(counts.field(0).filter(pc.greater(counts.field(1), pa.scalar(1))))
    return joined(found, pa.int64())


def repeated(keys: Mapping[str, pa.Array], texts: Callable[[str, pa.Array], Iterator[str]]) -> dict[str, list[str]]:
    """Key -> its months, a month for each of its rows, of the keys that have several rows.

    `texts` gives the keys of a month whose hash is among those given, each as often as it is there.
    """
    twice = met_twice(keys)
    places: dict[str, list[str]] = {}
    if len(twice):
        for month, hashes in keys.items():
            some = hashes.filter(pc.is_in(hashes, value_set=twice))
            if len(some):
                for key in texts(month, some):
                    places.setdefault(key, []).append(month)
    return {key: months for key, months in places.items() if len(months) > 1}


def _share(hashes: pa.Array, share: int, shares: int) -> pa.Array:
    if shares == 1:
        return hashes
    mask = pa.scalar(shares - 1, pa.int64())
    return hashes.filter(pc.equal(pc.bit_wise_and(hashes, mask), pa.scalar(share, pa.int64())))
