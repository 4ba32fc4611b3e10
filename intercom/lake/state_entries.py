"""What a table's record is made of: published files, months that were derived, a rewrite under way, the last sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from intercom.lake.watermark import iso_text
from intercom.tables.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Partition:
    """A published file as it was when the table was last compacted.

    `version` is written in the file's footer and stays with a copy. `stamp` comes from the storage's listing, without
    reading the file. `footer` is the digest of the footer, `content` that of the whole file, "" if unknown. `marked` of
    the rows are marked as deleted.
    """

    rows: int
    version: str
    stamp: str
    footer: str = ""
    content: str = ""
    marked: int = 0

    @property
    def alive(self) -> int:
        """The rows that are not marked as deleted."""
        return self.rows - self.marked


@dataclass(frozen=True, slots=True)
class DerivedMonth:
    """A month of a parent table when rows were last derived of it: the `stamp` of its file, and what its lists lacked.

    `cut`: parents with more elements than Intercom has sent with them. `rejected`: elements that could not be rows.
    """

    stamp: str
    cut: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class ColumnMigration:
    """A rewrite of files that has begun: files of this `version` have the columns `to` already.

    If these are the columns that all files have, rows are being removed or changed.
    """

    version: str
    to: TableSchema


@dataclass(frozen=True, slots=True)
class SweepMark:
    """Names the sweep that is valid for a table: a complete read that lacked rows of the lake.

    `mark` is in the sweep's file as well (`intercom.lake.sweeps`). `at` is the ``_ingested_at`` of run `run_id`, which
    is never earlier than that of a row that it lacked; `workspace` and `fingerprint` are those of the read.
    """

    mark: str
    run_id: str
    at: datetime
    workspace: str | None
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "at": iso_text(self.at)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SweepMark:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for another object."""
        workspace = record["workspace"]
        return cls(
            mark=str(record["mark"]),
            run_id=str(record["run_id"]),
            at=datetime.fromisoformat(record["at"]),
            workspace=None if workspace is None else str(workspace),
            fingerprint=str(record["fingerprint"]),
        )
