"""Turns pages into record batches and staged parts on a thread of its own, so that pages are asked for meanwhile.

Pages wait in a queue that is bounded in bytes: when decoding or the store cannot keep up, readers wait for room, and
memory does not grow.

The end of a slice waits in the same queue behind the slice's pages. When it is taken from the queue, all rows of the
slice were added to parts; once these parts are durable, so is the slice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import pyarrow as pa

from intercom.extract.completeness import Completeness
from intercom.extract.extraction import SliceEnd
from intercom.extract.limits import DEFAULT_LIMITS
from intercom.extract.pages import Page, greatest
from intercom.lake.staging import PartWriter
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Rejected, text_of
from intercom.sync.staged import Staged

log = logging.getLogger(__name__)

WAITING_BYTES = 8 << 20
"""JSON bytes of pages that may wait; in memory they are several times as large."""
_AT_ONCE_BYTES = 3 << 20  # JSON bytes decoded together, so a column's fixed cost is paid once for some thousand rows
_CHECKPOINT_SECONDS = 60.0


class Pipeline:
    """Takes pages, and ends of slices, from any thread. Leaving the block waits until all rows are staged.

    `on_staged` is called from time to time, and when the read fails, with what is durable, if more slices have been
    finished since its last call. `newest` is the greatest `Page.newest` of the staged pages, in unix seconds.

    A record that fails on its way to a row is left out, and `on_rejected` gets it, with the page's request: whatever
    is in a record, the others are staged.
    """

    def __init__(
        self,
        parts: PartWriter,
        normaliser: Normaliser,
        on_staged: Callable[[Staged], None],
        on_rejected: Callable[[int, Sequence[Rejected], str | None], None],
        *,
        waiting_bytes: int = WAITING_BYTES,
        checkpoint_rows: int = DEFAULT_LIMITS.between_checkpoints,
    ) -> None:
        self.newest: int | None = None
        self.marks = 0
        """Rows of the parts that are marks."""
        self._parts, self._normaliser = parts, normaliser
        self._on_staged, self._on_rejected = on_staged, on_rejected
        self._waiting_bytes, self._checkpoint_rows = waiting_bytes, checkpoint_rows
        lock = threading.Lock()
        self._arrived, self._room = threading.Condition(lock), threading.Condition(lock)
        self._queue: deque[Page | SliceEnd] = deque()
        self._queued = 0
        self._closed = False
        self._error: BaseException | None = None
        self._slices: dict[int, Completeness] = {}
        """Place in the plan -> completeness, of slices whose rows were all added to parts."""
        self._slices_told = self._rows_told = 0
        self._told_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._arrived:
            self._closed = True
            if error is not None and not isinstance(error, Exception):
                self._queue.clear()  # the process is told to end
            self._arrived.notify_all()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
        if isinstance(error, Exception) and self._error is None:
            try:
                self._checkpoint()
                if self._slices:
                    self._parts.flush()
            except Exception as second:  # the first error is the one to tell
                log.warning("what was read so far could not be kept for another try: %s", second)

    def deliver(self, item: Page | SliceEnd) -> None:
        """Take a page, or the end of a slice; waits for room. Raises the error that has ended the decoding.

        A page without records is taken for its `newest` only, and ignored without one.
        """
        if isinstance(item, Page) and not item.records and item.newest is None:
            return
        with self._room:
            while self._queued > self._waiting_bytes and self._error is None:
                self._room.wait()
            if self._error is not None:
                raise self._error
            self._queue.append(item)
            self._queued += _bytes_of(item)
            self._arrived.notify()

    def _run(self) -> None:
        try:
            while taken := self._take():
                pages = [item for item in taken if isinstance(item, Page)]
                if pages:
                    self._stage(pages)
                self._slices.update((item.place, item.completeness) for item in taken if isinstance(item, SliceEnd))
                if self._is_due():
                    self._checkpoint()
        except BaseException as error:
            with self._room:
                self._error = error
                self._room.notify_all()

    def _take(self) -> list[Page | SliceEnd]:
        """What waits, up to a few pages' bytes; empty at the end."""
        with self._arrived:
            while not self._queue and not self._closed:
                self._arrived.wait()
            taken: list[Page | SliceEnd] = []
            size = 0
            while self._queue and size < _AT_ONCE_BYTES:
                item = self._queue.popleft()
                taken.append(item)
                size += _bytes_of(item)
            self._queued -= size
            self._room.notify_all()
            return taken

    def _stage(self, pages: list[Page]) -> None:
        self.marks += sum(page.marks for page in pages)
        for batch in self._batches(pages):
            self._parts.add(batch)
        self.newest = greatest((self.newest, *(page.newest for page in pages)))

    def _batches(self, pages: Sequence[Page]) -> Iterator[pa.RecordBatch]:
        """All pages as one batch; where a record fails, halves of halves, down to that record alone."""
        failure = None
        try:
            yield self._normaliser.batch_pages([(page.records, page.where) for page in pages])
        except MemoryError:
            raise
        except Exception as error:  # whatever it is, it must not end the table at every run
            failure = type(error).__name__  # its message may show what is in the record
        if failure is None:
            return
        if len(pages) == 1 and pages[0].marks:
            # One of the rows that the mark speaks of will be missing, and its stored version would be removed.
            (page,) = pages
            self.marks -= page.marks
            pages = [replace(page, records=page.records[page.marks :], marks=0)]
        halves = _halves(pages)
        for half in halves:
            yield from self._batches(half)
        if not halves:
            (page,) = pages
            found = [Rejected(bytes(text_of(record)), f"not made a row ({failure})") for record in page.records]
            self._on_rejected(-len(found), found, page.request_id)  # it counted as a usable one

    def _is_due(self) -> bool:
        if len(self._slices) == self._slices_told:
            return False
        late = time.monotonic() - self._told_at >= _CHECKPOINT_SECONDS
        return late or self._parts.rows - self._rows_told >= self._checkpoint_rows

    def _checkpoint(self) -> None:
        """Report the slices that are finished by now, as soon as all rows that were added by now are durable."""
        if len(self._slices) == self._slices_told:
            return
        slices, rows, newest = dict(self._slices), self._parts.rows - self.marks, self.newest
        self._slices_told, self._rows_told, self._told_at = len(slices), self._parts.rows, time.monotonic()
        self._parts.checkpoint(lambda parts: self._on_staged(Staged(parts, rows, newest, slices)))


def _bytes_of(item: Page | SliceEnd) -> int:
    return item.size if isinstance(item, Page) else 0


def _halves(pages: Sequence[Page]) -> list[Sequence[Page]]:
    """The pages' records in two parts; none when there is but one record."""
    if len(pages) > 1:
        return [pages[: len(pages) // 2], pages[len(pages) // 2 :]]
    (page,) = pages
    half = len(page.records) // 2
    if half == 0:
        return []
    return [[replace(page, records=part)] for part in (page.records[:half], page.records[half:])]
