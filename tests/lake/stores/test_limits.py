"""A disk that is full, a folder that is closed: a clear error, nothing lost, and the next run is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from intercom.errors import LakeError
from tests.lake.stores.limits import can_mount, files_up_to, mode, small_disk
from tests.support.rig import Rig

FULL = r"(No space left on device|File too large).*Make room there; then run again"
CLOSED = r"Permission denied.*permission to do there; then run again"


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=300, history_days=20)


def change(rig: Rig) -> None:
    rig.workspace.travel(60)
    for row in rig.workspace.rows("contacts")[::40]:
        rig.workspace.update("contacts", row["id"], name="changed")
    rig.workspace.travel(1)


def published(rig: Rig) -> Any:
    return rig.rows("contacts").sort_by("id").drop_columns(["_ingested_at"])


def fails_and_recovers(rig: Rig, limited: Callable[[], AbstractContextManager[object]], told: str) -> None:
    """A first run, and a later one, that meet the limit; and after each one that does not."""
    with limited(), pytest.raises(LakeError, match=told):
        rig.sync(["contacts"])
    assert rig.lake().list("data") == {}
    assert rig.lake().list("_tmp") == {}
    rig.sync(["contacts"])
    rig.check(["contacts"])
    before = published(rig)
    change(rig)
    with limited(), pytest.raises(LakeError, match=told):
        rig.sync(["contacts"])
    assert published(rig).equals(before)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def fill(file: IO[bytes]) -> None:
    while True:
        file.write(b"\0" * 4096)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """A disk with room for some records, but not for a part."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            fill(file)
        file.truncate(file.tell() - 20_480)
    try:
        yield
    finally:
        ballast.unlink()


def test_files_that_cannot_grow(rig: Rig) -> None:
    fails_and_recovers(rig, lambda: files_up_to(12_000), FULL)


@pytest.mark.parametrize("size", ["8m"] if can_mount() else [])
def test_a_disk_that_is_full(rig: Rig, size: str) -> None:
    with small_disk(rig.lake_folder, size):
        fails_and_recovers(rig, lambda: filled(rig.lake_folder), FULL)


def test_the_merged_file_does_not_fit_where_the_staged_part_did(rig: Rig) -> None:
    rig.sync(["contacts"])
    before = published(rig)
    change(rig)
    with files_up_to(max(rig.lake().list("data").values()) - 1000), pytest.raises(LakeError, match=FULL):
        rig.sync(["contacts"])
    assert len(rig.lake().list("_staging")) > 0
    assert published(rig)["id"].equals(before["id"])
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("closed", ["data", "_staging", "_state/acme", "_tmp"])
def test_a_folder_that_cannot_be_written(rig: Rig, closed: str) -> None:
    rig.sync(["contacts"])
    (rig.lake_folder / "_staging").mkdir(exist_ok=True)
    before = published(rig)
    change(rig)
    with ExitStack() as stack:
        for folder in [rig.lake_folder / closed, *(rig.lake_folder / closed).rglob("*/")]:
            stack.enter_context(mode(folder, 0o555))
        with pytest.raises(LakeError, match=CLOSED):
            rig.sync(["contacts"])
    assert published(rig).equals(before)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_lake_in_a_folder_that_cannot_be_written(rig: Rig) -> None:
    parent = rig.lake_folder.parent / "closed"
    parent.mkdir()
    rig.lake_url = str(parent / "lake")
    fails_and_recovers(
        rig, lambda: mode(parent if not rig.lake_folder.exists() else rig.lake_folder / "_tmp", 0o555), CLOSED
    )


@pytest.mark.parametrize("unread", ["_state/lake.json", "_state/acme/contacts.json", "data"])
def test_what_cannot_be_read_is_not_taken_for_gone(rig: Rig, unread: str) -> None:
    rig.sync(["contacts"])
    change(rig)
    with mode(rig.lake_folder / unread, 0o000), pytest.raises(LakeError, match=CLOSED):
        rig.sync(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])
