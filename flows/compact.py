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
    """Merge all staged rows of the selected tables into their partitions. Asks nothing of Intercom.

    Args:
        connection: Name of the connection whose tables are merged.
        lake: Folder where the flow runs, or fsspec URL, for example ./lake or s3://bucket/prefix.
        tables: Names of tables to merge, and of groups: default, all. Every table of the lake if nothing is chosen.
        advanced: What few runs need to change.
    """
    job = prepare_compaction(connection, lake, tables, advanced)
    with holding_tables(job) as job:
        return finish(job, submit_tables(merge_table, job))
