"""`make bench`: what the heart costs, as ratios against a floor measured in the same run.

Rows: decode (page bytes -> record batches) against parsing alone; merge of a small increment into a large partition
against a plain streaming read and write; requests of a first load, an increment and an idle run of a workspace.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from intercom.normalise import Normaliser, split_records
from intercom.partition import PartitionMerge, RowGroupWriter
from intercom.sandbox import SandboxServer, Workspace
from intercom.tables import TABLES
from tests.support.rig import Rig

ROUNDS = 5
CONTACTS = TABLES["contacts"]


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of this process for one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def paired(work: Callable[[], Any], floor: Callable[[], Any]) -> tuple[float, float]:
    """Medians of both in alternating rounds, so that a busy machine slows both alike."""
    rounds = [(cpu_seconds(work), cpu_seconds(floor)) for _ in range(ROUNDS)]
    return median(ours for ours, _ in rounds), median(theirs for _, theirs in rounds)


def contact_pages(rows: int) -> list[msgspec.Raw]:
    """Bodies of pages of 150 contacts."""
    records = Workspace.seeded(contacts=rows, companies=50, conversations=0).rows("contacts")
    return [msgspec.Raw(msgspec.json.encode(records[start : start + 150])) for start in range(0, rows, 150)]


def decode() -> str:
    pages = contact_pages(6000)
    normaliser = Normaliser(CONTACTS, datetime.now(UTC))
    parse = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

    def ours() -> None:
        for page in pages:
            normaliser.batch([record for record in split_records(page) if record is not None], where="bench")

    def floor() -> None:
        for page in pages:
            parse.decode(page)

    mine, theirs = paired(ours, floor)
    return f"{mine / 6000 * 1e6:.1f} us CPU a contact, {mine / theirs:.1f}x parsing alone"


def merge(rows: int = 300_000, updates: int = 3_000) -> str:
    with tempfile.TemporaryDirectory() as folder:
        stored, part, target = (Path(folder, name) for name in ("stored.parquet", "part.parquet", "new.parquet"))
        _grown(stored, rows, CONTACTS.schema.arrow)
        _increment(stored, part, updates)

        def ours() -> None:
            merging = PartitionMerge(stored, [part], CONTACTS.schema.arrow, primary_key="id", cursor_field="updated_at")
            merging.write(target, "bench")
            merging.close()

        def floor() -> None:
            with pq.ParquetFile(stored) as file, RowGroupWriter(target, CONTACTS.schema.arrow, "bench") as writer:
                for group in range(file.num_row_groups):
                    writer.add(file.read_row_group(group))

        mine, theirs = paired(ours, floor)
    return f"{mine / theirs:.2f}x the CPU of reading and writing {rows:,} rows; {updates:,} updates"


def requests() -> str:
    workspace = Workspace.seeded(contacts=20_000, companies=3_000, conversations=10_000, articles=500, history_days=700)
    with SandboxServer(workspace, compress=False) as server, tempfile.TemporaryDirectory() as folder:
        rig = Rig(server, folder)
        counts = []
        for change in (0, 100, 0):
            if change:
                workspace.travel(60)
                for table in ("contacts", "conversations"):
                    for row in workspace.rows(table)[::change]:
                        workspace.update(table, row["id"])
                workspace.travel(1)
            server.clear_log()
            started, cpu = time.monotonic(), time.process_time()
            rig.sync()
            took = f"{time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s CPU with the server's"
            counts.append(f"{len(server.log)} ({took})")
    return "first load {}, after 1 % changed {}, idle {}".format(*counts)


def _grown(path: Path, rows: int, schema: pa.Schema) -> None:
    """A partition of so many contacts: the same records again and again, with ids of their own."""
    normaliser = Normaliser(CONTACTS, datetime(2026, 1, 1, tzinfo=UTC))
    page = contact_pages(6000)
    some = pa.Table.from_batches(
        [normaliser.batch([r for r in split_records(raw) if r is not None], where="bench") for raw in page]
    )
    with RowGroupWriter(path, schema, "bench") as writer:
        for start in range(0, rows, 6000):
            ids = pa.array([f"{start + number:024x}" for number in range(some.num_rows)])
            writer.add(
                some.set_column(some.schema.get_field_index("id"), schema.field("id"), ids).slice(0, rows - start)
            )


def _increment(stored: Path, part: Path, updates: int) -> None:
    """Every n-th row again, changed a day later."""
    rows = pq.read_table(stored)
    step = rows.num_rows // updates
    chosen = rows.take(pa.array(range(0, rows.num_rows, step)))
    later = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
    for name in ("updated_at", "_ingested_at"):
        place = chosen.schema.get_field_index(name)
        chosen = chosen.set_column(place, chosen.schema.field(place), pa.repeat(later, chosen.num_rows))
    pq.write_table(chosen, part)


if __name__ == "__main__":
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}, {machine}")
    for bench in (decode, merge, requests):
        print(f"{bench.__name__:>10}  {bench()}", flush=True)
