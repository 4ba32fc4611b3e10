"""Damaged staged parts and published files: finds them, and makes the errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from intercom.config.redaction import one_line
from intercom.errors import DamagedFileError, LakeError, SchemaError
from intercom.lake.parquet import is_whole
from intercom.lake.table import LakeTable
from intercom.tables.table import Table


def remove_damaged(table: Table, lake_table: LakeTable, parts: Mapping[str, Path], error: Exception) -> None:
    """Delete damaged staged parts and raise LakeError if there are any, so that the next run reads the table again."""
    own = lake_table.lake.own_parts
    damaged = [path for path, local in parts.items() if own.differs(path, local) or not is_whole(local)]
    if not damaged:
        return
    lake_table.delete_staged(damaged)
    raise LakeError(
        f"{table.name}: staged files were damaged: {len(damaged)}, the first is {damaged[0]} ({one_line(error)}). "
        "They were removed, and nothing else was changed: run again, the whole table will be read."
    ) from error


def damaged_file(table: Table, lake_table: LakeTable, month: str, error: Exception) -> DamagedFileError:
    """The DamagedFileError for a published file, from the error that reading it has raised."""
    reason = "other columns than declared" if isinstance(error, SchemaError) else one_line(error)
    return DamagedFileError(
        f"{table.name}: the file {lake_table.files.path(month)} of connection {lake_table.paths.connection!r} in the "
        f"lake {lake_table.lake.url} is damaged ({reason.rstrip('.')}). It was left as it is, and the rows that were "
        "read wait to be merged. Run again: the whole table is read, and the file is written again.",
        month,
    )
