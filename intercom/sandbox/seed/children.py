"""Synthetic records that belong to a conversation, a contact or a company."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intercom.sandbox.seed.outreach import news_item
from intercom.sandbox.seed.sources import Sources

Fields = dict[str, Any]

_TRIES = 50
_STATE_CHANGES = ("assignment", "close", "open", "snoozed", "conversation_attribute_updated_by_admin")


def conversation_part(sources: Sources) -> Fields:
    """A part of one of the conversations, made after it; some are state changes, which have no body."""
    key = sources.numeric_id("conversation_parts", 30_120_000_000)
    sources.made["conversation_parts"] = [key]
    conversation = sources.one("conversation_times") or f"{sources.now} "
    since, _, parent = conversation.partition(" ")
    created = sources.past(int(since))
    says = sources.chance(0.7)
    return {
        "conversation_id": parent or None,
        "type": "conversation_part",
        "id": key,
        "part_type": "comment" if says else sources.choice(_STATE_CHANGES),
        "body": sources.html(sources.number(1, 3)) if says else None,
        "created_at": created,
        "updated_at": created,
        "notified_at": created,
        "assigned_to": None if says else sources.maybe(0.5, {"type": "admin", "id": sources.one("admins")}),
        "author": _author(sources),
        "attachments": [],
        "external_id": None,
        "redacted": False,
        "email_message_metadata": None,
        "metadata": {},
        "state": sources.choice(("open", "closed", "snoozed")),
        "tags": _tags(sources),
        "event_details": {},
        "app_package_code": None,
    }


def _author(sources: Sources) -> Fields:
    if sources.chance(0.5):
        return {"type": "user", "id": sources.one("contacts"), "name": sources.person(), "email": "a@example.com"}
    answered = sources.chance(0.3)
    author = {"type": "bot" if answered else "admin", "id": sources.one("admins"), "name": sources.person()}
    return author | {"email": "support@example.com", "from_ai_agent": answered, "is_ai_answer": answered}


def _tags(sources: Sources) -> list[Fields] | None:
    tags = [{"type": "tag", "id": tag, "name": f"tag {tag}"} for tag in sources.some("tags", 2)]
    return sources.maybe(0.2, tags)


def contact_note(sources: Sources) -> Fields:
    """A note about one of the contacts."""
    key = sources.numeric_id("contact_notes", 17_495_000)
    sources.made["contact_notes"] = [key]
    contact = sources.one("contacts")
    return {
        "contact_id": contact,
        "type": "note",
        "id": key,
        "created_at": sources.past(sources.now - 90 * 86_400),
        "contact": {"type": "contact", "id": contact},
        "author": {"type": "admin", "id": sources.one("admins"), "name": sources.person(), "away_mode_enabled": False},
        "body": sources.html(1),
    }


def contact_segment(sources: Sources) -> Fields:
    """One of the segments that a contact is in."""
    return _one_more(sources, "contact_segments", lambda: {"contact_id": sources.one("contacts"), **_segment(sources)})


def company_segment(sources: Sources) -> Fields:
    """One of the segments that a company is in."""
    return _one_more(sources, "company_segments", lambda: {"company_id": sources.one("companies"), **_segment(sources)})


def _one_more(sources: Sources, table: str, make: Callable[[], Fields]) -> Fields:
    """A record of a pair of ids that no earlier one has, if there is one."""
    for _ in range(_TRIES):
        fields = make()
        pair = " ".join(str(value) for name, value in fields.items() if name.endswith("id"))
        if pair not in sources.made.get(table, ()):
            break
    sources.remember(table, pair)
    return fields


def _segment(sources: Sources) -> Fields:
    key = sources.one("segments") or str(sources.number(1, 99))
    return {
        "type": "segment",
        "id": key,
        "name": f"segment {key}",
        "created_at": sources.now - 400 * 86_400,
        "updated_at": sources.now - 3 * 86_400,
        "person_type": "user",
    }


def newsfeed_item(sources: Sources) -> Fields:
    """A news item in one of the newsfeeds."""
    return {"newsfeed_id": sources.one("newsfeeds"), **news_item(sources)}


def contact_subscription(sources: Sources) -> Fields:
    """A subscription type that a contact has opted in to, or out of."""
    return _one_more(sources, "contact_subscriptions", lambda: _subscription(sources))


def _subscription(sources: Sources) -> Fields:
    number = sources.number(1, 9)
    return {
        "contact_id": sources.one("contacts"),
        "type": "subscription",
        "id": str(number),
        "state": sources.choice(("live", "draft", "archived")),
        "consent_type": sources.choice(("opt_in", "opt_out")),
        "default_translation": {"name": f"News {number}", "description": sources.text(1), "locale": "en"},
        "translations": [],
        "content_types": ["email"],
    }
