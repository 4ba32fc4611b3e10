"""What a run leaves of itself in the lake: one summary, whatever became of it, from which later runs and reports read.

A run that is killed or interrupted leaves none, since it should end at once. Neither does one that is refused before it
has a lake and a connection, or whose lake has nothing of the connection: a mistyped name makes no folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intercom.config.redaction import named, one_line
from intercom.errors import LakeError
from intercom.lake.layout import TablePaths
from intercom.lake.run_summaries import RunSummaries
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable, recorded_tables
from intercom.sync.run_summary import RunFacts, known_tables, recorded_table, run_summary
from intercom.sync.summary import TableResult

log = logging.getLogger(__name__)


def leave_summary(
    open_lake: Callable[[], Lake], facts: RunFacts, tables: Sequence[TableResult], *, error: str | None = None
) -> dict[str, Any]:
    """The summary of a run that has ended, saved in the lake as well; its form is that of `run_summary`.

    Costs a listing of the day's summaries, a read of the newest and a write; once a day all are listed, and those that
    are too old deleted. Whatever goes wrong is one warning, and the summary is given all the same.
    """
    now = datetime.now(UTC)
    told = facts.by_intercoms_clock(now)
    faults: list[str] = []
    before: list[dict[str, Any]] = []
    pruned_on: str | None = None
    summaries: RunSummaries | None = None
    with _noting(faults):
        lake = open_lake()
        facts = replace(facts, lake=lake.url)  # a run that fails early may know it as it was given only
        summaries = RunSummaries(lake, facts.connection)
        previous = summaries.newest(told or now)
        known = known_tables(previous)
        before = _recorded(lake, facts.connection) if known is None else known
        pruned_on = (previous or {}).get("pruned_on")
    # Only by Intercom's clock: this machine's may be wrong by years, and then all summaries would be too old.
    if summaries is not None and told is not None and pruned_on != f"{told:%Y-%m-%d}":
        with _noting(faults):
            summaries.prune(told)
            pruned_on = f"{told:%Y-%m-%d}"
    summary = run_summary(facts, tables, ended_at=now, lake_tables=before, error=error, pruned_on=pruned_on)
    if summaries is not None:
        with _noting(faults):
            summaries.save(summary, told or now, facts.run_id)
    if faults:
        log.warning(
            "The summary of this run, or an older one, is not in the lake as it should be (%s). Tables and watermarks "
            "are not concerned.",
            "; ".join(dict.fromkeys(faults)),
        )
    return summary


@contextmanager
def leaving_summary(open_lake: Callable[[], Lake], facts: RunFacts) -> Iterator[None]:
    """The block prepares a run. If it raises, the run leaves a summary that says why, if the lake has its connection.

    Not after a LakeError of the storage: it was waited for long enough.
    """
    try:
        yield
    except Exception as error:
        if not (isinstance(error, LakeError) and error.__cause__ is not None) and _knows(open_lake, facts.connection):
            told = one_line(error) or named(error)
            leave_summary(open_lake, facts, [TableResult(table, failure=told) for table in facts.tables], error=told)
        raise


def _knows(open_lake: Callable[[], Lake], connection: str) -> bool:
    try:
        return RunSummaries(open_lake(), connection).any_run()
    except Exception as error:  # whatever it is: the run says what is wrong by its own error
        log.debug("no summary: %s", named(error))
        return False


def _recorded(lake: Lake, connection: str) -> list[dict[str, Any]]:
    """The tables that have a record in the lake, where no summary tells of them: before the first one."""
    found = []
    for table in recorded_tables(lake, connection):
        state = LakeTable(lake, TablePaths(connection, table)).state()
        if state is not None:
            found.append(recorded_table(table, state))
    return found


@contextmanager
def _noting(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        faults.append(named(error))
