"""The interface of a lake's store, with one implementation for local disks and one for object stores."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from intercom.lake.conditional_put import ConditionalPut


class FileStat(NamedTuple):
    """What the store reports of a file: `size` in bytes, and a `stamp` that differs between two versions of it.

    On a local disk a stamp is size and time of the last change, on S3 size and ETag. A copy has another stamp.
    """

    size: int
    stamp: str

    @classmethod
    def of(cls, found: os.stat_result) -> FileStat:
        """From the `os.stat` of a local file; a rename does not change it."""
        return cls(found.st_size, f"{found.st_size}:{found.st_mtime_ns}")


class Store(Protocol):
    """The files below one root, each complete or absent; paths are relative to the root.

    Methods raise FileNotFoundError for a missing file or folder unless they say otherwise, and any other error of the
    operating system or the filesystem unchanged. Listings are never cached.
    """

    url: str
    key: str
    """Identifies this store among all stores."""
    at_a_time: int
    """Files that are transferred at the same time; more for a store with network latency."""
    conditional: ConditionalPut | None
    """Replaces a file only if its ETag still matches; None if the store has no such request."""
    looks_first: bool
    """Whether `create` is known not to be exclusive, because it tests for the file first and then writes it."""

    def walk(self, folder: str) -> dict[str, FileStat]:
        """Every file below a folder, by path, sorted; empty when there is no such folder."""

    def names(self, folder: str, prefix: str = "") -> set[str]:
        """Names of the files and folders directly in a folder; with a `prefix` only those that begin with it."""

    def stat(self, path: str) -> FileStat:
        """One file's entry of `walk`."""

    def modified(self, path: str) -> datetime | None:
        """When a file was last written, by the store's own clock; None where the store does not say."""

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's content, or its bytes from `start` to `end`, `end` excluded."""

    def local_path(self, path: str) -> Path | None:
        """The file itself, if it is on a disk of this machine; None if it has to be downloaded."""

    def download(self, path: str, copy: Path) -> None:
        """Write a file's content into a local one."""

    def put(self, written: Path, path: str) -> FileStat | None:
        """Write a finished local file to `path`, replacing any file there, in one atomic step.

        On a local disk, `written` is moved. Gives the file's entry of `walk`; None if only the store could tell it, and
        another writer may have replaced the file since.
        """

    def create(self, written: Path, path: str) -> bool:
        """Write a finished local file to `path` unless a file is there; in one atomic step if the store can do that.

        False if a file is there; after a network error also if a first request of this very call has written it.
        """

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; a missing file is no error."""


def stamped_etag(stamp: str | None) -> str | None:
    """The ETag in an object's stamp, quoted as S3 does; None for None."""
    return None if stamp is None else f'"{stamp.partition(":")[2]}"'


def stamped_size(stamp: str | None) -> int:
    """The size in bytes in a stamp; 0 for None."""
    return 0 if stamp is None else int(stamp.split(":")[0])
