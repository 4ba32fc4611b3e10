"""How Parquet files are written here, and how one version of a file is told from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

_VERSION = b"intercom_lake.version"


class ParquetFile:
    """A Parquet file being written, zstd level 1: half the size of snappy for the same time.

    `version` goes into its footer: who wrote it, so that a file of the same size from a backup can be told apart.
    """

    def __init__(self, path: Path, schema: Any, version: str) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._writer.add_key_value_metadata({_VERSION: version.encode()})
        self.write = self._writer.write_table

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def version_of(path: Path) -> str | None:
    """The version in a file's footer; None for a file of others, or one that is no Parquet."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    version = metadata.get(_VERSION)
    return None if version is None else version.decode()
