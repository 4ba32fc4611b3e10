"""Tells Prefect what a run did: an event and an asset for each table that is done, artifacts for the whole run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from intercom.config.redaction import named
from intercom.orchestration.job import Job
from intercom.orchestration.observe.artifacts import keep_artifacts
from intercom.orchestration.observe.assets import materialized
from intercom.orchestration.observe.events import synced
from intercom.orchestration.observe.progress import progress_artifacts
from intercom.sync.summary import TableResult, failures

log = logging.getLogger(__name__)


def announce_table(job: Job, table: TableResult) -> None:
    """Tell Prefect of a table that is done, while other tables of the run may still be read.

    Whatever goes wrong is one warning: the table is in the lake.
    """
    steps: list[Callable[[], None]] = []
    if _is_up_to_date(job, table):
        steps.append(lambda: synced(job, table))
    if table.compacted.files or (not table.compacted.waiting and _is_news(job, table)):
        steps.append(lambda: materialized(job, table))
    _try_each(steps)


def announce_run(job: Job, tables: Sequence[TableResult], summary: Mapping[str, Any]) -> None:
    """Tell Prefect of a run that has ended; `summary` is the run's. Whatever goes wrong is one warning."""
    progress = progress_artifacts(job.run_id)
    _try_each([lambda: keep_artifacts(job, tables, summary, {} if failures(tables) else progress)])


def _is_up_to_date(job: Job, table: TableResult) -> bool:
    """Whether the table has all that Intercom had; a backfill and a merge do not ask for what is new."""
    told = _is_news(job, table) and job.run is not None and job.run.until is None
    return told and table.read.complete and table.error is None


def _is_news(job: Job, table: TableResult) -> bool:
    """Whether this try of the run has read the table, or merged what an earlier one had read."""
    return bool(table.compacted.files) or (job.run is not None and not table.read.earlier_try)


def _try_each(steps: Sequence[Callable[[], None]]) -> None:
    faults = []
    for step in steps:
        try:
            step()
        except Exception as error:
            faults.append(named(error))
    if faults:
        log.warning(
            "Prefect does not show all that this run did (%s). The tables in the lake are not concerned.",
            "; ".join(faults),
        )
