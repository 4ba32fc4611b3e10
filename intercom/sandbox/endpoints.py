"""The endpoints of the API: from a request's method, path, parameters and body to an answer.

A further table is a value here, and a maker of its records in `seed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from intercom.sandbox.answers import Answer, Refusal
from intercom.sandbox.kinds import (
    Call,
    ChildrenEndpoint,
    Endpoint,
    ListEndpoint,
    MeEndpoint,
    PagedEndpoint,
    RelatedEndpoint,
    ScrollEndpoint,
    SearchEndpoint,
    SingleEndpoint,
    SingleWithChildrenEndpoint,
)
from intercom.sandbox.listing import Paging, Params
from intercom.sandbox.records import ABSENT, Record
from intercom.sandbox.time_log import LogEndpoint
from intercom.sandbox.workspace import Workspace

MODELS = ("contact", "company", "conversation")


def _segments(call: Call, segments: Iterable[Record]) -> list[bytes]:
    """Segments have their count only if it is asked for."""
    if call.params.get("include_count") == "true":
        return [segment.body for segment in segments]
    return [segment.changed({"count": ABSENT}).body for segment in segments]


def _admins(call: Call, admins: Iterable[Record]) -> list[bytes]:
    bodies = [admin.body for admin in admins]
    if call.workspace.options.null_admin:
        bodies.insert(len(bodies) // 2, b"null")
    return bodies


def _data_attributes(call: Call, attributes: Iterable[Record]) -> list[bytes]:
    model = call.params.get("model")
    if model is not None and model not in MODELS:
        raise Refusal(400, f"model must be one of {', '.join(MODELS)}", "parameter_invalid", "model")
    archived = call.params.get("include_archived") == "true"
    return [
        attribute.body
        for attribute in attributes
        if model in (None, attribute.value("model")) and (archived or not attribute.value("archived"))
    ]


def _has_users(company: Record) -> bool:
    """The list by page number leaves out companies without users; the scroll does not."""
    return bool(company.value("user_count") != 0)


_NO_VIEWS = {
    "type": "article_statistics",
    "views": 10,
    "conversations": 0,
    "reactions": 0,
    "happy_reaction_percentage": 0.0,
    "neutral_reaction_percentage": 0.0,
    "sad_reaction_percentage": 0.0,
}

ENDPOINTS: tuple[Endpoint, ...] = (
    MeEndpoint(),
    SearchEndpoint(path="/contacts/search", table="contacts"),
    SingleEndpoint(path="/contacts/{key}", table="contacts", message="User Not Found"),
    ScrollEndpoint(path="/companies/scroll", table="companies"),
    PagedEndpoint(
        path="/companies",
        table="companies",
        listed=_has_users,
        paging=Paging(per_page=15, most=60, over_most="refuse", following="string"),
    ),
    SingleEndpoint(path="/companies/{key}", table="companies", code="company_not_found", message="Company Not Found"),
    SearchEndpoint(
        path="/conversations/search",
        table="conversations",
        kind="conversation.list",
        records_key="conversations",
    ),
    SingleWithChildrenEndpoint(
        path="/conversations/{key}",
        table="conversations",
        children="conversation_parts",
        kind="conversation_part.list",
        most=500,
    ),
    RelatedEndpoint(
        path="/contacts/{key}/tags", parent="contacts", member="tags", table="tags", paging=Paging(most=60)
    ),
    RelatedEndpoint(
        path="/contacts/{key}/companies",
        parent="contacts",
        member="companies",
        table="companies",
        records_key="companies",
        paging=Paging(most=60, following="string"),
    ),
    ChildrenEndpoint(
        path="/contacts/{key}/notes",
        parent="contacts",
        table="contact_notes",
        paging=Paging(per_page=50, most=150, following="string"),
        message="User Not Found",
    ),
    ChildrenEndpoint(
        path="/contacts/{key}/segments", parent="contacts", table="contact_segments", message="User Not Found"
    ),
    ChildrenEndpoint(
        path="/contacts/{key}/subscriptions", parent="contacts", table="contact_subscriptions", message="User Not Found"
    ),
    ChildrenEndpoint(
        path="/news/newsfeeds/{key}/items",
        parent="newsfeeds",
        table="newsfeed_items",
        paging=Paging(per_page=20, following="absent"),
    ),
    ChildrenEndpoint(
        path="/companies/{key}/segments",
        parent="companies",
        table="company_segments",
        code="company_not_found",
        message="Company Not Found",
    ),
    PagedEndpoint(path="/articles", table="articles", newest_first=True),
    SingleEndpoint(path="/articles/{key}", table="articles", only_here={"statistics": _NO_VIEWS}),
    ListEndpoint(path="/tags", table="tags"),
    ListEndpoint(
        path="/segments",
        table="segments",
        kind="segment.list",
        records_key="segments",
        shown=_segments,
        rest={"pages": {}},
    ),
    ListEndpoint(path="/admins", table="admins", kind="admin.list", records_key="admins", shown=_admins),
    ListEndpoint(path="/teams", table="teams", kind="team.list", records_key="teams"),
    LogEndpoint(
        path="/admins/activity_logs",
        table="activity_logs",
        kind="activity_log.list",
        records_key="activity_logs",
    ),
    ListEndpoint(path="/data_attributes", table="data_attributes", shown=_data_attributes),
    ListEndpoint(path="/away_status_reasons", table="away_status_reasons"),
    SearchEndpoint(path="/tickets/search", table="tickets", kind="ticket.list", records_key="tickets"),
    SingleEndpoint(path="/tickets/{key}", table="tickets", code="ticket_not_found", message="Ticket not found"),
    ListEndpoint(path="/ticket_types", table="ticket_types"),
    ListEndpoint(path="/ticket_states", table="ticket_states"),
    PagedEndpoint(
        path="/help_center/collections",
        table="collections",
        newest_first=True,
        paging=Paging(per_page=20, following="string"),
    ),
    PagedEndpoint(
        path="/help_center/help_centers",
        table="help_centers",
        paging=Paging(per_page=None, totals=False, pages=False),
    ),
    PagedEndpoint(path="/internal_articles", table="internal_articles", paging=Paging(following="string")),
    PagedEndpoint(path="/news/news_items", table="news_items", paging=Paging(per_page=10, following="absent")),
    SingleEndpoint(path="/news/news_items/{key}", table="news_items"),
    PagedEndpoint(path="/news/newsfeeds", table="newsfeeds", paging=Paging(per_page=10, following="absent")),
    ListEndpoint(path="/subscription_types", table="subscription_types"),
    PagedEndpoint(path="/calls", table="calls", paging=Paging(most=25, over_most="refuse", following="absent")),
    SingleEndpoint(path="/calls/{key}", table="calls", message="Not Found"),
)


class Endpoints:
    """Finds the endpoint of a request, and answers from one workspace."""

    def __init__(self, workspace: Workspace, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
        self._workspace = workspace
        self._whole: dict[tuple[str, str], Endpoint] = {}
        self._with_key: list[tuple[str, str, str, Endpoint]] = []
        for endpoint in endpoints:
            before, hole, after = endpoint.path.partition("{key}")
            if hole:
                self._with_key.append((endpoint.method, before, after, endpoint))
            else:
                self._whole[endpoint.method, endpoint.path] = endpoint

    def answer(self, method: str, path: str, params: Params, body: Any) -> Answer:
        """The answer to a request; raises Refusal for a request that the API does not accept."""
        endpoint, key = self._find(method, path)
        if endpoint is None:
            # Also for a known path with the wrong method: a method that a resource lacks answers 404.
            raise Refusal(404, "The requested resource was not found")
        with self._workspace.lock:
            return endpoint.answer(Call(self._workspace, params, body, key))

    def _find(self, method: str, path: str) -> tuple[Endpoint | None, str]:
        """The endpoint of this path, and the key in the path. A path without a key comes before one with it."""
        if (endpoint := self._whole.get((method, path))) is not None:
            return endpoint, ""
        for known, before, after, endpoint in self._with_key:
            if known == method and path.startswith(before) and path.endswith(after):
                key = path[len(before) : len(path) - len(after)]
                if key and "/" not in key:
                    return endpoint, key
        return None, ""
