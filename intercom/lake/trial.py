"""Tries a lake's store: can it be written, listed, read and deleted, and do its locks hold. Nothing stays behind."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from intercom.errors import LakeError
from intercom.lake.storage import Lake

_FOLDER = "_locks"
"""Where trial files are written: runs list only folders below it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a store can do: why not, None where it can.

    `exclusively`: exactly one of two writers creates a file. `conditionally`: a file is replaced only while it is the
    version that was read; on a local disk, which has no such request, locks need the first alone.
    """

    exclusively: str | None
    conditionally: str | None


def check_place(lake: Lake) -> None:
    """Raise LakeError if a local lake that is not there yet cannot be made in its place; nothing is written."""
    root = lake.store.local_path("")
    if root is None or (root / "_state").is_dir():  # of a lake that is there, it depends on the folders below
        return
    folder = next(place for place in (root, *root.absolute().parents) if os.path.lexists(place))
    if not folder.is_dir():
        kind = "a link that leads nowhere" if folder.is_symlink() else "no folder"
        raise LakeError(f"The lake cannot be in {root}: {folder} is {kind}. Name another folder, or put one there.")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise LakeError(
            f"The lake cannot be in {root}: this user may not write in {folder}. Name another folder, or give this "
            "user the right to."
        )


def try_store(lake: Lake) -> Trial:
    """Write, list, read and delete a file of no other use, then try what locks need. Raises LakeError.

    The lake's identity and tables are not touched. A local lake that does not exist yet is not made: a folder in its
    place is tried, on the same disk, and removed.
    """
    check_place(lake)
    with _place(lake) as place:
        _write_and_delete(place)
        return Trial(place.why_not_exclusively(), place.why_not_conditionally())


@contextmanager
def _place(lake: Lake) -> Iterator[Lake]:
    root = lake.store.local_path("")
    if root is None:
        yield lake
        return
    if root.exists():
        scratch = root / "_tmp"
        made = not scratch.exists()
        try:
            yield lake
        finally:
            if made:
                with suppress(OSError):  # a run has begun meanwhile, and has files there
                    scratch.rmdir()
        return
    parent = next(folder for folder in root.absolute().parents if folder.exists())
    folder = parent / f".intercom-lake-check-{uuid.uuid4().hex[:12]}"
    try:
        yield Lake(str(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_and_delete(lake: Lake) -> None:
    path, content = f"{_FOLDER}/check-{uuid.uuid4().hex}.json", uuid.uuid4().hex.encode()
    lake.write_bytes(path, content)
    try:
        listed, read = path in lake.list(_FOLDER), lake.read_bytes(path)
    finally:
        lake.delete([path])
    fault = None
    if read != content:
        fault = "is read back with another content"
    elif not listed:
        fault = "is not in the listing of its folder"
    elif lake.read_bytes(path) is not None:
        fault = "can still be read after it was deleted"
    if fault is not None:
        raise LakeError(
            f"{path} was just written to the lake {lake.url}, and {fault}. Turn off what caches or delays its files: a "
            "run must see at once what it, or another run, has written."
        )
