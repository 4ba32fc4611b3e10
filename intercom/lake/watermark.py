"""A table's watermark (how far it was read into one lake), its JSON form, and the interface of its store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from intercom.errors import ConfigurationError

_TEXTS = ("connection", "table", "lake_id", "lake_url", "cursor_field")


@dataclass(frozen=True, slots=True)
class Watermark:
    """One table's watermark in one lake; `value` is in unix seconds, None while no row was seen."""

    connection: str
    table: str
    lake_id: str
    lake_url: str
    cursor_field: str
    value: int | None
    run_id: str
    rows: int
    saved_at: datetime


class WatermarkStore(Protocol):
    """Where watermarks are kept outside the lake."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        """The saved watermark, or None when there is none for this table in this lake."""

    def save(self, watermark: Watermark) -> None:
        """Save the watermark, replacing an older one of the same table and lake."""


def to_record(watermark: Watermark) -> dict[str, Any]:
    """A JSON object; times in ISO 8601, UTC."""
    value = None if watermark.value is None else datetime.fromtimestamp(watermark.value, UTC)
    return {**asdict(watermark), "value": iso_text(value), "saved_at": iso_text(watermark.saved_at)}


def from_record(record: Any, place: str) -> Watermark:
    """The inverse of `to_record`. Raises ConfigurationError, whose message begins with `place`, for an invalid record.

    Only the fields in `_TEXTS` are required, because documents of older versions may lack the others.
    """
    if not isinstance(record, Mapping):
        raise ConfigurationError(f"{place}: expected an object, not {type(record).__name__}.")
    for key in _TEXTS:
        if not isinstance(record.get(key), str) or not record[key]:
            raise ConfigurationError(f"{place}: {key!r} is missing, empty or no text.")
    value, saved_at = (_time(record.get(key), f"{place}, {key!r}") for key in ("value", "saved_at"))
    rows, run_id = record.get("rows") or 0, record.get("run_id") or ""
    if not isinstance(rows, int) or not isinstance(run_id, str):
        raise ConfigurationError(f"{place}: 'rows' is no whole number, or 'run_id' is no text.")
    return Watermark(
        **{key: record[key] for key in _TEXTS},
        value=None if value is None else int(value.timestamp()),
        run_id=run_id,
        rows=rows,
        saved_at=saved_at or datetime.now(UTC),
    )


def iso_text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: Any, place: str) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        time = None
    if time is None:
        raise ConfigurationError(f"{place}: no time, such as 2026-11-02T08:58:43Z.")
    return time if time.tzinfo else time.replace(tzinfo=UTC)  # the block's field says UTC
