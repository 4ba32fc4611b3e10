"""The steps of the flow intercom-verify: what is verified, table by table, what is repaired, and how it is told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from intercom.api.workspace import Workspace, identify
from intercom.config.lookback import parse_lookback
from intercom.config.parameters import VerifyOptions
from intercom.config.redaction import named
from intercom.errors import LakeError
from intercom.orchestration.job import CLIENTS, Job
from intercom.orchestration.observe.artifacts import keep_verification
from intercom.orchestration.observe.logs import log_to_runs
from intercom.orchestration.observe.output import show
from intercom.orchestration.server.watermark_store import BlockWatermarks
from intercom.sync.board import BOARD
from intercom.verify.case import ApiLimits
from intercom.verify.findings import TableProof
from intercom.verify.repair import repair
from intercom.verify.report import Scope, as_json, as_markdown, as_text, exit_status, verdict
from intercom.verify.summary import keep_summary
from intercom.verify.tables import Asked, announcement, strangers, tables_to_verify
from intercom.verify.tables import verify_table as verified

log = logging.getLogger(__name__)


@task(task_run_name="prepare {connection}", cache_policy=NO_CACHE)
def prepare_verification(connection: str, lake: str, tables: Sequence[str], advanced: VerifyOptions) -> Job:
    """The tables to verify. Raises ConfigurationError for unknown ones, and where the lake has nothing of them."""
    log_to_runs()
    job = Job(
        run_id=str(flow_run.id),
        connection=connection,
        lake=lake,
        tables=(),
        storage_options=advanced.store(),
        connections_file=advanced.connections_file,
    )
    BOARD.stage(f"Opening the lake {lake}")
    opened = job.open_lake()
    return replace(job, tables=tuple(tables_to_verify(opened, connection, tables)), lake_url=opened.url)


@task(task_run_name="ask for the workspace of {job.connection}", cache_policy=NO_CACHE)
def ask_workspace(job: Job, advanced: VerifyOptions) -> Workspace:
    """The workspace, after it was said how many requests it will be asked at most. Raises ApiError."""
    log.info("%s", announcement(job.tables, _limits(advanced)))
    return identify(job.client())


@task(task_run_name="verify {job.connection} {table}", cache_policy=NO_CACHE)
def verify_table(table: str, job: Job, workspace: Workspace | None, advanced: VerifyOptions) -> TableProof:
    """Read a table's files whole, compare them with its record, and its rows with the workspace's, if there is one.

    Nothing is written, and no lock is taken.
    """
    BOARD.stage(f"Verifying {table}")
    proof = verified(job.open_lake(), job.connection, table, _asked(job, workspace, advanced))
    log.info("%s: %d files of %d rows read; differences: %d", table, proof.files, proof.rows, len(proof.differences))
    for difference in proof.differences:
        log.warning("%s", difference.line, extra={"in_summary": True})
    return proof


@task(task_run_name="repair {job.connection}", cache_policy=NO_CACHE)
def repair_tables(
    job: Job, proofs: Sequence[TableProof], workspace: Workspace | None, advanced: VerifyOptions
) -> list[str]:
    """Mend what differs, holding the tables; gives their names. Raises LakeError while a run holds one of them."""
    BOARD.stage("Repairing")
    asked = _asked(job, workspace, advanced)
    done = repair(job.open_lake(), job.connection, proofs, job.run_id, BlockWatermarks(), asked)
    for lines in done.values():
        for line in lines:
            log.info("%s", line)
    return list(done)


def conclude(job: Job, chosen: Sequence[str], proofs: Sequence[TableProof], workspace: Workspace | None) -> State[None]:
    """Tell what was proven: in Prefect, in the lake, in the terminal, and by the run's state.

    `chosen` are the tables and groups that the run was asked for, none for all.
    """
    CLIENTS.close(job.run_id)
    lake = job.open_lake()
    strays, now = strangers(lake, job.connection), datetime.now(UTC)
    scope = Scope(tuple(chosen), workspace is not None)
    summary = as_json(
        proofs,
        strays,
        run_id=job.run_id,
        connection=job.connection,
        lake=job.lake_url,
        started_at=job.started_at,
        ended_at=now,
        scope=scope,
    )
    told = verdict(proofs, strays, scope)
    try:
        keep_summary(lake, summary, now, workspace)
    except LakeError as error:
        log.warning("The result of this verification could not be left in the lake: %s", error)
    try:
        keep_verification(job, as_markdown(proofs, strays, scope), told)
    except Exception as error:
        log.warning("Prefect does not show the result of this verification (%s)", named(error))
    show(as_text(proofs, strays, scope), summary)
    return (Failed if exit_status(proofs, strays) else Completed)(message=told)


def _limits(advanced: VerifyOptions) -> ApiLimits:
    return ApiLimits(advanced.sample, advanced.most_requests, lookback=parse_lookback(advanced.lookback))


def _asked(job: Job, workspace: Workspace | None, advanced: VerifyOptions) -> Asked | None:
    return None if workspace is None else Asked(job.client(), workspace, _limits(advanced))
