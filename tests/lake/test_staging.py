"""Staged parts and the thread that makes them: what is durable when, and who waits for whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from intercom.errors import LakeError, SchemaError
from intercom.extract.pages import Page
from intercom.lake.layout import TablePaths, part_number
from intercom.lake.staging import PartWriter
from intercom.lake.storage import Lake
from intercom.lake.store import FileStat
from intercom.normalise.normaliser import Normaliser
from intercom.sync.pipeline import Checkpoint, Pipeline
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
    raw = [{name: _raw(value) for name, value in record.items()} for record in records]
    return Page(number, f"request-{number}", raw, size=size)


def _raw(value: object) -> Any:
    return msgspec.Raw(json.dumps(value).encode())


class SlowLake(Lake):
    """Parts are published when the gate is open; `refuses` makes the n-th one fail."""

    def __init__(self, url: str, *, refuses: int | None = None) -> None:
        super().__init__(url)
        self.gate = threading.Event()
        self.gate.set()
        self.refuses = refuses

    def publish(self, written: Path, path: str, *, rows: int) -> FileStat:
        self.gate.wait(30)
        if part_number(path) == self.refuses:
            raise LakeError("no space left")
        return super().publish(written, path, rows=rows)


@pytest.fixture
def lake(tmp_path: Path) -> SlowLake:
    return SlowLake(str(tmp_path / "lake"))


def writer(lake: Lake, **sizes: int) -> PartWriter:
    return PartWriter(lake, PATHS, "run.1", CONTACTS.schema.arrow, partition_field="created_at", **sizes)


def batch(*pages: Page) -> Any:
    return Normaliser(CONTACTS, AT).batch_pages([(one.records, one.where) for one in pages])


def staged(lake: Lake) -> dict[str, list[str]]:
    """Part -> its ids."""
    return {
        path: pq.read_table(Path(lake.url.removeprefix("file://")) / path).column("id").to_pylist()
        for path in lake.list("_staging")
    }


def test_every_row_is_in_one_part_of_its_month_and_numbers_have_no_gap(lake: SlowLake) -> None:
    pages = [page(number, month=number % 4) for number in range(40)]
    with writer(lake, split_bytes=20_000, held_bytes=30_000) as parts:
        for one in pages:
            parts.add(batch(one))
    found = staged(lake)
    assert sorted(identity for ids in found.values() for identity in ids) == sorted(
        f"{number}-{row}" for number in range(40) for row in range(10)
    )
    assert sorted(map(part_number, found)) == list(range(parts.parts))
    assert all(len({int(identity.split("-")[0]) % 4 for identity in ids}) == 1 for ids in found.values())
    assert parts.rows == 400


def test_rows_wait_for_others_of_their_month(lake: SlowLake) -> None:
    """Pages of many months in turn do not make a part each."""
    with writer(lake, split_bytes=10_000, held_bytes=500_000) as parts:
        for number in range(120):
            parts.add(batch(page(number, month=number % 12)))
    assert parts.parts <= 24


def test_a_checkpoint_is_told_only_when_all_rows_before_it_are_durable(lake: SlowLake) -> None:
    told: list[tuple[int, int]] = []
    lake.gate.clear()
    with writer(lake) as parts:
        parts.add(batch(page(1)))
        parts.checkpoint(lambda count: told.append((count, len(staged(lake)))))
        parts.add(batch(page(2, month=1)))
        assert told == []
        lake.gate.set()
        parts.flush()
        ((count, durable),) = told  # the part after it may be there by then, too
        assert count == 1 <= durable


def test_a_part_that_cannot_be_written_ends_it_and_no_checkpoint_passes_it(tmp_path: Path) -> None:
    lake = SlowLake(str(tmp_path / "lake"), refuses=1)
    told: list[int] = []
    parts = writer(lake)

    def write() -> None:
        with parts:
            for number in range(3):
                parts.add(batch(page(number, month=number)))
                parts.checkpoint(told.append)

    with pytest.raises(LakeError, match="no space"):
        write()
    assert told in ([], [1])
    assert parts.parts <= 1


def fail_on(*rejected: object) -> None:
    raise AssertionError(rejected)


def pipeline(
    parts: PartWriter, kept: list[Checkpoint], rejected: Callable[..., None] = fail_on, **options: int
) -> Pipeline:
    return Pipeline(parts, Normaliser(CONTACTS, AT), "updated_at", kept.append, rejected, **options)


def test_pages_of_any_thread_are_staged_and_the_newest_is_known(lake: SlowLake) -> None:
    with writer(lake) as parts, pipeline(parts, []) as pipe:
        threads = [threading.Thread(target=pipe.deliver, args=(page(number),)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (parts.rows, pipe.newest) == (300, 1_790_000_029)


def test_readers_wait_when_too_many_bytes_do(lake: SlowLake) -> None:
    lake.gate.clear()
    delivered = 0

    def read() -> None:
        nonlocal delivered
        for number in range(60):
            pipe.deliver(page(number, size=100_000))
            delivered += 1

    sizes = {"split_bytes": 1, "held_bytes": 1, "writing_bytes": 1}
    with writer(lake, **sizes) as parts, pipeline(parts, [], waiting_bytes=500_000) as pipe:
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(1.0)
        waiting = delivered
        lake.gate.set()
        reader.join()
    assert waiting <= 20  # one part is being written, the next waits for it, and half a megabyte of pages is queued
    assert parts.rows == 600


def test_bad_records_are_left_out_and_told_and_the_others_are_staged(lake: SlowLake) -> None:
    bad, told = page(7), []
    del bad.records[3]["id"], bad.records[8]["id"]
    with writer(lake) as parts, pipeline(parts, [], lambda *rejected: told.append(rejected)) as pipe:
        for one in (page(6), bad, page(8)):
            pipe.deliver(one)
    assert parts.rows == 28
    assert [(good, len(found), request) for good, found, request in told] == 2 * [(-1, 1, "request-7")]
    assert [rejected.reason for _, (rejected,), _ in told] == 2 * ["not made a row (SchemaError)"]
    assert all(b'"updated_at"' in rejected.text and b'"id"' not in rejected.text for _, (rejected,), _ in told)


def test_an_error_about_rejected_records_ends_the_readers(lake: SlowLake) -> None:
    bad = page(7)
    del bad.records[3]["id"]

    def refuse(*_rejected: object) -> None:
        raise SchemaError("too many")

    def read() -> None:
        with writer(lake) as parts, pipeline(parts, [], refuse) as pipe:
            pipe.deliver(bad)
            for number in range(1000):
                pipe.deliver(page(number, size=100_000))

    with pytest.raises(SchemaError, match="too many"):
        read()


def test_what_is_finished_when_the_reading_fails_is_kept(lake: SlowLake) -> None:
    kept: list[Checkpoint] = []

    def read_until_it_fails() -> None:
        with writer(lake) as parts, pipeline(parts, kept) as pipe:
            pipe.deliver(page(1))
            pipe.finish(4)
            pipe.deliver(page(2))
            pipe.finish(2)
            pipe.deliver(page(3))
            raise ConnectionError("the server is gone")

    with pytest.raises(ConnectionError):
        read_until_it_fails()
    (checkpoint,) = kept
    assert set(checkpoint.finished) == {2, 4}
    ids = {
        identity for path, found in staged(lake).items() if part_number(path) < checkpoint.parts for identity in found
    }
    assert {f"{number}-{row}" for number in (1, 2) for row in range(10)} <= ids


def test_finished_parts_are_kept_from_time_to_time(lake: SlowLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intercom.sync.pipeline._CHECKPOINT_ROWS", 50)
    kept: list[Checkpoint] = []
    with writer(lake) as parts, pipeline(parts, kept) as pipe:
        for number in range(20):
            pipe.deliver(page(number, size=1_000_000))  # a few are decoded together
            pipe.finish(number)
    assert len(kept) >= 2
    assert all(set(earlier.finished) < set(later.finished) for earlier, later in pairwise(kept))
    assert all(len(checkpoint.finished) * 10 <= checkpoint.rows for checkpoint in kept)


def test_a_process_that_is_told_to_end_writes_nothing_more(lake: SlowLake) -> None:
    kept: list[Checkpoint] = []

    def interrupted() -> None:
        with writer(lake) as parts, pipeline(parts, kept) as pipe:
            pipe.deliver(page(1))
            pipe.finish(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert kept == []
