"""What all ways to read share: the table, the client, where pages go, and several requests at the same time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from msgspec import Raw

from intercom.api.client import TableClient
from intercom.errors import AbandonedError
from intercom.extract.child_tally import ChildTally
from intercom.extract.completeness import Completeness
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.extract.pages import Page
from intercom.extract.search_slices import SlicePlan
from intercom.extract.windows import Window
from intercom.normalise.records import Record, text_of
from intercom.tables.owed import OwedParent
from intercom.tables.table import Table

T = TypeVar("T")


class Resumable(Protocol):
    """What survives an attempt at a run, so that the next attempt asks only for what is missing."""

    def plan(self) -> SlicePlan | None:
        """The plan of an earlier attempt at this run."""

    def keep(self, plan: SlicePlan) -> None:
        """Remember a plan before its first part is read."""

    def finished(self) -> Collection[int]:
        """Places in the plan of the slices whose rows earlier attempts have staged completely."""


@dataclass(frozen=True, slots=True)
class SliceEnd:
    """Marks the end of a slice, after its last page: the slice's place in the plan, and how complete it is."""

    place: int
    completeness: Completeness


class ReadParents(Protocol):
    """What is known of the parents of a child table. A digest differs when a parent's children may differ.

    `at` is its value of the cursor field, in unix seconds.
    """

    def is_to_be_read(self, key: str, digest: bytes) -> bool:
        """Whether the lake may lack children of this version of a parent; if so, nothing is known of it any more."""

    def was_read(self, key: str, digest: bytes, at: int | None) -> None:
        """All children of this version were delivered, as far as Intercom gives them."""

    def number_in(self, window: Window) -> int:
        """How many known parents have a cursor value in this window."""

    @property
    def newest(self) -> int | None:
        """The greatest cursor value of the known parents."""


class NoneRead:
    """A `ReadParents` to which every parent is new, and that learns nothing."""

    def is_to_be_read(self, key: str, digest: bytes) -> bool:
        del key, digest
        return True

    def was_read(self, key: str, digest: bytes, at: int | None) -> None:
        del key, digest, at

    def number_in(self, window: Window) -> int:
        del window
        return 0

    @property
    def newest(self) -> int | None:
        return None


Receiver = Callable[[Page | SliceEnd], None]


@dataclass(frozen=True, slots=True)
class Extraction:
    """One table of one run, while it is read.

    `run_start` is the server's time before the first page, in unix seconds. `receive` takes each page, and after the
    pages of a slice its end, from any thread; it blocks while too many pages wait to be staged. `expect` is told how
    many rows will come. `exact`: rows that are not delivered will be removed from the lake, so rows that change during
    the read must be delivered, too. `compares_days`: how search was found to compare dates; None: as declared.
    `parents`, `tally` and `owed` are for child tables: what is known of the parents, what became of their children, and
    parents that earlier runs owe, by key. `asks_owed`: owed parents that are not among those read are asked for, too.
    `parent_text` gives the text of a parent's record of which a digest may be kept.
    """

    api: TableClient
    table: Table
    run_start: int
    receive: Receiver
    expect: Callable[[int], None]
    resumable: Resumable
    exact: bool = False
    completeness: Completeness = field(default_factory=Completeness)
    compares_days: bool | None = None
    limits: ReadLimits = DEFAULT_LIMITS
    parents: ReadParents = field(default_factory=NoneRead)
    tally: ChildTally = field(default_factory=ChildTally)
    owed: Mapping[str, OwedParent] = field(default_factory=dict)
    asks_owed: bool = False
    parent_text: Callable[[Record], Raw | bytes] = text_of

    @property
    def what(self) -> str:
        """The table in messages; while the parents of a child table are read, the child table with them."""
        table, asked_for = self.table.name, self.api.table
        return table if asked_for == table else f"{asked_for}, in its {table}"

    @property
    def by_day(self) -> bool:
        """Whether bounds for days are sent: they are right however search compares, and those for seconds are not."""
        return self.table.day_cut or bool(self.compares_days)

    def deliver(self, item: Page | SliceEnd) -> None:
        """Hand on a page, or the end of a slice. Raises AbandonedError for a page once the table is stopped."""
        if isinstance(item, Page) and self.api.stopped.is_set():
            raise AbandonedError
        self.receive(item)

    def in_parallel(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the jobs, run as many at a time as requests may be in flight; the first error stops all.

        No job is still running when this returns or raises.
        """
        if len(jobs) <= 1:
            return [job() for job in jobs]
        with self.side_by_side() as submit:
            running = [submit(job) for job in jobs]
        return [done.result() for done in running]

    @contextmanager
    def side_by_side(self) -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
        """Yields a function that submits a job. Jobs run beside the block, as many at a time as requests in flight.

        Leaving the block waits for all jobs, and raises the first error of a job, or of the block itself. An error
        stops the table's other requests; no job is still running when it is raised.
        """
        running: list[Future[Any]] = []
        taking = True

        def run(job: Callable[[], Any]) -> Any:
            try:
                return job()
            except BaseException:
                if taking:  # nobody waits for the jobs yet, and the block should not go on for long
                    self.api.stopped.set()
                raise

        def submit(job: Callable[[], Any]) -> Future[Any]:
            running.append(pool.submit(run, job))
            return running[-1]

        abandoned: AbandonedError | None = None
        with ThreadPoolExecutor(self.api.most_in_flight, thread_name_prefix=f"read-{self.table.name}") as pool:
            try:
                try:
                    yield submit
                except AbandonedError as error:  # perhaps caused by a job's error, which is the one to raise then
                    abandoned = error
                taking = False
                if abandoned is None:
                    wait(running, return_when=FIRST_EXCEPTION)
            finally:
                if taking or abandoned is not None or not all(done.done() for done in running):
                    self.api.stopped.set()
                    pool.shutdown(wait=True, cancel_futures=True)
        ended = [done.exception() for done in running if not done.cancelled()]
        errors: list[BaseException | None] = [*ended, abandoned]
        found = [error for error in errors if error is not None]
        if found:
            raise next((error for error in found if not isinstance(error, AbandonedError)), found[0])
