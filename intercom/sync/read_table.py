"""Reads one table of one run into staged parts: as a whole, once more, or single records by their addresses.

What was read in several ways lies in the parts together; the merge keeps the newest version of each key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from intercom.api.client import TableClient
from intercom.extract.completeness import Completeness
from intercom.extract.date_comparison import SearchCheck, check_search, difference
from intercom.extract.extraction import Extraction, Resumable
from intercom.extract.pages import Page
from intercom.extract.read import read_table
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.lake.rejected_records import RejectedRecords
from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import Normaliser
from intercom.sync.checkpoints import RunCheckpoints
from intercom.sync.pipeline import WAITING_BYTES, Checkpoint, Pipeline
from intercom.sync.progress import TableProgress
from intercom.tables.table import Table

T = TypeVar("T")

_SCROLL_WAITING_BYTES = 32 << 20  # a scroll dies after a minute without use, so it waits for the store only at last


@dataclass
class TableReader:
    """A table of a run while it is read; `completeness` is that of the latest reading of the whole.

    `parts` are durable, `rows` counts what was read with earlier attempts at the run, `newest` is the greatest cursor
    value in unix seconds; `rejected` are records that could not be rows. `exact`: rows that are not read will be
    removed. `search_check` is the latest finding of how search compares dates.
    """

    table: Table
    api: TableClient
    lake_table: LakeTable
    journal: RunCheckpoints
    window: Window
    progress: TableProgress
    rejected: RejectedRecords
    exact: bool = False
    search_check: SearchCheck | None = None
    parts: int = 0
    rows: int = 0
    newest: int | None = None
    completeness: Completeness = field(default_factory=Completeness)

    def __post_init__(self) -> None:
        earlier = self.journal.earlier.values()
        self.rows = sum(kept.rows for kept in earlier)
        self.newest = max((kept.newest for kept in earlier if kept.newest is not None), default=None)
        self._normaliser = Normaliser(self.table, self.journal.ingested_at)
        if self.journal.earlier:
            self.rejected.recall()

    @property
    def unknown(self) -> list[str]:
        """Names of fields without a column that were met."""
        return self._normaliser.unknown

    def read(self) -> None:
        """Read the window, going on from earlier attempts at the run; when this returns, every row is durable."""
        self.completeness = self.journal.recalled()
        self._stage(lambda reading: read_table(reading, self.window), self.journal)
        self.progress.finish()

    def read_again(self) -> None:
        """Read the window once more from its beginning, beside what is staged."""
        self.completeness = Completeness()
        self._stage(lambda reading: read_table(reading, self.window), _NoJournal())

    def add(self, pages: Collection[Page]) -> None:
        """Stage single records."""

        def deliver(reading: Extraction) -> None:
            for page in pages:
                reading.page(page)

        self._stage(deliver, _NoJournal(), checked=True)

    def in_parallel(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """The results of requests of this table, as many at a time as may be in flight."""
        return self._reading(lambda _page: None, _NoJournal(), checked=True).in_parallel(jobs)

    def _stage(self, fill: Callable[[Extraction], object], journal: Resumable, *, checked: bool = False) -> None:
        table, lake_table = self.table, self.lake_table

        def keep(done: Checkpoint) -> None:
            self.rejected.save()  # the next attempt does not meet them again
            self.journal.save(done.finished, done.parts, done.rows, done.newest)

        attempt, schema = self.journal.attempt, table.schema.arrow
        parts = lake_table.part_writer(attempt, schema, partition_field=table.month_field, first=self.parts)
        waiting = WAITING_BYTES if table.may_wait else _SCROLL_WAITING_BYTES
        pipeline = Pipeline(
            parts, self._normaliser, table.cursor_field, keep, self.rejected.take, waiting_bytes=waiting
        )
        with self.rejected, parts, pipeline:
            self.journal.follow(pipeline.finish)

            def deliver(page: Page) -> None:
                self.rejected.take(len(page.records) + page.outside, page.rejected, page.request_id)
                pipeline.deliver(page)
                self.progress.page(len(page.records))

            fill(self._reading(deliver, journal, checked=checked))
        self.parts = parts.parts
        self.rows += parts.rows
        self.newest = max((value for value in (self.newest, pipeline.newest) if value is not None), default=None)

    def _reading(self, deliver: Callable[[Page], None], journal: Resumable, *, checked: bool = False) -> Extraction:
        reading = Extraction(
            self.api,
            self.table,
            self.journal.run_start,
            deliver,
            expect=self.progress.expect,
            journal=journal,
            exact=self.exact,
            completeness=self.completeness,
        )
        if checked or not self.table.reads_by_window:
            return reading
        self.search_check = check_search(reading, self.search_check)
        if self.search_check is not None and self.search_check.by_day is not self.table.day_cut:
            self.completeness.notes.append(difference(self.table.name, self.search_check))
            reading = replace(reading, compares_days=self.search_check.by_day)
        plan = journal.plan()
        if plan is not None and reading.by_day and not plan.by_day:  # its windows of seconds may be empty by now
            return replace(reading, journal=_NoJournal())
        return reading


class _NoJournal:
    """Of a reading that begins anew and that no later attempt goes on from."""

    def plan(self) -> SlicePlan | None:
        return None

    def keep(self, plan: SlicePlan) -> None:
        del plan

    def finished(self) -> Collection[int]:
        return ()

    def finish(self, place: int, found: Completeness) -> None:
        del place, found
