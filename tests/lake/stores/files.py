"""Small Parquet files, written into a lake and read back."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from intercom.lake.storage import Lake


def publish(lake: Lake, path: str, rows: int = 3) -> int:
    with lake.scratch() as written:
        pq.write_table(pa.table({"id": list(range(rows))}), written)
        return lake.publish(written, path, rows=rows).size


def ids(lake: Lake, path: str) -> list[int]:
    with lake.fetch(path) as file:
        found: list[int] = pq.read_table(file).column("id").to_pylist()
        return found
