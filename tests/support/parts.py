"""Pages of synthetic contacts, a writer that stages them, and the staged parts in a lake."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from intercom.errors import LakeError
from intercom.extract.pages import Page
from intercom.lake.layout import TablePaths, part_number
from intercom.lake.staging import PartWriter
from intercom.lake.storage import ANY, Lake
from intercom.lake.store import FileStat
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Record
from intercom.tables.catalogue import TABLES

CONTACTS = TABLES["contacts"]
PATHS = TablePaths("acme", "contacts")
AT = datetime(2026, 11, 3, tzinfo=UTC)
MONTH = 30 * 86_400


def page(number: int, rows: int = 10, *, month: int = 0, size: int = 1000) -> Page:
    """Rows with ids of their own, all created in one month."""
    records = [
        {"id": f"{number}-{row}", "created_at": 1_700_000_000 + month * MONTH, "updated_at": 1_790_000_000 + number}
        for row in range(rows)
    ]
    raw: list[Record] = [{name: _raw(value) for name, value in record.items()} for record in records]
    return Page(number, f"request-{number}", raw, size=size, newest=1_790_000_000 + number)


def _raw(value: object) -> Any:
    return msgspec.Raw(json.dumps(value).encode())


class SlowLake(Lake):
    """A lake that publishes only while `gate` is set; the part with number `refuses` fails with LakeError."""

    def __init__(self, url: str, *, refuses: int | None = None) -> None:
        super().__init__(url)
        self.gate = threading.Event()
        self.gate.set()
        self.refuses = refuses

    def publish(self, written: Path, path: str, *, rows: int, over: str | None = ANY, **more: Any) -> FileStat:
        self.gate.wait(30)
        if part_number(path) == self.refuses:
            raise LakeError("no space left")
        return super().publish(written, path, rows=rows, over=over, **more)


def writer(lake: Lake, **sizes: Any) -> PartWriter:
    return PartWriter(lake, PATHS, "run.1", CONTACTS.schema.arrow, partition_field="created_at", **sizes)


def batch(*pages: Page) -> Any:
    return Normaliser(CONTACTS, AT).batch_pages([(one.records, one.where) for one in pages])


def staged(lake: Lake) -> dict[str, list[str]]:
    """Path of a staged part -> ids of its rows."""
    return {
        path: [
            str(key) for key in pq.read_table(Path(lake.url.removeprefix("file://")) / path).column("id").to_pylist()
        ]
        for path in lake.list("_staging")
    }
