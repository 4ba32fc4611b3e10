"""The log of one Delta table: lists its files, and commits changes. The only module that calls deltalake."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from intercom.config.redaction import without
from intercom.errors import ConfigurationError, IntercomLakeError, LakeError
from intercom.lake.delta.credentials import credentials_in, storage_options, table_uri
from intercom.lake.layout import PARTITION_COLUMN, TablePaths
from intercom.lake.published import PublishedFile
from intercom.lake.storage import Lake

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema
    from deltalake.transaction import AddAction

_COMMITS_PER_CHECKPOINT = "10"
"""Spark's default, instead of deltalake's 100: on S3 a reader needs a request per commit after the checkpoint."""

_NUMBER = re.compile(r"(\d{20})\.")
"""The version at the beginning of the name of a log file: a commit or a checkpoint."""

_NOISE = re.compile(r"\x1b\[[0-9;]*m|↳|\n\s+0: .*", re.DOTALL)
"""Colour codes and stack traces in deltalake's messages, which are removed."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the table: `number` (None before the first commit); `files`, path in the table's folder -> bytes."""

    number: int | None
    files: dict[str, int]


class DeltaLog:
    """Reads the log and commits to it; each call opens the table again with fresh credentials.

    Raises ConfigurationError when deltalake is not installed or cannot work with the lake, LakeError when the log
    cannot be read or written.
    """

    def __init__(self, lake: Lake, paths: TablePaths) -> None:
        if importlib.util.find_spec("deltalake") is None:
            raise ConfigurationError(
                "The table format 'delta' needs the package deltalake: install intercom-lake with the extra [delta]. "
                "Nothing was read."
            )
        self._lake, self._paths = lake, paths
        self._uri = table_uri(lake, paths.data)

    def newest(self) -> Version:
        """The newest version of the table; the log must exist."""
        with self._opened("read") as options:
            table = self._table(options)
            entries = pa.table(table.get_add_actions(flatten=True)).select(["path", "size_bytes"]).to_pylist()
            return Version(table.version(), {entry["path"]: entry["size_bytes"] for entry in entries})

    def commit(self, base: int | None, added: Sequence[PublishedFile], dropped: Collection[str]) -> None:
        """One commit on top of version `base`: each added file replaces its month, dropped months have no file.

        LakeError when another commit since `base` has changed one of these months.
        """
        with self._opened("write") as options:
            if base is None:
                self._create(added, options)
                return
            table = self._table(options, base)
            months = sorted({*dropped, *(new.month for new in added)})
            table.create_write_transaction(
                [_added(self._paths, new) for new in added],
                mode="overwrite",
                schema=_schema(added) if added else table.schema(),
                partition_by=_partitioned_by(months),
                partition_filters=[(PARTITION_COLUMN, "in", months)] if _partitioned_by(months) else None,
            )

    def expired(self) -> list[str]:
        """Paths, in the table's folder, of files that may be deleted.

        These are files that were removed from the table longer ago than its property
        ``delta.deletedFileRetentionDuration`` says (a week), and files of that age that were never part of the table.
        """
        with self._opened("read") as options:
            return self._table(options).vacuum(dry_run=True, full=True)

    def history(self) -> tuple[list[str], Callable[[str], bool]]:
        """What no reader of the newest version needs: data files (paths in the table's folder), and which log files.

        Before that, the newest version is written as a checkpoint, from which readers begin.
        """
        with self._opened("write") as options:
            table = self._table(options)
            table.create_checkpoint()
            newest = table.version()
            unused = table.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False, full=True)

        def is_old(name: str) -> bool:
            number = _NUMBER.match(name)
            return number is not None and int(number[1]) < newest

        return unused, is_old

    def _table(self, options: dict[str, str], version: int | None = None) -> DeltaTable:
        from deltalake import DeltaTable

        return DeltaTable(self._uri, version=version, storage_options=options)

    def _create(self, added: Sequence[PublishedFile], options: dict[str, str]) -> None:
        from deltalake.transaction import create_table_with_add_actions

        create_table_with_add_actions(
            self._uri,
            _schema(added),
            [_added(self._paths, new) for new in added],
            mode="error",
            partition_by=_partitioned_by([added[0].month]),
            configuration={"delta.checkpointInterval": _COMMITS_PER_CHECKPOINT},
            storage_options=options,
        )

    @contextmanager
    def _opened(self, verb: str) -> Iterator[dict[str, str]]:
        """Options for deltalake. Its errors become a LakeError without the credentials in these options."""
        options: dict[str, str] = {}
        try:
            options = storage_options(self._lake, to_write=verb == "write")
            yield options
        except IntercomLakeError:
            raise
        except Exception as error:
            text = without(_NOISE.sub("", str(error)), credentials_in(options))
            said = f"{type(error).__name__}: {text.rstrip('.')}"
            raise LakeError(
                f"Cannot {verb} the Delta log {self._lake.url}/{self._paths.delta_log}: {said}. "
                "Run again; the watermark has not moved. If the log itself is damaged, delete the table's folder "
                f"{self._lake.url}/{self._paths.data}: then the table is read again from the beginning."
            ) from None  # deltalake's own error may repeat credentials


def _added(paths: TablePaths, new: PublishedFile) -> AddAction:
    from deltalake.transaction import AddAction

    return AddAction(
        path=new.path.removeprefix(f"{paths.data}/"),
        size=new.size,
        partition_values={PARTITION_COLUMN: new.month} if new.month else {},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=new.statistics,
    )


def _schema(added: Sequence[PublishedFile]) -> Schema:
    """The table's columns: those of the files, and the partition column, which is not stored in the files."""
    from deltalake import Schema

    columns = added[0].columns
    assert columns is not None  # a Delta table's files are added with their columns
    return Schema.from_arrow(columns.append(pa.field(PARTITION_COLUMN, pa.string())) if added[0].month else columns)


def _partitioned_by(months: Sequence[str]) -> list[str]:
    return [] if "" in months else [PARTITION_COLUMN]
