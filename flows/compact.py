"""Merge what syncs have staged into the lake's tables, and do nothing else: ``python flows/compact.py --help``."""

from __future__ import annotations

from collections.abc import Sequence

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    from intercom.cli.run import run_from_shell

    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.config.parameters import ConnectionName, LakeOptions, LakeURL, TableName
from intercom.orchestration.finish import finish
from intercom.orchestration.job import holding_tables
from intercom.orchestration.prepare import prepare_compaction
from intercom.orchestration.tasks import merge_table, submit_tables


@flow(name="intercom-compact", flow_run_name="compact {connection}")
def compact(
    connection: ConnectionName = "default",
    lake: LakeURL = "./lake",
    tables: Sequence[TableName] = (),
    advanced: LakeOptions = LakeOptions(),
) -> State[None]:
    """Merge all staged rows of the selected tables into their partitions. Sends no request to Intercom.

    Args:
        connection: Name of the connection whose tables are merged.
        lake: Folder on the machine of the run, or fsspec URL such as s3://bucket/prefix.
        tables: Tables or groups (default, all) to merge. If none is chosen: every table of the lake.
        advanced: Options that few runs need.
    """
    job = prepare_compaction(connection, lake, tables, advanced)
    with holding_tables(job) as job:
        return finish(job, submit_tables(merge_table, job))
