"""Copy an Intercom workspace into a Parquet lake: ``python flows/sync.py --help``."""

from __future__ import annotations

from datetime import date

from intercom.shell import run_from_shell

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.tasks import compact, conclude, extract, prepare_run


@flow(name="intercom-sync", flow_run_name="sync {connection}")
def sync(
    connection: str = "default",
    connections_file: str | None = None,
    lake: str = "./lake",
    tables: list[str] | None = None,
    full_refresh: bool = False,
    start_date: date | None = None,
    end_date: date | None = None,
) -> State[None]:
    """Copy the selected tables into the lake, then merge the partitions they touched.

    Args:
        connection: Name of the connection: a Prefect block, an entry of the connections file, or `default` for
            the environment (INTERCOM_ACCESS_TOKEN, INTERCOM_REGION).
        connections_file: YAML file with connections; `connections.yml` in the current folder if that exists.
        lake: Folder or fsspec URL, for example ./lake or s3://bucket/prefix.
        tables: Tables to copy; all nine if none are named.
        full_refresh: Read everything again; tables then become exactly what was read, rows deleted in Intercom go.
        start_date: First day (UTC) of `updated_at` to copy; a table's history then begins here.
        end_date: Last day (UTC) of `updated_at` to copy: a backfill, which leaves watermarks where they are.
    """
    job = prepare_run(connection, connections_file, lake, tables, full_refresh, start_date, end_date)
    extracted = {table: extract.submit(table, job) for table in job.tables}
    merged = {table: compact.submit(table, job, extracted[table]) for table in job.tables}
    return conclude(job, {table: (extracted[table], merged[table]) for table in job.tables})
