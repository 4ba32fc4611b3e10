"""What one step of a table's run gives to the next: plain values, which travel between processes."""

from __future__ import annotations

from dataclasses import dataclass

from intercom.api.traffic import Traffic
from intercom.compaction.compact import Compacted
from intercom.sync.ingest import Ingested
from intercom.sync.summary import TableSummary

_NOTHING_READ = Ingested(0, Traffic(), None, None, "nothing was read")


@dataclass(frozen=True, slots=True)
class Timed:
    """A step's result with its wall seconds."""

    seconds: float = 0.0
    ingested: Ingested | None = None
    compacted: Compacted | None = None

    def summary(self, table: str) -> TableSummary:
        """The table's line in the summary of its run, which has come to its end."""
        ingested, compacted = self.ingested or _NOTHING_READ, self.compacted
        assert compacted is not None
        return TableSummary(
            table=table,
            rows_read=ingested.rows,
            new=compacted.new,
            changed=compacted.changed,
            unchanged=compacted.unchanged,
            removed=compacted.removed,
            rows=compacted.rows,
            files=compacted.files,
            waiting=compacted.waiting,
            traffic=ingested.traffic,
            seconds=self.seconds,
            watermark_before=ingested.watermark_before,
            watermark_after=ingested.watermark_after,
            complete=ingested.complete,
            earlier_try=ingested.earlier_try,
            notes=ingested.notes,
            hints=(*ingested.hints, *compacted.hints(table)),
            error=ingested.refused,
        )
