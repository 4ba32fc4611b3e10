"""The first task of a flow: checks all that can be checked before a table is read, and gives the run's job."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from intercom.api.workspace import identify
from intercom.compaction.policy import CompactionMode
from intercom.config.column_rules import with_more_rules
from intercom.config.lookback import parse_lookback
from intercom.config.parameters import LakeOptions, ReadOptions, SyncOptions
from intercom.errors import ConfigurationError
from intercom.lake.layout import TableFormat
from intercom.lake.table import recorded_tables
from intercom.orchestration.job import Job
from intercom.orchestration.observe.logs import log_to_runs
from intercom.orchestration.observe.report_link import ReportSettings
from intercom.orchestration.summaries import leaving_summary
from intercom.orchestration.task_runners import RunnerSettings
from intercom.sync.board import BOARD
from intercom.sync.child_cost import child_costs
from intercom.sync.run import RunRequest, asked_range
from intercom.tables.selection import SelectedTables, select_tables

log = logging.getLogger(__name__)
log_to_runs()  # here, since every process that runs a flow of ours imports this module


@task(task_run_name="prepare {connection}", cache_policy=NO_CACHE)
def prepare_run(
    connection: str,
    lake: str,
    tables: Sequence[str],
    full_refresh: bool,
    start_date: date | Literal["all"] | None,
    end_date: date | None,
    lookback: str,
    advanced: SyncOptions,
) -> Job:
    """Check everything that can be checked before a table is read, also whose token it is: the run may wait for hours.

    Raises ConfigurationError before the first request, or LakeError when the lake cannot be written.
    """
    log_to_runs()  # again: Prefect may have set up its logging since this module was imported
    history_from, until = asked_range(start_date, end_date, full_refresh=full_refresh)
    request = replace(
        _request(advanced),
        full_refresh=full_refresh,
        history_from=history_from,
        until=until,
        lookback=parse_lookback(lookback),
    )
    return _prepared_to_read(
        connection, lake, select_tables(tables), request, advanced, CompactionMode(advanced.compact)
    )


@task(task_run_name="prepare {connection}", cache_policy=NO_CACHE)
def prepare_reconcile(connection: str, lake: str, tables: Sequence[str], advanced: ReadOptions) -> Job:
    """As `prepare_run`, for a run that looks for rows that are gone.

    Without any name these are the default tables and whatever else the lake has of the connection; those count as
    selected by a group.
    """
    log_to_runs()
    request = replace(_request(advanced), reconciles=True)
    return _prepared_to_read(
        connection, lake, select_tables(tables), request, advanced, CompactionMode.ALWAYS, recorded_too=not tables
    )


@task(task_run_name="prepare {connection}", cache_policy=NO_CACHE)
def prepare_compaction(connection: str, lake: str, tables: Sequence[str], advanced: LakeOptions) -> Job:
    """Check what is asked for; no request leaves. Raises ConfigurationError, or LakeError for a lake out of reach.

    Without any name these are the default tables and whatever else the lake has of the connection: a table that was
    synced once is not forgotten.
    """
    log_to_runs()
    selected = select_tables(tables)
    job = Job(
        run_id=str(flow_run.id),
        connection=connection,
        lake=lake,
        tables=selected.names,
        compact=CompactionMode.ALWAYS,
        storage_options=advanced.store(),
        table_format=TableFormat(advanced.table_format),
    )
    with leaving_summary(job.open_lake, job.facts()):
        job = _prepared(job)
        if not tables:
            job = replace(job, tables=select_tables(["default", *recorded_tables(job.open_lake(), connection)]).names)
        if not job.recorded():
            raise ConfigurationError(
                f"The lake {lake} has no record of these tables of connection {connection!r}: nothing was synced under "
                "that name. Check --connection, --lake and --tables; nothing was changed."
            )
    return job


def _request(advanced: ReadOptions) -> RunRequest:
    return RunRequest(
        allow_mass_removal=advanced.allow_mass_removal,
        refill_lists=advanced.refill_lists,
        plain_text=advanced.plain_text,
    )


def _prepared_to_read(
    connection: str,
    lake: str,
    selected: SelectedTables,
    request: RunRequest,
    advanced: ReadOptions,
    compact: CompactionMode,
    *,
    recorded_too: bool = False,
) -> Job:
    """The checked job of a run that reads; `recorded_too`: also the other tables that the lake has a record of."""
    job = Job(
        run_id=str(flow_run.id),
        connection=connection,
        lake=lake,
        tables=selected.names,
        named=selected.named,
        compact=compact,
        storage_options=advanced.store(),
        connections_file=advanced.connections_file,
        table_format=TableFormat(advanced.table_format),
        request=request,
    )
    with leaving_summary(job.open_lake, job.facts()):
        for remark in selected.remarks():
            log.info("%s", remark)
        BOARD.stage(f"Looking for connection {connection!r}")
        client = job.client()  # raises for a missing connection before anything is created
        found = client.connection
        settings = with_more_rules(found.settings, advanced.more_rules(), found.hash_key, "advanced")
        job = _prepared(replace(job, settings=settings))
        if recorded_too:
            selected = select_tables([*selected.names, *recorded_tables(job.open_lake(), connection)])
            job = replace(job, tables=selected.names)  # nobody has named one of them
        client = job.client()
        BOARD.stage("Asking Intercom whose token it is")
        identify(client)  # whose token it is; asked again when the run begins, for the server's time
        for line in child_costs(selected.tables, client, request, lambda table: job.lake_table(table.name).peek()):
            log.info("%s", line)
    return job


def _prepared(job: Job) -> Job:
    """Check the environment, and the lake, which must be writable and in reach of all workers."""
    RunnerSettings.read().check_lake(job.lake)
    ReportSettings.read()  # raises for an address that no page has
    BOARD.stage(f"Opening the lake {job.lake}")
    lake = job.open_lake()
    lake.identity()
    return replace(job, lake_url=lake.url)
