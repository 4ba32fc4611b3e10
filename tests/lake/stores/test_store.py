"""What every `Store` promises, whatever is behind it; paths are its own, and its errors are not in words yet."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from intercom.lake.conditional_put import ConditionFailed
from intercom.lake.store import Store
from tests.lake.stores.kinds import LOCAL, Backend, kinds

PATH = "data/c/tags/data.parquet"
OTHERS = "data/c/tags2/data.parquet"


@pytest.fixture
def files(store: Backend) -> Store:
    return store.lake().store


@pytest.fixture
def written(tmp_path: Path, store: Backend) -> Callable[[bytes], Path]:
    """Makes finished local files, each with another time, on the disk of a local store."""
    seconds = count(1_700_000_000)
    folder = tmp_path / ("lake/_tmp" if store.kind is LOCAL else "aside")
    folder.mkdir(parents=True)

    def write(content: bytes) -> Path:
        path = folder / uuid.uuid4().hex
        path.write_bytes(content)
        os.utime(path, (next(seconds),) * 2)  # a disk's clock may not tick between two files
        return path

    return write


def test_a_file_is_put_replaced_and_deleted(files: Store, written: Callable[[bytes], Path], store: Backend) -> None:
    assert files.walk("data") == {}
    stamps = set()
    for content in (b"one", b"two"):
        there = files.put(written(content), PATH)
        assert files.read(PATH) == store.get(PATH) == content
        assert files.walk("data") == {PATH: files.stat(PATH)}
        assert there in (None, files.stat(PATH))
        assert (there is None) == (store.kind is not LOCAL)
        assert files.stat(PATH).size == len(content)
        stamps.add(files.stat(PATH).stamp)
    assert len(stamps) == 2
    files.delete([PATH, "data/never"])
    files.delete([PATH])
    assert files.walk("data") == {}


def test_a_folder_has_what_is_below_it_and_names_what_is_in_it(files: Store, written: Callable[[bytes], Path]) -> None:
    for path in (OTHERS, PATH, "data/c/x"):
        files.put(written(b"x"), path)
    assert list(files.walk("data/c/tags")) == [PATH]
    assert list(files.walk("data")) == sorted([PATH, OTHERS, "data/c/x"])
    assert files.names("data/c") == {"tags", "tags2", "x"}


def test_a_range_of_a_file_is_read_and_all_of_it_is_fetched(
    files: Store, written: Callable[[bytes], Path], store: Backend, tmp_path: Path
) -> None:
    store.put(PATH, bytes(range(200)))
    if store.kind.gives_ranges:  # the other one sends the checksum of the whole with it, which is refused
        assert files.read(PATH, 10, 20) == bytes(range(10, 20))
        assert files.read(PATH, 190, 200) == bytes(range(190, 200))
    files.download(PATH, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bytes(range(200))
    here = files.local_path(PATH)
    assert (here is not None) == (store.kind is LOCAL)
    assert here is None or here.read_bytes() == bytes(range(200))


def test_a_file_is_created_where_there_is_none(files: Store, written: Callable[[bytes], Path], store: Backend) -> None:
    assert files.create(written(b"first"), PATH)
    assert files.create(written(b"second"), PATH) != store.kind.creates_exclusively
    assert store.get(PATH) == (b"first" if store.kind.creates_exclusively else b"second")


def test_the_time_of_a_file_is_the_stores_own(files: Store, store: Backend) -> None:
    store.put(PATH, b"x")
    found = files.modified(PATH)
    assert found is not None
    assert abs((found.replace(tzinfo=found.tzinfo or UTC) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(
    "ask",
    [
        lambda files, path: files.read(path),
        lambda files, path: files.stat(path),
        lambda files, path: files.modified(path),
        lambda files, path: files.names(f"{path}/folder"),
    ],
    ids=["read", "stat", "modified", "names"],
)
def test_what_is_not_there_is_not_found(files: Store, ask: Callable[[Store, str], object]) -> None:
    with pytest.raises(FileNotFoundError):
        ask(files, "data/nowhere")


@pytest.mark.parametrize("store", kinds(lambda k: k.replaces_conditionally), ids=lambda k: k.name, indirect=True)
def test_a_version_is_replaced_by_who_has_seen_it(files: Store, store: Backend) -> None:
    conditional = files.conditional
    assert conditional is not None
    assert conditional.read(PATH) is None
    first = conditional.replace(PATH, b"one", None)
    assert conditional.read(PATH) == (b"one", first)
    store.put(PATH, b"other")
    with pytest.raises(ConditionFailed):
        conditional.replace(PATH, b"late", first)
    assert store.get(PATH) == b"other"
