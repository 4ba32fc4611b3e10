"""What one step of a table's run gives to the next: plain values, which travel between processes."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.compact import Compacted
from intercom.ingest import Ingested


@dataclass(frozen=True, slots=True)
class Timed:
    """A step's result with its wall seconds."""

    seconds: float = 0.0
    ingested: Ingested | None = None
    compacted: Compacted | None = None
