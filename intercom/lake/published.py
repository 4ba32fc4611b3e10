"""A table's published files: list the partitions, read one, replace one."""

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
from intercom.lake.parquet import Written
from intercom.lake.storage import Lake
from intercom.lake.store import stamped_size


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """The file of a partition, published or put aside until `commit`: `path` in the lake, `size` in bytes.

    `stamp` is as in `PublishedFiles.stamps`. `columns` and `statistics` (JSON) are written into the log of a format
    that has one.
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

    `stamps` raises ConfigurationError when the table's files have another format. With `together`, readers see all
    changes of a compaction at once, after `commit`; else they see each partition's change at `add` or `drop`.
    """

    together: bool

    def stamps(self) -> dict[str, str]:
        """Month -> stamp of each partition, from a fresh listing. Two versions of a file have different stamps."""

    def stamp(self, month: str) -> str:
        """One partition's entry of `stamps`."""

    def strangers(self) -> list[str]:
        """Paths of files that do not belong to the table but that readers would read too, at the last listing."""

    def path(self, month: str) -> str:
        """Where a partition's file is in the lake."""

    def fetch(self, month: str) -> AbstractContextManager[Path]:
        """A local, readable copy of a partition's file for the time of the block."""

    def open(self, month: str, stamp: str) -> AbstractContextManager[Path | ByteRanges]:
        """A partition's file for reading some columns, for the time of the block; `stamp` is its entry of `stamps`."""

    def add(
        self, written: Path, month: str, rows: int, over: str | None, wrote: Written | None = None
    ) -> PublishedFile:
        """Put a finished local file of `rows` rows into the lake. Readers see it at once, or after `commit`.

        `over` is the stamp of the file that it replaces, None if there is none. Raises OvertakenError, now or at
        `commit`, when another run has replaced that file since. `wrote` is as in `Lake.publish`.
        """

    def drop(self, month: str, over: str) -> None:
        """Remove a partition that has no rows any more; `over` is the stamp of its file. Else as `add`."""

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """End of a compaction: make its changes visible, in a format that shows them together."""

    def clear_history(self) -> int:
        """Delete what only older versions of the table need, at once; gives the number of data files.

        Readers of an older version fail then. The caller holds the table's lock.
        """


class PlainFiles:
    """One Parquet file per partition under a fixed name. Each file is replaced on its own, in one atomic step."""

    together = False

    def __init__(self, lake: Lake, paths: TablePaths, *, partitioned: bool) -> None:
        self._lake, self._paths, self._partitioned = lake, paths, partitioned
        self._strangers: list[str] = []

    def stamps(self) -> dict[str, str]:
        """Month -> stamp of the file, from the storage."""
        listed = self._lake.stamps(self._paths.data)
        check_format(self._lake, self._paths, listed, TableFormat.PARQUET)
        months = {path: self._month(path) for path in listed}
        self._strangers = [path for path, month in months.items() if month is None and self._is_read(path)]
        return {month: listed[path] for path, month in months.items() if month is not None}

    def clear_history(self) -> int:
        """Nothing: a file that was replaced is gone, as far as this package can reach it."""
        return 0

    def strangers(self) -> list[str]:
        """Files with other names than the table's, without those that all readers skip."""
        return self._strangers

    def stamp(self, month: str) -> str:
        """The stamp of the partition's file, from the storage."""
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

    def add(
        self, written: Path, month: str, rows: int, over: str | None, wrote: Written | None = None
    ) -> PublishedFile:
        """Replace the partition's file; visible at once."""
        path = self.path(month)
        there = self._lake.publish(written, path, rows=rows, over=over, wrote=wrote)
        return PublishedFile(month, path, there.size, rows, there.stamp)

    def drop(self, month: str, over: str) -> None:
        """Delete the partition's file; OvertakenError when its stamp is not `over`."""
        self._lake.drop(self.path(month), over)

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """Does nothing: `add` and `drop` were visible at once."""

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

    The format is told by the file names and not by a record, because a glob would also read the files of a Delta table
    that has lost its log.
    """
    for path in files:
        found = paths.format_of(path)
        if found not in (None, asked):
            raise ConfigurationError(
                f"The table {paths.table!r} is in the lake as {found} ({lake.url}/{path}), and {asked} was asked for. "
                f"Run with --table-format {found}, or give another lake, or delete the folder {lake.url}/{paths.data}: "
                "then the table is read again from the beginning. Nothing was read."
            )
