"""The endpoints of the API: from a request's path, parameters and body to an answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from intercom.sandbox.answers import Answer, Refusal, html_answer, json_answer, list_answer
from intercom.sandbox.listing import Numbered, Params, whole_number
from intercom.sandbox.records import ABSENT
from intercom.sandbox.search.search import Page
from intercom.sandbox.single import single
from intercom.sandbox.workspace import Workspace

MODELS = ("contact", "company", "conversation")
ARTICLES = "/articles"
ARTICLES_PER_PAGE = 25
COMPANIES = "/companies"
COMPANIES_PER_PAGE = 15
COMPANIES_MOST_PER_PAGE = 60


class Endpoints:
    """Answers requests from the workspace's present records."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._ends = itertools.count()
        self._lists: dict[str, Callable[[Params], Answer]] = {
            "/me": self._me,
            COMPANIES: self._companies,
            "/companies/scroll": self._scroll,
            ARTICLES: self._articles,
            "/tags": self._tags,
            "/segments": self._segments,
            "/admins": self._admins,
            "/teams": self._teams,
            "/data_attributes": self._data_attributes,
        }
        self._searches = {
            "/contacts/search": ("contacts", "list", "data"),
            "/conversations/search": ("conversations", "conversation.list", "conversations"),
        }

    def answer(self, method: str, path: str, params: Params, body: Any) -> Answer:
        """The answer to a request; raises Refusal for a request that the API does not accept."""
        with self._workspace.lock:
            if method == "GET" and path in self._lists:
                return self._lists[path](params)
            if method == "GET" and (record := single(self._workspace, path)) is not None:
                return record
            if method == "POST" and path in self._searches:
                return self._search(path, body)
        # Also for a known path with the wrong method: a method that a resource lacks answers 404.
        raise Refusal(404, "The requested resource was not found")

    def _me(self, _: Params) -> Answer:
        options = self._workspace.options
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

    def _search(self, path: str, body: Any) -> Answer:
        # The query string is ignored: a client that sends its cursor there gets the first page each time.
        table, kind, records_key = self._searches[path]
        if not isinstance(body, dict):
            raise Refusal(400, "The body must be a JSON object", "bad_request")
        search = self._workspace.searches[table]
        request = search.read(body)
        if self._too_heavy(path, request.per_page):
            return html_answer(502)
        page = search.page(request)
        rest = {"total_count": page.total_count, **self._search_pages(page)}
        return list_answer(kind, records_key, self._workspace.tables[table].bodies(page.keys), rest)

    def _search_pages(self, page: Page) -> dict[str, Any]:
        """The ``pages`` field; the last page shows that it is the last in one of several ways."""
        pages: dict[str, Any] = {"type": "pages", "page": page.number, "per_page": page.per_page}
        pages["total_pages"] = page.total_pages
        if page.next is not None:
            pages["next"] = {"page": page.next.page, "per_page": page.per_page, "starting_after": page.next.encode()}
            return {"pages": pages}
        ends = self._workspace.options.search_end
        match ends[next(self._ends) % len(ends)]:
            case "pages_absent":
                return {}
            case "pages_null":
                return {"pages": None}
            case "null":
                pages["next"] = None
            case "no_cursor":
                pages["next"] = {"page": page.number + 1, "per_page": page.per_page}
        return {"pages": pages}

    def _scroll(self, params: Params) -> Answer:
        workspace, options = self._workspace, self._workspace.options
        companies = workspace.tables["companies"]
        keys, token = workspace.scroll.page(
            companies,
            params.get("scroll_param"),
            now=workspace.time(),
            ttl=options.scroll_ttl_seconds,
            size=options.scroll_page_size,
        )
        rest = {"pages": None, "total_count": None, "scroll_param": token}
        return list_answer("list", "data", companies.bodies(keys), rest)

    def _companies(self, params: Params) -> Answer:
        """The list by page number. Companies without users are neither listed nor counted."""
        size = whole_number(params, "per_page", COMPANIES_PER_PAGE)
        if size > COMPANIES_MOST_PER_PAGE:
            message = f"per_page must be {COMPANIES_MOST_PER_PAGE} at most"
            raise Refusal(400, message, "parameter_invalid", "per_page")
        used = [company.body for company in self._workspace.tables["companies"] if company.value("user_count") != 0]
        page = Numbered(COMPANIES, whole_number(params, "page", 1), size, len(used))
        pages = page.place() | {"total_pages": page.total_pages} | page.following("string")
        return list_answer("list", "data", list(page.of(used)), {"pages": pages, "total_count": page.total})

    def _articles(self, params: Params) -> Answer:
        options, articles = self._workspace.options, self._workspace.tables["articles"]
        size = whole_number(params, "per_page", ARTICLES_PER_PAGE)
        if size > options.articles_max_per_page:
            if options.articles_over_max == "refuse":
                message = f"per_page must be {options.articles_max_per_page} at most"
                raise Refusal(400, message, "parameter_invalid", "per_page")
            size = options.articles_max_per_page
        if self._too_heavy(ARTICLES, size):
            return html_answer(502)
        newest_first = articles.order("updated_at")[::-1]
        page = Numbered(ARTICLES, whole_number(params, "page", 1), size, len(newest_first))
        rest: dict[str, Any] = {"pages": page.place() | page.following(options.articles_next)}
        if options.articles_total_pages:
            rest["pages"]["total_pages"] = page.total_pages
            rest["total_count"] = page.total
        return list_answer("list", "data", articles.bodies(key for _, _, key in page.of(newest_first)), rest)

    def _tags(self, _: Params) -> Answer:
        return self._whole_table("tags", "list", "data")

    def _teams(self, _: Params) -> Answer:
        return self._whole_table("teams", "team.list", "teams")

    def _whole_table(self, table: str, kind: str, records_key: str) -> Answer:
        records = [record.body for record in self._workspace.tables[table]]
        return list_answer(kind, records_key, records, {})

    def _segments(self, params: Params) -> Answer:
        segments = self._workspace.tables["segments"]
        if params.get("include_count") != "true":
            records = [segment.changed({"count": ABSENT}).body for segment in segments]
        else:
            records = [segment.body for segment in segments]
        return list_answer("segment.list", "segments", records, {"pages": {}})

    def _admins(self, _: Params) -> Answer:
        bodies = [admin.body for admin in self._workspace.tables["admins"]]
        if self._workspace.options.null_admin:
            bodies.insert(len(bodies) // 2, b"null")
        return list_answer("admin.list", "admins", bodies, {})

    def _data_attributes(self, params: Params) -> Answer:
        model = params.get("model")
        if model is not None and model not in MODELS:
            raise Refusal(400, f"model must be one of {', '.join(MODELS)}", "parameter_invalid", "model")
        archived = params.get("include_archived") == "true"
        records = [
            attribute.body
            for attribute in self._workspace.tables["data_attributes"]
            if model in (None, attribute.value("model")) and (archived or not attribute.value("archived"))
        ]
        return list_answer("list", "data", records, {})

    def _too_heavy(self, path: str, per_page: int) -> bool:
        limit = self._workspace.options.heavy_above.get(path)
        return limit is not None and per_page > limit
