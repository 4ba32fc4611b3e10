"""The end of a run: what each table did, shown in Prefect and in the terminal, and whether the run failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from intercom.config.redaction import one_line
from intercom.errors import IntercomLakeError
from intercom.orchestration.job import Job
from intercom.orchestration.observe.announce import announce_run
from intercom.orchestration.observe.output import columns, show
from intercom.orchestration.observe.progress import end_reports
from intercom.orchestration.summaries import leave_summary
from intercom.sync.board import BOARD
from intercom.sync.summary import TableResult, as_text, failures, verdict, warnings

log = logging.getLogger(__name__)


def finish(job: Job, tables: Mapping[str, PrefectFuture[TableResult]]) -> State[None]:
    """Wait for all tables, save watermarks, show what was done in Prefect and on the terminal, say if it failed."""
    try:
        results = [_result(name, future) for name, future in tables.items()]
        BOARD.stage("Saving watermarks in Prefect")
        refused = job.save_watermarks()
        results = [replace(one, failure=str(refused[one.table])) if one.table in refused else one for one in results]
        for warning in warnings(results):
            log.warning("%s", warning, extra={"in_summary": True})
        BOARD.stage("Telling Prefect what was done")
        summary = leave_summary(job.held_lake, job.facts(), results)
        announce_run(job, results, summary)
    except BaseException:  # a signal: the run ends at once
        end_reports(job.run_id, wait=False)
        raise
    end_reports(job.run_id)
    show(as_text(results, columns()), summary)
    end = Failed if failures(results) else Completed
    return end(message=verdict(results))


def _result(table: str, future: PrefectFuture[TableResult]) -> TableResult:
    future.wait()
    if not future.state.is_completed():
        return TableResult(table, failure=_reason(future))
    result: TableResult = future.result()
    return result


def _reason(future: PrefectFuture[TableResult]) -> str:
    error = future.result(raise_on_failure=False)
    if isinstance(error, Exception) and not isinstance(error, IntercomLakeError):
        log.error("unexpected error", exc_info=error)
    return one_line(error) if str(error) else str(future.state.message)
