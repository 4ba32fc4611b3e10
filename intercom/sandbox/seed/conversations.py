"""Synthetic conversations, as search lists them: without their parts."""

from __future__ import annotations

from random import Random
from typing import Any

from intercom.sandbox.records import raw
from intercom.sandbox.seed.sources import DAY, Sources

Fields = dict[str, Any]


def conversation(sources: Sources) -> Fields:
    """A conversation. Without assignee the id is null or 0, teammates have two shapes, statistics may be null."""
    created, updated = sources.times()
    key = sources.numeric_id("conversations", 215_470_000)
    sources.remember("conversations", key)
    sources.remember("conversation_times", f"{created} {key}")
    state = sources.choice(("open", "closed", "closed", "snoozed"))
    answered = sources.chance(0.2)
    fields: Fields = {
        "type": "conversation",
        "id": key,
        "title": sources.maybe(0.3, sources.text(1)),
        "created_at": created,
        "updated_at": updated,
        "waiting_since": sources.maybe(0.3, updated),
        "snoozed_until": sources.now + sources.number(1, 30) * DAY if state == "snoozed" else None,
        "open": state == "open",
        "state": state,
        "read": sources.chance(0.7),
        "priority": sources.choice(("priority", "not_priority", "not_priority", "none")),
        "admin_assignee_id": _assignee(sources, "admins"),
        "team_assignee_id": _assignee(sources, "teams"),
        "tags": {"type": "tag.list", "tags": _tags(sources, created)},
        "conversation_rating": _rating(sources, created),
        "source": _source(sources, key),
        **_people(sources),
        "custom_attributes": _attributes(sources),
        "first_contact_reply": {"created_at": created, "type": "conversation", "url": None},
        "sla_applied": _sla(key),
        "statistics": _statistics(sources, key, created, updated),
        "linked_objects": _linked(sources),
        "ai_agent_participated": answered,
        "ai_agent": _ai_agent(key, updated) if answered else None,
    }
    if sources.chance(0.5):
        fields |= {"topics": {}, "ticket": None}
    return fields


def _assignee(sources: Sources, table: str) -> int | None:
    assignee = sources.one(table) if sources.chance(0.6) else None
    return sources.choice((0, None)) if assignee is None else int(assignee)


def _tags(sources: Sources, created: int) -> list[Fields]:
    by = {"type": "admin", "id": sources.one("admins")}
    return [
        {"type": "tag", "id": tag, "name": f"tag {tag}", "applied_at": created, "applied_by": by}
        for tag in sources.some("tags", 3)
    ]


def _rating(sources: Sources, created: int) -> Fields | None:
    rating = {
        "rating": sources.number(1, 5),
        "remark": sources.maybe(0.5, sources.text(1)),
        "created_at": created,
        "contact": {"type": "contact", "id": sources.one("contacts")},
        "teammate": {"type": "admin", "id": sources.one("admins")},
    }
    return sources.maybe(0.2, rating)


def _sla(key: str) -> Fields | None:
    random = Random(f"sla {key}")
    if random.random() < 0.6:
        return None
    status = random.choice(("hit", "missed", "cancelled", "active"))
    return {"type": "conversation_sla_summary", "sla_name": "VIP \u2264 1 h", "sla_status": status}


def _ai_agent(key: str, updated: int) -> Fields:
    """What the AI agent did; without an answer there is no state, and without a rating no remark."""
    random = Random(f"ai agent {key}")
    answer = random.choice(("ai_answer", "custom_answer", None))
    states = ("assumed_resolution", "confirmed_resolution", "routed_to_team", "abandoned")
    rating = random.randint(1, 5) if random.random() < 0.5 else None
    return {
        "source_type": random.choice(("workflow", "profile", "essentials_plan_setup")),
        "source_title": random.choice(("My AI workflow", None)),
        "last_answer_type": answer,
        "resolution_state": None if answer is None else random.choice(states),
        "rating": rating,
        "rating_remark": None if rating is None else random.choice(("Very helpful! \U0001f680", None)),
        "created_at": updated,
        "updated_at": updated,
        "content_sources": {"type": "content_source.list", "total_count": 0, "content_sources": []},
    }


def _source(sources: Sources, key: str) -> Fields:
    by_ai = Random(f"source {key}").random() < 0.2
    return {
        "type": sources.choice(("conversation", "email", "push", "unknown")),
        "id": key,
        "delivered_as": sources.choice(("customer_initiated", "admin_initiated", "automated")),
        "subject": sources.choice(("", "<p>Re: invoice</p>", "Fwd: שלום")),
        "body": sources.html(sources.number(1, 4)),
        "author": {
            "type": "user", "id": sources.one("contacts"), "name": sources.person(), "email": "a@example.com",
            "from_ai_agent": by_ai, "is_ai_answer": by_ai,
        },
        "attachments": [],
        "url": sources.maybe(0.5, "https://app.example/settings?tab=1#top"),
        "redacted": False,
    }  # fmt: skip


def _people(sources: Sources) -> Fields:
    contacts = [{"type": "contact", "id": key, "external_id": None} for key in sources.some("contacts", 2)]
    admins = [{"type": "admin", "id": key} for key in sources.some("admins", 2)]
    teammates = sources.choice(
        ({"type": "teammate.list", "teammates": admins}, {"type": "admin.list", "admins": admins}, None)
    )
    return {"contacts": {"type": "contact.list", "contacts": contacts}, "teammates": teammates}


def _attributes(sources: Sources) -> Fields:
    attributes: Fields = {"Copilot used": sources.chance(0.5), "Language": "Français"}
    if sources.chance(0.3):
        attributes["Order"] = {"type": "order.list", "instances": [{"id": 31, "total": raw("12.30")}]}
    if sources.chance(0.2):
        attributes["Due"] = sources.choice(("2025-03-09T02:30:00Z", sources.now, None))
    return attributes


def _statistics(sources: Sources, key: str, created: int, updated: int) -> Fields | None:
    """Statistics. A median may have a fraction, and the admin who closed is a number or a text."""
    if sources.chance(0.1):
        return None
    fields: Fields = {
        "type": "conversation_statistics",
        "time_to_assignment": sources.maybe(0.7, sources.number(0, 9_999)),
        "time_to_admin_reply": sources.maybe(0.7, sources.number(0, 99_999)),
        "median_time_to_reply": sources.maybe(0.6, sources.number(0, 9_999)),
        "first_contact_reply_at": created,
        "last_contact_reply_at": updated,
        "last_close_at": sources.maybe(0.5, updated),
        "last_closed_by_id": sources.one("admins"),
        "count_reopens": sources.number(0, 3),
        "count_assignments": sources.number(0, 4),
        "count_conversation_parts": sources.number(1, 700),
    }
    return fields | _more_statistics(fields, key, created)


def _more_statistics(fields: Fields, key: str, created: int) -> Fields:
    """The other members, from the id, so that they leave the sequence of random numbers as it is."""
    random = Random(f"statistics {key}")
    closed, median, closer = fields["last_close_at"], fields["median_time_to_reply"], fields["last_closed_by_id"]
    seconds, handling = random.randint(0, 9_999), random.randint(0, 9_999)
    answers = [{"team_id": 814_860, "team_name": "Unassigned", "response_time": seconds}]
    by_team = random.choice(("assigned_team_first_response_time", "assigned_team_first_response_time_by_team"))
    return {
        "median_time_to_reply": median + 0.5 if median is not None and random.random() < 0.3 else median,
        "last_closed_by_id": closer if closer is None or random.random() < 0.5 else int(closer),
        "time_to_first_close": None if closed is None else seconds,
        "time_to_last_close": None if closed is None else seconds + handling,
        "first_assignment_at": created + seconds,
        "first_admin_reply_at": created + seconds,
        "first_close_at": None if closed is None else created + seconds,
        "last_assignment_at": created + seconds + handling,
        "last_assignment_admin_reply_at": created + seconds + handling,
        "last_admin_reply_at": created + seconds + handling,
        by_team: answers,
        "assigned_team_first_response_time_in_office_hours": random.choice(([], answers)),
        "handling_time": handling,
        "adjusted_handling_time": random.choice((None, handling // 2)),
    }


def _linked(sources: Sources) -> Fields:
    """Linked objects; only some of them are listed if ``has_more`` is true."""
    many = sources.chance(0.05)
    data = [{"type": "ticket", "id": str(number), "category": None} for number in range(10 if many else 0)]
    return {"type": "list", "data": data, "total_count": 23 if many else 0, "has_more": many}
