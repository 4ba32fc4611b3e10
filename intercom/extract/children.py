"""Reads child tables: one request for each record of the parent table, while the parent table is still being read.

The parent table's own way to read decides which records have changed, when that is complete, and from where a run that
is tried again goes on. Its pages are taken apart here, and the children of each record are asked for by many threads;
the next page of parents is requested while some of them still wait for their turn. The end of a slice of the parent
table is handed on when the children of all parents before it were.

A table that must not wait, such as a scroll, is read to its end first.

A parent that gives no usable answer is owed: the others are read, and later runs ask for it until they have its
children, also where it does not come with those that have changed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from threading import Condition, Lock
from typing import Final

from intercom.errors import AbandonedError, FatalApiError, RequestRejectedError, RetriableApiError
from intercom.extract.child_answers import Children, ParentRecord, Verdict, judge, page_of_children, parent_of
from intercom.extract.child_requests import ChildRequests
from intercom.extract.completeness import Completeness
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.owed_parents import OwedParents
from intercom.extract.pages import Page
from intercom.tables.owed import OwedParent

log = logging.getLogger(__name__)

WAITING_PARENTS: Final = 150
"""Parents whose children may still be asked for when the next page of parents is requested: a full page of them."""
_BELIEVED_AFTER: Final = 20
"""Answers in a row that were the same when repeated, though the parents' records said more: then that is no sign."""
_DOUBTED_AFTER: Final = 10
"""If so many parents are not found, and not one is, the path is wrong, and not each parent gone."""


def read_children(extraction: Extraction, read_parents: Callable[[Extraction], None]) -> None:
    """Deliver the children of every parent that `read_parents` delivers, those of one parent on one page.

    A page's `newest` is the parent's cursor value. Parents that were read before in the same version are passed over.

    Raises ApiError for a parent whose children are refused, except one that is gone (404), for parents without a usable
    answer if they are many, and whatever the reading of the parents raises; nothing is delivered after that.
    """
    table, api = extraction.table, extraction.api
    assert table.parent is not None
    with ThreadPoolExecutor(api.most_in_flight, thread_name_prefix=f"ask-{table.name}") as pool:
        reading = _Reading(extraction, pool)
        take = reading.take if table.may_wait else reading.collect
        try:
            read_parents(replace(extraction, table=table.parent.table, receive=take, expect=reading.expect))
            reading.finish()
        except BaseException as error:
            api.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if reading.error is not None and isinstance(error, AbandonedError):
                raise reading.error from None
            raise
    if reading.error is not None:  # of the end of a slice, after the last page
        raise reading.error


@dataclass(slots=True)
class _Asked:
    """A parent whose children are asked for, and a newer version of it that has come meanwhile."""

    parent: ParentRecord
    number: int
    newer: ParentRecord | None = None


class _Reading:
    """The parents of one read that have come; pages and ends of slices may be taken from any thread."""

    def __init__(self, extraction: Extraction, pool: ThreadPoolExecutor) -> None:
        assert extraction.table.parent is not None
        self.error: BaseException | None = None
        """What has ended the asking for children."""
        self._extraction, self._pool, self._declared = extraction, pool, extraction.table.parent
        self._changed = Condition()
        self._numbers = count()
        self._under_way: dict[int, _Asked] = {}
        """By number, in the order in which they came."""
        self._by_key: dict[str, _Asked] = {}
        self._versions: set[int] = set()
        """Hashes of key and version of the parents that came: rows of overlapping slices come twice."""
        self._ends: deque[tuple[int, SliceEnd]] = deque()
        self._collected: list[ParentRecord] = []
        self._expected: int | None = None
        self._owing = OwedParents(extraction)
        self._requests = ChildRequests(extraction.table, extraction.api)
        self._handing = Lock()
        self._since_end = Completeness()
        """Of parents whose children were asked for after the last end of a slice."""
        self._done = self._children = self._same_again = 0

    # -- the side of the parent table -----------------------------------------------------------------------------

    def expect(self, parents: int) -> None:
        """Learn how many parents will come."""
        self._expected = parents

    def take(self, item: Page | SliceEnd) -> None:
        """Ask for the children of a page's parents; waits while the children of many others are still asked for."""
        if isinstance(item, SliceEnd):
            with self._changed:
                self._ends.append((next(self._numbers), item))
            self._hand_on_ends()
            return
        asked = self._to_be_asked(item)
        with self._changed:
            while len(self._under_way) > WAITING_PARENTS and self.error is None:
                self._changed.wait()
            if self.error is not None:
                raise AbandonedError
        for parent in asked:
            self._ask(parent)

    def collect(self, item: Page | SliceEnd) -> None:
        """Keep a page's parents until all have come."""
        if isinstance(item, Page):
            self._collected += self._to_be_asked(item)

    def finish(self) -> None:
        """Wait until the children of all parents were delivered; raises the error that has kept one from it.

        Parents that are owed and have not come are asked for at last, when no newer version of them can come.
        """
        self._ask_and_wait(self._collected)
        self._doubt_if_all_are_gone()
        self._ask_and_wait(self._owing.take_left())

    def _ask_and_wait(self, parents: Iterable[ParentRecord]) -> None:
        for parent in parents:
            with self._changed:
                while len(self._under_way) > WAITING_PARENTS and self.error is None:
                    self._changed.wait()
            self._ask(parent)
        with self._changed:
            while self._under_way and self.error is None:
                self._changed.wait()
            if self.error is not None:
                raise self.error

    def _doubt_if_all_are_gone(self) -> None:
        tally = self._extraction.tally
        if tally.gone >= _DOUBTED_AFTER and tally.gone == tally.asked:
            raise RequestRejectedError(
                f"{self._extraction.table.name}: none of {tally.gone} {self._declared.table.name} was found by its own "
                "address, though all of them are listed. Ask Intercom about it; nothing was committed and the "
                "watermark has not moved.",
                status=404,
            )

    def _to_be_asked(self, page: Page) -> list[ParentRecord]:
        """The page's parents whose children the lake may lack. What else the page tells is delivered at once."""
        extraction, name = self._extraction, self._declared.table.name
        if page.rejected:
            odd = tuple(replace(one, reason=f"{name}: {one.reason}") for one in page.rejected)
            extraction.deliver(Page(page.number, page.request_id, [], rejected=odd))
        asked = []
        for record in page.records:
            parent = parent_of(self._declared, record, extraction.parent_text)
            with self._changed:
                version = hash((parent.key, parent.digest))
                came = version in self._versions
                self._versions.add(version)
            if not came and extraction.parents.is_to_be_read(parent.key, parent.digest):
                asked.append(parent)
                with self._changed:
                    self._owing.came(parent.key)
            elif not came:
                with self._changed:
                    self._done += 1
                    extraction.tally.unchanged += 1
                extraction.deliver(Page(page.number, page.request_id, [], newest=parent.at))
        return asked

    # -- the side of the children ---------------------------------------------------------------------------------

    def _ask(self, parent: ParentRecord) -> None:
        """Ask for a parent's children; behind those of an earlier version of it, where these are still under way."""
        with self._changed:
            before = self._by_key.get(parent.key)
            if before is not None:
                before.newer = parent
                return
            asked = _Asked(parent, next(self._numbers))
            self._under_way[asked.number] = self._by_key[parent.key] = asked
        self._pool.submit(self._read, asked)

    def _read(self, asked: _Asked) -> None:
        try:
            parent: ParentRecord | None = asked.parent
            while parent is not None:
                page, owed = self._children_of(parent)
                self._extraction.deliver(page)
                parent = self._read_one(asked, len(page.records) - page.marks, owed)
            self._hand_on_ends()
        except BaseException as error:
            self._extraction.api.stopped.set()
            with self._changed:
                if self.error is None or isinstance(self.error, AbandonedError):
                    self.error = error
                self._changed.notify_all()

    def _read_one(self, asked: _Asked, children: int, owed: OwedParent | None) -> ParentRecord | None:
        """Note that a parent's children were delivered, or are owed; gives its newer version, to be asked for."""
        with self._changed:
            told = Completeness(owed=self._owing.told(asked.parent.key, owed))
            self._extraction.completeness.add(told)
            self._since_end.add(told)
            self._children += children
            self._done += 1
            newer, asked.newer = asked.newer, None
            if newer is None:
                del self._under_way[asked.number], self._by_key[asked.parent.key]
                self._changed.notify_all()
            if self._expected is not None and self._children:
                self._extraction.expect(max(self._children, self._expected * self._children // self._done))
            return newer

    def _hand_on_ends(self) -> None:
        """Deliver the ends of slices that have no parent before them any more."""
        while True:
            with self._handing:  # an end must not overtake the one that tells what is owed before it
                with self._changed:
                    first = next(iter(self._under_way), None)
                    if not self._ends or (first is not None and first < self._ends[0][0]):
                        return
                    _, end = self._ends.popleft()
                    found, self._since_end = self._since_end, Completeness()
                end.completeness.add(found)
                self._extraction.deliver(end)

    def _children_of(self, parent: ParentRecord) -> tuple[Page, OwedParent | None]:
        """A page with the children of a parent, and the parent if they are owed; an empty page where it is gone."""
        extraction, tally = self._extraction, self._extraction.tally
        owed: OwedParent | None = None
        try:
            children, verdict = self._found(parent)
        except FatalApiError as error:
            if error.status != 404:
                raise
            with self._changed:
                tally.asked += 1
                tally.gone += 1
            return Page(1, error.request_id, [], newest=parent.at), None
        except RetriableApiError as error:
            with self._changed:
                owed = self._owing.owe(parent, error)
            log.warning(
                "%s: no usable answer for %s (status %s, request %s). The others are read, and later runs ask again",
                *(extraction.table.name, parent.key, error.status, error.request_id),
            )
            return Page(1, error.request_id, [], newest=parent.at), owed
        page = page_of_children(extraction.table, parent, children, verdict)
        with self._changed:
            tally.asked += 1
            tally.untold += not page.marks
            tally.count(verdict)
            if verdict is Verdict.SHORT and self._owing.was_owed(parent.key):
                owed = self._owing.owe_again(parent)  # and the watermark need not wait for it
            elif verdict is Verdict.SHORT:
                self._since_end.add(Completeness(missing=1))
                extraction.completeness.add(Completeness(missing=1))
        if verdict is not Verdict.SHORT and not children.rejected:
            extraction.parents.was_read(parent.key, parent.digest, parent.at)
        return page, owed

    def _found(self, parent: ParentRecord) -> tuple[Children, Verdict]:
        """As `_believed`; that a parent is gone is believed when two answers say so."""
        try:
            return self._believed(parent)
        except FatalApiError as error:
            if error.status != 404:
                raise
            return self._believed(parent)

    def _believed(self, parent: ParentRecord) -> tuple[Children, Verdict]:
        """The children, and how much of them there is, after a second request where the first answer has too few."""
        table = self._extraction.table
        first = self._answers(parent)
        verdict = judge(table, parent, first)
        if verdict in (Verdict.WHOLE, Verdict.CUT):
            return first, verdict
        if verdict is Verdict.FEWER and self._same_again >= _BELIEVED_AFTER:
            return first, verdict
        second = self._answers(parent)
        again = judge(table, parent, second)
        same = first.records.keys() == second.records.keys()
        if verdict is Verdict.FEWER:
            with self._changed:
                self._same_again = self._same_again + 1 if same else 0
        if again in (Verdict.WHOLE, Verdict.CUT):
            return second, again
        return second.with_those_of(first), Verdict.FEWER if same and again is Verdict.FEWER else Verdict.SHORT

    def _answers(self, parent: ParentRecord) -> Children:
        return self._requests.children(parent.key, once=self._owing.was_owed(parent.key))
