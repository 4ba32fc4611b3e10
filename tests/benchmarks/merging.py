"""What merging costs: small increments into large tables, and first loads that arrive in many small parts.

``python -m tests.benchmarks.merging floor|merge LAKE`` is the process that is measured: it prints its CPU seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from intercom.compaction.compact import compact_table
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark
from tests.benchmarks.lakes import CONTACTS, PATHS, SCHEMA, Month, clones, grow, lay_out, names, update, write
from tests.benchmarks.processes import cost_of
from tests.benchmarks.table import Row

UPDATES = 10_000
MOST_RATIO, MOST_MEGABYTES, MOST_FIRST_MEGABYTES = 1.4, 700, 400
FULL_PARTS_ROWS = 400


def measure() -> Iterator[Row]:
    """The floor of an increment is a plain read and write of the same files, with the same settings."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _increment(Path(folder), "one month of 1,000,000 rows", rows=1_000_000, months=1, rounds=3)
        yield from _increment(Path(folder), "24 months, 5,000,000 rows", rows=5_000_000, months=24, rounds=1)
        yield from _first_load(Path(folder), months=60)


def _increment(folder: Path, what: str, *, rows: int, months: int, rounds: int) -> Iterator[Row]:
    stored, part = folder / "stored.parquet", folder / "part.parquet"
    grow(stored, rows // months)
    update(stored, part, UPDATES // months)
    merged, plain, peak = [], [], 0.0
    for _ in range(rounds):
        cost = _cost("floor", folder, {month: (stored, [part]) for month in names(months)})
        plain.append(cost[0])
        cost = _cost("merge", folder, {month: (stored, [part]) for month in names(months)})
        merged.append(cost[0])
        peak = max(peak, cost[1])
    ratio = median(merged) / median(plain)
    figure = f"{ratio:.2f}x reading and writing it, {median(merged) / rows * 1e6:.1f} us of CPU a row"
    yield Row(f"{UPDATES:,} updates into {what}", figure, f"<= {MOST_RATIO}x", ratio <= MOST_RATIO)
    yield Row("its peak memory", f"{peak:.0f} MB", f"<= {MOST_MEGABYTES} MB", peak <= MOST_MEGABYTES)


def _first_load(folder: Path, months: int) -> Iterator[Row]:
    """Contacts of all months come in each part of the load, so every month gets many parts of 400 rows."""
    peaks = []
    for count in (8, 42):
        parts = [folder / f"part-{number}.parquet" for number in range(count)]
        rows = 0
        for path, rows_of_part in zip(parts, clones(count * FULL_PARTS_ROWS, FULL_PARTS_ROWS), strict=True):
            write(path, [rows_of_part])
            rows += months * rows_of_part.num_rows
        seconds, peak = _cost("merge", folder, dict.fromkeys(names(months), (None, parts)))
        peaks.append(peak)
        yield Row(
            f"merging a first load of {rows:,} rows, {months} months in {months * count:,} parts",
            f"{peak:.0f} MB at peak, {seconds / rows * 1e6:.0f} us of CPU a row",
            f"<= {MOST_FIRST_MEGABYTES} MB",
            peak <= MOST_FIRST_MEGABYTES,
        )
    # Without a target here: `memory` has it, for whole runs, and the less both take the larger is the same difference.
    yield Row("its peak memory, five times the rows", f"{peaks[1] / peaks[0]:.2f}x")


def _cost(what: str, folder: Path, months: Mapping[str, Month]) -> tuple[float, float]:
    """CPU seconds of the work and peak megabytes of the process, over a lake of links to these files."""
    with tempfile.TemporaryDirectory(dir=folder) as root:
        lay_out(Path(root), months)
        cost = cost_of(["-m", "tests.benchmarks.merging", what, root])
    return float(cost.output.split()[-1]), cost.peak_megabytes


# -- what is measured ---------------------------------------------------------------------------------------------


class _NoStore:
    """Watermarks outside the lake are of no interest here."""

    def load(self, connection: str, table: str, lake_id: str) -> None:
        return None

    def save(self, watermark: Watermark) -> None:
        return None


def _merge(lake: Lake) -> None:
    compact_table(CONTACTS, LakeTable(lake, PATHS), _NoStore())


def _floor(lake: Lake) -> None:
    for path in lake.list(PATHS.data):
        with (
            lake.fetch(path) as stored,
            lake.scratch() as target,
            pq.ParquetFile(stored) as file,
            pq.ParquetWriter(target, SCHEMA, compression="zstd", compression_level=1) as writer,
        ):
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group))


if __name__ == "__main__":
    work = {"floor": _floor, "merge": _merge}[sys.argv[1]]
    opened = Lake(sys.argv[2])
    started = time.process_time()
    work(opened)
    print(time.process_time() - started)
