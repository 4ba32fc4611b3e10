"""What merging costs: small increments into large tables, and first loads that arrive in many small parts.

``python -m tests.benchmarks.merging floor|merge LAKE`` is the process that is measured: it prints its CPU seconds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from intercom.compact import compact_table
from intercom.lake import Lake
from intercom.ledger import Ledger
from intercom.normalise import Normaliser, split_records
from intercom.partition import RowGroupWriter
from intercom.paths import TablePaths
from intercom.tables import TABLES
from intercom.watermarks import StagedRun, TableState, Watermark
from tests.benchmarks.decode import contact_pages
from tests.benchmarks.processes import cost_of
from tests.benchmarks.table import Row

CONTACTS = TABLES["contacts"]
SCHEMA = CONTACTS.schema.arrow
PATHS = TablePaths("bench", CONTACTS.name)
UPDATES = 10_000
CLONED = 6_000
MOST_RATIO, MOST_MEGABYTES, MOST_FIRST_MEGABYTES, MOST_GROWTH = 1.4, 700, 400, 1.15
FULL_PARTS_ROWS = 400

Month = tuple[Path | None, Sequence[Path]]  # the published file, the staged parts


def measure() -> Iterator[Row]:
    """The floor of an increment is a plain read and write of the same files, with the same settings."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _increment(Path(folder), "one month of 1,000,000 rows", rows=1_000_000, months=1, rounds=3)
        yield from _increment(Path(folder), "24 months, 5,000,000 rows", rows=5_000_000, months=24, rounds=1)
        yield from _first_load(Path(folder), months=60)


def _increment(folder: Path, what: str, *, rows: int, months: int, rounds: int) -> Iterator[Row]:
    stored, part = folder / "stored.parquet", folder / "part.parquet"
    _grow(stored, rows // months)
    _update(stored, part, UPDATES // months)
    merged, plain, peak = [], [], 0.0
    for _ in range(rounds):
        cost = _cost("floor", folder, {month: (stored, [part]) for month in _names(months)})
        plain.append(cost[0])
        cost = _cost("merge", folder, {month: (stored, [part]) for month in _names(months)})
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
        for path, clones in zip(parts, _clones(count * FULL_PARTS_ROWS, FULL_PARTS_ROWS), strict=True):
            _write(path, [clones])
            rows += months * clones.num_rows
        seconds, peak = _cost("merge", folder, dict.fromkeys(_names(months), (None, parts)))
        peaks.append(peak)
        yield Row(
            f"merging a first load of {rows:,} rows, {months} months in {months * count:,} parts",
            f"{peak:.0f} MB at peak, {seconds / rows * 1e6:.0f} us of CPU a row",
            f"<= {MOST_FIRST_MEGABYTES} MB",
            peak <= MOST_FIRST_MEGABYTES,
        )
    growth = peaks[1] / peaks[0]
    yield Row("its peak memory, five times the rows", f"{growth:.2f}x", f"<= {MOST_GROWTH}x", growth <= MOST_GROWTH)


# -- lakes --------------------------------------------------------------------------------------------------------


def _names(months: int) -> list[str]:
    return [f"{2020 + number // 12}-{number % 12 + 1:02}" for number in range(months)]


def _cost(what: str, folder: Path, months: Mapping[str, Month]) -> tuple[float, float]:
    """CPU seconds of the work and peak megabytes of the process, over a lake of links to these files."""
    with tempfile.TemporaryDirectory(dir=folder) as root:
        number = 0
        for month, (stored, parts) in months.items():
            if stored is not None:
                _link(stored, Path(root, PATHS.published(month)))
            for part in parts:
                _link(part, Path(root, PATHS.part("bench", month, number)))
                number += 1
        lake = Lake(root)
        state = TableState(lake_id=lake.identity().id, fingerprint=CONTACTS.schema.fingerprint)
        Ledger(lake, PATHS).save(state.with_staged(StagedRun("bench", number)))
        cost = cost_of(["-m", "tests.benchmarks.merging", what, root])
    return float(cost.output.split()[-1]), cost.peak_megabytes


def _link(file: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, name)


def _grow(path: Path, rows: int) -> None:
    _write(path, _clones(rows, CLONED))


def _write(path: Path, tables: Sequence[Any] | Iterator[Any]) -> None:
    with RowGroupWriter(path, SCHEMA, "bench") as writer:
        for rows in tables:
            writer.add(rows)


def _clones(rows: int, at_a_time: int) -> Iterator[Any]:
    """So many contacts: the same ones again and again, with ids of their own, also in their JSON."""
    normaliser = Normaliser(CONTACTS, datetime(2026, 1, 1, tzinfo=UTC))
    records = [record for page in contact_pages(CLONED) for record in split_records(page) if record is not None]
    some = normaliser.batch_pages([(records, "bench")]).slice(0, at_a_time)
    ids = some.column("id").to_pylist()
    own = {
        name: values
        for name in SCHEMA.names
        if pa.types.is_string(SCHEMA.field(name).type)
        and ids[0] in ((values := some.column(name).to_pylist())[0] or "")
    }
    for first in range(0, rows, at_a_time):
        new = [
            f"{(first + number) * 0x9E3779B97F4A7C15 % 2**64:016x}{first + number:08x}" for number in range(len(ids))
        ]
        columns = [
            pa.array([value and value.replace(*pair) for value, *pair in zip(own[name], ids, new, strict=True)])
            if name in own
            else some.column(name)
            for name in SCHEMA.names
        ]
        yield pa.table(columns, schema=SCHEMA).slice(0, rows - first)


def _update(stored: Path, part: Path, updates: int) -> None:
    """Every n-th row again, changed later."""
    later = pa.scalar(datetime(2100, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))
    found = []
    with pq.ParquetFile(stored) as file:
        step, first = file.metadata.num_rows // updates, 0
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            chosen = rows.take(pa.array(range(-first % step, rows.num_rows, step), pa.int64()))
            for name in ("updated_at", "_ingested_at"):
                place = SCHEMA.get_field_index(name)
                chosen = chosen.set_column(place, SCHEMA.field(place), pa.repeat(later, chosen.num_rows))
            found.append(chosen)
            first += rows.num_rows
    _write(part, found)


# -- what is measured ---------------------------------------------------------------------------------------------


class _NoStore:
    """Watermarks outside the lake are of no interest here."""

    def load(self, connection: str, table: str, lake_id: str) -> None:
        return None

    def save(self, watermark: Watermark) -> None:
        return None


def _merge(lake: Lake) -> None:
    compact_table(CONTACTS, Ledger(lake, PATHS), _NoStore())


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
