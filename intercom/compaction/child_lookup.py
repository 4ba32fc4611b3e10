"""Finds stale rows of a child table in staged parts and in the files of all months, by the marks of staged parts.

Only key columns, the parent's key and one time are read: of staged parts, and of the row groups of published files
whose bounds admit a marked parent. Up to `LITTLE_ROWS` staged rows stay in memory meanwhile. More are read again for
each step: memory holds some bytes for each parent that was read, and the keys of one month.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.column_reader import ColumnReader
from intercom.compaction.deleted import alive
from intercom.compaction.key_lookup import LITTLE_ROWS
from intercom.compaction.keys import KEY, hashes_of, keys_of
from intercom.compaction.marks import are_marks
from intercom.compaction.moved_rows import PLACE
from intercom.compaction.stale_children import (
    CUT,
    EVENTS,
    MARK,
    PARENT,
    STARTS,
    Stale,
    begins_answer,
    is_reached,
    marked_later,
    reach_of,
    stale_keys,
)
from intercom.lake.staged_run import Coverage
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table

Some = TypeVar("Some")

_NO_KEYS: Final = pa.array([], pa.string())


def find_stale(columns: ColumnReader, rows: int | None) -> Stale:
    """The staged and stored rows that their parents have no more. `rows` are those staged, None if unknown.

    If the staged rows replace the table, stored rows are not looked at: the merge removes what was not read.

    Raises DamagedFileError if a published file is damaged, LakeError if a part is.
    """
    table, work = columns.table, columns.work
    if not table.replaces_children or not any(month.parts for month in work.months):
        return Stale()
    reader = _Reader(table, columns, little=rows is not None and rows <= LITTLE_ROWS)
    keys = reader.stale_staged()
    stored = {} if work.coverage is Coverage.REPLACES else reader.stale_stored(keys)
    return Stale(keys, reader.months_with(keys), stored)


class _Reader:
    """Reads rows as events. `little`: all staged ones are kept in memory."""

    def __init__(self, table: Table, columns: ColumnReader, *, little: bool) -> None:
        assert table.parent is not None
        self._table, self._columns, self._little = table, columns, little
        self._parent, self._cut_by = table.parent_column, table.parent.cut_by
        names = (*table.primary_key, self._parent, self._cut_by)
        self._names = [name for name in dict.fromkeys(names) if name]
        self._stored_names = [*self._names, *([DELETED_AT] if table.schema.marks_deleted else [])]
        self._kept: dict[tuple[str, str], pa.Table] = {}

    # -- staged rows --------------------------------------------------------------------------------------------

    def stale_staged(self) -> pa.Array:
        """Keys of staged rows that are stale."""
        if self._little:
            return stale_keys(self._staged())
        parents = marked_later(
            pa.concat_tables([STARTS.empty_table(), *_of_each(self._columns.over_parts(self._starts))])
        )
        if not len(parents):
            return _NO_KEYS
        keys = stale_keys(self._staged(parents=parents))
        # A later row of such a key may have another parent.
        return stale_keys(self._staged(parents=parents, keys=keys)) if len(keys) else keys

    def months_with(self, keys: pa.Array) -> dict[str, tuple[str, ...]]:
        """Month -> those of the keys that are staged in it."""
        if not len(keys):
            return {}
        return _as_texts(self._staged_keys(among=keys))

    def _staged(self, *, parents: pa.Array | None = None, keys: pa.Array | None = None) -> pa.Table:
        """Events of all parts: all, those of `parents` (hashes), or the marks of `parents` and the rows with `keys`."""

        def some(path: str, month: str) -> pa.Table:
            events = self._events(path, month)
            if parents is None:
                return events
            of_parents = _with_hash(flat(events.column(PARENT)), parents)
            if keys is not None:
                marks = pc.and_(of_parents, events.column(MARK))
                of_parents = pc.or_(marks, pc.is_in(events.column(KEY), value_set=keys))
            return events.filter(of_parents)

        return pa.concat_tables([EVENTS.empty_table(), *_of_each(self._columns.over_parts(some))])

    def _starts(self, path: str, month: str) -> pa.Table:
        events = self._events(path, month)
        events = events.filter(begins_answer(events))
        hashes = hashes_of(flat(events.column(PARENT)))
        return pa.table([hashes, events.column(MARK), events.column(PLACE)], schema=STARTS)

    def _staged_keys(self, months: set[str] | None = None, *, among: pa.Array | None = None) -> dict[str, pa.Array]:
        """Month -> keys of its staged rows, without marks; only those in `among`, if it is given."""

        def some(path: str, month: str) -> pa.Array:
            events = self._events(path, month)
            keys = flat(events.column(KEY).filter(pc.invert(events.column(MARK))))
            return keys if among is None else keys.filter(pc.is_in(keys, value_set=among))

        found: dict[str, list[pa.Array]] = {}
        for month, keys in self._columns.over_parts(some, months):
            found.setdefault(month, []).append(keys)
        return {month: joined(arrays, pa.string()) for month, arrays in found.items()}

    def _events(self, path: str, month: str) -> pa.Table:
        if (path, month) in self._kept:
            return self._kept[path, month]
        rows = self._columns.part(path, month, self._names)
        found = pa.table(
            [
                keys_of(rows, self._table.primary_key),
                rows.column(self._parent),
                self._cuts(rows),
                are_marks(rows, self._table),
                rows.column(PLACE),
            ],
            schema=EVENTS,
        )
        if self._little:
            self._kept[path, month] = found
        return found

    # -- stored rows --------------------------------------------------------------------------------------------

    def stale_stored(self, stale: pa.Array) -> dict[str, tuple[str, ...]]:
        """Month -> keys of stored rows that a mark should have had, and that are not staged, or staged and `stale`."""
        if not self._columns.published:
            return {}
        none = EVENTS.empty_table().select([PARENT, CUT])
        reach = reach_of(pa.concat_tables([none, *_of_each(self._columns.over_parts(self._marks))]))
        if reach.num_rows == 0:
            return {}
        all_staged = self._staged_keys() if self._little else None

        def missing(month: str) -> pa.Array:
            """Keys that are not staged in this month, or stale there."""
            keys = self._reached(month, reach)
            if not len(keys):
                return keys
            staged = (all_staged if all_staged is not None else self._staged_keys({month})).get(month, _NO_KEYS)
            return keys.filter(pc.or_(pc.invert(pc.is_in(keys, value_set=staged)), pc.is_in(keys, value_set=stale)))

        months = list(self._columns.published)
        # Each look-up in a million marks takes some 60 MB: then one month at a time.
        arrays = self._columns.at_once(missing, months) if self._little else [missing(month) for month in months]
        suspects = dict(zip(months, arrays, strict=True))
        every = joined(arrays, pa.string())
        if not len(every):
            return {}
        staged = joined(list(self._staged_keys(among=every).values()), pa.string())
        moved = staged.filter(pc.invert(pc.is_in(staged, value_set=stale)))
        return _as_texts(
            {month: keys.filter(pc.invert(pc.is_in(keys, value_set=moved))) for month, keys in suspects.items()}
        )

    def _marks(self, path: str, month: str) -> pa.Table:
        events = self._events(path, month)
        return events.filter(events.column(MARK)).select([PARENT, CUT])

    def _reached(self, month: str, reach: pa.Table) -> pa.Array:
        """Keys of a month's stored rows that are alive, and that one of the marks should have had."""
        found = []
        parents = flat(reach.column(PARENT))
        for stored in self._columns.stored(month, self._stored_names, (self._parent,), parents):
            rows = stored.filter(alive(stored))
            reached = is_reached(flat(rows.column(self._parent)), flat(self._cuts(rows)), reach)
            found.append(flat(keys_of(rows, self._table.primary_key)).filter(reached))
        return joined(found, pa.string())

    def _cuts(self, rows: pa.Table) -> pa.Array | pa.ChunkedArray:
        if not self._cut_by:
            return pa.nulls(rows.num_rows, pa.int64())
        return rows.column(self._cut_by).cast(pa.int64())


def _of_each(found: Iterable[tuple[str, Some]]) -> list[Some]:
    return [some for _, some in found]


def _with_hash(texts: pa.Array, hashes: pa.Array) -> pa.Array:
    """For each text: whether its hash is one of these. Each distinct text is hashed once."""
    distinct = pc.unique(texts)
    chosen = distinct.filter(pc.is_in(hashes_of(distinct), value_set=hashes))
    return pc.is_in(texts, value_set=chosen)


def _as_texts(months: Mapping[str, pa.Array]) -> dict[str, tuple[str, ...]]:
    found = {month: tuple(map(str, pc.unique(keys).to_pylist())) for month, keys in months.items()}
    return {month: keys for month, keys in found.items() if keys}
