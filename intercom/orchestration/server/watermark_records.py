"""Watermarks as records: what a Prefect block holds, and a file of them that moves from one server to another.

Neither holds a secret: a lake's URL has none, and options of its store are not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from intercom.errors import ConfigurationError
from intercom.lake.watermark import Watermark

FORMAT = 1
_TEXTS = ("connection", "table", "lake_id", "lake_url", "cursor_field")


def to_record(watermark: Watermark) -> dict[str, Any]:
    """A JSON object; times in ISO 8601, UTC."""
    value = None if watermark.value is None else datetime.fromtimestamp(watermark.value, UTC)
    return {**asdict(watermark), "value": _iso(value), "saved_at": _iso(watermark.saved_at)}


def from_record(record: Any, place: str) -> Watermark:
    """The inverse of `to_record`; ConfigurationError, which begins with `place`, for anything else.

    Only what names the table and its lake has to be there, as in documents of older versions.
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


def dumped(watermarks: Iterable[Watermark]) -> str:
    """The text of a file."""
    records = sorted((to_record(watermark) for watermark in watermarks), key=lambda record: [record[k] for k in _TEXTS])
    return json.dumps({"format": FORMAT, "watermarks": records}, indent=2) + "\n"


def loaded(text: bytes, place: str) -> list[Watermark]:
    """The watermarks of a file; ConfigurationError, which names the place, for one that `dumped` has not made."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{place}: the file is no JSON ({error}). Export it again.") from error
    if not isinstance(document, dict) or not isinstance(document.get("watermarks"), list):
        raise ConfigurationError(f"{place}: this is no file of watermarks. Make one by bootstrap.py --export.")
    if document.get("format") != FORMAT:
        raise ConfigurationError(
            f"{place}: the file has format {document.get('format')!r}, this version knows {FORMAT}. Export and import "
            "with the same version of intercom-lake."
        )
    found = [
        from_record(record, f"{place}, watermark {number}") for number, record in enumerate(document["watermarks"], 1)
    ]
    seen: set[tuple[str, str, str]] = set()
    for number, watermark in enumerate(found, 1):
        key = (watermark.connection, watermark.table, watermark.lake_id)
        if key in seen:
            raise ConfigurationError(f"{place}, watermark {number}: {watermark.table} of the same lake is there twice.")
        seen.add(key)
    return found


def _iso(time: datetime | None) -> str | None:
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
    return time if time.tzinfo else time.replace(tzinfo=UTC)  # as the field of the block says
