"""Reads some columns of a table's staged parts and published files, several files at the same time.

From an object store, only these columns are read, by byte ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import numbers
from intercom.compaction.damage import damaged_file, remove_damaged
from intercom.compaction.keys import between
from intercom.compaction.moved_rows import PLACE
from intercom.compaction.publish import MergeWork
from intercom.compaction.shared_parts import SharedParts
from intercom.errors import SchemaError
from intercom.lake.parquet import ParquetReader, RowGroup, is_damage, open_parquet
from intercom.lake.staged_run import Coverage
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.tables.table import Table

_CURE: Final = "Run with --full-refresh: the table is read and written again; nothing was changed now."

Some = TypeVar("Some")
Other = TypeVar("Other")


class ColumnReader:
    """Columns of staged parts and of published files, for decisions that are made before any month is merged.

    `parts` maps the staged parts, in the order of reading, to their bytes. `published` maps months to the stamps of
    their files. A damaged published file raises DamagedFileError; a damaged part is deleted, with a LakeError.
    """

    def __init__(
        self,
        table: Table,
        lake_table: LakeTable,
        work: MergeWork,
        parts: Mapping[str, int],
        published: Mapping[str, str],
        shared: SharedParts,
    ) -> None:
        self.table, self.work, self.published = table, work, published
        self._lake_table, self._sizes, self._shared = lake_table, parts, shared
        self._parts = [(path, month.month) for month in work.months for path in month.parts]
        self._place = {path: number for number, path in enumerate(parts)}
        self._everything = work.coverage is not Coverage.SOME

    def part(self, path: str, month: str, columns: Sequence[str]) -> pa.Table:
        """These columns of a part's rows of a month, and PLACE: a number that grows in the order of reading."""
        if self._shared.has(path):
            rows, inside = self._shared.rows(path, month).select(list(columns)), self._shared.places(path, month)
        else:
            own = self._lake_table.lake.own_parts.get(path)
            kept = None if own is None else own.only(columns)
            rows = self._read_part(path, columns) if kept is None else kept
            inside = numbers(rows.num_rows)
        return rows.append_column(PLACE, pc.add(inside.cast(pa.int64()), self._place[path] << 32))

    def over_parts(self, read: Callable[[str, str], Some], months: set[str] | None = None) -> list[tuple[str, Some]]:
        """(month, result) of `read(path, month)` for each part and each of its months, or those of `months`."""
        parts = [(path, month) for path, month in self._parts if months is None or month in months]
        found = self.at_once(lambda part: read(*part), parts)
        return [(month, some) for (_, month), some in zip(parts, found, strict=True)]

    def stored(
        self, month: str, columns: Sequence[str], key: tuple[str, ...] = (), among: pa.Array | None = None
    ) -> Iterator[pa.Table]:
        """Row groups of a month's file, without those whose bounds of the first column of `key` exclude all of `among`.

        `among` has values of these columns, as `keys_of` gives them.
        """
        found = stored_rows(self.table, self._lake_table, month, self.published[month], columns, key, among)
        try:
            yield from (rows for _, rows in found)
        except SchemaError:
            if not self._everything:
                raise

    def at_once(self, work: Callable[[Other], Some], on: Sequence[Other]) -> list[Some]:
        """The results of `work` on months or parts, in several threads where that is faster."""
        size = sum(self._sizes.values()) + sum(map(stamped_size, self.published.values()))
        return self._lake_table.lake.each(work, on, size)

    def _read_part(self, path: str, columns: Sequence[str]) -> pa.Table:
        with self._lake_table.lake.still_there(path), self._lake_table.lake.open(path, self._sizes[path]) as source:
            try:
                with open_parquet(source) as file:
                    return file.read(columns=list(columns), use_threads=False)
            except Exception as error:
                if not is_damage(error):
                    raise
                with self._lake_table.lake.fetch(path) as local:
                    remove_damaged(self.table, self._lake_table, {path: local}, error)
                raise


def stored_rows(
    table: Table,
    lake_table: LakeTable,
    month: str,
    stamp: str,
    columns: Sequence[str],
    key: tuple[str, ...] = (),
    among: pa.Array | None = None,
) -> Iterator[tuple[int, pa.Table]]:
    """These columns of a published file, by row groups, each with the number of its first row; `stamp` is the file's.

    Else as `ColumnReader.stored`.

    Raises DamagedFileError for a damaged file, SchemaError for one whose columns have other names or types.
    """
    try:
        with lake_table.files.open(month, stamp) as source, open_parquet(source) as file:
            _check_columns(table, month, file, columns)
            first = 0
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                if among is None or _may_hold(group, key, among):
                    yield first, file.read_row_group(number, columns=list(columns), use_threads=False)
                first += group.num_rows
    except SchemaError:
        raise
    except Exception as error:
        if not is_damage(error):
            raise
        raise damaged_file(table, lake_table, month, error) from error


def _check_columns(table: Table, month: str, file: ParquetReader, columns: Sequence[str]) -> None:
    found, declared = file.schema_arrow, table.schema.arrow
    if any(name not in found.names or found.field(name).type != declared.field(name).type for name in columns):
        raise SchemaError(
            f"Table {table.name!r}: the file of {month} does not have the table's declared columns. {_CURE}"
        )


def _may_hold(group: RowGroup, key: tuple[str, ...], values: pa.Array) -> bool:
    """Whether the bounds of a row group admit one of the values, by the first column of `key`."""
    columns = (group.column(number) for number in range(group.num_columns))
    bounds = next(column for column in columns if column.path_in_schema == key[0]).statistics
    if bounds is None or not bounds.has_min_max:
        return True
    return bool(pc.any(between(values, str(bounds.min), str(bounds.max), key)).as_py())
