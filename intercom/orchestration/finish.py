"""The end of a run: what each table did, shown in Prefect and in the terminal, and whether the run failed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from intercom.errors import IntercomLakeError
from intercom.orchestration.job import Job
from intercom.orchestration.observe.announce import announce_run
from intercom.orchestration.observe.progress import end_reports
from intercom.sync.summary import TableSummary, as_text, failures, verdict, warnings
from intercom.sync.timed import Timed

log = logging.getLogger(__name__)


def finish(job: Job, tables: Mapping[str, Sequence[PrefectFuture[Timed]]]) -> State[None]:
    """Wait for the tasks of all tables, show in Prefect what they did, print it, and say whether the run failed."""
    try:
        summaries = [_summary(name, futures) for name, futures in tables.items()]
    finally:
        end_reports(job.run_id)
    for warning in warnings(summaries):
        log.warning("%s", warning)
    announce_run(job, summaries)
    _show(as_text(summaries))
    end = Failed if failures(summaries) else Completed
    return end(message=verdict(summaries))


def _show(text: str) -> None:
    """Print; a terminal that has gone, or that lacks a letter, is no reason for the run to fail."""
    try:
        encoding = sys.stdout.encoding or "utf-8"
        print(f"\n{text.encode(encoding, 'backslashreplace').decode(encoding)}\n", flush=True)
    except OSError as error:
        log.info("The summary could not be printed: %s", error)


def _summary(table: str, futures: Sequence[PrefectFuture[Timed]]) -> TableSummary:
    for future in futures:
        future.wait()
        if not future.state.is_completed():
            return TableSummary(table, error=_reason(future))
    timed: Timed = futures[-1].result()
    return timed.summary(table)


def _reason(future: PrefectFuture[Timed]) -> str:
    error = future.result(raise_on_failure=False)
    if isinstance(error, Exception) and not isinstance(error, IntercomLakeError):
        log.error("unexpected error", exc_info=error)
    return " ".join(str(error).split()) if str(error) else str(future.state.message)
