"""Prefect tasks: thin wrappers that name what they do, take plain values and build what a process shares.

HTTP retries live in the client alone: tasks have none, else seven tries inside three would be twenty-one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from intercom.blocks import BlockWatermarks, IntercomWatermark, load_connection
from intercom.client import IntercomClient
from intercom.commit import Run
from intercom.compact import Compacted, compact_table
from intercom.config import connection_slug, find_connection
from intercom.errors import ConfigurationError, IntercomLakeError
from intercom.ingest import Ingested, ingest_table
from intercom.lake import Lake
from intercom.limiter import RateLimiter
from intercom.reporting import end_reports, reported
from intercom.summary import TableSummary, as_markdown, as_text, failures, verdict, warnings
from intercom.tables import TABLES, select_tables
from intercom.workspace import identify

log = logging.getLogger(__name__)
logging.getLogger("intercom").setLevel(logging.INFO)  # Prefect forwards the logger, but sets no level for it

_limiters: dict[tuple[str, str], RateLimiter] = {}
_limiters_lock = Lock()


@dataclass(frozen=True, slots=True)
class Job:
    """What every task of a run needs, without a secret: names, from which each process finds the rest."""

    run: Run
    connections_file: str | None
    lake: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """A step's result with its wall seconds."""

    seconds: float
    ingested: Ingested | None = None
    compacted: Compacted | None = None


@task(task_run_name="prepare {connection}", cache_policy=NO_CACHE)
def prepare_run(
    connection: str,
    connections_file: str | None,
    lake: str,
    tables: Sequence[str] | None,
    full_refresh: bool,
    start_date: date | None,
    end_date: date | None,
) -> Job:
    """Check everything that can be checked before a table is read, and ask the workspace for its time.

    Raises ConfigurationError before the first request, or LakeError when the lake cannot be written.
    """
    selected = select_tables(tables)
    _check_dates(full_refresh, start_date, end_date)
    client = _client(str(flow_run.id), connection, connections_file)
    Lake(lake).identity()
    IntercomWatermark.register_type_and_schema()  # once, before tables save at the same time and meet here
    workspace = identify(client)
    run = Run(
        run_id=str(flow_run.id),
        connection=connection,
        started_at=datetime.now(UTC),
        run_start=workspace.server_time,
        full_refresh=full_refresh,
        history_from=_midnight(start_date),
        until=None if end_date is None else _midnight(end_date + timedelta(days=1)),
        workspace=workspace.code,
    )
    return Job(run, connections_file, lake, tuple(table.name for table in selected))


@task(task_run_name="extract {table}", cache_policy=NO_CACHE)
def extract(table: str, job: Job) -> Timed:
    """Read what is new of one table, stage it in the lake and move its watermark."""
    started = time.monotonic()
    entry = TABLES[table]
    client = _client(job.run.run_id, job.run.connection, job.connections_file)
    api = client.for_table(table, entry.scope)
    with reported(job.run.run_id, job.run.connection, table, client.limiter.usage) as progress:
        ingested = ingest_table(entry, api, Lake(job.lake), BlockWatermarks(), job.run, progress)
    return Timed(time.monotonic() - started, ingested=ingested)


@task(task_run_name="compact {table}", cache_policy=NO_CACHE)
def compact(table: str, job: Job, extracted: Timed | PrefectFuture[Timed]) -> Timed:
    """Merge one table's staged rows into its partitions."""
    assert isinstance(extracted, Timed)  # Prefect hands over the future's result
    started = time.monotonic()
    compacted = compact_table(TABLES[table], Lake(job.lake), job.run.connection, BlockWatermarks())
    return replace(extracted, seconds=extracted.seconds + time.monotonic() - started, compacted=compacted)


def conclude(job: Job, tables: Mapping[str, tuple[PrefectFuture[Timed], PrefectFuture[Timed]]]) -> State[None]:
    """Wait for all tables, print their table, keep it as an artifact, and say whether the run failed."""
    client = _client(job.run.run_id, job.run.connection, job.connections_file)
    try:
        summaries = [_summary(name, *futures) for name, futures in tables.items()]
    except BaseException:
        client.stop()  # Ctrl-C and a cancelled run reach this thread only, and those that read would go on
        raise
    client.close()
    end_reports(job.run.run_id)
    for warning in warnings(summaries):
        log.warning("%s", warning)
    print(f"\n{as_text(summaries)}\n", flush=True)
    create_markdown_artifact(
        key=f"intercom-{connection_slug(job.run.connection)}-sync",
        markdown=f"`{job.run.connection}` into `{job.lake}`\n\n{as_markdown(summaries)}",
        description="Rows, requests and watermarks of a sync, per table",
    )
    end = Failed if failures(summaries) else Completed
    return end(message=verdict(summaries))


def _summary(table: str, extracted: PrefectFuture[Timed], merged: PrefectFuture[Timed]) -> TableSummary:
    for future in (extracted, merged):
        future.wait()
        if not future.state.is_completed():
            return TableSummary(table, error=_reason(future))
    timed: Timed = merged.result()
    ingested, compacted = timed.ingested, timed.compacted
    assert ingested is not None
    assert compacted is not None
    return TableSummary(
        table=table,
        rows_read=ingested.rows,
        new=compacted.new,
        changed=compacted.changed,
        unchanged=compacted.unchanged,
        removed=compacted.removed,
        rows=compacted.rows,
        requests=ingested.requests,
        throttled=ingested.throttled,
        seconds=timed.seconds,
        watermark_before=ingested.watermark_before,
        watermark_after=ingested.watermark_after,
        notes=ingested.notes,
    )


def _reason(future: PrefectFuture[Timed]) -> str:
    error = future.result(raise_on_failure=False)
    if isinstance(error, Exception) and not isinstance(error, IntercomLakeError):
        log.error("unexpected error", exc_info=error)
    return " ".join(str(error).split()) if str(error) else str(future.state.message)


@lru_cache(maxsize=8)
def _client(_run_id: str, connection: str, connections_file: str | None) -> IntercomClient:
    """One client per run and process: found anew for each run, so that a rotated token is taken up."""
    found = find_connection(
        connection,
        connections_file=None if connections_file is None else Path(connections_file),
        environ=os.environ,
        load_block=load_connection,
    )
    key = (found.base_url, found.access_token.get_secret_value())
    with _limiters_lock:
        limiter = _limiters.setdefault(
            key, RateLimiter(found.requests_per_10s, most_in_flight=found.requests_in_flight)
        )
    return IntercomClient(found, limiter)


def _check_dates(full_refresh: bool, start_date: date | None, end_date: date | None) -> None:
    if start_date and end_date and end_date < start_date:
        raise ConfigurationError(f"The end date {end_date} lies before the start date {start_date}.")
    if full_refresh and end_date:
        raise ConfigurationError(
            "A full refresh with an end date would remove every newer row. Leave out one of the two."
        )


def _midnight(day: date | None) -> int | None:
    return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
