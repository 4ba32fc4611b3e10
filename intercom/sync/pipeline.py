"""Turns pages into record batches and staged parts on a thread of its own, so that reading goes on meanwhile.

Pages wait in a queue that is bounded in bytes: when decoding or the store cannot keep up, readers wait for room, and
memory does not grow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from intercom.extract.pages import Page
from intercom.lake.staging import PartWriter
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Rejected, text_of

log = logging.getLogger(__name__)

WAITING_BYTES = 8 << 20
"""JSON bytes of pages that may wait; in memory they are several times as large."""
_AT_ONCE_BYTES = 3 << 20  # decoded together: what a column costs is paid once for some thousand rows
_CHECKPOINT_SECONDS = 60.0
_CHECKPOINT_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is durable: the finished parts of the reading, and the staged parts (numbered below `parts`) that hold them.

    `newest` is the largest cursor value so far in unix seconds, `rows` counts what was read.
    """

    finished: tuple[int, ...]
    parts: int
    rows: int
    newest: int | None


class Pipeline:
    """Takes pages from any thread. Leaving the block waits until all of them are staged.

    `finish` marks a part of the reading as complete. From time to time, and when the reading fails, `on_checkpoint`
    learns what is durable. `newest` is the largest cursor value so far in unix seconds.

    A record that fails on its way to a row is left out, and `on_rejected` gets it, with the page's request: whatever
    is in a record, the others are staged.
    """

    def __init__(
        self,
        parts: PartWriter,
        normaliser: Normaliser,
        cursor_field: str | None,
        on_checkpoint: Callable[[Checkpoint], None],
        on_rejected: Callable[[int, Sequence[Rejected], str | None], None],
        *,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self.newest: int | None = None
        self._parts, self._normaliser, self._cursor_field = parts, normaliser, cursor_field
        self._on_checkpoint, self._on_rejected = on_checkpoint, on_rejected
        self._waiting_bytes = waiting_bytes
        lock = threading.Lock()
        self._arrived, self._room = threading.Condition(lock), threading.Condition(lock)
        self._queue: deque[Page | int] = deque()
        self._queued = 0
        self._closed = False
        self._error: BaseException | None = None
        self._finished: list[int] = []
        self._kept = 0
        self._rows_kept = 0
        self._kept_at = time.monotonic()
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
                if self._finished:
                    self._parts.flush()
            except Exception as second:  # the first error is the one to tell
                log.warning("what was read so far could not be kept for another try: %s", second)

    def deliver(self, page: Page) -> None:
        """Take a page; waits for room. Raises the error that has ended the decoding."""
        if page.records:
            self._put(page, page.size)

    def finish(self, place: int) -> None:
        """Every page of this part of the reading was delivered."""
        self._put(place, 0)

    def _put(self, item: Page | int, size: int) -> None:
        with self._room:
            while self._queued > self._waiting_bytes and self._error is None:
                self._room.wait()
            if self._error is not None:
                raise self._error
            self._queue.append(item)
            self._queued += size
            self._arrived.notify()

    def _run(self) -> None:
        try:
            while taken := self._take():
                pages = [item for item in taken if isinstance(item, Page)]
                if pages:
                    self._stage(pages)
                self._finished += [item for item in taken if isinstance(item, int)]
                if self._is_due():
                    self._checkpoint()
        except BaseException as error:
            with self._room:
                self._error = error
                self._room.notify_all()

    def _take(self) -> list[Page | int]:
        """What waits, up to a few pages' bytes; empty at the end."""
        with self._arrived:
            while not self._queue and not self._closed:
                self._arrived.wait()
            taken: list[Page | int] = []
            size = 0
            while self._queue and size < _AT_ONCE_BYTES:
                item = self._queue.popleft()
                taken.append(item)
                size += item.size if isinstance(item, Page) else 0
            self._queued -= size
            self._room.notify_all()
            return taken

    def _stage(self, pages: list[Page]) -> None:
        for batch in self._batches(pages):
            self._parts.add(batch)
            newest = newest_second(batch.column(self._cursor_field)) if self._cursor_field else None
            if newest is not None:
                self.newest = newest if self.newest is None else max(newest, self.newest)

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
        halves = _halves(pages)
        for half in halves:
            yield from self._batches(half)
        if not halves:
            (page,) = pages
            found = [Rejected(bytes(text_of(record)), f"not made a row ({failure})") for record in page.records]
            self._on_rejected(-len(found), found, page.request_id)  # it counted as a usable one

    def _is_due(self) -> bool:
        if len(self._finished) == self._kept:
            return False
        late = time.monotonic() - self._kept_at >= _CHECKPOINT_SECONDS
        return late or self._parts.rows - self._rows_kept >= _CHECKPOINT_ROWS

    def _checkpoint(self) -> None:
        if len(self._finished) == self._kept:
            return
        finished, rows, newest = tuple(self._finished), self._parts.rows, self.newest
        self._kept, self._rows_kept, self._kept_at = len(finished), rows, time.monotonic()
        self._parts.checkpoint(lambda parts: self._on_checkpoint(Checkpoint(finished, parts, rows, newest)))


def newest_second(times: pa.Array | pa.ChunkedArray) -> int | None:
    """The largest of a column of times, in whole unix seconds (floor), which are negative before 1970."""
    microseconds = pc.max(times.cast(pa.int64())).as_py()
    return None if microseconds is None else microseconds // 1_000_000


def _halves(pages: Sequence[Page]) -> list[Sequence[Page]]:
    """The pages' records in two parts; none when there is but one record."""
    if len(pages) > 1:
        return [pages[: len(pages) // 2], pages[len(pages) // 2 :]]
    (page,) = pages
    half = len(page.records) // 2
    if half == 0:
        return []
    return [[replace(page, records=part)] for part in (page.records[:half], page.records[half:])]
