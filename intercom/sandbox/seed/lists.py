"""Synthetic records of the small tables, which the API lists as a whole."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.seed.sources import DAY, Sources
from intercom.sandbox.seed.words import TAG_NAMES

Fields = dict[str, Any]

BUILT_IN = {
    "contact": {"name": "string", "email": "string", "created_at": "date", "owner_id": "integer", "role": "string"},
    "company": {"name": "string", "company_id": "string", "created_at": "date", "monthly_spend": "float"},
    "conversation": {"title": "string", "created_at": "date"},
}
CUSTOM = (
    ("contact", "seats", "integer"),
    ("company", "seats", "integer"),
    ("contact", "lifetime_value", "float"),
    ("contact", "is_vip", "boolean"),
    ("contact", "plan_tier", "string"),
    ("conversation", "Language", "string"),
    ("conversation", "Attachment", "files"),
)


def tag(sources: Sources) -> Fields:
    key = sources.numeric_id("tags", 7_522_900)
    sources.remember("tags", key)
    return {"type": "tag", "id": key, "name": f"{sources.choice(TAG_NAMES)} {key}"}


def segment(sources: Sources) -> Fields:
    created, updated = sources.times()
    key = sources.hex_id(created)
    sources.remember("segments", key)
    return {
        "type": "segment",
        "id": key,
        "name": f"Active last {sources.number(2, 90)} days",
        "created_at": created,
        "updated_at": updated,
        "person_type": sources.choice(("user", "contact")),
        "count": sources.maybe(0.8, sources.number(0, 9_999)),
    }


def admin(sources: Sources) -> Fields:
    """A teammate: ids are strings, team ids numbers; job title and avatar are often left out."""
    key = sources.numeric_id("admins", 991_267_000)
    sources.remember("admins", key)
    away = sources.chance(0.2)
    fields: Fields = {
        "type": "admin",
        "id": key,
        "name": sources.person(),
        "email": f"admin.{key}@example.com",
        "away_mode_enabled": away,
        "away_mode_reassign": False,
        "away_status_reason_id": 12 if away else None,
        "has_inbox_seat": sources.chance(0.9),
        "team_ids": [int(team) for team in sources.some("teams", 2)],
    }
    optional: Fields = {
        "job_title": sources.choice((None, "Customer Success")),
        "avatar": sources.choice(("https://static.example/a.png", {"type": "avatar", "image_url": None})),
        "team_priority_level": {"primary_team_ids": [], "secondary_team_ids": []},
    }
    return fields | {name: value for name, value in optional.items() if sources.chance(0.6)}


def team(sources: Sources) -> Fields:
    key = sources.numeric_id("teams", 814_860)
    sources.remember("teams", key)
    admins = [int(admin) for admin in sources.some("admins", 3)]
    fields: Fields = {"type": "team", "id": key, "name": f"Support {key}", "admin_ids": admins}
    if sources.chance(0.5):
        fields |= {"distribution_method": "load_balanced", "assignment_limit": sources.number(5, 30)}
    level = {"primary_admin_ids": admins[:1], "secondary_admin_ids": admins[1:]}
    return fields | {"admin_priority_level": sources.choice((None, level))}


def away_status_reason(sources: Sources) -> Fields:
    """A reason to be away; deleted ones are listed, too."""
    created, updated = sources.times()
    key = sources.numeric_id("away_status_reasons", 12)
    sources.remember("away_status_reasons", key)
    return {
        "type": "away_status_reason",
        "id": key,
        "label": f"{sources.choice(('At lunch', 'Im Urlaub', 'On a call'))} {key}",
        "emoji": sources.choice(("☕", "🏖️", None)),
        "order": sources.number(0, 9),
        "deleted": sources.chance(0.3),
        "created_at": created,
        "updated_at": updated,
    }


def built_in_attributes() -> list[Fields]:
    """Attributes that every workspace has: no id, no times, and names that occur in several models."""
    return [
        _attribute(model, name, data_type, custom=False)
        for model, attributes in BUILT_IN.items()
        for name, data_type in attributes.items()
    ]


def custom_attributes(sources: Sources) -> list[Fields]:
    """Attributes made by the customer, one of them archived beside a live one of the same name."""
    made = [_custom(sources, *attribute) for attribute in CUSTOM]
    return [*made, _custom(sources, "contact", "plan_tier", "string") | {"archived": True}]


def data_attribute(sources: Sources) -> Fields:
    """One more custom attribute of contacts."""
    return _custom(sources, "contact", f"extra_{len(sources.made.get('data_attributes', []))}", "string")


def _attribute(model: str, name: str, data_type: str, *, custom: bool) -> Fields:
    return {
        "type": "data_attribute",
        "model": model,
        "name": name,
        "full_name": name if not custom else f"custom_attributes.{name}",
        "label": name.replace("_", " ").capitalize(),
        "description": f"The {name} of the {model}",
        "data_type": data_type,
        "api_writable": custom,
        "messenger_writable": False,
        "ui_writable": custom,
        "custom": custom,
        "archived": False,
    }


def _custom(sources: Sources, model: str, name: str, data_type: str) -> Fields:
    key = sources.numeric_id("data_attributes", 10_850_000)
    sources.remember("data_attributes", key)
    created = sources.now - sources.number(400, 900) * DAY
    fields = _attribute(model, name, data_type, custom=True) | {
        "id": int(key),
        "created_at": created,
        "updated_at": sources.past(created),
        "admin_id": sources.one("admins") or "991267000",
    }
    if name == "plan_tier":
        fields["options"] = ["free", "pro", "größer"]
    return fields
