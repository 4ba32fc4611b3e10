"""A derived table against its parent: each month's rows are made again in memory, and compared with those in its file.

The rows decide, and not the record: a run that died has published files that the record does not name yet. Where the
parent's file has changed since, the next sync makes the month anew, and until then it is behind, which is no fault.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pyarrow as pa

from intercom.compaction.derived_month import PARENTS_AT_ONCE
from intercom.lake.parquet import ParquetReader, is_damage, open_parquet
from intercom.lake.table import LakeTable
from intercom.normalise.explode import Explode
from intercom.normalise.rules import rules
from intercom.tables.schema import INGESTED_AT
from intercom.verify.against_record import Recorded, of_file
from intercom.verify.findings import Difference, Kind
from intercom.verify.published_file import ROWS_AT_ONCE, FileReading


class DerivedCheck:
    """Compares a derived table, as its record has it, with its parent's files. `notes` are what was not compared."""

    def __init__(
        self, told: Recorded, lake_table: LakeTable, parent_table: LakeTable, stamps: Mapping[str, str]
    ) -> None:
        assert told.table.made_of is not None
        self._told, self._table, self._parent = told, told.table, told.table.made_of
        self._lake_table, self._parent_table, self._stamps = lake_table, parent_table, stamps
        self._behind: list[str] = []
        self.notes: list[str] = []

    def differences(self, readings: Mapping[str, FileReading], sources: Mapping[str, str]) -> Iterator[Difference]:
        """`readings` are the table's files, `sources` the parent's: month -> stamp."""
        state = self._told.state
        made_by = f"{rules()}-{self._table.schema.fingerprint}"
        if state is not None and state.derived_by != made_by:
            self.notes.append(
                f"not compared with {self._parent.name}: another version has made it, and the next sync makes it again"
            )
            for reading in readings.values():
                yield from of_file(self._told, reading)
            return
        for month in sorted({*sources, *readings, *(state.partitions if state else ())}):
            yield from self._of_month(month, readings.get(month), sources.get(month))
        if self._behind:
            self.notes.append(
                f"{len(self._behind)} months were made from an earlier {self._parent.name}; the next sync makes them"
            )

    def _of_month(self, month: str, reading: FileReading | None, source: str | None) -> Iterator[Difference]:
        state = self._told.state
        if reading is not None and reading.damage is not None:
            yield from of_file(self._told, reading)
            return
        wanted = None if source is None else self._made(month)
        if source is not None and wanted is None:
            self.notes.append(f"{month or 'the table'} was not compared: the file of {self._parent.name} is damaged")
            return
        found = array("q") if reading is None else self._stored(month)
        if sorted(wanted or array("q")) == sorted(found):
            yield from () if reading is None else self._other_than_rows(reading)
            return
        noted = state.derived_from.get(month) if state is not None else None
        entry = state.partitions.get(month) if state is not None else None
        as_recorded = (
            entry is None
            if reading is None
            else entry is not None
            and entry.version == reading.version
            and (not entry.footer or entry.footer == reading.footer)
        )
        is_behind = (noted.stamp if noted else None) != source
        if is_behind and as_recorded:
            self._behind.append(month)
        elif reading is None:
            yield self._told.difference(month, Kind.FILE_GONE, _rows(wanted), "no file")
        elif not as_recorded:
            yield self._told.difference(
                month, Kind.FILE_REPLACED, f"{_rows(wanted)} by its parent's", f"another file, of {_rows(found)}"
            )
        else:
            yield self._told.difference(
                month, Kind.DERIVED, f"{_rows(wanted)} by its parent's", f"{_rows(found)}, not the same"
            )

    def _other_than_rows(self, reading: FileReading) -> Iterator[Difference]:
        """What may be wrong with a file whose rows are right: it lacks times, or has other columns."""
        kinds = (Kind.CONTENT, Kind.COLUMNS)
        yield from (difference for difference in of_file(self._told, reading) if difference.kind in kinds)

    def _made(self, month: str) -> array[int] | None:
        """Hashes of the rows that the parent's month gives; None if its file is damaged or has other columns."""
        explode, hashes = Explode(self._table, datetime.now(UTC)), array("q")
        try:
            with self._parent_table.files.fetch(month) as path, open_parquet(path) as file:
                if not set(explode.columns) <= set(file.schema_arrow.names):
                    return None
                for parents in file.iter_batches(PARENTS_AT_ONCE, columns=list(explode.columns), use_threads=False):
                    hashes.extend(_hashes(_each_once(explode.rows(parents), self._table.primary_key)))
        except Exception as error:
            if not is_damage(error):
                raise
            return None
        return hashes

    def _stored(self, month: str) -> array[int]:
        with self._lake_table.files.fetch(month) as path, open_parquet(path) as file:
            return _file_hashes(file, self._table.schema.arrow)


def _file_hashes(file: ParquetReader, schema: pa.Schema) -> array[int]:
    hashes = array("q")
    names = [name for name in schema.names if name in file.schema_arrow.names]
    for rows in file.iter_batches(ROWS_AT_ONCE, columns=names, use_threads=False):
        hashes.extend(_hashes(pa.Table.from_batches([rows])))
    return hashes


def _hashes(rows: pa.Table) -> Iterator[int]:
    """A hash of each row without the time of its ingestion, valid in this process."""
    columns = [rows.column(name).to_pylist() for name in sorted(rows.column_names) if name != INGESTED_AT]
    return map(hash, zip(*columns, strict=True))


def _each_once(rows: pa.Table, primary_key: tuple[str, ...]) -> pa.Table:
    """The last row of each key: an element may repeat inside a list."""
    keys = zip(*(rows.column(name).to_pylist() for name in primary_key), strict=True)
    last = {key: place for place, key in enumerate(keys)}
    return rows if len(last) == rows.num_rows else rows.take(sorted(last.values()))


def _rows(hashes: array[int] | None) -> str:
    count = len(hashes or ())
    return "1 row" if count == 1 else f"{count:,} rows"
