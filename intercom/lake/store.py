"""What a lake asks of the store that its files are in; local disks and object stores each have one answer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from intercom.lake.conditional_put import ConditionalPut


class FileStat(NamedTuple):
    """A file as its store tells of it: `size` in bytes, and a `stamp` in which two versions of a file differ.

    A stamp is size and time of the last change on a local disk, size and ETag on S3: of a copy it is another one.
    """

    size: int
    stamp: str

    @classmethod
    def of(cls, found: os.stat_result) -> FileStat:
        """Of a local file; it stays the same when the file is renamed."""
        return cls(found.st_size, f"{found.st_size}:{found.st_mtime_ns}")


class Store(Protocol):
    """The files below one root, each whole or absent; paths are relative to it.

    Raises FileNotFoundError where a file or a folder is not there, unless a method says otherwise, and else whatever
    the operating system or the filesystem raises. Listings are fresh.
    """

    url: str
    key: str
    """What tells this store from all others."""
    at_a_time: int
    """Files that pay to be moved at the same time: more where each is waited for."""
    conditional: ConditionalPut | None
    """What replaces a file only while it is the version that was seen; None where the store has no such request."""
    looks_first: bool
    """Whether `create` is known not to be exclusive, since it looks for the file and then writes it."""

    def walk(self, folder: str) -> dict[str, FileStat]:
        """Every file below a folder, by path, sorted; empty when there is no such folder."""

    def names(self, folder: str) -> set[str]:
        """Names of what lies directly in a folder."""

    def stat(self, path: str) -> FileStat:
        """One file's entry of `walk`."""

    def modified(self, path: str) -> datetime | None:
        """When a file was last written, by the store's own clock; None where the store does not say."""

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's content, or its bytes from one place to another one, exclusive."""

    def local_path(self, path: str) -> Path | None:
        """The file itself, where it lies on a disk of this machine; None where it has to be downloaded."""

    def download(self, path: str, copy: Path) -> None:
        """Write a file's content into a local one."""

    def put(self, written: Path, path: str) -> FileStat | None:
        """Put a finished local file in place of whatever is there, in one atomic step; a local disk moves it away.

        Gives its entry of `walk`; None where only the store knows that, and another writer may have come after it.
        """

    def create(self, written: Path, path: str) -> bool:
        """Put a finished local file where there is none, in one atomic step, as far as the store can do that.

        False when there is one; after a break in the network also when this very call has put it before.
        """

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error."""


def stamped_etag(stamp: str | None) -> str | None:
    """The ETag that an object's stamp tells, as S3 spells it; None without a stamp."""
    return None if stamp is None else f'"{stamp.partition(":")[2]}"'


def stamped_size(stamp: str | None) -> int:
    """The bytes that a stamp tells; 0 without a stamp."""
    return 0 if stamp is None else int(stamp.split(":")[0])
