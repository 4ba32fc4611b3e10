"""Which fields records can be searched by, and with which operators (API reference, "Search").

Times of contacts take ``=``, ``>`` and ``<`` only; the schema of conversation search also allows ``>=`` and ``<=``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class FieldType(Enum):
    """The JSON type that a filter's value must have, and the operators that go with it."""

    TEXT = frozenset({"=", "!=", "IN", "NIN", "~", "!~", "^", "$"})
    NUMBER = frozenset({"=", "!=", "IN", "NIN", ">", "<"})
    FLAG = frozenset({"=", "!="})
    DAY = frozenset({"=", ">", "<"})
    SECOND = frozenset({"=", "!=", "IN", "NIN", ">", "<", ">=", "<="})
    ANY = TEXT | NUMBER

    def accepts(self, value: Any) -> bool:
        """Whether one value has this field's type; a flag is no number here, although Python says so."""
        if self is FieldType.TEXT:
            return isinstance(value, str)
        if self is FieldType.FLAG:
            return isinstance(value, bool)
        if self is FieldType.ANY:
            return isinstance(value, str | int | float)
        return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Field:
    """A searchable field: where its value is in the record, and its kind."""

    path: str
    kind: FieldType


def _fields(kind: FieldType, *paths: str) -> dict[str, Field]:
    return {path: Field(path, kind) for path in paths}


CONTACT_FIELDS: Mapping[str, Field] = {
    **_fields(
        FieldType.TEXT, "id", "role", "name", "email", "email_domain", "phone", "external_id", "language_override"
    ),
    **_fields(FieldType.TEXT, "browser", "browser_version", "browser_language", "os"),
    **_fields(FieldType.TEXT, "location.country", "location.region", "location.city"),
    **_fields(FieldType.TEXT, "utm_campaign", "utm_content", "utm_medium", "utm_source", "utm_term"),
    **_fields(FieldType.NUMBER, "owner_id"),
    **_fields(FieldType.FLAG, "unsubscribed_from_emails", "marked_email_as_spam", "has_hard_bounced"),
    **_fields(FieldType.DAY, "created_at", "updated_at", "signed_up_at", "last_seen_at"),
    **_fields(FieldType.DAY, "last_contacted_at", "last_replied_at", "last_email_opened_at", "last_email_clicked_at"),
    "tag_id": Field("tags.data[].id", FieldType.TEXT),
    "company_id": Field("companies.data[].id", FieldType.TEXT),
}
CONVERSATION_FIELDS: Mapping[str, Field] = {
    **_fields(FieldType.TEXT, "id", "title", "state", "priority"),
    **_fields(FieldType.TEXT, "source.type", "source.id", "source.delivered_as", "source.subject", "source.url"),
    **_fields(FieldType.TEXT, "source.author.id", "source.author.type", "source.author.name", "source.author.email"),
    **_fields(FieldType.NUMBER, "admin_assignee_id", "team_assignee_id", "conversation_rating.rating"),
    **_fields(FieldType.FLAG, "open", "read", "ai_agent_participated"),
    **_fields(FieldType.SECOND, "created_at", "updated_at", "waiting_since", "snoozed_until"),
    **_fields(FieldType.NUMBER, "statistics.time_to_assignment", "statistics.count_reopens"),
    **_fields(FieldType.NUMBER, "statistics.count_conversation_parts"),
    "tag_ids": Field("tags.tags[].id", FieldType.TEXT),
    "contact_ids": Field("contacts.contacts[].id", FieldType.TEXT),
}
TICKET_FIELDS: Mapping[str, Field] = {
    **_fields(FieldType.TEXT, "id", "category", "admin_assignee_id", "team_assignee_id"),
    **_fields(FieldType.FLAG, "open"),
    **_fields(FieldType.SECOND, "created_at", "updated_at", "snoozed_until"),
    "title": Field("ticket_attributes._default_title_", FieldType.TEXT),
    "description": Field("ticket_attributes._default_description_", FieldType.TEXT),
    "state": Field("ticket_state.category", FieldType.TEXT),
    "ticket_type_id": Field("ticket_type.id", FieldType.TEXT),
    "contact_ids": Field("contacts.contacts[].id", FieldType.TEXT),
}


@dataclass(frozen=True, slots=True)
class Searchable:
    """The fields of a search, and the number of records of a page where none is asked for."""

    fields: Mapping[str, Field]
    per_page: int


SEARCHABLE: Mapping[str, Searchable] = {
    "contacts": Searchable(CONTACT_FIELDS, 50),
    "conversations": Searchable(CONVERSATION_FIELDS, 20),
    "tickets": Searchable(TICKET_FIELDS, 20),
}


def field_of(name: str, fields: Mapping[str, Field]) -> Field | None:
    """The searchable field of this name; custom attributes are searchable by any name."""
    if name.startswith("custom_attributes."):
        return Field(name, FieldType.ANY)
    return fields.get(name)
