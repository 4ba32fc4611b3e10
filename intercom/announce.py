"""A run that is over, shown in Prefect: events, assets, artifacts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from intercom.artifacts import keep_artifacts
from intercom.assets import materialized
from intercom.events import synced
from intercom.job import Job
from intercom.summary import TableSummary

log = logging.getLogger(__name__)


def announce(job: Job, tables: Sequence[TableSummary]) -> None:
    """Tell Prefect what the run did to each table. Whatever goes wrong is one warning: the tables are in the lake."""
    faults = []
    for show in (_as_events, _as_assets, keep_artifacts):  # artifacts last: only they wait for the server
        try:
            show(job, job.open_lake().url, tables)
        except Exception as error:
            faults.append(_named(error))
    if faults:
        log.warning(
            "Prefect does not show all that this run did (%s). The tables in the lake are not concerned.",
            "; ".join(faults),
        )


def _as_events(job: Job, lake: str, tables: Sequence[TableSummary]) -> None:
    """For tables that are in step with Intercom now; a backfill and a merge do not ask for what is new."""
    if job.run is None or job.run.until is not None:
        return
    for table in tables:
        if table.error is None and table.complete:
            synced(job, lake, table)


def _as_assets(job: Job, lake: str, tables: Sequence[TableSummary]) -> None:
    """For tables whose files have all that was read."""
    for table in tables:
        if table.error is None and not table.waiting:
            materialized(job, lake, table)


def _named(error: Exception) -> str:
    """The error in a line; Prefect's own go on with the body of the answer and a link to a page on status codes."""
    first = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
