"""Asks for the rest of lists that come cut with a record: those that say that they have more, one request for each.

A contact comes with ten tags and ten companies at most; the list's ``url`` has them all. What came with the record
stays as sent, further elements are added as references (``type`` and ``id``), and ``has_more`` becomes false. This is
the one case in which a nested value is not exactly as sent. ``total_count`` stays: it may count elements that Intercom
gives nowhere.

Source: Intercom REST API reference 2.14, "Contacts: list attached companies", "List tags attached to a contact".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.errors import FatalApiError
from intercom.extract.pages import Page, next_params, place_of
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.records import Record, members_of, object_text
from intercom.tables.table import Table

PER_PAGE: Final = 60
"""Elements of a page; more are not given."""

InParallel = Callable[[Sequence[Callable[[], Any]]], list[Any]]


class _CutList(msgspec.Struct):
    """A list as it came with a record."""

    data: list[Raw]
    has_more: bool
    url: str
    total_count: int | None = None


class _Reference(msgspec.Struct):
    id: str | int
    type: str | None = None


_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_CUT: Final = msgspec.json.Decoder(_CutList)
_REFERENCE: Final = msgspec.json.Decoder(_Reference)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A cut list: the place of its record on the page, its member, its text and what it says."""

    place: int
    name: str
    text: Raw
    found: _CutList


class ListRefill:
    """Refills the lists of one table's records. Pages may come from several threads."""

    def __init__(self, table: Table, api: TableClient, in_parallel: InParallel) -> None:
        self._table, self._api, self._in_parallel = table, api, in_parallel
        self._lock = Lock()
        self._gone = self._short = self._others = 0

    def page(self, page: Page) -> Page:
        """The page with whole lists. Raises ApiError if one cannot be had, except where its record is gone (404)."""
        cut = [one for place, record in enumerate(page.records) for one in _cut_lists(self._table, place, record)]
        if not cut:
            return page
        wholes = self._in_parallel([lambda one=one: self._whole(one) for one in cut])  # type: ignore[misc]
        records = list(page.records)
        for one, whole in zip(cut, wholes, strict=True):
            if whole is not None:
                records[one.place] = {**members_of(records[one.place]), one.name: whole}
        return replace(page, records=records)

    def hints(self) -> Iterator[str]:
        """Lines for the end of the run on lists that are not whole for all that."""
        name = self._table.name
        if self._short:
            yield f"{name}: lists with fewer elements than they count, asked for alone: {self._short:,}"
        if self._gone:
            yield f"{name}: lists that stay cut, because their record was gone when they were asked for: {self._gone:,}"
        if self._others:
            yield (
                f"{name}: lists that stay cut, because the answers lacked what came with the record, as those for "
                f"another record do: {self._others:,}"
            )

    def _whole(self, cut: _Cut) -> Raw | None:
        """The list's text with all elements; None where its record is gone, or where twice another list comes."""
        try:
            elements = self._all_elements(cut) or self._all_elements(cut)
        except FatalApiError as error:
            if error.status != 404:
                raise
            with self._lock:
                self._gone += 1
            return None
        if elements is None:
            with self._lock:
                self._others += 1
            return None
        if cut.found.total_count is not None and len(elements) < cut.found.total_count:
            with self._lock:
                self._short += 1
        whole = {
            **_MEMBERS.decode(cut.text),
            "data": Raw(b"[" + b",".join(map(bytes, elements)) + b"]"),
            "has_more": Raw(b"false"),
        }
        return Raw(object_text(whole.items()))

    def _all_elements(self, cut: _Cut) -> list[Raw | bytes] | None:
        """The elements that came with the record, then references to the others, in the order in which they come.

        None if the list that comes has elements, and not all that came with the record: it may be another record's,
        which no answer names, or the record has changed since.
        """
        elements: list[Raw | bytes] = list(cut.found.data)
        known = {_id_of(element) for element in elements}
        # The path alone: requests go to the configured host, because they carry the token.
        path = urlsplit(cut.found.url).path
        following: dict[str, str | int] = {"page": 1}
        places, lacking, some = set(), known - {None}, False
        while following and place_of(following) not in places:
            places.add(place_of(following))
            answer = self._api.get(path, {"per_page": PER_PAGE, **following})
            given = _elements_of(answer, cut.name)
            for element in given:
                key = _id_of(element)
                some |= key is not None
                lacking.discard(key)
                if key is not None and key not in known:
                    known.add(key)
                    elements.append(_reference_to(element))
            following = next_params(answer) if given else {}
        return None if some and lacking else elements


def requests_of_record(table: Table, record: Record) -> int:
    """How many requests the rest of a record's lists takes, as far as the lists tell."""
    return sum(-(-max(1, cut.found.total_count or 1) // PER_PAGE) for cut in _cut_lists(table, 0, record))


def _cut_lists(table: Table, place: int, record: Record) -> Iterator[_Cut]:
    for name in table.refilled:
        text = record.get(name)
        # Most lists are whole, and most texts are decoded faster than they are searched.
        try:
            found = None if text is None else _CUT.decode(text)
        except UNREADABLE:
            continue
        if text is not None and found is not None and found.has_more and found.url:
            yield _Cut(place, name, text, found)


def _elements_of(answer: Answer, name: str) -> list[Raw]:
    """The list of an answer: ``data``, or the list's own name, as for companies."""
    for member in ("data", name):
        text = answer.fields.get(member)
        if text is not None:
            try:
                return _ELEMENTS.decode(text)
            except UNREADABLE:
                break
    return []


def _id_of(element: Raw | bytes) -> str | None:
    try:
        return str(_REFERENCE.decode(element).id)
    except UNREADABLE:
        return None


def _reference_to(element: Raw) -> bytes:
    found = _REFERENCE.decode(element)
    return msgspec.json.encode({"id": str(found.id), "type": found.type})
