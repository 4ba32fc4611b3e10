"""The end of a run: what each table did, shown in the terminal and in Prefect, and whether the run failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from intercom.announce import announce
from intercom.errors import IntercomLakeError
from intercom.ingest import Ingested
from intercom.job import Job
from intercom.reporting import end_reports
from intercom.summary import TableSummary, as_text, failures, verdict, warnings
from intercom.timed import Timed
from intercom.traffic import Traffic

log = logging.getLogger(__name__)


def conclude(job: Job, tables: Mapping[str, Sequence[PrefectFuture[Timed]]]) -> State[None]:
    """Wait for the tasks of all tables, print what they did, show it in Prefect, and say whether the run failed."""
    client = None if job.run is None else job.client()
    try:
        summaries = [_summary(name, futures) for name, futures in tables.items()]
    except BaseException:
        if client is not None:
            client.stop()  # Ctrl-C and a cancelled run reach this thread only, and those that read would go on
        raise
    end_reports(job.run_id)
    for warning in warnings(summaries):
        log.warning("%s", warning)
    print(f"\n{as_text(summaries)}\n", flush=True)
    announce(job, summaries)
    end = Failed if failures(summaries) else Completed
    return end(message=verdict(summaries))


def _summary(table: str, futures: Sequence[PrefectFuture[Timed]]) -> TableSummary:
    for future in futures:
        future.wait()
        if not future.state.is_completed():
            return TableSummary(table, error=_reason(future))
    timed: Timed = futures[-1].result()
    ingested, compacted = timed.ingested or Ingested(0, Traffic(), None, None, "nothing was read"), timed.compacted
    assert compacted is not None
    return TableSummary(
        table=table,
        rows_read=ingested.rows,
        new=compacted.new,
        changed=compacted.changed,
        unchanged=compacted.unchanged,
        removed=compacted.removed,
        rows=compacted.rows,
        waiting=compacted.waiting,
        traffic=ingested.traffic,
        seconds=timed.seconds,
        watermark_before=ingested.watermark_before,
        watermark_after=ingested.watermark_after,
        complete=ingested.complete,
        notes=ingested.notes,
        hints=(*ingested.hints, *compacted.hints(table)),
    )


def _reason(future: PrefectFuture[Timed]) -> str:
    error = future.result(raise_on_failure=False)
    if isinstance(error, Exception) and not isinstance(error, IntercomLakeError):
        log.error("unexpected error", exc_info=error)
    return " ".join(str(error).split()) if str(error) else str(future.state.message)
