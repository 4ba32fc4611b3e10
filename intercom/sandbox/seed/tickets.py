"""Synthetic tickets with their parts, ticket types and ticket states."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.seed.sources import DAY, Sources
from intercom.sandbox.seed.words import FIRST_NAMES, TICKET_TYPES

Fields = dict[str, Any]

CATEGORIES = ("Customer", "Back-office", "Tracker")
STATES = {
    "submitted": ("Submitted", "Submitted"),
    "in_progress": ("With the team", "In progress"),
    "waiting_on_customer": ("Waiting on customer", "Waiting on you"),
    "resolved": ("Resolved", "Done ✔"),
}


def ticket_type(sources: Sources) -> Fields:
    """A ticket type with its attributes; some are archived, and listed all the same."""
    created, updated = sources.times()
    key = sources.numeric_id("ticket_types", 71)
    sources.remember("ticket_types", key)
    attributes = [_attribute(sources, key, name, created) for name in ("_default_title_", "_default_description_")]
    return _short_type(sources, key) | {
        "workspace_id": sources.app_id,
        "archived": sources.chance(0.2),
        "created_at": created,
        "updated_at": updated,
        "ticket_type_attributes": {"type": "list", "data": attributes},
        "ticket_states": {"type": "list", "data": [_state(key) for key in sources.some("ticket_states", 4)]},
    }


def ticket_state(sources: Sources) -> Fields:
    """A ticket state, which has no times, with the types that may have it."""
    key = sources.numeric_id("ticket_states", 8_262)
    sources.remember("ticket_states", key)
    types = [_short_type(sources, key) | {"archived": False} for key in sources.some("ticket_types", 3)]
    return _state(key) | {"archived": sources.chance(0.2), "ticket_types": {"type": "list", "data": types}}


def ticket(sources: Sources) -> Fields:
    """A ticket. Assignees are text or a number, "0" or 0 where there is none; the newest part may be younger."""
    created, updated = sources.times()
    key = sources.numeric_id("tickets", 215_470_600)
    sources.remember("tickets", key)
    parts = _parts(sources, created, updated)
    fields: Fields = {
        "type": "ticket",
        "id": key,
        "ticket_id": str(int(key) - 215_470_599),
        "ticket_attributes": _values(sources),
        "ticket_state": _state(sources.one("ticket_states") or "8262"),
        "ticket_type": _type_of_ticket(sources, created),
        "contacts": {
            "type": "contact.list",
            "contacts": [
                {"type": "contact", "id": contact, "external_id": sources.maybe(0.5, contact[-8:])}
                for contact in sources.some("contacts", 2)
            ],
        },
        "admin_assignee_id": _assignee(sources, "admins"),
        "team_assignee_id": _assignee(sources, "teams"),
        "created_at": created,
        "updated_at": updated,
        "ticket_parts": {"type": "ticket_part.list", "ticket_parts": parts, "total_count": len(parts)},
        "open": sources.chance(0.6),
        "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": False},
        "category": sources.choice(CATEGORIES),
        "is_shared": sources.chance(0.5),
    }
    if sources.chance(0.3):
        fields["snoozed_until"] = sources.choice((None, sources.now + sources.number(1, 30) * DAY))
    if sources.chance(0.2):
        fields |= {"channel": "email", "previous_ticket_state_id": sources.one("ticket_states")}
    return fields


def _short_type(sources: Sources, key: str) -> Fields:
    return {
        "type": "ticket_type",
        "id": key,
        "name": f"{TICKET_TYPES[int(key) % len(TICKET_TYPES)]} {key}",
        "description": sources.choice(("", "What the customer reports")),
        "icon": "🎟️",
        "is_internal": False,
        "category": CATEGORIES[int(key) % len(CATEGORIES)],
    }


def _state(key: str) -> Fields:
    category = list(STATES)[int(key) % len(STATES)]
    internal, external = STATES[category]
    return {
        "type": "ticket_state",
        "id": key,
        "category": category,
        "internal_label": internal,
        "external_label": external,
    }


def _attribute(sources: Sources, ticket_type_key: str, name: str, created: int) -> Fields:
    return {
        "type": "ticket_type_attribute",
        "id": sources.numeric_id("ticket_type_attributes", 165),
        "name": name,
        "data_type": "string",
        "input_options": sources.choice((None, {"multiline": False})),
        "order": 0,
        "required_to_create": False,
        "default": True,
        "ticket_type_id": int(ticket_type_key),
        "archived": False,
        "created_at": created,
    }


def _type_of_ticket(sources: Sources, created: int) -> Fields | None:
    key = sources.one("ticket_types") or "71"
    attributes = {"type": "list", "data": [_attribute(sources, key, "_default_title_", created)]}
    return sources.maybe(0.95, _short_type(sources, key) | {"ticket_type_attributes": attributes})


def _values(sources: Sources) -> Fields:
    values: Fields = {"_default_title_": sources.text(1), "_default_description_": sources.maybe(0.7, sources.text(3))}
    if sources.chance(0.5):
        values["Urgent"] = sources.choice((True, False, "yes", 3))
    return values


def _assignee(sources: Sources, table: str) -> str | int | None:
    assignee = sources.one(table) if sources.chance(0.6) else None
    if assignee is None:
        return sources.choice(("0", 0, None))
    return int(assignee) if sources.chance(0.5) else assignee


def _parts(sources: Sources, created: int, updated: int) -> list[Fields]:
    parts = []
    for _ in range(sources.number(0, 4)):
        key = sources.numeric_id("ticket_parts", 188)
        sources.remember("ticket_parts", key)
        # Not later than now, though it may be later than the ticket's own time.
        at = min(created + sources.number(0, max(0, updated - created) + 60), max(updated, sources.now - 1))
        part: Fields = {
            "type": "ticket_part",
            "id": key,
            "part_type": sources.choice(("comment", "note", "assignment", "ticket_state_updated_by_admin")),
            "created_at": at,
            "updated_at": at,
            "author": {
                "type": sources.choice(("admin", "user", "bot")),
                "id": sources.one("admins") or "991267000",
                "name": sources.choice(FIRST_NAMES),
                "email": "author@example.com",
            },
            "attachments": [],
            "redacted": False,
        }
        if part["part_type"] == "ticket_state_updated_by_admin":
            part |= {"ticket_state": "in_progress", "previous_ticket_state": "submitted"}
        elif part["part_type"] == "assignment":
            part["assigned_to"] = {"type": "admin", "id": sources.one("admins")}
        else:
            part["body"] = sources.html(1)
        parts.append(part)
    return parts
