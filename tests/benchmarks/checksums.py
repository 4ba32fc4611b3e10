"""What page checksums cost: a month of 1,000,000 contacts read and written, with them and without."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.benchmarks.lakes import SCHEMA, grow
from tests.benchmarks.table import Row, paired

_ROWS = 1_000_000


def measure() -> Iterator[Row]:
    """CPU of all threads, alternating; the rows that are written are those of one row group, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        stored, target = Path(folder) / "stored.parquet", Path(folder) / "target.parquet"
        grow(stored, _ROWS)
        checked, plain = paired(lambda: _read(stored, checked=True), lambda: _read(stored, checked=False))
        yield _row("reading", checked, plain)
        with pq.ParquetFile(stored) as file:
            rows = file.read_row_group(0)
        checked, plain = paired(
            lambda: _write(target, rows, checksums=True), lambda: _write(target, rows, checksums=False)
        )
        yield _row("writing", checked, plain)


def _row(what: str, checked: float, plain: float) -> Row:
    each = 1e6 / _ROWS
    figure = f"{checked / plain:.2f}x ({checked * each:.2f} us a row against {plain * each:.2f})"
    return Row(f"{what} {_ROWS:,} contacts with page checksums, against without", figure)


def _read(path: Path, *, checked: bool) -> None:
    with pq.ParquetFile(path, page_checksum_verification=checked) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)


def _write(path: Path, rows: Any, *, checksums: bool) -> None:
    settings = {"compression": "zstd", "compression_level": 1, "write_page_checksum": checksums}
    with pq.ParquetWriter(path, SCHEMA, **settings) as writer:
        for _ in range(_ROWS // rows.num_rows):
            writer.write_table(rows)
