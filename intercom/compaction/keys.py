"""Which columns tell rows apart, and primary keys of one or several columns as one array of strings. Pure."""

from __future__ import annotations

from array import array
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.tables.table import Table

KEY: Final = "_key"
"""Name of the column with a row's key, as `keys_of` gives it."""

_SEPARATOR, _ESCAPE = "\x00", "\x01"
"""The two smallest characters, so that joined keys sort as their columns do. Intercom's ids contain neither."""


def telling_columns(table: Table) -> tuple[str, ...]:
    """All columns of staged rows by which versions, moves and stale children are decided, each once."""
    of_parent = (table.parent_column, table.parent.cut_by) if table.parent and table.replaces_children else ()
    return tuple(dict.fromkeys(name for name in (*table.primary_key, *table.newest_by, *of_parent) if name))


def keys_of(rows: pa.Table | pa.RecordBatch, primary_key: tuple[str, ...]) -> pa.Array | pa.ChunkedArray:
    """One string per row: equal for equal keys, different for different keys, and in the same sort order.

    A key of one column is that column itself, not a copy. Several columns are joined by a separator, which is escaped
    in values, so that ``("a", "bc")`` and ``("ab", "c")`` stay different. Key columns must not have nulls.
    """
    if len(primary_key) == 1:
        return rows.column(primary_key[0])
    parts = [_escaped(flat(rows.column(name))) for name in primary_key]
    joined: pa.Array = pc.binary_join_element_wise(*parts, _SEPARATOR)  # type: ignore[call-overload, unused-ignore]
    return joined


def between(keys: pa.Array | pa.ChunkedArray, low: str, high: str, primary_key: tuple[str, ...]) -> pa.Array:
    """For each key: whether its first column is between `low` and `high`, both included."""
    if len(primary_key) == 1:
        return pc.and_(pc.greater_equal(keys, pa.scalar(low)), pc.less_equal(keys, pa.scalar(high)))
    low, high = map(str, _escaped(pa.array([low, high], pa.string())).to_pylist())
    # The first column is followed by the separator, which is smaller than the escape character.
    return pc.and_(pc.greater_equal(keys, pa.scalar(low)), pc.less(keys, pa.scalar(high + _ESCAPE)))


def hashes_of(keys: pa.Array) -> pa.Array:
    """An int64 hash per key, valid in this process only. Callers compare the keys themselves if hashes are equal."""
    found = array("q", map(hash, keys.to_pylist()))
    return pa.Array.from_buffers(pa.int64(), len(found), [None, pa.py_buffer(found)])


def _escaped(values: pa.Array) -> pa.Array:
    """The values with separator and escape characters replaced; the replacements keep the sort order."""
    if not pc.any(pc.match_substring_regex(values, f"[{_SEPARATOR}{_ESCAPE}]")).as_py():
        return values
    values = pc.replace_substring(values, _ESCAPE, _ESCAPE + "\x02")
    return pc.replace_substring(values, _SEPARATOR, _ESCAPE + "\x01")
