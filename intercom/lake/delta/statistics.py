"""Minimum, maximum and row count of a Parquet file, from its footer, for readers that skip files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from intercom.lake.parquet import Footer

BOUNDED = ("id", "created_at", "updated_at")
"""Columns with statistics in the log: those that queries filter by."""
_MILLISECOND = timedelta(milliseconds=1)


def statistics_of(footer: Footer) -> str:
    """Delta's statistics as JSON: number of rows; minimum, maximum and null count of the columns in `BOUNDED`.

    `footer` is pyarrow's metadata of the file. A column without statistics in one of its row groups is left out.
    """
    found: dict[str, Any] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for name, groups in _columns(footer):
        if not all(each is not None and each.has_null_count for each in groups):
            continue
        found["nullCount"][name] = sum(each.null_count for each in groups)
        filled = [each for each in groups if each.num_values > 0]  # num_values does not count nulls
        if filled and all(each.has_min_max for each in filled):
            found["minValues"][name] = _log_value(min(each.min for each in filled))
            if (most := _log_value(max(each.max for each in filled), up=True)) is not None:
                found["maxValues"][name] = most
    return json.dumps(found)


def _columns(footer: Footer) -> Iterator[tuple[str, list[Any]]]:
    """Name, and statistics per row group, of the columns in `BOUNDED`; None for a row group without statistics.

    `Any`, because the bounds have the type of the column.
    """
    positions = {footer.schema.column(index).path: index for index in range(footer.num_columns)}
    for name in BOUNDED:
        if name in positions:
            yield name, list(_groups(footer, positions[name]))


def _groups(footer: Footer, column: int) -> Iterable[Any]:
    return (footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups))


def _log_value(value: Any, *, up: bool = False) -> Any:
    """A bound as Delta's log stores it: a time is cut to milliseconds, UTC; with `up` it is rounded up.

    None if the rounded time is after the year 9999.
    """
    if not isinstance(value, datetime):
        return value
    value = value.astimezone(UTC)
    cut = value.replace(microsecond=value.microsecond // 1000 * 1000)
    if up and cut < value:
        if datetime.max.replace(tzinfo=UTC) - cut < _MILLISECOND:
            return None
        cut += _MILLISECOND
    return cut.isoformat(timespec="milliseconds").replace("+00:00", "Z")  # pads the year, which strftime does not
