"""Pages of records: what an answer holds, and where the next one is.

Source of the API facts: Intercom REST API reference 2.14, "Pagination".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from intercom.api.response import Answer
from intercom.errors import RetriableApiError
from intercom.normalise.arrays import all_epoch_seconds
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.records import Record, RecordHead, Rejected, SplitRecords, sort_out, split_records
from intercom.tables.table import Table

Params = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Page:
    """The records of one answer; `size` is in bytes of JSON.

    `number` counts from 1 within one chain of requests, such as a slice or a scroll. `nulls` counts the null elements
    of the answer's list, which are no records. `rejected` are records that cannot be rows. `beyond` are usable records
    that were dropped because they lie outside the window, and `outside` is their number. `newest` is the greatest
    cursor value of the page that counts for the watermark, in unix seconds; None without one. The first `marks` records
    are marks (see `intercom.tables.read_marks`), and no records of the answer.
    """

    number: int
    request_id: str | None
    records: list[Record]
    size: int = 0
    nulls: int = 0
    rejected: tuple[Rejected, ...] = ()
    outside: int = 0
    newest: int | None = None
    marks: int = 0
    beyond: tuple[Record, ...] = ()
    _seconds: dict[str, list[int | None]] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The page's place, for error messages."""
        return f"page {self.number}, request {self.request_id or 'without id'}"

    def seconds(self, name: str) -> list[int | None]:
        """A timestamp field of each record in unix seconds; cached, since each step of a read asks for it."""
        if name not in self._seconds:
            self._seconds[name] = all_epoch_seconds([record.get(name) for record in self.records])
        return self._seconds[name]


def page_of(answer: Answer, table: Table, number: int) -> Page:
    """The usable records of an answer, those that cannot be rows, and the number of null elements.

    Null elements are neither records nor errors: the API reference allows them in the list of admins.
    """
    split, size = records_in(answer, table, _record_head(table.required_columns, table.cursor_field))
    page = Page(number, answer.request_id, split.records, size, split.nulls, tuple(split.rejected))
    if table.cursor_field is not None:
        object.__setattr__(page, "newest", greatest(page.seconds(table.cursor_field)))
    return page


def records_in(answer: Answer, table: Table, head: RecordHead) -> tuple[SplitRecords, int]:
    """The elements of an answer's list at `Table.records_at`, and their bytes of JSON."""
    if answer.elements is not None:
        return sort_out(answer.elements, head), sum(map(len, answer.elements))
    text = answer.member(table.records_at)
    assert text is not None, table.name  # such an answer counts as broken
    return split_records(text, head), len(text)


def greatest(seconds: Iterable[int | None]) -> int | None:
    """The greatest of these values, None where there is none."""
    return max((second for second in seconds if second is not None), default=None)


def json_integer(raw: msgspec.Raw | None) -> int | None:
    """A JSON integer, or None for anything else."""
    try:
        value = _decoded(raw)
    except UNREADABLE:
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def pages_of(answer: Answer) -> dict[str, Any]:
    """The ``pages`` object of an answer; empty when it is missing, null or no object.

    Raises RetriableApiError when it cannot be decoded, because then it is unknown whether there is a next page.
    """
    try:
        pages = _decoded(answer.fields.get("pages"))
    except UNREADABLE as error:
        raise RetriableApiError(
            f"The place of the next page cannot be read (request {answer.request_id}, {type(error).__name__}). Run "
            "again; the watermark has not moved.",
            request_id=answer.request_id,
        ) from error
    return pages if isinstance(pages, dict) else {}


def next_params(answer: Answer) -> dict[str, str | int]:
    """Where ``pages.next`` points to, as a page number or a cursor; empty at the end.

    Intercom sends ``next`` as an object, as a URL string, as null, or not at all. Only the query parameters of a URL
    are used: requests go to the configured host alone, because they carry the token.
    """
    following = pages_of(answer).get("next")
    if isinstance(following, str):
        following = _query(following)
    if not isinstance(following, dict):
        return {}
    return {name: following[name] for name in ("page", "starting_after") if following.get(name)}


def linked_params(answer: Answer) -> dict[str, str | int]:
    """As `next_params`, but with every parameter of a URL: for endpoints whose next page is documented as a URL."""
    following = pages_of(answer).get("next")
    return {**_query(following)} if isinstance(following, str) else next_params(answer)


def _query(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query))
    except ValueError:  # such as a host with half an IPv6 address
        return {}


def place_of(params: Params) -> frozenset[tuple[str, str]]:
    """Query parameters as one value: a page number is the same as a number and as text."""
    return frozenset((name, str(value)) for name, value in params.items())


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


@lru_cache(maxsize=64)
def _record_head(required: tuple[str, ...], cursor_field: str | None) -> RecordHead:
    """Decoder of the members that a read needs of every record: required columns, ``created_at``, cursor field."""
    return RecordHead(required, filter(None, ("created_at", cursor_field)))
