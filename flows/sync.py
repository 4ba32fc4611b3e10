"""Copy an Intercom workspace into a Parquet lake: ``python flows/sync.py --help``."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from intercom.shell import run_from_shell

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.tasks import compaction, conclude, exclusive, extract, prepare_run


@flow(name="intercom-sync", flow_run_name="sync {connection}")
def sync(
    connection: str = "default",
    connections_file: str | None = None,
    lake: str = "./lake",
    storage_options: dict[str, Any] | str | None = None,
    tables: list[str] | None = None,
    full_refresh: bool = False,
    start_date: date | None = None,
    end_date: date | None = None,
    compact: Literal["auto", "always", "never"] = "auto",
    table_format: Literal["parquet", "delta"] = "parquet",
) -> State[None]:
    """Copy the selected tables into the lake, then merge the partitions they touched.

    Args:
        connection: Name of the connection: a Prefect block, an entry of the connections file, or `default` for
            the environment (INTERCOM_ACCESS_TOKEN, INTERCOM_REGION).
        connections_file: YAML file with connections; `connections.yml` in the current folder if that exists.
        lake: Folder or fsspec URL, for example ./lake or s3://bucket/prefix.
        storage_options: How the lake's store is reached: fsspec's options as a JSON object, without secrets, or the
            Prefect block that has them, for example secret/lake or aws-credentials/prod.
        tables: Tables to copy; all nine if none are named.
        full_refresh: Read everything again; tables then become exactly what was read, rows deleted in Intercom go.
        start_date: First day (UTC) of `updated_at` to copy; a table's history then begins here.
        end_date: Last day (UTC) of `updated_at` to copy: a backfill, which leaves watermarks where they are.
        compact: When staged rows are merged into the table: auto (each time, but tables above a million rows when
            one row in a hundred waits or after six hours), always, or never (flows/compact.py does it then).
        table_format: parquet (plain files, one for each month) or delta (Delta Lake: readers see each table as of one
            moment; needs the extra `delta`).
    """
    job = prepare_run(
        connection,
        connections_file,
        lake,
        storage_options,
        tables,
        full_refresh,
        start_date,
        end_date,
        compact,
        table_format,
    )
    with exclusive(job) as job:
        extracted = {table: extract.submit(table, job) for table in job.tables}
        merged = {table: compaction.submit(table, job, extracted[table]) for table in job.tables}
        return conclude(job, {table: (extracted[table], merged[table]) for table in job.tables})
