"""Where a lake of a life lies, on a small disk or in S3, seen past the package: its files, copies of them, its rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from tests.lake.stores.limits import can_mount, small_disk
from tests.support.rig import CONNECTION
from tests.support.truth import read_delta, read_lake

DISK = "96m"


@dataclass(frozen=True)
class Copy:
    """A file at the time of a copy; `times` are those of its last access and change in ns, None in S3."""

    content: bytes
    times: tuple[int, int] | None = None


Copies = dict[str, Copy]
"""By path in the lake, or in the folder of watermarks."""


class Place(Protocol):
    """A lake's files; `disk` is where its runs write unfinished ones, `storage` its options.

    `marks`: rows that are gone are marked in it, and not removed.
    """

    url: str
    marks: bool
    disk: Path
    storage: dict[str, Any]
    table_format: TableFormat

    def copy(self, below: str) -> Copies: ...
    def remove(self, below: str) -> None: ...
    def put(self, copies: Copies, *, with_times: bool) -> None: ...


def rows_seen(place: Place, table: str) -> pa.Table:
    """Rows as a plain reader finds them: by a glob, or as the newest version of a Delta table; none if it has none."""
    entry = TABLES[table].configured(CopySettings(place.marks))
    if place.table_format is TableFormat.PARQUET:
        return read_lake(place.url, CONNECTION, entry, **place.storage)
    folder = f"data/{CONNECTION}/{table}"
    if not any(path.endswith(".json") for path in place.copy(f"{folder}/_delta_log")):
        return entry.schema.arrow.empty_table()
    return read_delta(f"{place.url}/{folder}", entry, **place.storage)


def restore(place: Place, copies: Copies, below: str, *, with_times: bool) -> None:
    """Put back what lay below a path at the time of the copy, and nothing else."""
    place.remove(below)
    place.put({path: copy for path, copy in copies.items() if path.startswith(below)}, with_times=with_times)


def files_below(folder: Path) -> Copies:
    """Copies of a folder's files, by path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            there = path.stat()
            found[path.relative_to(folder).as_posix()] = Copy(path.read_bytes(), (there.st_atime_ns, there.st_mtime_ns))
    return found


def put_files(folder: Path, copies: Copies, *, with_times: bool) -> None:
    """Write copies into a folder, as new files or with the times of the old ones."""
    for path, copy in copies.items():
        at = folder / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(copy.content)
        if with_times and copy.times:
            os.utime(at, ns=copy.times)


@dataclass
class OnDisk:
    """A folder of a disk that can be filled."""

    disk: Path
    table_format: TableFormat
    marks: bool = False
    storage: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.disk / "lake")

    def copy(self, below: str) -> Copies:
        at, before = Path(self.url, below), f"{below.rstrip('/')}/" if below else ""
        if at.is_file():
            return {below: Copy(at.read_bytes(), (at.stat().st_atime_ns, at.stat().st_mtime_ns))}
        return {f"{before}{path}": copy for path, copy in files_below(at).items()}

    def remove(self, below: str) -> None:
        at = Path(self.url, below)
        if at.is_file():
            at.unlink()
        else:
            shutil.rmtree(at, ignore_errors=True)

    def put(self, copies: Copies, *, with_times: bool) -> None:
        put_files(Path(self.url), copies, with_times=with_times)


@dataclass
class InS3:
    """A prefix of a bucket; a run's unfinished files are on a disk of this machine."""

    disk: Path
    table_format: TableFormat
    marks: bool
    storage: dict[str, Any]
    client: Any
    bucket: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/some/lake"

    def copy(self, below: str) -> Copies:
        return {path: Copy(self._read(path)) for path in self._list(below)}

    def remove(self, below: str) -> None:
        for path in self._list(below):
            self.client.delete_object(Bucket=self.bucket, Key=f"some/lake/{path}")

    def put(self, copies: Copies, *, with_times: bool) -> None:
        for path, copy in copies.items():
            self.client.put_object(Bucket=self.bucket, Key=f"some/lake/{path}", Body=copy.content)

    def _list(self, below: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"some/lake/{below}")
        return [one["Key"].removeprefix("some/lake/") for page in pages for one in page.get("Contents", [])]

    def _read(self, path: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=f"some/lake/{path}")["Body"].read()
        return content


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A small disk of its own where this user may mount one, else a folder."""
    with ExitStack() as stack:
        if can_mount():
            stack.enter_context(small_disk(folder, DISK))
        else:
            folder.mkdir(parents=True)
        yield folder


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@contextmanager
def filled(folder: Path, left: int) -> Iterator[None]:
    """A disk with room for so many bytes."""
    filler = folder / "filler"
    try:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(4096, free_bytes(folder) - left))
        yield
    finally:
        filler.unlink(missing_ok=True)
