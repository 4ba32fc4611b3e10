"""Helpers for Arrow arrays: row numbers, slices of sorted numbers, concatenation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

# At its first conversion pyarrow imports pandas if it is installed. If two threads do that at the same time, one may
# find a half-imported module and fail with an AttributeError. So it is done here, while there is one thread.
pa.array([0])


def numbers(size: int) -> pa.Array:
    """The numbers 0 to `size` - 1 as uint64, made without Python integers."""
    return pc.indices_nonzero(pa.repeat(pa.scalar(True), size))


def slice_between(values: pa.Array, first: int, last: int) -> pa.Array:
    """The sorted integers with first <= value < last, each less `first`."""
    low = bisect_left(values, first, key=lambda value: value.as_py())
    high = bisect_left(values, last, lo=low, key=lambda value: value.as_py())
    inside: pa.Array = pc.subtract(values.slice(low, high - low), pa.scalar(first, values.type))
    return inside


def taken(rows: pa.Table, indices: pa.Array) -> pa.Table:
    """The rows of a table at `indices`; not a copy but the table itself if these are all rows in order."""
    everything = len(indices) == rows.num_rows and indices.cast(pa.uint64()).equals(numbers(rows.num_rows))
    return rows if everything else rows.take(indices)


def flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The values as one array: the chunks of a chunked array are joined."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def joined(arrays: Sequence[pa.Array | pa.ChunkedArray], kind: pa.DataType) -> pa.Array:
    """One array of type `kind` from any number of arrays, also from none."""
    chunks = [flat(array).cast(kind) for array in arrays]
    return pa.concat_arrays(chunks) if chunks else pa.array([], kind)
