"""Reads some columns of staged parts: of what this run has staged, or of runs that wait to be merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from intercom.lake.parquet import open_parquet
from intercom.lake.table import LakeTable


def staged_rows(lake_table: LakeTable, counted: Mapping[str, int], columns: Sequence[str]) -> Iterator[pa.Table]:
    """These columns, part by part; `counted` maps attempts to their numbers of valid parts. Marks are among the rows.

    Raises OvertakenError where another run has removed a part.
    """
    for part in lake_table.parts():
        if part.number < counted.get(part.attempt, 0):
            with (
                lake_table.lake.still_there(part.path),
                lake_table.lake.fetch(part.path) as path,
                open_parquet(path) as file,
            ):
                rows = file.read(columns=list(columns), use_threads=False)
            yield rows
