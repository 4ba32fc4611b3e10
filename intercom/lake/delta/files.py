"""A table's published files as a Delta table: whatever a compaction changes is shown by one commit of its log.

New files are put beside the old ones, under names of their own, and nobody sees them before the log names them. Old
ones stay for readers that have begun with them, for a week after the log has dropped them.
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
from intercom.lake.parquet import footer_of
from intercom.lake.published import PublishedFile, check_format
from intercom.lake.storage import Lake
from intercom.lake.store import stamped_size

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The table at a version of its log: month -> (path, bytes) of the month's one file.

    `broken` are months that the log names, but not with one file that is there: files that were deleted, or that other
    programs have written.
    """

    version: int | None
    files: Mapping[str, tuple[str, int]]
    broken: frozenset[str]


class DeltaFiles:
    """The files that the present version of a Delta table names; partitioned by `created_month`, or one file.

    Raises ConfigurationError when deltalake is not installed or cannot work with the lake.
    """

    together = True

    def __init__(self, lake: Lake, paths: TablePaths) -> None:
        self._lake, self._paths = lake, paths
        self._log = DeltaLog(lake, paths)
        self._read: tuple[Mapping[str, int], Version] | None = None
        """Files of the log and their bytes, with what was read from them."""
        self._seen: _Snapshot | None = None

    def stamps(self) -> dict[str, str]:
        """Month -> bytes and name of its file; only of files that are there."""
        self._seen = self._look()
        return {month: _stamp(*file) for month, file in self._seen.files.items()}

    def stamp(self, month: str) -> str:
        """Bytes and name of the month's file when the table was last looked at."""
        return _stamp(*self._snapshot().files[month])

    def strangers(self) -> list[str]:
        """None: readers of a Delta table open only what its log names."""
        return []

    def path(self, month: str) -> str:
        """The month's file when the table was last looked at."""
        return self._snapshot().files[month][0]

    @contextmanager
    def fetch(self, month: str) -> Iterator[Path]:
        """The month's file when the table was last looked at."""
        with self._lake.fetch(self.path(month)) as file:
            yield file

    @contextmanager
    def open(self, month: str, stamp: str) -> Iterator[Path | ByteRanges]:
        """The month's file when the table was last looked at."""
        path, _ = self._snapshot().files[month]
        with self._lake.open(path, stamped_size(stamp)) as file:
            yield file

    def add(self, written: Path, month: str, rows: int, over: str | None) -> PublishedFile:  # noqa: ARG002 - seen by `commit`
        """Put the file beside the month's present one; `commit` shows it."""
        footer = footer_of(written)
        path = self._paths.versioned(month, uuid.uuid4().hex)
        size = self._lake.publish(written, path, rows=rows).size
        columns = footer.schema.to_arrow_schema().remove_metadata()
        return PublishedFile(month, path, size, rows, _stamp(path, size), columns, statistics_of(footer))

    def drop(self, month: str, over: str) -> None:
        """Nothing yet: `commit` takes the month out of the table."""

    def commit(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """One commit: these files are their months, and the dropped months are gone; then files of old go.

        LakeError when another run has changed one of these months since the table was looked at.
        """
        seen = self._snapshot()
        gone = seen.broken.union(month for month in dropped if month in seen.files)
        if not added and not gone:
            return
        self._log.commit(seen.version, added, gone)
        self._seen = None
        self._make_durable()
        self._vacuum()

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
        """What the log says; read again only when it has changed, since on S3 that takes many requests."""
        if self._read is None or self._read[0] != log_files:
            self._read = (log_files, self._log.newest() if log_files else Version(None, {}))
        return self._read[1]

    def _is_ours(self, path: str) -> bool:
        """Files of other programs may have columns that differ in detail, so they are replaced and never merged."""
        return self._paths.format_of(path) is TableFormat.DELTA

    def _is_log(self, path: str) -> bool:
        return path.startswith(f"{self._paths.delta_log}/")

    def _make_durable(self) -> None:
        """Make the commit survive a power cut, as the table's record will; object stores do that by themselves."""
        if not self._lake.local:
            return
        for path in filter(self._is_log, self._lake.list(self._paths.delta_log)):
            if self._read is None or path not in self._read[0]:
                with self._lake.fetch(path) as file:
                    sync(file)
                    sync(file.parent)

    def _vacuum(self) -> None:
        """Delete what no reader can need any more; where that fails they take space, until the next commit."""
        try:
            self._lake.delete(f"{self._paths.data}/{path}" for path in self._log.expired())
        except LakeError as error:
            log.warning("%s: files that the Delta table no longer needs stay for now: %s", self._paths.table, error)


def _stamp(path: str, size: int) -> str:
    return f"{size}:{path.rpartition('/')[2]}"
