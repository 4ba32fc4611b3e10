"""Find the rows that an Intercom workspace no longer has: ``python flows/reconcile.py --help``."""

from __future__ import annotations

from collections.abc import Sequence

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    from intercom.cli.run import run_from_shell

    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.config.parameters import ConnectionName, LakeURL, ReadOptions, TableName
from intercom.orchestration.finish import finish
from intercom.orchestration.job import holding_tables
from intercom.orchestration.prepare import prepare_reconcile
from intercom.orchestration.tasks import submit_tables, sync_table


@flow(name="intercom-reconcile", flow_run_name="reconcile {connection}")
def reconcile(
    connection: ConnectionName = "default",
    lake: LakeURL = "./lake",
    tables: Sequence[TableName] = (),
    advanced: ReadOptions = ReadOptions(),
) -> State[None]:
    """Read everything, merge it, and remove or mark rows that the workspace no longer has.

    Args:
        connection: A block intercom-connection, or an entry of the connections file; default also takes the variables
            INTERCOM_ACCESS_TOKEN and INTERCOM_REGION.
        lake: Folder on the machine of the run, or fsspec URL such as s3://bucket/prefix.
        tables: Tables or groups (default, all). If none is chosen: the default ones, and every other table of the lake.
        advanced: Options that few runs need.
    """
    job = prepare_reconcile(connection, lake, tables, advanced)
    with holding_tables(job) as job:
        return finish(job, submit_tables(sync_table, job))
