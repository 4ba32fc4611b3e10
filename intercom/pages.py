"""Pages of records, and the two plain ways to read them: page numbers (articles) and single lists.

Source of the API facts: Intercom REST API reference 2.14, "Pagination", "List all articles", "List all tags" and
their neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from intercom.client import Answer, TableClient
from intercom.errors import RequestRejectedError
from intercom.normalise import epoch_seconds, split_records
from intercom.tables import Table

log = logging.getLogger(__name__)

Record = dict[str, msgspec.Raw]
Params = Mapping[str, str | int]

PER_PAGE = 150
"""The most that the reference allows."""
SMALLER_PER_PAGE = 50
"""Asked for where 150 is refused."""
_READS = 3


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one answer; `number` counts from 1 within a chain of requests."""

    number: int
    request_id: str | None
    records: list[Record]

    @property
    def where(self) -> str:
        """The page's place, for error messages."""
        return f"page {self.number}, request {self.request_id or 'without id'}"

    def seconds(self, field: str) -> list[int | None]:
        """A timestamp field of each record in unix seconds."""
        return [epoch_seconds(record.get(field)) for record in self.records]

    def identities(self) -> list[bytes]:
        """The raw ``id`` of each record."""
        return [bytes(record.get("id", b"")) for record in self.records]


@dataclass(slots=True)
class Completeness:
    """Whether what was read of a table is all that Intercom counts; `notes` has a line for each shortfall.

    A few rows that are counted but never served, whatever is tried, do not make a read incomplete: an index may count
    records that are deleted. One in a hundred is the bound.
    """

    notes: list[str] = field(default_factory=list)
    complete: bool = True

    def short(self, table: Table, counted: int, found: int, reads: int) -> None:
        """Note that fewer rows were found than counted, in each of so many reads."""
        self.notes.append(f"{table.name}: Intercom counts {counted} rows, {found} were found in {reads} reads")
        self.complete = self.complete and (counted - found) * 100 <= counted


def page_of(answer: Answer, table: Table, number: int) -> Page:
    """The records of an answer; null elements, which the reference allows among admins, are left out."""
    page = Page(number, answer.request_id, [])
    records = split_records(answer.fields[table.records_key], where=f"Table {table.name!r}, {page.where}")
    return replace(page, records=[record for record in records if record is not None])


def number_of(raw: msgspec.Raw | None) -> int | None:
    """A JSON integer, or None for anything else."""
    value = _decoded(raw)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def paging(answer: Answer) -> dict[str, Any]:
    """The ``pages`` object of an answer; empty when it is missing, null or no object."""
    pages = _decoded(answer.fields.get("pages"))
    return pages if isinstance(pages, dict) else {}


def next_params(answer: Answer) -> dict[str, str | int]:
    """Where ``pages.next`` points to, as query parameters; empty at the end.

    It comes as an object, as a URL string, as null or not at all. Of a URL only the parameters are used: the host
    stays the configured one, since the token goes with it.
    """
    following = paging(answer).get("next")
    if isinstance(following, str):
        following = dict(parse_qsl(urlsplit(following).query))
    if not isinstance(following, dict):
        return {}
    return {name: following[name] for name in ("page", "starting_after") if following.get(name)}


def list_pages(api: TableClient, table: Table) -> Iterator[Page]:
    """Every page of each of the table's requests; a list normally has one, but ``pages.next`` is followed if set.

    Records of a request by ``model`` carry that model, also where the answer leaves it out.
    """
    number = 0
    for params in table.requests:
        filled = {name: msgspec.Raw(msgspec.json.encode(params[name])) for name in ("model",) if name in params}
        following: dict[str, str | int] = {}
        while True:
            answer = api.get(table.path, {**params, **following}, expect=table.records_key)
            number += 1
            page = page_of(answer, table, number)
            yield Page(number, page.request_id, [{**filled, **record} for record in page.records])
            previous, following = following, next_params(answer)
            if not following or following == previous:
                break


def numbered_pages(api: TableClient, table: Table, completeness: Completeness) -> Iterator[Page]:
    """Every page of a list by page number, read again when rows moved between pages.

    Page numbers count from the front: a row that is deleted or edited while pages are read shifts others past the
    reader. That shows as a count that moved, or that the number of distinct ids does not meet; then all pages are
    read once more.
    """
    per_page = PER_PAGE
    for read in range(1, _READS + 1):
        ids: set[bytes] = set()
        counts: list[int | None] = []
        try:
            for page, counted in _numbered_once(api, table, per_page):
                ids.update(page.identities())
                counts.append(counted)
                yield page
        except RequestRejectedError as error:
            if error.status != 400 or ids or per_page == SMALLER_PER_PAGE:
                raise
            per_page = SMALLER_PER_PAGE
            continue
        first, last = counts[0], counts[-1]
        if last is None or (first == last and len(ids) >= last):
            return
        log.info("%s: rows moved between pages (%d rows of %s, then %d)", table.name, len(ids), first, last)
        if read == _READS and len(ids) < last:
            completeness.short(table, last, len(ids), _READS)


def _numbered_once(api: TableClient, table: Table, per_page: int) -> Iterator[tuple[Page, int | None]]:
    """Pages with the number of rows that the list is said to have; the end is the last page or an empty one."""
    params: dict[str, str | int] = {"page": 1}
    number = 0
    while True:
        answer = api.get(table.path, {**table.requests[0], "per_page": per_page, **params}, expect=table.records_key)
        number += 1
        page = page_of(answer, table, number)
        yield page, number_of(answer.fields.get("total_count"))
        total = paging(answer).get("total_pages")
        following = next_params(answer)
        if not page.records or (isinstance(total, int) and number >= total):
            return
        if not isinstance(total, int) and not following:
            return
        params = following if "starting_after" in following else {"page": number + 1}


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)
