"""The event that a table has all that Intercom had, for automations that notice when the event does not come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from prefect.events import emit_event

from intercom.orchestration.job import Job
from intercom.sync.summary import TableResult

SYNCED: Final = "intercom-lake.table.synced"


def synced(job: Job, table: TableResult) -> None:
    """Say that everything that Intercom had for a table when the run began is in the lake.

    Prefect sends it from a thread of its own, and adds the flow run, its deployment and its work pool.
    """
    emit_event(
        SYNCED,
        resource={
            "prefect.resource.id": f"intercom-lake.table.{job.connection}.{table.table}",
            "prefect.resource.name": f"{job.connection} {table.table}",
            "intercom-lake.connection": job.connection,
            "intercom-lake.table": table.table,
        },
        payload=facts(job, table),
    )


def facts(job: Job, table: TableResult) -> dict[str, Any]:
    """What a run did to a table, as JSON values: counts of rows, the watermark (ISO 8601, UTC), the lake, the run."""
    read, merged = table.read, table.compacted
    reached = read.watermark_after
    return {
        "rows": merged.rows,
        "rows_read": read.rows,
        "new": merged.new,
        "changed": merged.changed,
        "unchanged": merged.unchanged,
        "removed": merged.removed,
        "waiting": merged.waiting,
        "warnings": len(read.notes),
        "watermark": None if reached is None else datetime.fromtimestamp(reached, UTC).isoformat(),
        "lake": job.lake_url,
        "run_id": job.run_id,
    }
