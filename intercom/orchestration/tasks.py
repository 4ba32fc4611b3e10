"""Prefect tasks: thin wrappers that name what they do, take plain values and build what a process shares.

HTTP retries live in the client alone: tasks have none, else seven tries inside three would be twenty-one.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from prefect import Task, allow_failure, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from intercom.compaction.compact import Compacted, compact_table
from intercom.compaction.publish import MergeWork, PartitionResult, publish_partitions
from intercom.errors import ApiError, ClusterError, LakeError, NoParentError
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.orchestration.job import Job
from intercom.orchestration.observe.announce import announce_table
from intercom.orchestration.observe.logs import log_to_runs
from intercom.orchestration.observe.progress import report_progress
from intercom.orchestration.server.watermark_store import saved_at_the_end
from intercom.orchestration.task_runners import RunnerKind, RunnerSettings, submitting
from intercom.sync.board import BOARD
from intercom.sync.derived import derive, derive_after_merge
from intercom.sync.ingest import ingest_table
from intercom.sync.remove_gone import remove_gone
from intercom.sync.run import Run
from intercom.sync.skipped import why_skipped
from intercom.sync.summary import TableResult
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table

log = logging.getLogger(__name__)
log_to_runs()  # here, since every process that runs a task or a flow of ours imports this module

_BYTES_OF_A_TASK = 128 << 20
"""Bytes of files that one task merges: a task with less than some seconds of work costs more than it saves."""


@task(task_run_name="sync {job.connection} {table}", cache_policy=NO_CACHE)
def sync_table(table: str, job: Job) -> TableResult:
    """Read what is new of one table, stage it in the lake, move its watermark, and merge it where that is due.

    A merge is a task of its own, `merge_months`. There is none where nothing has changed, nor for a table that is
    replaced: what Prefect's server writes down of a task costs it more CPU than reading a small table costs us.

    A table that was not named and cannot be read with this token or in this workspace is skipped, if it is optional.
    A derived table asks nothing of Intercom: it is made of its parent in the lake.
    """
    assert job.run is not None
    started = time.monotonic()
    entry = job.table(table)
    if entry.made_of is not None:
        return _derived(entry, entry.made_of, job, job.run)
    client = job.client()
    api = client.for_table(table, entry.scope)
    with saved_at_the_end(job.watermarks()) as store:
        with (
            job.turn(entry, api.sleep),
            report_progress(job.run_id, job.connection, table, client.limiter.usage) as progress,
        ):
            lake_table = job.lake_table(table)
            try:
                ingested = ingest_table(entry, api, lake_table, store, job.run, progress)
            except ApiError as error:
                skipped = None if table in job.named else why_skipped(entry, error, client, lake_table.state())
                if skipped is None:
                    raise
                log.info("%s: %s", table, skipped)
                return TableResult(table, seconds=time.monotonic() - started, skipped=skipped)
        compacted = _compacted(table, job, store, committed=True)
    return _announced(job, TableResult(table, ingested, compacted, time.monotonic() - started))


@task(task_run_name="compact {job.connection} {table}", cache_policy=NO_CACHE)
def merge_table(table: str, job: Job) -> TableResult:
    """Merge one table's staged rows into its partitions; a derived table follows its parent's."""
    started = time.monotonic()
    entry = job.table(table)
    if entry.made_of is not None:
        with BOARD.waiting("Making", table):
            compacted = derive_after_merge(entry, job.lake_table(table), job.lake_table(entry.made_of.name), job.run_id)
        return _announced(job, TableResult(table, compacted=compacted, seconds=time.monotonic() - started))
    with saved_at_the_end(job.watermarks()) as store:
        compacted = _compacted(table, job, store)
    return _announced(job, TableResult(table, compacted=compacted, seconds=time.monotonic() - started))


def submit_tables(work: Task[[str, Job], TableResult], job: Job) -> dict[str, PrefectFuture[TableResult]]:
    """Submit the work on each of the run's tables; a derived table waits for its parent's, however that ends.

    So does a child table in a reconcile, where rows go with their parents.

    Parents go first, since with few threads those that wait would let none of them begin.
    """
    futures: dict[str, PrefectFuture[TableResult]] = {}
    for table in sorted(job.tables, key=lambda name: len(_waits_for(name, job))):
        awaited = [allow_failure(futures[parent]) for parent in _waits_for(table, job)[:1] if parent in futures]
        futures[table] = work.submit(table, job, return_state=False, wait_for=awaited)
    return {table: futures[table] for table in job.tables}


def _waits_for(name: str, job: Job) -> list[str]:
    """The table that the work on this one waits for, then the one that this one waits for, and so on."""
    reconciles = job.request is not None and job.request.reconciles
    found, table = [], TABLES[name]
    while table.parent is not None and (table.made_of is not None or reconciles):
        table = table.parent.table
        found.append(table.name)
    return found


def _derived(table: Table, parent: Table, job: Job, run: Run) -> TableResult:
    """Make a table of its parent; it is skipped like its parent, of which the lake then has nothing."""
    started = time.monotonic()
    try:
        with BOARD.waiting("Making", table.name):
            ingested, compacted = derive(table, job.lake_table(table.name), job.lake_table(parent.name), run)
    except NoParentError as error:
        if table.name in job.named or not table.optional:
            raise
        return TableResult(table.name, seconds=time.monotonic() - started, skipped=f"skipped: {error}")
    return _announced(job, TableResult(table.name, ingested, compacted, time.monotonic() - started))


def _announced(job: Job, done: TableResult) -> TableResult:
    with BOARD.waiting("Telling Prefect of", done.table):
        announce_table(job, done)
    BOARD.done(job.run_id, done.table)
    return done


def _compacted(table: str, job: Job, store: WatermarkStore, *, committed: bool = False) -> Compacted:
    """Merge a table when that is due; a large one in pieces, each a task of its own."""

    def publish(entry: Table, lake_table: LakeTable, work: MergeWork) -> Sequence[PartitionResult]:
        if entry.is_replaced:
            return publish_partitions(entry, lake_table, work)
        pieces = list(work.shared_out(_BYTES_OF_A_TASK))
        settings = RunnerSettings.read()
        if len(pieces) <= 1 or (settings.task_runner is RunnerKind.THREADS and not _has_threads_for_all()):
            return merge_months(table, job, work)
        there = replace(job, lake=lake_table.lake.url)  # a relative path is another folder elsewhere
        with ExitStack() as stack:
            try:
                submit = stack.enter_context(submitting(settings))
            except ClusterError as error:
                log.warning("%s: %s The months are merged in this process instead.", table, error)
                return merge_months(table, job, work)
            futures = [submit(merge_months, {"table": table, "job": there, "work": piece}) for piece in pieces]
            wait(futures)  # for all, also when one has failed: nothing may be published when the lock is gone
            return [outcome for future in futures for outcome in future.result()]

    entry, lake_table = job.table(table), job.lake_table(table)
    with BOARD.waiting("Merging", table):
        merged = compact_table(entry, lake_table, store, when=job.compact, publish=publish, committed=committed)
        return remove_gone(entry, lake_table, store, merged)


@task(task_run_name="merge {job.connection} {table}", cache_policy=NO_CACHE)
def merge_months(table: str, job: Job, work: MergeWork) -> list[PartitionResult]:
    """Merge months of a table by its primary key and publish them: all that have staged rows, or some of a large table.

    It runs anywhere that reaches the lake. Raises LakeError where it sees another one.
    """
    lake_table = job.lake_table(table)
    state = lake_table.state()
    if state is None or state.compaction != work.version:
        raise LakeError(
            f"{table}: the process that was to merge does not see the lake as {job.lake}, or another run has taken "
            "the table. Give a lake that all workers reach under this URL, such as one on S3, and run again."
        )
    return publish_partitions(job.table(table), lake_table, work)


def _has_threads_for_all() -> bool:
    """Whether a task may wait for tasks that it submits: with a bounded number of threads all could wait for ever."""
    context = FlowRunContext.get()
    runner = context.task_runner if context else None
    return isinstance(runner, ThreadPoolTaskRunner) and runner._max_workers == sys.maxsize
