"""Writes the one file of a replace table from the parts of the run that read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from intercom.compaction.deleted import marked
from intercom.compaction.row_counts import RowCounts
from intercom.lake.parquet import ParquetFile, footer_of, has_checksums, open_parquet
from intercom.tables.schema import DELETED_AT, INGESTED_AT
from intercom.tables.table import Table

_Rows = dict[tuple[Any, ...], list[dict[str, Any]]]


def replace_file(
    table: Table,
    old: Path | None,
    parts: Sequence[Path],
    new: Path,
    version: str,
    *,
    keeps: bool = False,
    deleted_at: datetime | None = None,
) -> RowCounts:
    """Write the rows of the parts, in the order of reading, to the file `new`. All rows are held in memory.

    `keeps`: the parts are not the whole table, so stored rows stay that are not among them. With `deleted_at` they stay
    in any case; if the parts are the whole table, they are marked as deleted at this time, if they are not marked yet.
    If a row was read several times, because pages overlap or the list was read twice, the last one is kept. If nothing
    changed, `new` is not written.
    """
    schema = table.schema.arrow
    parts_of_run = [_rows(part).select(schema.names).cast(schema) for part in parts]
    before = _read_if_same(old, schema)
    staying = before if keeps else schema.empty_table() if deleted_at is None else _all_marked(before, deleted_at)
    rows = _each_once(pa.concat_tables([staying, *parts_of_run]), table)
    ours, theirs = _by_key(before, table.primary_key), _by_key(rows, table.primary_key)
    met = ours.keys() & theirs.keys()
    unchanged = sum(len(theirs[key]) for key in met if ours[key] == theirs[key])
    new_rows = sum(len(theirs[key]) for key in theirs.keys() - met)
    gone = _newly_marked(ours, theirs) if deleted_at else max(0, before.num_rows - sum(len(ours[key]) for key in met))
    merged = RowCounts(
        rows=rows.num_rows,
        new=new_rows,
        changed=max(0, rows.num_rows - new_rows - unchanged - (gone if deleted_at else 0)),
        unchanged=unchanged,
        removed=gone,
        files=int(old is None or ours != theirs or not (_has_columns(old, schema) and has_checksums(old))),
    )
    if merged.files:
        with ParquetFile(new, schema, version) as file:
            file.write(rows)
    return merged


def _all_marked(rows: pa.Table, deleted_at: datetime) -> pa.Table:
    return marked(rows, pa.repeat(pa.scalar(True), rows.num_rows), deleted_at)


def _newly_marked(before: _Rows, after: _Rows) -> int:
    """How many rows fewer are alive of the keys that were there before."""
    return sum(max(0, _alive(rows) - _alive(after.get(key, []))) for key, rows in before.items())


def _alive(rows: list[dict[str, Any]]) -> int:
    return sum(row[DELETED_AT] is None for row in rows)


def _each_once(rows: pa.Table, table: Table) -> pa.Table:
    """The last row of each primary key and id; an archived data attribute may share its key with another one."""
    names = dict.fromkeys((*table.primary_key, *(name for name in ("id",) if name in rows.column_names)))
    keys = zip(*(rows.column(name).to_pylist() for name in names), strict=True)
    last = {key: place for place, key in enumerate(keys)}
    return rows if len(last) == rows.num_rows else rows.take(sorted(last.values()))


def _by_key(rows: pa.Table, primary_key: Sequence[str]) -> _Rows:
    """Primary key -> its rows without the time of ingestion, as Python values of any kind: hence `Any`."""
    found: _Rows = {}
    for row in rows.drop_columns([INGESTED_AT]).to_pylist():
        found.setdefault(tuple(row[name] for name in primary_key), []).append(row)
    return found


def _has_columns(path: Path, schema: pa.Schema) -> bool:
    """Whether a file's footer can be read and has these columns."""
    try:
        return bool(footer_of(path).schema.to_arrow_schema().equals(schema))
    except (pa.ArrowException, OSError):
        return False


def _read_if_same(path: Path | None, schema: pa.Schema) -> pa.Table:
    return _rows(path) if path and _has_columns(path, schema) else schema.empty_table()


def _rows(path: Path) -> pa.Table:
    with open_parquet(path) as file:
        return file.read()
