"""A table's published files: which partitions there are, reading one, putting one in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from intercom.errors import ConfigurationError
from intercom.lake.byte_ranges import ByteRanges
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.storage import Lake
from intercom.lake.store import stamped_size


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that is its partition, or is about to be: `path` in the lake, `size` in bytes, `stamp` as in `stamps`.

    `columns` and `statistics` (JSON) are what a format with a log says of the file in there.
    """

    month: str
    path: str
    size: int
    rows: int
    stamp: str
    columns: pa.Schema | None = None
    statistics: str = ""


class PublishedFiles(Protocol):
    """The published files of one table; months are ``YYYY-MM``, ``unknown``, or ``""`` for an unpartitioned table.

    `stamps` raises ConfigurationError when the files there are of another format. `together`: what a compaction
    changes is shown by `commit`, in one step; else each partition is shown when it is added or dropped.
    """

    together: bool

    def stamps(self) -> dict[str, str]:
        """Month -> stamp of each partition, from a fresh look: two versions of a file differ in their stamp."""

    def stamp(self, month: str) -> str:
        """One partition's entry of `stamps`."""

    def strangers(self) -> list[str]:
        """Files that are none of the table's, and that its readers read as well, at the last look; by path."""

    def path(self, month: str) -> str:
        """Where a partition's file is in the lake."""

    def fetch(self, month: str) -> AbstractContextManager[Path]:
        """A local, readable copy of a partition's file for the time of the block."""

    def open(self, month: str, stamp: str) -> AbstractContextManager[Path | ByteRanges]:
        """A partition's file to read some columns of, for the time of the block; `stamp` is its entry of `stamps`."""

    def add(self, written: Path, month: str, rows: int, over: str | None) -> PublishedFile:
        """Put a finished local file of `rows` rows into the lake; visible now, or with `commit`.

        `over` is the stamp of the file that it replaces, None where there was none. Raises OvertakenError, now or with
        `commit`, when another run has put another one there since.
        """

    def drop(self, month: str, over: str) -> None:
        """Take away a partition without rows, whose file has this stamp; else as `add`."""

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """All files of a compaction are added: show them together, where the format can do that."""


class PlainFiles:
    """One Parquet file per partition under a fixed name; each is replaced by itself, in one atomic step."""

    together = False

    def __init__(self, lake: Lake, paths: TablePaths, *, partitioned: bool) -> None:
        self._lake, self._paths, self._partitioned = lake, paths, partitioned
        self._strangers: list[str] = []

    def stamps(self) -> dict[str, str]:
        """Month -> what the storage says of the file."""
        listed = self._lake.stamps(self._paths.data)
        check_format(self._lake, self._paths, listed, TableFormat.PARQUET)
        months = {path: self._month(path) for path in listed}
        self._strangers = [path for path, month in months.items() if month is None and self._is_read(path)]
        return {month: listed[path] for path, month in months.items() if month is not None}

    def strangers(self) -> list[str]:
        """Files of other names than ours, but those that all readers pass over."""
        return self._strangers

    def stamp(self, month: str) -> str:
        """What the storage says of the partition's file."""
        return self._lake.stamp(self.path(month))

    @contextmanager
    def fetch(self, month: str) -> Iterator[Path]:
        """The partition's file."""
        with self._lake.fetch(self.path(month)) as path:
            yield path

    @contextmanager
    def open(self, month: str, stamp: str) -> Iterator[Path | ByteRanges]:
        """The partition's file."""
        with self._lake.open(self.path(month), stamped_size(stamp)) as file:
            yield file

    def add(self, written: Path, month: str, rows: int, over: str | None) -> PublishedFile:
        """Replace the partition's file; visible at once."""
        path = self.path(month)
        there = self._lake.publish(written, path, rows=rows, over=over)
        return PublishedFile(month, path, there.size, rows, there.stamp)

    def drop(self, month: str, over: str) -> None:
        """Delete the partition's file, after a look at it."""
        path = self.path(month)
        self._lake.check_stamp(path, over)
        self._lake.delete([path])

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """Nothing is left to do."""

    def path(self, month: str) -> str:
        """``data.parquet`` in the month's folder, or in the table's."""
        return self._paths.published(month or None)

    def _month(self, path: str) -> str | None:
        if self._partitioned:
            return self._paths.month_of(path)
        return "" if path == self._paths.published(None) else None

    def _is_read(self, path: str) -> bool:
        """A glob takes every name that ends in ``.parquet``; readers of a folder take all but hidden ones."""
        inside = path.removeprefix(f"{self._paths.data}/").split("/")
        return path.endswith(".parquet") or not any(name.startswith(("_", ".")) for name in inside)


def check_format(lake: Lake, paths: TablePaths, files: Iterable[str], asked: TableFormat) -> None:
    """Raise ConfigurationError when there is a file of another format than the one `asked` for.

    The names tell, not a record: also without its log a Delta table has files that a glob must not find twice.
    """
    for path in files:
        found = paths.format_of(path)
        if found not in (None, asked):
            raise ConfigurationError(
                f"The table {paths.table!r} is in the lake as {found} ({lake.url}/{path}), and {asked} was asked for. "
                f"Run with --table-format {found}, or give another lake, or delete the folder {lake.url}/{paths.data}: "
                "then the table is read again from the beginning. Nothing was read."
            )
