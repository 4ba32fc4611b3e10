"""Digests of rows as Intercom sent them. The next run does not stage a row whose digest is the same.

    _state/<connection>/<table>.digests.parquet      columns: key, digest, version

The digests are valid only if the mark in the file's footer is the one in the table's record (`TableState.digests`). A
file that a run wrote before it died, or that an overtaken run wrote late, has another mark and is ignored. A record
without a mark, for example one saved by an older version of this package, makes the digests invalid.
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
    """A row as it was sent: the 16-byte digest of its text, and its version in unix seconds or None."""

    digest: bytes
    version: int | None


def read_digests(lake: Lake, paths: TablePaths, mark: str) -> dict[bytes, RowDigest]:
    """Key -> digest, if the file has this mark; empty if it has another mark, is damaged or is missing."""
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
    """Replace the table's digests in one step."""
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
