"""Parquet files as the package writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from intercom.lake.parquet import ParquetFile


def write_parquet(path: Path, rows: Any, row_group_size: int | None = None, version: str = "stored") -> Path:
    """A file with the rows of an Arrow table, with page checksums."""
    with ParquetFile(path, rows.schema, version) as file:
        file.write(rows, row_group_size)
    return path


def damaged(path: Path, target: Path, column: str, row_group: int = 0) -> Path:
    """A copy with 20 wrong bytes in the middle of a column's pages, and the same size and footer."""
    content = bytearray(path.read_bytes())
    group = pq.read_metadata(path).row_group(row_group)
    chunk = next(
        found
        for found in (group.column(number) for number in range(group.num_columns))
        if found.path_in_schema == column
    )
    middle = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size // 2
    content[middle : middle + 20] = (byte ^ 0xFF for byte in content[middle : middle + 20])
    target.write_bytes(content)
    return target
