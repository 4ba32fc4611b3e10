"""Merge what syncs have staged into the lake's tables, and do nothing else: ``python flows/compact.py --help``."""

from __future__ import annotations

from typing import Any, Literal

from intercom.shell import run_from_shell

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.tasks import compaction, conclude, exclusive, prepare_compaction


@flow(name="intercom-compact", flow_run_name="compact {connection}")
def compact(
    connection: str = "default",
    lake: str = "./lake",
    storage_options: dict[str, Any] | str | None = None,
    tables: list[str] | None = None,
    table_format: Literal["parquet", "delta"] = "parquet",
) -> State[None]:
    """Merge all staged rows of the selected tables into their partitions. Asks nothing of Intercom.

    Args:
        connection: Name of the connection whose tables are merged.
        lake: Folder or fsspec URL, for example ./lake or s3://bucket/prefix.
        storage_options: How the lake's store is reached: fsspec's options as a JSON object, without secrets, or the
            Prefect block that has them, for example secret/lake or aws-credentials/prod.
        tables: Tables to merge; all nine if none are named.
        table_format: The format that the lake's tables have: parquet or delta.
    """
    job = prepare_compaction(connection, lake, storage_options, tables, table_format)
    with exclusive(job) as job:
        merged = {table: compaction.submit(table, job) for table in job.tables}
        return conclude(job, {table: [merged[table]] for table in job.tables})
