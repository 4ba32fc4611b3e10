"""A process that is killed while it writes leaves the old file whole, or none; the next one is not disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lake.stores.files import ids, publish
from tests.lake.stores.kinds import Backend, kinds
from tests.lake.stores.relay import stalling

TARGET = "data/acme/contacts/created_month=2026-01/data.parquet"
ROOT = Path(__file__).parents[3]


@contextmanager
def writing(store: Backend, megabytes: int, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes; it is killed with SIGKILL when the block ends."""
    arguments = [store.url, json.dumps(store.options), TARGET, str(megabytes), how]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lake.stores.writer", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def check_untouched(store: Backend, before: dict[str, int]) -> None:
    lake = store.lake()
    assert lake.list("data") == before
    assert [ids(lake, path) for path in before] == [[0, 1, 2]] * len(before)
    publish(lake, TARGET, rows=7)
    assert ids(lake, TARGET) == list(range(7))


@pytest.mark.parametrize("there_was_one", [False, True], ids=["first", "replacing"])
@pytest.mark.parametrize(
    "store", kinds(lambda kind: not kind.s3 and kind.other_processes_see_it), ids=lambda kind: kind.name, indirect=True
)
def test_a_kill_while_a_local_file_is_written(store: Backend, there_was_one: bool) -> None:
    before = {TARGET: publish(store.lake(), TARGET)} if there_was_one else {}
    with writing(store, 1, "half") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert store.lake().list("data") == before
    assert len(store.lake().list("_tmp")) == 1
    check_untouched(store, before)


@pytest.mark.parametrize(("how", "megabytes"), [("publish", 1), ("pieces", 12)])
@pytest.mark.parametrize("store", kinds(lambda kind: kind.s3), ids=lambda kind: kind.name, indirect=True)
def test_a_kill_in_the_middle_of_an_upload(store: Backend, how: str, megabytes: int) -> None:
    before = {TARGET: publish(store.lake(), TARGET)}
    assert store.endpoint is not None
    with stalling(store.endpoint.url, up_to=megabytes * 700_000) as relay:
        slow = replace(store, options={**store.options, "endpoint_url": relay.url})
        with writing(slow, megabytes, how):
            assert relay.stalled.wait(60)
            assert store.lake().list("data") == before
    check_untouched(store, before)
