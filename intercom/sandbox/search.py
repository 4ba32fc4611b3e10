"""Search as the API does it: filter, sort, a cursor that names a position, one page at a time.

A cursor is the base64 of ``[sort value, id, page]`` of the last record delivered. It is neither an offset nor a
snapshot: nothing shifts when records before it come or go, and a record that moves behind it is not delivered.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from .answers import Refusal
from .fields import Field
from .options import Options
from .query import Condition, Group, QueryReader, Span
from .records import UNSORTED, Position, RecordTable, position

MAX_PER_PAGE = 150
CACHED_RESULTS = 16
ORDERS = {"ascending": False, "asc": False, "descending": True, "desc": True}
INDEXED = ("updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the sorted result; ``after`` is None in front of the first record."""

    after: Position | None = None
    page: int = 1

    def encode(self) -> str:
        value, key = (None, None) if self.after is None else self.after[1:]
        return base64.b64encode(json.dumps([value, key, self.page]).encode()).decode()

    @classmethod
    def decode(cls, text: Any) -> Cursor:
        try:
            value, key, page = json.loads(base64.b64decode(text, validate=True))
            page = int(page)
        except (TypeError, ValueError, binascii.Error) as error:
            raise Refusal(400, "starting_after is not a valid cursor", "parameter_invalid", "starting_after") from error
        return cls(None if key is None else position(value, key), page)


@dataclass(frozen=True, slots=True)
class Request:
    """What a search asks for, checked."""

    query: Any
    condition: Condition
    sort: str
    descending: bool
    per_page: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Keys of one page, and where the next one starts (None at the end)."""

    keys: list[str]
    total_count: int
    number: int
    per_page: int
    next: Cursor | None

    @property
    def total_pages(self) -> int:
        return math.ceil(self.total_count / self.per_page)


class Search:
    """Searches over one table; the caller holds the workspace's lock."""

    def __init__(
        self, table: RecordTable, fields: Mapping[str, Field], options: Options, default_per_page: int
    ) -> None:
        self._table = table
        self._fields = fields
        self._options = options
        self._default_per_page = default_per_page
        self._results: dict[tuple[str, ...], list[Position]] = {}
        self._results_version = -1

    def read(self, body: Mapping[str, Any]) -> Request:
        """Check the body of a search; Refusal 400 names what is wrong with it."""
        if "query" not in body:
            raise Refusal(400, "query is required", "parameter_invalid", "query")
        condition = QueryReader(self._fields, self._options).read(body["query"])
        sort, descending = self._sort(body.get("sort"))
        pagination = body.get("pagination") or {}
        if not isinstance(pagination, dict):
            raise Refusal(400, "pagination must be an object", "parameter_invalid", "pagination")
        cursor = pagination.get("starting_after")
        return Request(
            body["query"],
            condition,
            sort,
            descending,
            self._per_page(pagination.get("per_page")),
            Cursor() if cursor is None else Cursor.decode(cursor),
        )

    def page(self, request: Request) -> Page:
        """The page behind the request's cursor."""
        found, low, high = self._result(request)
        number, after, size = request.cursor.page, request.cursor.after, request.per_page
        every = self._options.empty_page_every
        if every is not None and number % every == 0:
            return Page([], high - low, number, size, Cursor(after, number + 1))
        if request.descending:
            end = high if after is None else max(low, min(high, bisect_left(found, after)))
            start = max(low, end - size)
            hits, more = found[start:end][::-1], start > low
        else:
            start = low if after is None else max(low, min(high, bisect_right(found, after)))
            end = min(high, start + size)
            hits, more = found[start:end], end < high
        following = Cursor(hits[-1], number + 1) if more else None
        return Page([key for _, _, key in hits], high - low, number, size, following)

    def _per_page(self, per_page: Any) -> int:
        if per_page is None:
            return self._default_per_page
        if not isinstance(per_page, int) or isinstance(per_page, bool) or not 1 <= per_page <= MAX_PER_PAGE:
            raise Refusal(400, f"per_page must be between 1 and {MAX_PER_PAGE}", "parameter_invalid", "per_page")
        return per_page

    def _sort(self, sort: Any) -> tuple[str, bool]:
        if sort is None:
            return UNSORTED, False
        field = sort.get("field") if isinstance(sort, dict) else None
        if field not in self._options.sortable_fields:
            raise Refusal(400, f"Sorting by {field} is not supported", "parameter_invalid", "sort")
        order = sort.get("order", "descending")
        if order not in ORDERS:
            raise Refusal(400, f"{order} is not a sort order", "parameter_invalid", "sort")
        return field, ORDERS[order]

    def _result(self, request: Request) -> tuple[list[Position], int, int]:
        """The matching records in order: a list, and where in it they begin and end."""
        condition, sort = request.condition, request.sort
        if sort in INDEXED and (bounds := _span_on(sort, condition)) is not None:
            return self._slice(sort, bounds)
        if self._results_version != self._table.version:
            self._results.clear()
            self._results_version = self._table.version
        key = (json.dumps(request.query), sort, str(astuple(self._options)))
        if key not in self._results:
            if len(self._results) >= CACHED_RESULTS:
                del self._results[next(iter(self._results))]
            self._results[key] = self._matches(condition, sort)
        found = self._results[key]
        return found, 0, len(found)

    def _slice(self, field: str, span: Span) -> tuple[list[Position], int, int]:
        order = self._table.order(field)
        # A time that is null has rank 0, in front of every bound.
        low = bisect_left(order, (1, span.low, ""))
        return order, low, max(low, bisect_left(order, (1, span.high, "")))

    def _matches(self, condition: Condition, sort: str) -> list[Position]:
        """Look at the records of the narrowest indexed span, and sort those that match."""
        slices = [self._slice(span.path, span) for span in _spans(condition) if span.path in INDEXED]
        order, low, high = min(slices, key=lambda found: found[2] - found[1], default=(None, 0, 0))
        candidates = [key for _, _, key in order[low:high]] if order else [record.key for record in self._table]
        columns = {path: self._table.column(path) for path in _paths(condition)}
        found = [key for key in candidates if condition.holds(_reader(columns, key))]
        return sorted(position(self._table[key].value(sort), key) for key in found)


def _spans(condition: Condition) -> list[Span]:
    """Spans that every match must lie in."""
    if isinstance(condition, Span):
        return [condition]
    if isinstance(condition, Group) and condition.every:
        return [span for part in condition.parts for span in _spans(part)]
    return []


def _span_on(field: str, condition: Condition) -> Span | None:
    """The condition as one span on this field, when it is no more than that."""
    if isinstance(condition, Span):
        return condition if condition.path == field else None
    if not isinstance(condition, Group) or not condition.every:
        return None
    spans = [_span_on(field, part) for part in condition.parts]
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    return Span(field, max(span.low for span in known), min(span.high for span in known))


def _reader(columns: Mapping[str, Mapping[str, Any]], key: str) -> Callable[[str], Any]:
    return lambda path: columns[path][key]


def _paths(condition: Condition) -> set[str]:
    if isinstance(condition, Group):
        return set().union(*(_paths(part) for part in condition.parts))
    return {condition.path}
