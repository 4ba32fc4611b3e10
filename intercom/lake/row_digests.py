"""Digests of rows as Intercom sent them: what the next run need not stage, because the lake has it.

    _state/<connection>/<table>.digests.parquet      one line for each row: key, digest, version

The table's record names the digests that are true of it (`TableState.digests`): a file that a run wrote before it died,
or that an overtaken run wrote late, has another mark in its footer and counts as none. Whoever writes a record without
the mark, an older version of this package for one, ends them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import pyarrow as pa

from intercom.lake.layout import TablePaths
from intercom.lake.parquet import ParquetFile, is_damage, noted_version, open_parquet
from intercom.lake.storage import Lake

log = logging.getLogger(__name__)

_TYPES: dict[str, pa.DataType] = {"key": pa.binary(), "digest": pa.binary(), "version": pa.int64()}
_SCHEMA = pa.schema(_TYPES)


class RowDigest(NamedTuple):
    """A row as it was sent: 16 bytes for its text, and its version in unix seconds, None where it has none."""

    digest: bytes
    version: int | None


def read_digests(lake: Lake, paths: TablePaths, mark: str) -> dict[bytes, RowDigest]:
    """Key -> digest, of the digests with this mark; none where the file is another one, damaged or gone."""
    content = lake.read_bytes(paths.digests)
    if content is None:
        return {}
    try:
        with open_parquet(BytesIO(content)) as file:
            if noted_version(file.metadata) != mark:
                return {}
            rows = file.read()
    except Exception as error:
        if not is_damage(error):
            raise
        log.warning("%s: %s is damaged and is ignored", paths.table, paths.digests)
        return {}
    columns: list[list[Any]] = [rows.column(name).to_pylist() for name in _SCHEMA.names]
    return {key: RowDigest(digest, version) for key, digest, version in zip(*columns, strict=True)}


def write_digests(lake: Lake, paths: TablePaths, mark: str, rows: Mapping[bytes, RowDigest]) -> None:
    """Write the digests, in one step, in the place of those that are there."""
    lines: dict[str, list[Any]] = {
        "key": list(rows),
        "digest": [row.digest for row in rows.values()],
        "version": [row.version for row in rows.values()],
    }
    table = pa.Table.from_pydict(lines, schema=_SCHEMA)
    with lake.scratch() as path:
        with ParquetFile(path, _SCHEMA, mark, dictionaries=False) as file:
            file.write(table)
        lake.publish(path, paths.digests, rows=table.num_rows)
