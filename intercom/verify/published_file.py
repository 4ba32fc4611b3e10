"""Reads one published file whole: every page with its checksum, every row's key, month and time of its read."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined
from intercom.compaction.keys import hashes_of, keys_of
from intercom.config.redaction import one_line
from intercom.lake.layout import UNKNOWN_MONTH
from intercom.lake.parquet import (
    ParquetReader,
    content_digest,
    footer_digest,
    is_damage,
    noted_checksums,
    noted_version,
    open_parquet,
)
from intercom.tables.schema import INGESTED_AT
from intercom.tables.table import Table

ROWS_AT_ONCE: Final = 4096
"""Rows of a file that are in memory at a time."""


@dataclass(slots=True)
class FileReading:
    """What a published file says of itself, and what its rows are.

    `damage` is why it could not be read to its end; the numbers are then of the rows before that. `keys` are hashes of
    the keys, int64, valid in this process. `wrong` counts rows by what is wrong with them, in words. `held` are those
    of the keys asked for that the file has.
    """

    month: str
    size: int = 0
    rows: int = 0
    version: str | None = None
    footer: str = ""
    content: str = ""
    checksums: bool = False
    columns: pa.Schema | None = None
    keys: pa.Array = field(default_factory=lambda: pa.array([], pa.int64()))
    wrong: Counter[str] = field(default_factory=Counter)
    held: set[str] = field(default_factory=set)
    damage: str | None = None


def read_published(table: Table, path: Path, month: str, wanted: pa.Array) -> FileReading:
    """Read all pages of all columns of a file; `wanted` are keys, as `keys_of` gives them, to look for.

    Raises no error for a damaged file, and those of the disk for one that cannot be read.
    """
    reading = FileReading(month, path.stat().st_size, footer=footer_digest(path), content=content_digest(path))
    try:
        with open_parquet(path) as file:
            reading.version, reading.checksums = noted_version(file.metadata), noted_checksums(file.metadata)
            reading.columns = file.schema_arrow
            _read_rows(table, file, reading, wanted)
    except Exception as error:
        if not is_damage(error):
            raise
        reading.damage = one_line(error).rstrip(".")
    return reading


def _read_rows(table: Table, file: ParquetReader, reading: FileReading, wanted: pa.Array) -> None:
    keys = []
    has_keys = set(key_columns(table)) <= set(file.schema_arrow.names)
    for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
        reading.rows += batch.num_rows
        reading.wrong.update(dict(_wrong_rows(table, batch, reading.month)))
        if has_keys:
            found = row_keys(table, batch)
            keys.append(hashes_of(found))
            if len(wanted):
                reading.held.update(map(str, found.filter(pc.is_in(found, value_set=wanted)).to_pylist()))
    reading.keys = joined(keys, pa.int64())
    if reading.rows != file.metadata.num_rows:
        reading.damage = f"its footer says {file.metadata.num_rows:,} rows, and {reading.rows:,} are in its pages"


def key_columns(table: Table) -> tuple[str, ...]:
    """Columns that tell a row from all others: of data attributes, whose names repeat, the id too."""
    own = ("id",) if table.is_replaced and "id" in table.schema.arrow.names else ()
    return tuple(dict.fromkeys((*table.primary_key, *own)))


def row_keys(table: Table, rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """The key of each row as one text; rows without a key have none here."""
    columns = key_columns(table)
    if not table.is_replaced:
        for name in columns:
            rows = rows.filter(pc.is_valid(rows.column(name))) if rows.column(name).null_count else rows
        return flat(keys_of(rows, columns))
    if len(columns) == 1:
        return flat(rows.column(columns[0])).drop_null()
    # A part of the key may be null here: `model + name` have no id where Intercom made the attribute.
    texts = zip(*(rows.column(name).to_pylist() for name in columns), strict=True)
    return pa.array(["\x00".join("" if part is None else str(part) for part in key) for key in texts], pa.string())


def shown_key(key: str) -> str:
    """A key as people read it: parts of several columns are separated by a slash."""
    return key.replace("\x00", "/")


def _wrong_rows(table: Table, rows: pa.RecordBatch, month: str) -> Iterator[tuple[str, int]]:
    """What is wrong, in words, and with how many of the rows."""
    names = set(rows.schema.names)
    for name in table.primary_key:
        if name in names and (count := rows.column(name).null_count):
            yield f"without {name}", count
    if INGESTED_AT in names and (count := rows.column(INGESTED_AT).null_count):
        yield f"without {INGESTED_AT}", count
    if table.month_field in names and month and (count := _strays(rows.column(table.month_field), month)):
        yield f"of another month by {table.month_field}", count


def _strays(times: pa.Array, month: str) -> int:
    """How many of the times are not in the month."""
    if month == UNKNOWN_MONTH:
        return len(times) - times.null_count
    if not pa.types.is_timestamp(times.type):
        return 0  # other columns than the table's, which is a difference of its own
    first = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    days = calendar.monthrange(first.year, first.month)[1]
    last = first.replace(day=days, hour=23, minute=59, second=59, microsecond=999_999)
    low, high = (pa.scalar(bound, times.type) for bound in (first, last))
    inside = pc.and_(pc.greater_equal(times, low), pc.less_equal(times, high))
    return len(times) - inside.true_count
