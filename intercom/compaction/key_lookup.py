"""Finds rows that have moved to another month: keys of staged parts are looked up in the files of all months.

Only key columns are read, from an object store by byte ranges. There are two ways. If at most `LITTLE_ROWS` rows are
staged, and not the whole table, a staged key is a suspect if the file of its own month does not have it. Suspects are
looked up in the other months, in the row groups whose smallest and greatest key admit them. Otherwise the keys of all
months are compared as 8-byte hashes. This also finds a copy of a row that is in a wrong month already. An index of the
keys of each month could replace `_Reader.held` and `_Reader.hashes_stored`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.column_reader import ColumnReader
from intercom.compaction.keys import KEY, hashes_of, keys_of
from intercom.compaction.marks import are_marks, mark_column
from intercom.compaction.merge import key_columns, versions_of
from intercom.compaction.moved_rows import (
    MONTH,
    PLACE,
    STORED,
    Moves,
    decide,
    in_two_months,
    with_marks,
    without_marks,
)
from intercom.lake.staged_run import Coverage
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Table

log = logging.getLogger(__name__)

LITTLE_ROWS: Final = 200_000
"""Most staged rows whose keys are held as text and looked up; the keys of more rows are compared as hashes."""


def find_moves(columns: ColumnReader, rows: int | None, stale: pa.Array) -> Moves:
    """The moves after which each staged key is in one month only.

    `rows` are those staged, None if unknown. Staged rows with keys in `stale` are ignored.

    Raises DamagedFileError if a published file is damaged, LakeError if a part is.
    """
    table, work = columns.table, columns.work
    staged = {month.month for month in work.months if month.parts}
    if table.is_replaced or not staged or len(staged | columns.published.keys()) == 1:
        return Moves()
    reader = _Reader(table, columns, stale)
    little = rows is not None and rows <= LITTLE_ROWS
    if work.coverage is not Coverage.SOME or not little:
        keys, of_staged, of_stored = _compared(reader)
    else:
        keys, of_staged, of_stored = _looked_up(reader)
    if not len(keys):
        return Moves()
    versions = [
        with_marks(table.newest_by).empty_table(),
        *reader.versions_staged(of_staged, keys),
        *reader.versions_stored(of_stored, keys),
    ]
    found = without_marks(pa.concat_tables(versions), table.newest_by)
    return decide(found, table.newest_by, replaces=work.coverage is Coverage.REPLACES)


Suspects = tuple[pa.Array, Iterable[str], Iterable[str]]
"""Keys that may be in two months; months in which they may be staged; months in which they may be stored."""


def _compared(reader: _Reader) -> Suspects:
    """Staged keys that are also staged or stored in a second month, found by comparing the hashes of all keys."""
    staged, stored = reader.hashes_staged(), reader.hashes_stored()
    suspects = in_two_months(staged, stored)

    def concerned(months: Mapping[str, pa.Array]) -> list[str]:
        return [month for month, hashes in months.items() if pc.any(pc.is_in(hashes, value_set=suspects)).as_py()]

    if not len(suspects):
        return pa.array([], pa.string()), [], []
    of_staged = concerned(staged)
    return reader.staged_with(of_staged, suspects), of_staged, concerned(stored)


def _looked_up(reader: _Reader) -> Suspects:
    """Staged keys that another month's file has and their own month's lacks, and keys staged in two months."""
    staged = reader.staged_keys()
    everything = joined(list(staged.values()), pa.string())
    counts = pc.value_counts(everything)
    twice = counts.field(0).filter(pc.greater(counts.field(1), pa.scalar(1)))
    held = reader.held({month: keys for month, keys in staged.items() if month in reader.published})
    new = {
        month: keys.filter(pc.invert(pc.is_in(keys, value_set=held[month]))) if month in held else keys
        for month, keys in staged.items()
    }
    suspects = pc.unique(joined([twice, *new.values()], pa.string()))

    def wanted(month: str) -> pa.Array:
        """The suspects to look up in a month: not those staged in it alone, which its file is known to lack."""
        if not len(new.get(month, ())):
            return suspects
        return pc.unique(joined([twice, *(keys for other, keys in new.items() if other != month)], pa.string()))

    elsewhere = reader.held({month: keys for month in reader.published if len(keys := wanted(month))})
    keys = pc.unique(joined([twice, *elsewhere.values()], pa.string()))
    of_staged = [month for month, ours in staged.items() if pc.any(pc.is_in(ours, value_set=keys)).as_py()]
    # Also the months that the keys are staged in: their files may have keys that are staged in two months.
    return keys, of_staged, [month for month, found in elsewhere.items() if len(found)]


class _Reader:
    """Reads key columns of a table's staged parts, without marks and `stale` rows, and of its published files."""

    def __init__(self, table: Table, columns: ColumnReader, stale: pa.Array) -> None:
        self._table, self._columns, self.published = table, columns, columns.published
        self._stale = stale

    # -- staged parts -------------------------------------------------------------------------------------------

    def hashes_staged(self) -> dict[str, pa.Array]:
        """Month -> hashes of its staged keys, with duplicates."""
        return _by_month(self._columns.over_parts(lambda *part: hashes_of(self._staged_keys(*part))), pa.int64())

    def staged_keys(self) -> dict[str, pa.Array]:
        """Month -> its staged keys, each once."""
        found = _by_month(self._columns.over_parts(self._staged_keys), pa.string())
        return {month: pc.unique(keys) for month, keys in found.items()}

    def staged_with(self, months: Iterable[str], hashes: pa.Array) -> pa.Array:
        """Staged keys of these months that have one of these hashes."""

        def some(path: str, month: str) -> pa.Array:
            keys = self._staged_keys(path, month)
            return keys.filter(pc.is_in(hashes_of(keys), value_set=hashes))

        return pc.unique(joined([keys for _, keys in self._columns.over_parts(some, set(months))], pa.string()))

    def versions_staged(self, months: Iterable[str], keys: pa.Array) -> list[pa.Table]:
        """The staged versions of these keys in these months, one table per part and month."""

        def some(path: str, month: str) -> pa.Table:
            rows = self._read_part(path, month, key_columns(self._table.primary_key, self._table.newest_by))
            return self._versions(rows, keys, flat(rows.column(PLACE)))

        found = self._columns.over_parts(some, set(months))
        return [_with_month(rows, month, self._table.newest_by, stored=False) for month, rows in found]

    def _staged_keys(self, path: str, month: str) -> pa.Array:
        return flat(keys_of(self._read_part(path, month, self._table.primary_key), self._table.primary_key))

    def _read_part(self, path: str, month: str, columns: Sequence[str]) -> pa.Table:
        rows = self._columns.part(path, month, columns)
        if mark_column(self._table) is not None:
            rows = rows.filter(pc.invert(are_marks(rows, self._table)))
        if len(self._stale) == 0:
            return rows
        return rows.filter(pc.invert(pc.is_in(keys_of(rows, self._table.primary_key), value_set=self._stale)))

    # -- published files ----------------------------------------------------------------------------------------

    def hashes_stored(self) -> dict[str, pa.Array]:
        """Month -> hashes of the keys in its file."""

        def some(month: str) -> pa.Array:
            return joined([hashes_of(keys) for keys in self._stored_keys(month)], pa.int64())

        return dict(zip(self.published, self._columns.at_once(some, list(self.published)), strict=True))

    def held(self, wanted: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Month -> those of the keys in `wanted` that the month's file has."""

        def some(month: str) -> pa.Array:
            keys = wanted[month]
            return joined([_both(found, keys) for found in self._stored_keys(month, keys)], pa.string())

        return dict(zip(wanted, self._columns.at_once(some, list(wanted)), strict=True))

    def versions_stored(self, months: Iterable[str], keys: pa.Array) -> list[pa.Table]:
        """The stored versions of these keys in the files of these months, a table for each month."""

        def some(month: str) -> pa.Table:
            marks = [DELETED_AT] if self._table.schema.marks_deleted else []
            columns = [*key_columns(self._table.primary_key, self._table.newest_by), *marks]
            found = [self._versions(rows, keys, None) for rows in self._stored_rows(month, columns, keys)]
            rows = pa.concat_tables([self._none, *found])
            return _with_month(rows, month, self._table.newest_by, stored=True)

        return self._columns.at_once(some, list(months))

    def _stored_keys(self, month: str, among: pa.Array | None = None) -> Iterator[pa.Array]:
        """Keys in a month's file, in arrays of at least `len(among)`, because `among` is hashed once per array."""
        waiting: list[pa.Array | pa.ChunkedArray] = []
        for rows in self._stored_rows(month, self._table.primary_key, among):
            waiting.append(keys_of(rows, self._table.primary_key))
            if among is None or sum(map(len, waiting)) >= len(among):
                yield joined(waiting, pa.string())
                waiting = []
        if waiting:
            yield joined(waiting, pa.string())

    def _stored_rows(self, month: str, columns: Sequence[str], among: pa.Array | None = None) -> Iterator[pa.Table]:
        """Row groups of a month's file, without those whose bounds exclude all keys in `among`."""
        return self._columns.stored(month, columns, self._table.primary_key, among)

    # -- both ---------------------------------------------------------------------------------------------------

    @property
    def _none(self) -> pa.Table:
        return with_marks(self._table.newest_by).empty_table().drop_columns([MONTH, STORED])

    def _versions(self, rows: pa.Table, keys: pa.Array, places: pa.Array | None) -> pa.Table:
        """Key, `newest_by` columns, place and mark of the rows that have one of the keys."""
        found = versions_of(rows, self._table.primary_key, self._table.newest_by)
        if DELETED_AT not in found.schema.names:
            found = found.append_column(DELETED_AT, pa.nulls(rows.num_rows, pa.int64()))
        places = pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows) if places is None else places
        chosen = pc.is_in(found.column(KEY), value_set=keys)
        return found.append_column(PLACE, places).filter(chosen).select(self._none.schema.names)


def _with_month(rows: pa.Table, month: str, newest_by: Sequence[str], *, stored: bool) -> pa.Table:
    size = rows.num_rows
    rows = rows.append_column(MONTH, pa.repeat(pa.scalar(month), size))
    rows = rows.append_column(STORED, pa.repeat(pa.scalar(stored), size))
    return rows.select(with_marks(newest_by).names)


def _by_month(found: Iterable[tuple[str, pa.Array]], kind: pa.DataType) -> dict[str, pa.Array]:
    """Month -> the values found in its parts. Duplicates are kept: removing them takes 200 bytes per value."""
    lists: dict[str, list[pa.Array]] = {}
    for month, values in found:
        lists.setdefault(month, []).append(values)
    return {month: joined(values, kind) for month, values in lists.items()}


def _both(found: pa.Array, keys: pa.Array) -> pa.Array:
    return pc.unique(found.filter(pc.is_in(found, value_set=keys)))
