"""The thread that makes staged parts of pages: what is durable when, and who waits for whom."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.errors import LakeError, SchemaError
from intercom.extract.completeness import Completeness
from intercom.extract.extraction import SliceEnd
from intercom.lake.layout import part_number
from intercom.lake.staging import PartWriter
from intercom.normalise.normaliser import Normaliser
from intercom.sync.pipeline import Pipeline
from intercom.sync.staged import Staged
from tests.support.parts import AT, CONTACTS, SlowLake, page, staged, writer


@pytest.fixture
def lake(tmp_path: Path) -> SlowLake:
    return SlowLake(str(tmp_path / "lake"))


def end_of(place: int) -> SliceEnd:
    return SliceEnd(place, Completeness(counted=10))


def fail_on(*rejected: object) -> None:
    raise AssertionError(rejected)


def pipeline(
    parts: PartWriter, kept: list[Staged], rejected: Callable[..., None] = fail_on, **options: int
) -> Pipeline:
    return Pipeline(parts, Normaliser(CONTACTS, AT), kept.append, rejected, **options)


def test_pages_of_any_thread_are_staged_and_the_newest_is_known(lake: SlowLake) -> None:
    with writer(lake) as parts, pipeline(parts, []) as pipe:
        threads = [threading.Thread(target=pipe.deliver, args=(page(number),)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (parts.rows, pipe.newest) == (300, 1_790_000_029)


def test_the_newest_is_what_the_pages_say_and_not_what_is_in_the_rows(lake: SlowLake) -> None:
    """Of children it is their parent's time that counts."""
    with writer(lake) as parts, pipeline(parts, []) as pipe:
        for newest in (None, 1_700_000_005, 1_700_000_002):
            pipe.deliver(replace(page(1, size=4_000_000), newest=newest))  # each is decoded by itself
    assert pipe.newest == 1_700_000_005


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
    kept: list[Staged] = []

    def read_until_it_fails() -> None:
        with writer(lake) as parts, pipeline(parts, kept) as pipe:
            pipe.deliver(page(1))
            pipe.deliver(end_of(4))
            pipe.deliver(page(2))
            pipe.deliver(end_of(2))
            pipe.deliver(page(3))
            raise ConnectionError("the server is gone")

    with pytest.raises(ConnectionError):
        read_until_it_fails()
    (checkpoint,) = kept
    assert set(checkpoint.slices) == {2, 4}
    ids = {
        identity for path, found in staged(lake).items() if part_number(path) < checkpoint.parts for identity in found
    }
    assert {f"{number}-{row}" for number in (1, 2) for row in range(10)} <= ids


def test_finished_slices_are_told_from_time_to_time(lake: SlowLake) -> None:
    kept: list[Staged] = []
    with writer(lake) as parts, pipeline(parts, kept, checkpoint_rows=50) as pipe:
        for number in range(20):
            pipe.deliver(page(number, size=1_000_000))  # a few are decoded together
            pipe.deliver(end_of(number))
    assert len(kept) >= 2
    assert all(set(earlier.slices) < set(later.slices) for earlier, later in pairwise(kept))
    assert all(len(checkpoint.slices) * 10 <= checkpoint.rows for checkpoint in kept)


@pytest.mark.parametrize("seed", range(3))
def test_a_slice_is_told_only_when_all_its_rows_are_durable(lake: SlowLake, seed: int) -> None:
    """Slices of several threads come in one stream; each third one has no rows, and they are told like the others."""
    told: list[Staged] = []

    def check(checkpoint: Staged) -> None:
        durable = {name for path, ids in staged(lake).items() if part_number(path) < checkpoint.parts for name in ids}
        assert checkpoint.rows <= len(durable)
        assert all(f"{number}-0" in durable for place in checkpoint.slices for number in pages_of(place))
        assert checkpoint.newest in (None, *(1_790_000_000 + int(name.split("-")[0]) for name in durable))
        assert all(found.counted == 10 and not found.missing for found in checkpoint.slices.values())
        told.append(checkpoint)

    def pages_of(place: int) -> range:
        return range(100 * place, 100 * place + (place % 3) * 2)

    def read(places: list[int]) -> None:
        for place in places:
            for number in pages_of(place):
                pipe.deliver(page(number, month=number % 5, size=1_000_000))
                time.sleep(0.0005)  # lets the others in between
            pipe.deliver(end_of(place))

    places = random.Random(seed).sample(range(12), 12)
    normaliser = Normaliser(CONTACTS, AT)
    with (
        writer(lake, split_bytes=4_000, held_bytes=8_000) as parts,
        Pipeline(parts, normaliser, check, fail_on, checkpoint_rows=0) as pipe,
    ):
        threads = [threading.Thread(target=read, args=(places[start::3],)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(told) > 1
    assert set(told[-1].slices) == set(range(12))


def test_no_slice_is_told_whose_part_cannot_be_written(tmp_path: Path) -> None:
    lake, told = SlowLake(str(tmp_path / "lake"), refuses=0), list[Staged]()

    def read() -> None:
        with writer(lake) as parts, pipeline(parts, told, checkpoint_rows=0) as pipe:
            for number in range(4):
                pipe.deliver(page(number))
                pipe.deliver(end_of(number))

    with pytest.raises(LakeError, match="no space"):
        read()
    assert told == []


def test_a_process_that_is_told_to_end_writes_nothing_more(lake: SlowLake) -> None:
    kept: list[Staged] = []

    def interrupted() -> None:
        with writer(lake) as parts, pipeline(parts, kept) as pipe:
            pipe.deliver(page(1))
            pipe.deliver(end_of(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert kept == []


def test_a_record_that_fails_takes_the_mark_before_it_away(lake: SlowLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark says that all children came, and one of them will not be a row."""
    rejected: list[int] = []
    batch_pages = Normaliser.batch_pages

    def failing(normaliser: Normaliser, pages: Any) -> pa.RecordBatch:
        if any(bytes(record["id"]) == bad for records, _ in pages for record in records):
            raise ValueError
        return batch_pages(normaliser, pages)

    monkeypatch.setattr(Normaliser, "batch_pages", failing)
    marked = replace(page(1), marks=1)
    bad = bytes(marked.records[4]["id"])
    with (
        writer(lake) as parts,
        pipeline(parts, [], lambda good, _found, _id: rejected.append(good)) as pipe,
    ):
        pipe.deliver(replace(page(2), marks=1))
        pipe.deliver(marked)
    assert (rejected, pipe.marks) == ([-1], 1)
    assert parts.rows == 10 + 10 - 2
