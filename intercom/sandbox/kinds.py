"""The kinds of endpoints: values that answer a request from the workspace's present records.

The caller holds the workspace's lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from intercom.sandbox.answers import Answer, Refusal, html_answer, json_answer, list_answer
from intercom.sandbox.listing import PLAIN, Numbered, Paging, Params, whole_number
from intercom.sandbox.records import Record
from intercom.sandbox.search.search import Page
from intercom.sandbox.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Call:
    """A request to one endpoint: ``key`` is the part of the path that stands for ``{key}`` in the endpoint's path."""

    workspace: Workspace
    params: Params
    body: Any = None
    key: str = ""

    def too_heavy(self, path: str, per_page: int) -> bool:
        """Whether pages of this size answer 502 (`Options.heavy_above`)."""
        limit = self.workspace.options.heavy_above.get(path)
        return limit is not None and per_page > limit


class Endpoint(Protocol):
    """What `endpoints.ENDPOINTS` consists of. A path with ``{key}`` stands for one path for each record."""

    @property
    def method(self) -> Literal["GET", "POST"]: ...

    @property
    def path(self) -> str: ...

    def answer(self, call: Call) -> Answer:
        """The answer; raises Refusal for a request that the API does not accept."""
        ...


def _as_made(_: Call, records: Iterable[Record]) -> list[bytes]:
    return [record.body for record in records]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListEndpoint:
    """A table in one answer. ``shown`` gives the served text of the records, ``rest`` the members beside the list."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str
    kind: str = "list"
    records_key: str = "data"
    shown: Callable[[Call, Iterable[Record]], list[bytes]] = _as_made
    rest: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, call: Call) -> Answer:
        records = self.shown(call, call.workspace.tables[self.table])
        return list_answer(self.kind, self.records_key, records, dict(self.rest))


@dataclass(frozen=True, kw_only=True, slots=True)
class PagedEndpoint:
    """A table by page number, in the order of creation, or the last changed records first.

    Records that are not ``listed`` are left out, and not counted. `Options.paging` has another paging for a table.
    """

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str
    paging: Paging = PLAIN
    newest_first: bool = False
    listed: Callable[[Record], bool] | None = None

    def answer(self, call: Call) -> Answer:
        records = call.workspace.tables[self.table]
        paging = call.workspace.options.paging.get(self.table, self.paging)
        keys = [key for _, _, key in reversed(records.order("updated_at"))] if self.newest_first else list(records.keys)
        if self.listed is not None:
            keys = [key for key in keys if self.listed(records[key])]
        size = paging.size(call.params, len(keys))
        if call.too_heavy(self.path, size):
            return html_answer(502)
        number = whole_number(call.params, "page", 1) if paging.honoured else 1
        page = Numbered(self.path, number, size, len(keys))
        return list_answer("list", "data", records.bodies(page.of(keys)), paging.described(page))


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchEndpoint:
    """A search, by the fields that `search.fields.SEARCHABLE` has for the table.

    The query string is ignored: a client that sends its cursor there gets the first page each time.
    """

    method: ClassVar[Literal["POST"]] = "POST"
    path: str
    table: str
    kind: str = "list"
    records_key: str = "data"

    def answer(self, call: Call) -> Answer:
        if not isinstance(call.body, dict):
            raise Refusal(400, "The body must be a JSON object", "bad_request")
        search = call.workspace.searches[self.table]
        request = search.read(call.body)
        if call.too_heavy(self.path, request.per_page):
            return html_answer(502)
        page = search.page(request)
        rest = {"total_count": page.total_count, **_search_pages(call.workspace, page)}
        return list_answer(self.kind, self.records_key, search.bodies(page.keys), rest)


def _search_pages(workspace: Workspace, page: Page) -> dict[str, Any]:
    """The ``pages`` field; the last page shows that it is the last in one of several ways."""
    pages: dict[str, Any] = {"type": "pages", "page": page.number, "per_page": page.per_page}
    pages["total_pages"] = page.total_pages
    if page.next is not None:
        pages["next"] = {"page": page.next.page, "per_page": page.per_page, "starting_after": page.next.encode()}
        return {"pages": pages}
    ends = workspace.options.search_end
    match ends[next(workspace.last_pages) % len(ends)]:
        case "pages_absent":
            return {}
        case "pages_null":
            return {"pages": None}
        case "null":
            pages["next"] = None
        case "no_cursor":
            pages["next"] = {"page": page.number + 1, "per_page": page.per_page}
    return {"pages": pages}


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleEndpoint:
    """One record by its id; ``only_here`` are members that lists and searches leave out."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str
    only_here: Mapping[str, Any] = field(default_factory=dict)
    code: str = "not_found"
    message: str = "Resource Not Found"

    def answer(self, call: Call) -> Answer:
        records = call.workspace.tables[self.table]
        if call.key not in records:
            raise Refusal(404, self.message, self.code)
        record = records[call.key]
        return Answer(200, (record.changed(self.only_here) if self.only_here else record).body)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelatedEndpoint:
    """All elements of a list of which a record has the first ones: those, and records of ``table`` that it lacks.

    There are as many as the record's list counts, as far as the workspace has so many.
    """

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    parent: str
    member: str
    table: str
    records_key: str = "data"
    paging: Paging = PLAIN

    def answer(self, call: Call) -> Answer:
        if call.key not in call.workspace.tables[self.parent]:
            raise Refusal(404, "User Not Found", "not_found")
        cut = json.loads(call.workspace.tables[self.parent][call.key].body)[self.member]
        first = [one["id"] for one in cut["data"]]
        records = {record.key: record for record in call.workspace.tables[self.table]}
        others = sorted(records.keys() - set(first))
        keys = [*first, *others[: max(0, cut["total_count"] - len(first))]]
        bodies = [records[key].body if key in records else json.dumps({"id": key}).encode() for key in keys]
        size = self.paging.size(call.params, len(bodies))
        page = Numbered(self.path.replace("{key}", call.key), whole_number(call.params, "page", 1), size, len(bodies))
        return list_answer("list", self.records_key, list(page.of(bodies)), self.paging.described(page))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildrenEndpoint:
    """The records of a child table that belong to one parent, by page number if it has a ``paging``."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    parent: str
    table: str
    paging: Paging | None = None
    kind: str = "list"
    code: str = "not_found"
    message: str = "Resource Not Found"

    def answer(self, call: Call) -> Answer:
        if call.key not in call.workspace.tables[self.parent]:
            raise Refusal(404, self.message, self.code)
        records = call.workspace.children[self.table].of(call.key)
        if self.paging is None:
            return list_answer(self.kind, "data", [record.body for record in records], {})
        size = self.paging.size(call.params, len(records))
        page = Numbered(self.path.replace("{key}", call.key), whole_number(call.params, "page", 1), size, len(records))
        return list_answer(self.kind, "data", [one.body for one in page.of(records)], self.paging.described(page))


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleWithChildrenEndpoint:
    """One record by its id, with the newest ``most`` records of a child table in it.

    With ``display_as=plaintext`` bodies are without tags. `Options.children_counted` says what ``total_count`` is.
    """

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str
    children: str
    kind: str
    most: int

    def answer(self, call: Call) -> Answer:
        records = call.workspace.tables[self.table]
        if call.key not in records:
            raise Refusal(404, "Resource Not Found")
        found = sorted(call.workspace.children[self.children].of(call.key), key=lambda one: one.created_at or 0)
        served = [record.body for record in found[-self.most :]]
        if call.params.get("display_as") == "plaintext":
            served = [_without_tags(record) for record in found[-self.most :]]
        counted = len(found) if call.workspace.options.children_counted == "all" else len(served)
        beside = list_answer(self.kind, self.children, served, {"total_count": counted}).body
        return Answer(200, records[call.key].changed({self.children: msgspec.Raw(beside)}).body)


def _without_tags(record: Record) -> bytes:
    body = record.value("body")
    return record.changed({"body": re.sub(r"<[^>]*>", "", body)}).body if isinstance(body, str) else record.body


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrollEndpoint:
    """A table by a scroll, of which the workspace has one."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str
    table: str

    def answer(self, call: Call) -> Answer:
        workspace, options = call.workspace, call.workspace.options
        records = workspace.tables[self.table]
        keys, token = workspace.scroll.page(
            records,
            call.params.get("scroll_param"),
            now=workspace.time(),
            ttl=options.scroll_ttl_seconds,
            size=options.scroll_page_size,
        )
        rest = {"pages": None, "total_count": None, "scroll_param": token}
        return list_answer("list", "data", records.bodies(keys), rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeEndpoint:
    """The admin who owns the token, and the workspace."""

    method: ClassVar[Literal["GET"]] = "GET"
    path: str = "/me"

    def answer(self, call: Call) -> Answer:
        options = call.workspace.options
        if options.me_status is not None:
            message = "Access Token Invalid" if options.me_status == 401 else "Refused"
            raise Refusal(options.me_status, message, options.me_code)
        app = {
            "type": "app",
            "id_code": options.app_id,
            "name": "Sandbox",
            "created_at": 1_420_070_400,
            "region": options.region,
            "timezone": options.timezone,
            "identity_verification": False,
        }
        me = {"type": "admin", "id": "991266214", "name": "Sandbox owner", "email": "owner@example.com"}
        return json_answer(me | {"email_verified": True, "has_inbox_seat": True, "avatar": None, "app": app})
