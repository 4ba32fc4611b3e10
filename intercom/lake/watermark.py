"""A table's watermark: how far it has been read into one lake, and the protocol of what keeps it outside the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Watermark:
    """One table's watermark in one lake; `value` in unix seconds, UTC, None before any row was seen."""

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
        """Keep the watermark in place of an older one."""
