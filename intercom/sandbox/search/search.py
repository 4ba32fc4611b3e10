"""Search as in the API: filter, sort, and one page at a time by a cursor.

A cursor is the base64 of ``[sort value, id, page]`` of the last record delivered. It is neither an offset nor a
snapshot. If records before it are added or deleted, the following pages do not shift. A record that moves to a place
before it, which was passed already, is not delivered.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from intercom.sandbox.answers import Refusal
from intercom.sandbox.options import Options
from intercom.sandbox.records import UNSORTED, Position, position
from intercom.sandbox.search.fields import Field
from intercom.sandbox.search.lag import LaggingIndex
from intercom.sandbox.search.matches import Matches, all_matches, first_matches, quick_matches
from intercom.sandbox.search.query import Condition, QueryReader

MAX_PER_PAGE = 150
KEPT_RESULTS = 64  # a reader may run one chain per last character of the id (16), and count others
ORDERS = {"ascending": False, "asc": False, "descending": True, "desc": True}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the sorted result, after the position ``after``; None is before the first record."""

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
    """The checked parameters of a search request."""

    query: Any
    condition: Condition
    sort: str
    descending: bool
    per_page: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Keys of one page, and the cursor of the next one (None at the end)."""

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
        self, index: LaggingIndex, fields: Mapping[str, Field], options: Options, default_per_page: int
    ) -> None:
        self.index = index
        self._fields = fields
        self._options = options
        self._default_per_page = default_per_page
        self._kept: dict[tuple[str, ...], Matches] = {}
        self._kept_version = -1

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
        """The page after the request's cursor."""
        matches = self._matches(request)
        found, low, high = matches.positions, matches.low, matches.high
        number, after, size = request.cursor.page, request.cursor.after, request.per_page
        every = self._options.empty_page_every
        if every is not None and number % every == 0:
            return Page([], matches.total, number, size, Cursor(after, number + 1))
        if request.descending:
            end = high if after is None else max(low, min(high, bisect_left(found, after)))
            start = max(low, end - size)
            hits, more = found[start:end][::-1], start > low
        else:
            start = low if after is None else max(low, min(high, bisect_right(found, after)))
            end = min(high, start + size)
            hits, more = found[start:end], end < high
        following = Cursor(hits[-1], number + 1) if more else None
        return Page([key for _, _, key in hits], matches.total, number, size, following)

    def bodies(self, keys: Iterable[str]) -> list[bytes]:
        """The text of records, as the index has them."""
        return self.index.shown().bodies(keys)

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

    def _matches(self, request: Request) -> Matches:
        """The matching records in order. Results of a full scan are cached until a record of the table changes."""
        table, condition, sort = self.index.shown(), request.condition, request.sort
        quick = quick_matches(table, condition, sort)
        if quick is not None:
            return quick
        if request.cursor.after is None:
            most = request.per_page + 1
            first = first_matches(table, condition, sort, descending=request.descending, most=most)
            if first is not None:
                return first
        if self._kept_version != table.version:
            self._kept.clear()
            self._kept_version = table.version
        key = (json.dumps(request.query), sort, repr(self._options))
        if key not in self._kept:
            if len(self._kept) >= KEPT_RESULTS:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = all_matches(table, condition, sort)
        return self._kept[key]
