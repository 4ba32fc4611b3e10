"""A table's published files, as they were read, held against the table's record. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.tables.table import Table
from intercom.verify.findings import Difference, Kind, Repair
from intercom.verify.published_file import FileReading


@dataclass(frozen=True, slots=True)
class Recorded:
    """A table with its record, None if it has none that can be read, and what its files are called for people."""

    table: Table
    state: TableState | None
    paths: Mapping[str, str]

    def difference(self, month: str, kind: Kind, expected: str, found: str, count: int = 0) -> Difference:
        """A difference of a month's file, mended by reading the table without it."""
        derived = self.table.made_of is not None
        return Difference(
            self.table.name,
            kind,
            self.paths.get(month) or f"created_month={month}",
            expected,
            found,
            Repair.DERIVE if derived else Repair.READ_TABLE,
            count=count,
            months=(month,),
        )


def gone_files(told: Recorded, stamps: Mapping[str, str]) -> Iterator[Difference]:
    """Files that the record names and that are not there; a merge of the whole table may have removed some."""
    state = told.state
    if state is None or (state.compaction is not None and state.staged_whole):
        return
    for month, entry in state.partitions.items():
        if month not in stamps:
            yield told.difference(month, Kind.FILE_GONE, _rows(entry.rows), "no file")


def of_file(told: Recorded, reading: FileReading) -> Iterator[Difference]:
    """What is wrong with a file that was read: its pages, its rows, its columns, or that it is not the recorded one."""
    month, state = reading.month, told.state
    if reading.damage is not None:
        yield told.difference(month, Kind.FILE_DAMAGED, "pages with their checksums", reading.damage)
        return
    if state is not None:
        yield from _other_file(told, state, reading)
        yield from _other_columns(told, state, reading)
    for wrong, count in reading.wrong.items():
        yield told.difference(
            month, Kind.CONTENT, "rows of this month, with key and time", f"{_rows(count)} {wrong}", count
        )


def _other_file(told: Recorded, state: TableState, reading: FileReading) -> Iterator[Difference]:
    month, entry = reading.month, state.partitions.get(reading.month)
    if entry is None:
        if not state.knows(month, reading.version):
            yield told.difference(month, Kind.FILE_UNKNOWN, "no file", _rows(reading.rows))
    elif reading.version != entry.version:
        if not state.knows(month, reading.version):
            yield told.difference(month, Kind.FILE_REPLACED, _entry(entry), f"another file, of {_rows(reading.rows)}")
    elif entry.footer and entry.footer != reading.footer:
        yield told.difference(month, Kind.FILE_REPLACED, _entry(entry), f"another footer, {_rows(reading.rows)}")
    elif entry.content and entry.content != reading.content:
        yield told.difference(month, Kind.FILE_REPLACED, _entry(entry), "other bytes")
    elif entry.rows != reading.rows:
        yield told.difference(month, Kind.FILE_REPLACED, _entry(entry), _rows(reading.rows))
    elif month in state.damaged and not state.staged_whole:
        yield told.difference(month, Kind.FILE_DAMAGED, "a file that can be merged", "one that is marked as damaged")


def _other_columns(told: Recorded, state: TableState, reading: FileReading) -> Iterator[Difference]:
    declared = [state.columns, state.rewriting.to if state.rewriting else None]
    schemas = [columns.arrow for columns in declared if columns is not None]
    if not schemas or reading.columns is None or any(reading.columns.equals(schema) for schema in schemas):
        return
    names = set(reading.columns.names) ^ set(schemas[0].names)
    found = f"other ones ({', '.join(sorted(names)[:5])})" if names else "others by type or order"
    yield told.difference(reading.month, Kind.COLUMNS, "the columns of the record", found)


def unsure(state: TableState, readings: Mapping[str, FileReading]) -> Iterator[str]:
    """What could not be proven of files, in sentences."""
    if without := sum(not reading.checksums for reading in readings.values()):
        yield f"{without} files have no checksums of their pages: an earlier version wrote them"
    if unknown := sum(month in readings and not entry.content for month, entry in state.partitions.items()):
        yield f"of {unknown} files the record has no digest yet; it has one when they are written the next time"
    if state.columns is None:
        yield "the record does not say the columns of its files"


def _entry(entry: Partition) -> str:
    return f"the recorded file of {_rows(entry.rows)}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
