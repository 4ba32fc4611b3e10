"""A table's published files as a Delta table: one commit of its log makes all changes of a compaction visible.

New files are written beside the old ones under unique names, and readers do not see them before the log lists them. Old
files are kept for a week after the log has dropped them, for readers that still use them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from intercom.errors import LakeError
from intercom.lake.byte_ranges import ByteRanges
from intercom.lake.delta.log import DeltaLog, Version
from intercom.lake.delta.statistics import statistics_of
from intercom.lake.layout import TableFormat, TablePaths, partition_month
from intercom.lake.local_store import sync
from intercom.lake.parquet import Written, footer_of
from intercom.lake.published import PublishedFile, check_format
from intercom.lake.storage import Lake
from intercom.lake.store import stamped_size

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The table at a version of its log: month -> (path, bytes) of the month's one file.

    `broken` are months that the log lists without exactly one existing file of this package: the file was deleted, or
    other programs have written files.
    """

    version: int | None
    files: Mapping[str, tuple[str, int]]
    broken: frozenset[str]


class DeltaFiles:
    """The files of the current version of a Delta table, partitioned by `created_month`, or one file.

    Raises ConfigurationError when deltalake is not installed or cannot work with the lake.
    """

    together = True

    def __init__(self, lake: Lake, paths: TablePaths) -> None:
        self._lake, self._paths = lake, paths
        self._log = DeltaLog(lake, paths)
        self._read: tuple[Mapping[str, int], Version] | None = None
        """Log files (path -> bytes), and the version that was read from them."""
        self._seen: _Snapshot | None = None

    def stamps(self) -> dict[str, str]:
        """Month -> stamp (bytes and name of the file), of months whose file exists. Reads the log if it has changed."""
        self._seen = self._look()
        return {month: _stamp(*file) for month, file in self._seen.files.items()}

    def stamp(self, month: str) -> str:
        """Stamp (bytes and name) of the month's file in the last snapshot."""
        return _stamp(*self._snapshot().files[month])

    def strangers(self) -> list[str]:
        """Empty: readers of a Delta table open only files that its log lists."""
        return []

    def path(self, month: str) -> str:
        """The path of the month's file in the last snapshot."""
        return self._snapshot().files[month][0]

    @contextmanager
    def fetch(self, month: str) -> Iterator[Path]:
        """The month's file in the last snapshot."""
        with self._lake.fetch(self.path(month)) as file:
            yield file

    @contextmanager
    def open(self, month: str, stamp: str) -> Iterator[Path | ByteRanges]:
        """The month's file in the last snapshot."""
        path, _ = self._snapshot().files[month]
        with self._lake.open(path, stamped_size(stamp)) as file:
            yield file

    def add(
        self,
        written: Path,
        month: str,
        rows: int,
        over: str | None,  # noqa: ARG002 - seen by `commit`
        wrote: Written | None = None,
    ) -> PublishedFile:
        """Write the file beside the month's current file; `commit` makes it visible."""
        footer = footer_of(written)
        path = self._paths.versioned(month, uuid.uuid4().hex)
        size = self._lake.publish(written, path, rows=rows, wrote=wrote).size
        columns = footer.schema.to_arrow_schema().remove_metadata()
        return PublishedFile(month, path, size, rows, _stamp(path, size), columns, statistics_of(footer))

    def drop(self, month: str, over: str) -> None:
        """Does nothing: `commit` removes the month from the table."""

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """One commit: each added file replaces its month, dropped months are removed; then expired files are deleted.

        LakeError when another run has changed one of these months since the last snapshot.
        """
        seen = self._snapshot()
        gone = seen.broken.union(month for month in dropped if month in seen.files)
        if not added and not gone:
            return
        self._log.commit(seen.version, added, gone)
        self._seen = None
        self._make_durable()
        self._vacuum()

    def clear_history(self) -> int:
        """Delete the data files that are in no newest version, and the log of the versions before it."""
        if self._snapshot().version is None:
            return 0
        unused, is_old = self._log.history()
        self._lake.delete(f"{self._paths.data}/{path}" for path in unused)
        names = [name for name in self._lake.names(self._paths.delta_log) if is_old(name)]
        self._lake.delete(f"{self._paths.delta_log}/{name}" for name in names)
        self._seen = self._read = None
        return len(unused)

    def _snapshot(self) -> _Snapshot:
        if self._seen is None:
            self._seen = self._look()
        return self._seen

    def _look(self) -> _Snapshot:
        listed = self._lake.list(self._paths.data)
        check_format(self._lake, self._paths, listed, TableFormat.DELTA)
        version = self._version({path: size for path, size in listed.items() if self._is_log(path)})
        named: dict[str, list[tuple[str, int]]] = {}
        for name, size in version.files.items():
            folder = name.rpartition("/")[0]
            named.setdefault(partition_month(folder) or folder, []).append((f"{self._paths.data}/{name}", size))
        there = {
            month: files[0]
            for month, files in named.items()
            if len(files) == 1 and listed.get(files[0][0]) == files[0][1] and self._is_ours(files[0][0])
        }
        return _Snapshot(version.number, there, frozenset(named.keys() - there.keys()))

    def _version(self, log_files: Mapping[str, int]) -> Version:
        """The newest version in the log. Read again only if the log files changed: on S3 it takes many requests."""
        if self._read is None or self._read[0] != log_files:
            self._read = (log_files, self._log.newest() if log_files else Version(None, {}))
        return self._read[1]

    def _is_ours(self, path: str) -> bool:
        """Whether this package wrote the file. Others may have slightly other columns, so they are never merged."""
        return self._paths.format_of(path) is TableFormat.DELTA

    def _is_log(self, path: str) -> bool:
        return path.startswith(f"{self._paths.delta_log}/")

    def _make_durable(self) -> None:
        """Sync new log files of a local lake, so that the commit survives a power cut like the table's record."""
        if not self._lake.local:
            return
        for path in filter(self._is_log, self._lake.list(self._paths.delta_log)):
            if self._read is None or path not in self._read[0]:
                with self._lake.fetch(path) as file:
                    sync(file)
                    sync(file.parent)

    def _vacuum(self) -> None:
        """Delete expired files. If that fails, they take space until the next commit tries again."""
        try:
            self._lake.delete(f"{self._paths.data}/{path}" for path in self._log.expired())
        except LakeError as error:
            log.warning("%s: files that the Delta table no longer needs stay for now: %s", self._paths.table, error)


def _stamp(path: str, size: int) -> str:
    return f"{size}:{path.rpartition('/')[2]}"
