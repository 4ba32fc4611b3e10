"""Copy an Intercom workspace into a Parquet lake: ``python flows/sync.py --help``."""

from __future__ import annotations

from collections.abc import Sequence

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    from intercom.cli.run import run_from_shell

    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.config.parameters import ConnectionName, Day, LakeURL, LookbackText, StartDate, SyncOptions, TableName
from intercom.orchestration.finish import finish
from intercom.orchestration.job import holding_tables
from intercom.orchestration.prepare import prepare_run
from intercom.orchestration.tasks import submit_tables, sync_table


@flow(name="intercom-sync", flow_run_name="sync {connection}")
def sync(
    connection: ConnectionName = "default",
    lake: LakeURL = "./lake",
    tables: Sequence[TableName] = (),
    full_refresh: bool = False,
    start_date: StartDate | None = None,
    end_date: Day | None = None,
    lookback: LookbackText = "1h",
    advanced: SyncOptions = SyncOptions(),
) -> State[None]:
    """Copy the selected tables into the lake, merge the partitions that have changes, and make the derived tables.

    Args:
        connection: A block intercom-connection, or an entry of the connections file; default also takes the variables
            INTERCOM_ACCESS_TOKEN and INTERCOM_REGION.
        lake: Folder on the machine of the run, or fsspec URL such as s3://bucket/prefix.
        tables: Tables or groups: default (if none is chosen), or all, which leaves out tables that cost a request for
            each contact or company.
        full_refresh: Read everything again; rows that were deleted in Intercom are removed.
        start_date: First day (UTC) of updated_at to copy, or all. A table remembers the day of its first run. With an
            earlier day, everything since then is read again; a later day is refused.
        end_date: Last day (UTC) of updated_at to copy: a backfill, which does not move watermarks.
        lookback: How far before its watermark a table is read again, since Intercom's search may lag: 90m, 26h, 2d; for
            single tables 1h,contacts=6h.
        advanced: Options that few runs need.
    """
    job = prepare_run(connection, lake, tables, full_refresh, start_date, end_date, lookback, advanced)
    with holding_tables(job) as job:
        return finish(job, submit_tables(sync_table, job))
