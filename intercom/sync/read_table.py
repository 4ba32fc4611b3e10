"""Reads one table of one run into staged parts: as a whole, once more, or single records by their addresses.

All of these stage into the same parts, and the merge keeps the newest version of each key. A later attempt can resume
only the first read of the whole: the others save no plan, and no ends of slices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pyarrow as pa

from intercom.api.client import TableClient
from intercom.compaction.keys import telling_columns
from intercom.extract.child_tally import ChildTally
from intercom.extract.completeness import Completeness
from intercom.extract.date_comparison import SearchCheck, check_search, difference
from intercom.extract.extraction import Extraction, Receiver, SliceEnd
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.extract.pages import Page, greatest
from intercom.extract.read import read_table
from intercom.extract.refill import ListRefill
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.lake.rejected_records import RejectedRecords
from intercom.lake.row_digests import RowDigest
from intercom.lake.staging import PartWriter
from intercom.lake.sweeps import NO_SWEEP, Sweep
from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Rejected
from intercom.sync.checkpoints import RunCheckpoints
from intercom.sync.known_parents import KnownParents
from intercom.sync.pipeline import WAITING_BYTES, Pipeline
from intercom.sync.progress import TableProgress
from intercom.sync.protection import Protection
from intercom.sync.sightings import Sightings
from intercom.sync.staged import Staged
from intercom.sync.unchanged import Kept, UnchangedRows
from intercom.tables.owed import OwedParent
from intercom.tables.table import Access, Table

T = TypeVar("T")

_SCROLL_WAITING_BYTES = 32 << 20  # a scroll expires after a minute without use, so it should hardly wait for the store


@dataclass
class TableReader:
    """A table of a run while it is read; `completeness` is that of the latest read of the whole.

    `staged` is what this attempt has staged. `rejected` are records that could not be rows. `exact`: rows that are not
    read will be removed. `search_check` is the latest finding of how search compares dates. `known` are rows that need
    not be staged if they come unchanged; `lookback` are the seconds before the watermark that the run reads again.
    `one_part`: what is staged may be one part for all months. `refills`: the rest of lists that come cut is asked for;
    a row counts as unchanged if its whole lists are, too. `owed` are parents without a usable answer in earlier runs;
    with `asks_owed` they are asked for also if they have not changed. `doubted` is the sweep that is valid when the run
    begins.
    """

    table: Table
    api: TableClient
    lake_table: LakeTable
    checkpoints: RunCheckpoints
    window: Window
    progress: TableProgress
    rejected: RejectedRecords
    limits: ReadLimits = DEFAULT_LIMITS
    exact: bool = False
    search_check: SearchCheck | None = None
    known: Mapping[bytes, RowDigest] = field(default_factory=dict)
    lookback: int = 0
    one_part: bool = True
    refills: bool = False
    owed: Sequence[OwedParent] = ()
    asks_owed: bool = False
    doubted: Sweep = NO_SWEEP
    staged: Staged = field(default_factory=Staged)
    completeness: Completeness = field(default_factory=Completeness)

    def __post_init__(self) -> None:
        self.protection = Protection(self.table, self.api.hash_key, self.lake_table.forgotten())
        if self.protection.hides_rejected:
            self.rejected.hide_texts()
        self._normaliser = Normaliser(self.table, self.checkpoints.ingested_at)
        # Earlier attempts may have staged other versions of known rows, so then no row is left out as unchanged.
        known, run_start = {} if self.checkpoints.earlier else self.known, self.checkpoints.run_start
        kept = Kept.of(self.table, self.lookback)
        self.unchanged = UnchangedRows(self.table, known, kept, run_start=run_start)
        self.parents = KnownParents(self.table, known, kept, run_start=run_start, left_out=self.protection.is_forgotten)
        # Nobody knows what earlier attempts have met and not staged.
        self.sightings = Sightings(self.table, NO_SWEEP if self.checkpoints.earlier else self.doubted)
        self.tally = ChildTally()
        wanted = self.refills and self.table.refilled
        self._refill = ListRefill(self.table, self.api, self.in_parallel) if wanted else None
        if self.checkpoints.earlier:
            self.rejected.recall()

    @property
    def rows(self) -> int:
        """Rows that this attempt and earlier ones have read."""
        staged = sum(staged.rows for staged in (*self.checkpoints.earlier.values(), self.staged))
        return staged + self.unchanged.left_out

    @property
    def newest(self) -> int | None:
        """The greatest cursor value that this attempt and earlier ones have read, in unix seconds."""
        return greatest(staged.newest for staged in (*self.checkpoints.earlier.values(), self.staged))

    @property
    def digests(self) -> dict[bytes, RowDigest]:
        """What the next run need not read, or need not stage, once what was staged is committed."""
        return self.parents.for_the_next() if self.table.is_child else self.unchanged.for_the_next()

    @property
    def unknown(self) -> list[str]:
        """Names of fields without a column that were met."""
        return self._normaliser.unknown

    def refill_hints(self) -> Iterator[str]:
        """Lines on lists that were asked for, and are not whole for all that."""
        return iter(()) if self._refill is None else self._refill.hints()

    def read(self) -> None:
        """Read the window, going on from earlier attempts at the run; when this returns, every row is durable."""
        self.completeness = self.checkpoints.recalled()
        self._stage(lambda extraction: read_table(extraction, self.window), resumable=True)
        self.progress.finish()

    def read_again(self) -> None:
        """Read the window once more from its beginning, beside what is staged."""
        self.completeness, self.tally = Completeness(owed=dict(self.completeness.owed)), ChildTally()
        self._stage(lambda extraction: read_table(extraction, self.window))

    def add(self, pages: Collection[Page]) -> None:
        """Stage single records."""

        def deliver(extraction: Extraction) -> None:
            for page in pages:
                extraction.deliver(page)

        self._stage(deliver, searches=False)

    def stage(self, read: Callable[[Extraction], object]) -> None:
        """Stage what `read` delivers, which is not the window of the run; no later attempt resumes it."""
        self._stage(read)

    def add_rows(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Stage rows as the lake has them; they do not count as read."""
        before = self.staged
        with self._part_writer() as parts:
            for batch in batches:
                parts.add(batch)
        self.staged = replace(before, parts=parts.parts)

    def staged_parts(self) -> list[tuple[str, int]]:
        """Attempts and their numbers of parts that hold what was read."""
        earlier = [(run.attempt, run.parts) for run in self.checkpoints.staged_runs()]
        return [*earlier, (self.checkpoints.attempt, self.staged.parts)]

    def in_parallel(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """The results of requests of this table, as many at a time as may be in flight."""
        return self._extraction(lambda _item: None, resumable=False).in_parallel(jobs)

    def _stage(self, read: Callable[[Extraction], object], *, resumable: bool = False, searches: bool = True) -> None:
        """Stage what `read` delivers, behind what this attempt has staged; when this returns, every row is durable."""
        table, before = self.table, self.staged

        def save(staged: Staged) -> None:
            self.rejected.save()  # the next attempt does not meet them again
            self.checkpoints.save(staged)
            self.progress.staged(self.rows)

        parts = self._part_writer()
        pipeline = Pipeline(
            parts,
            self._normaliser,
            save,
            self._reject,
            waiting_bytes=WAITING_BYTES if table.may_wait else _SCROLL_WAITING_BYTES,
            checkpoint_rows=self.limits.between_checkpoints,
        )
        with self.rejected, parts, pipeline:

            def receive(item: Page | SliceEnd) -> None:
                if isinstance(item, SliceEnd):
                    pipeline.deliver(item)
                    return
                if self._refill is not None:
                    item = self._refill.page(item)
                self.sightings.note(item)
                item = self.protection.page(item)
                rows = len(item.records) - item.marks
                self.rejected.take(rows + item.outside, item.rejected, item.request_id)
                # A child must not be left out as unchanged: the mark before it would remove it.
                pipeline.deliver(item if table.is_child else self.unchanged.without(item))
                self.progress.page(rows)

            extraction = self._extraction(receive, resumable=resumable)
            read(self._checked(extraction) if searches else extraction)
        rows = before.rows + parts.rows - pipeline.marks
        self.staged = Staged(parts.parts, rows, greatest((before.newest, pipeline.newest)))

    def _part_writer(self) -> PartWriter:
        """Stages rows behind what this attempt has staged."""
        return self.lake_table.part_writer(
            self.checkpoints.attempt,
            self.table.schema.arrow,
            partition_field=self.table.month_field,
            keys=telling_columns(self.table),
            first=self.staged.parts,
            one_part=self.one_part,
        )

    def _reject(self, good: int, rejected: Sequence[Rejected], request_id: str | None) -> None:
        """Note records that have failed on their way to a row."""
        for record in rejected:
            self.unchanged.forget(record.text)
        self.rejected.take(good, rejected, request_id)

    def _extraction(self, receive: Receiver, *, resumable: bool) -> Extraction:
        extraction = Extraction(
            self.api,
            self.table,
            self.checkpoints.run_start,
            receive,
            expect=self.progress.expect,
            resumable=self.checkpoints,
            exact=self.exact,
            completeness=self.completeness,
            limits=self.limits,
            parents=self.parents,
            tally=self.tally,
            owed={one.key: one for one in self.owed},
            asks_owed=self.asks_owed,
            parent_text=self.protection.parent_text,
        )
        return extraction if resumable else _begun_anew(extraction)

    def _checked(self, extraction: Extraction) -> Extraction:
        """The extraction with bounds that fit how search compares dates today."""
        listed = self.table.listed
        if listed.access is not Access.SEARCH:
            return extraction
        self.search_check = check_search(replace(extraction, table=listed), self.search_check)
        if self.search_check is not None and self.search_check.by_day is not listed.day_cut:
            self.completeness.notes.append(difference(self.table.name, self.search_check))
            extraction = replace(extraction, compares_days=self.search_check.by_day)
        plan, by_day = extraction.resumable.plan(), listed.day_cut or bool(extraction.compares_days)
        if plan is not None and by_day and not plan.by_day:  # search by days may find no row in its slices
            return _begun_anew(extraction)
        return extraction


def _begun_anew(extraction: Extraction) -> Extraction:
    """The extraction from its beginning, saving nothing that a later attempt could resume from."""
    receive = extraction.receive

    def pages_alone(item: Page | SliceEnd) -> None:
        if isinstance(item, Page):
            receive(item)

    return replace(extraction, resumable=NothingKept(), receive=pages_alone)


class NothingKept:
    """A `Resumable` without an earlier attempt and without a later one."""

    def plan(self) -> SlicePlan | None:
        return None

    def keep(self, plan: SlicePlan) -> None:
        del plan

    def finished(self) -> Collection[int]:
        return ()
