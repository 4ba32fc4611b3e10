"""Foretells what reading a child table takes: its parent's read, and one request for each parent that is asked for.

which parents      those of the window, without those that the lake knows in their present version
how many rows      what the parents' records count; else as many for each parent as the lake has
how large          the children of one parent of the sample, as long as a request for them is left
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Final
from urllib.parse import quote

from intercom.errors import FatalApiError
from intercom.extract.child_answers import Children, ParentRecord, Verdict, page_of_children, parent_of
from intercom.extract.cursor_pages import CursorSearch, first_row, range_query
from intercom.extract.extraction import Extraction
from intercom.extract.pages import Page, next_params, pages_of
from intercom.extract.read_forecast import LakeRows, Range, ReadForecast, ceiling
from intercom.extract.windows import Window, second_bounds
from intercom.tables.table import Access

MOST_REQUESTS: Final = 3
"""Requests for the forecast of one table, those for its parent included."""
_ERRORS: Final = 3.0
"""Standard errors on either side of the mean number of children, in bounds."""
_AS_IN_LAKE: Final = 1.25
"""How far the number of children for each parent may be from what the lake has, in bounds: all parents are read."""
_AS_IN_LAKE_OF_CHANGED: Final = 2.0
"""The same where only parents that have changed are read: they may well have more."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Children of one parent: the page that they make, and the size of the answer beside them.

    `more`: the answer names or counts further pages.
    """

    page: Page
    beside: int
    seconds: float
    more: bool


class ChildForecast:
    """A read of a child table, foretold from the forecast of its parent's read."""

    def __init__(self, extraction: Extraction, window: Window, parents: ReadForecast, in_lake: LakeRows) -> None:
        assert extraction.table.parent is not None
        self._extraction, self._window, self._parents, self._in_lake = extraction, window, parents, in_lake
        self._table, self._declared = extraction.table, extraction.table.parent
        page = parents.sample
        found = [] if page is None else [parent_of(self._declared, one, extraction.parent_text) for one in page.records]
        self._sample = [parent for parent in found if window.holds(parent.at)]
        self._all_seen = parents.rows.exact and parents.rows.least == len(self._sample)
        self._why: list[str] = [] if parents.rows.exact and parents.requests.exact else [parents.why]

    def forecast(self) -> ReadForecast:
        """The forecast. Raises ApiError where the children of a parent may not be asked for."""
        known = self._extraction.parents.number_in(self._window)
        if self._all_seen:
            read = self._extraction.parents
            self._sample = [one for one in self._sample if read.is_to_be_read(one.key, one.digest)]
        asked = self._asked(known)
        sampled = self._sampled() if asked.most != 0 else None
        rows = self._rows(asked)
        requests = self._parents.requests + self._with_further_pages(asked, rows, sampled)
        return ReadForecast(
            rows,
            requests,
            self._parents.received + _received(asked, rows, sampled),
            self._chain(asked, sampled),
            self._parents.page_seconds,
            None if sampled is None else sampled.page,
            self._parents.checks,
            "; ".join(filter(None, self._why)),
            asked,
        )

    def _asked(self, known: int) -> Range:
        """Parents whose children are asked for; `known` are those of the window that the lake knows."""
        rows, listed = self._parents.rows, self._declared.table
        if self._all_seen:
            return Range.exactly(len(self._sample))
        if not known:
            return rows
        if rows.exact and listed.access is Access.SEARCH and not self._by_day and self._requests_left:
            return Range.exactly(rows.least - min(known, self._unchanged()))
        self._why.append(f"it is not known which {listed.name} have changed since they were read last")
        return Range(max(0, rows.least - known), rows.most)

    @property
    def _by_day(self) -> bool:
        return replace(self._extraction, table=self._declared.table).by_day

    @property
    def _requests_left(self) -> bool:
        return self._extraction.api.traffic().requests < MOST_REQUESTS

    def _unchanged(self) -> int:
        """Parents whose last change is not after the newest one that the lake knows: those that changed again are."""
        table, field = self._declared.table, str(self._declared.table.cursor_field)
        end = (self._extraction.parents.newest or 0) + 1
        query = range_query(field, second_bounds(Window(self._window.start, end)))
        return first_row(self._extraction.api, table, CursorSearch(table.name, query, field, "ascending")).counted

    def _rows(self, asked: Range) -> Range:
        if asked.most == 0:
            return Range.exactly(0)
        counts = self._counts()
        if self._all_seen and len(counts) == len(self._sample):
            return Range.exactly(sum(counts))
        name = self._declared.table.name
        if 2 * len(counts) >= len(self._sample) > 0:
            self._why.append(f"the number of rows is estimated from {len(counts)} {name}")
            each = mean(counts)
            error = _ERRORS * stdev(counts) / len(counts) ** 0.5 if len(counts) > 1 else each + 1
            return _bounds(asked, max(0.0, each - error), each + error)
        if not (self._in_lake.own and self._in_lake.parents):
            self._why.append(f"how many rows each of the {name} has is known only when it is read")
            return Range(0, None)
        self._why.append(f"the number of rows is estimated from what the lake has of {name}")
        each = self._in_lake.own / self._in_lake.parents
        apart = _AS_IN_LAKE if self._window == Window() else _AS_IN_LAKE_OF_CHANGED
        return _bounds(asked, each / apart, each * apart)

    def _counts(self) -> list[int]:
        """Children of the parents of the sample whose records count them."""
        most = self._declared.most
        counted = [parent.counted for parent in self._sample if parent.counted is not None]
        return [min(count, most) if most else count for count in counted]

    def _sampled(self) -> _Sampled | None:
        """The children of one parent; None where there is none, or no request is left for it."""
        if not self._sample or not self._requests_left:
            return None
        table, parent = self._table, _typical(self._sample)
        path = table.path.replace("{key}", quote(parent.key, safe=""))
        try:
            answer = self._extraction.api.get(path, table.requests[0], expect=table.records_at)
        except FatalApiError as error:
            if error.status != 404:
                raise
            return None  # it has gone meanwhile, or the whole feature is not there, which the run finds out
        children = Children()
        children.add(answer, table)
        page = page_of_children(table, parent, children, Verdict.SHORT)  # without a mark
        page = replace(page, size=children.size)
        beside = max(0, sum(map(len, answer.fields.values())) - children.size)
        pages = pages_of(answer).get("total_pages")
        more = bool(next_params(answer)) or (isinstance(pages, int) and pages > 1)
        return _Sampled(page, beside, answer.seconds, more)

    def _with_further_pages(self, asked: Range, rows: Range, sampled: _Sampled | None) -> Range:
        """Requests for children: one for each parent, and more where an answer does not have all of them."""
        if sampled is None or not sampled.more:
            return asked
        self._why.append(f"children of one of the {self._declared.table.name} may come on several pages")
        size = max(1, len(sampled.page.records))
        more = None if rows.most is None else rows.most // size
        return asked + Range(1, more and max(1, more))

    def _chain(self, asked: Range, sampled: _Sampled | None) -> Range:
        """Requests one after the other: as many children as may be in flight are asked for at the same time."""
        parents, in_flight = self._parents, self._extraction.api.most_in_flight
        slower = 1.0
        if sampled is not None and parents.page_seconds:
            slower = sampled.seconds / parents.page_seconds
        beside = asked.map(lambda number: ceiling(number, in_flight)).scaled(slower)
        if not self._declared.table.may_wait:
            return parents.chain + beside
        most = None if parents.chain.most is None or beside.most is None else max(parents.chain.most, beside.most)
        return Range(max(parents.chain.least, beside.least), most)


def _typical(parents: Sequence[ParentRecord]) -> ParentRecord:
    """The parent that has as many children as they have on average, but two if any has: one row shows no size."""
    counts = [parent.counted or 0 for parent in parents]
    wanted = max(2.0, mean(counts))
    return min(parents, key=lambda parent: abs((parent.counted or 0) - wanted))


def _bounds(asked: Range, least: float, most: float) -> Range:
    return Range(round(asked.least * least), None if asked.most is None else round(asked.most * most))


def _received(asked: Range, rows: Range, sampled: _Sampled | None) -> Range:
    """Bytes of the answers with children; those of a child and of what is beside the children are known of one."""
    if asked.most == 0:
        return Range.exactly(0)
    if sampled is None:
        return Range(0, None)
    number = len(sampled.page.records)
    return asked.scaled(sampled.beside) + rows.scaled(sampled.page.size / number if number else 0.0)
