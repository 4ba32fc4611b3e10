"""Paths of all files in a lake: made from values, and parsed back into values.

    data/<connection>/<table>/created_month=YYYY-MM/data.parquet      merge tables
    data/<connection>/<table>/data.parquet                            replace tables
    data/<connection>/<table>/[created_month=YYYY-MM/]<32 hex>.parquet, _delta_log/...    the same as Delta tables
    _staging/<connection>/<table>/<attempt>/[created_month=YYYY-MM/]part-NNNNNN.parquet, plan.json, done.json
                                                                      without a month: rows of any month
    _rejected/<connection>/<table>/<run-id>.jsonl                     records that cannot be rows
    _state/lake.json, _state/<connection>/<table>.json, <table>.digests.parquet, <table>.sweep.parquet
    _state/<connection>/runs/<UTC time>-<run-id>.json                 see `intercom.lake.run_summaries`
    _locks/runs/..., _locks/tables/...                                see `intercom.lake.locks.files`

An attempt is ``<run-id>.<eight letters and digits>``: a run that is tried again has several.

Nothing but the published files lives below ``data/``: readers such as DuckDB and Polars take every file that a
glob finds, whatever its name starts with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote

FIRST_FORMAT = 1
PARTS_FORMAT = 2
FORMAT = 3
"""Version of the format of ``_state/lake.json`` and of every record. A record of a later format is refused.

A record is written in format 2 only while staged parts wait to be merged. A part of a partitioned table may have rows
of several months, and package versions that know only format 1 would publish such a part as one file. A record is in
format 3 if deleted rows are marked or rules protect columns: earlier versions would take marked rows for rows of the
workspace, and read protected values. Everything else is written in format 1.

Records of all formats are read. Fields were added over time, and older records lack them. A missing field gets this
default: ``""`` for a partition's `footer` and `content`, 0 for a staged run's `rows` and `committed_at`, True for
`complete`, None for `columns`, `rewriting`, `search_check`, `refused`, `digests` and `sweep`, empty for `notes`,
`damaged` and what a table was derived from, and no number for a `Generation`. For the documents of watermark blocks see
`watermark.from_record`.
"""

LAKE_FILE = "_state/lake.json"
UNKNOWN_MONTH = "unknown"
"""Partition of rows without a time to go by. Some readers fail on Hive's null partition, so this is a plain value."""

_VERSIONED = re.compile(r"[0-9a-f]{32}\.parquet")
_PART = re.compile(r"part-(\d+)\.parquet")
PARTITION_COLUMN: Final = "created_month"
_PARTITION = re.compile(PARTITION_COLUMN + r"=(\d{4}-(?:0[1-9]|1[0-2])|unknown)")


class TableFormat(StrEnum):
    """How the published files of a table are laid out."""

    PARQUET = "parquet"
    DELTA = "delta"


@lru_cache(maxsize=64)
def folder_name(name: str) -> str:
    """A connection's name as one folder: letters, digits, ``_``, ``-``, ``.`` stay, the rest is percent-encoded.

    ``.`` and ``..`` are encoded too, because as folder names they lead out of the lake's layout.
    """
    if name.strip(".") == "":
        return name.replace(".", "%2E")
    return quote(name, safe="").replace("~", "%7E")


def data_folder(connection: str) -> str:
    """Folder with a folder of published files for each of a connection's tables."""
    return f"data/{folder_name(connection)}"


def state_folder(connection: str) -> str:
    """Folder of the records of a connection's tables, and of the summaries of its runs."""
    return f"_state/{folder_name(connection)}"


def partition_folder(month: str) -> str:
    """``created_month=2026-01`` for ``2026-01``."""
    return f"{PARTITION_COLUMN}={month}"


def partition_month(folder: str) -> str | None:
    """``2026-01`` for ``created_month=2026-01``; None for any other folder name."""
    match = _PARTITION.fullmatch(folder)
    return match.group(1) if match else None


def part_number(part: str) -> int:
    """The number in a staged part's name; -1 for any other file name."""
    match = _PART.fullmatch(part.rsplit("/", 1)[-1])
    return int(match.group(1)) if match else -1


@dataclass(frozen=True, slots=True)
class TablePaths:
    """Where one table of one connection lives in a lake."""

    connection: str
    table: str

    @property
    def data(self) -> str:
        """Folder of the published files."""
        return f"{data_folder(self.connection)}/{self.table}"

    @property
    def staging(self) -> str:
        """Folder of the staged parts of all runs."""
        return f"_staging/{folder_name(self.connection)}/{self.table}"

    @property
    def state(self) -> str:
        """The table's record in the lake: watermark, partitions, staged runs."""
        return f"{state_folder(self.connection)}/{self.table}.json"

    @property
    def digests(self) -> str:
        """Digests of rows that the table has; see `intercom.lake.row_digests`."""
        return f"{state_folder(self.connection)}/{self.table}.digests.parquet"

    @property
    def sweep(self) -> str:
        """Keys that the last complete read of the table lacked; see `intercom.lake.sweeps`."""
        return f"{state_folder(self.connection)}/{self.table}.sweep.parquet"

    @property
    def rejected(self) -> str:
        """Folder of the table's rejected records."""
        return f"_rejected/{folder_name(self.connection)}/{self.table}"

    def rejected_of(self, run_id: str) -> str:
        """The file of one run's rejected records."""
        return f"{self.rejected}/{folder_name(run_id)}.jsonl"

    def published(self, month: str | None) -> str:
        """The one file of a month's partition; of the whole table when month is None (replace tables)."""
        return f"{self.data}/data.parquet" if month is None else f"{self.data}/{partition_folder(month)}/data.parquet"

    def versioned(self, month: str, name: str) -> str:
        """A month's file in a Delta table; `name` is 32 hex digits, month ``""`` is an unpartitioned table."""
        return f"{self.data}/{partition_folder(month)}/{name}.parquet" if month else f"{self.data}/{name}.parquet"

    @property
    def delta_log(self) -> str:
        """Folder of a Delta table's log."""
        return f"{self.data}/_delta_log"

    def format_of(self, published: str) -> TableFormat | None:
        """The format that a file below `data` belongs to; None for a foreign file."""
        *folders, name = published.removeprefix(f"{self.data}/").split("/")
        if folders[:1] == ["_delta_log"]:
            return TableFormat.DELTA
        if len(folders) > 1 or (folders and partition_month(folders[0]) is None):
            return None
        if _VERSIONED.fullmatch(name):
            return TableFormat.DELTA
        return TableFormat.PARQUET if name == "data.parquet" else None

    def part(self, attempt: str, month: str | None, number: int) -> str:
        """A staged part; parts of one run and month sort by name in the order in which they were read."""
        middle = "" if month is None else f"{partition_folder(month)}/"
        return f"{self.staging}/{attempt}/{middle}part-{number:06d}.parquet"

    def checkpoint(self, attempt: str, name: str) -> str:
        """A file beside an attempt's staged parts that records what the attempt has planned or finished."""
        return f"{self.staging}/{attempt}/{name}.json"

    def attempt_of(self, staged: str) -> str:
        """The attempt that a file below `staging` belongs to, whether it is a part or not."""
        return staged.removeprefix(f"{self.staging}/").split("/")[0]

    def month_of(self, published: str) -> str | None:
        """The month of a published file; None for the single file of a replace table or a foreign file."""
        inside = published.removeprefix(f"{self.data}/").split("/")
        return partition_month(inside[0]) if len(inside) == 2 and inside[1] == "data.parquet" else None

    def run_and_month(self, part: str) -> tuple[str, str | None] | None:
        """Run id and month of a staged part; None for a file that is no part."""
        inside = part.removeprefix(f"{self.staging}/").split("/")
        if not part.startswith(f"{self.staging}/") or not inside[-1].endswith(".parquet"):
            return None
        if len(inside) == 2:
            return inside[0], None
        month = partition_month(inside[1]) if len(inside) == 3 else None
        return None if month is None else (inside[0], month)
