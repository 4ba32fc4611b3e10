"""Results of tables, made of the numbers that a test is about."""

from __future__ import annotations

from typing import Any

from intercom.api.traffic import Traffic
from intercom.compaction.compact import Compacted
from intercom.sync.ingested import Ingested
from intercom.sync.summary import TableResult

_MERGED = ("rows", "new", "changed", "unchanged", "removed", "files", "waiting")
_READ = (
    "traffic", "watermark_before", "watermark_after", "complete", "earlier_try", "notes", "hints", "refused",
    "rejected", "rejected_file",
)  # fmt: skip


def table_result(table: str, *, rows_read: int = 0, seconds: float = 0.0, **numbers: Any) -> TableResult:
    """A table that was read and merged; `numbers` are fields of Ingested and Compacted."""
    read = {name: numbers.pop(name) for name in _READ if name in numbers}
    ingested = Ingested(
        **{"rows": rows_read, "traffic": Traffic(), "watermark_before": None, "watermark_after": None, **read},
        reason="incremental",
    )
    return TableResult(
        table,
        ingested,
        Compacted(**{name: numbers.pop(name) for name in _MERGED if name in numbers}),
        seconds,
        **numbers,
    )
