"""Prove that a lake is right, or say what differs: ``python flows/verify.py --help``."""

from __future__ import annotations

from collections.abc import Sequence

if __name__ == "__main__":  # before the imports below, which take seconds: meanwhile Prefect's server starts
    from intercom.cli.run import run_from_shell

    raise SystemExit(run_from_shell(__file__))

from prefect import flow
from prefect.client.schemas.objects import State

from intercom.config.parameters import ConnectionName, LakeURL, TableName, VerifyOptions
from intercom.orchestration.verification import (
    ask_workspace,
    conclude,
    prepare_verification,
    repair_tables,
    verify_table,
)


@flow(name="intercom-verify", flow_run_name="verify {connection}")
def verify(
    connection: ConnectionName = "default",
    lake: LakeURL = "./lake",
    tables: Sequence[TableName] = (),
    local_only: bool = False,
    repair: bool = False,
    advanced: VerifyOptions = VerifyOptions(),
) -> State[None]:
    """Prove that the lake is right: read each page of each file, check the keys, and compare rows with Intercom.

    Args:
        connection: Name of the connection whose tables are verified.
        lake: Folder on the machine of the run, or fsspec URL such as s3://bucket/prefix.
        tables: Tables or groups (default, all) to verify. If none is chosen: every table of the lake.
        local_only: Check the files only; sends no request to Intercom.
        repair: Repair the differences. The next sync reads a table with wrong files again.
        advanced: Options that few runs need.
    """
    job = prepare_verification(connection, lake, tables, advanced)
    workspace = None if local_only else ask_workspace(job, advanced)
    proofs = {table: verify_table(table, job, workspace, advanced) for table in job.tables}
    if repair and (repaired := repair_tables(job, list(proofs.values()), workspace, advanced)):
        proofs |= {table: verify_table(table, job, workspace, advanced) for table in repaired}
    return conclude(job, tables, list(proofs.values()), workspace)
