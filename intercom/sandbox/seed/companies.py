"""Synthetic companies."""

from __future__ import annotations

from typing import Any

from intercom.sandbox.records import raw
from intercom.sandbox.seed.contacts import custom_values
from intercom.sandbox.seed.sources import Sources
from intercom.sandbox.seed.words import COMPANY_KINDS, COMPANY_WORDS, INDUSTRIES

Fields = dict[str, Any]


def company(sources: Sources) -> Fields:
    """A company. Keys without a value are left out, monthly_spend is an integer or decimal, no plan is ``{}``."""
    created, updated = sources.times()
    key = sources.hex_id(created)
    sources.remember("companies", key)
    tags = [{"type": "tag", "id": tag, "name": f"tag {tag}"} for tag in sources.some("tags", 3)]
    segments = [{"type": "segment", "id": segment} for segment in sources.some("segments", 2)]
    fields: Fields = {
        "type": "company",
        "company_id": f"{int(key[-8:], 16):08d}",
        "id": key,
        "app_id": sources.app_id,
        "name": f"{sources.choice(COMPANY_WORDS)} {sources.choice(COMPANY_KINDS)}",
        "created_at": created,
        "updated_at": updated,
        "monthly_spend": _spend(sources),
        "session_count": sources.number(0, 5_000),
        "user_count": sources.number(0, 300),
        "plan": {"type": "plan", "id": "269315", "name": "Pro"} if sources.chance(0.4) else {},
        "tags": {"type": "tag.list", "tags": tags},
        "segments": {"type": "segment.list", "segments": segments},
        "custom_attributes": custom_values(sources) if sources.chance(0.8) else {},
    }
    return fields | _optional(sources, created, key)


def _spend(sources: Sources) -> Any:
    """An integer, as specified, or a decimal, as observed. Integers above 2**53 keep their digits only as text."""
    if sources.chance(0.02):
        return raw("9007199254740993")
    return sources.number(0, 9_000) if sources.chance(0.6) else raw(f"{sources.number(0, 9_000)}.50")


def _optional(sources: Sources, created: int, key: str) -> Fields:
    """Fields that many records lack."""
    values: Fields = {
        "remote_created_at": created - sources.number(0, 9_999) if sources.chance(0.8) else None,
        "last_request_at": sources.past(created),
        "size": sources.number(1, 20_000),
        "website": f"https://www.{key[-6:]}.example/",
        "industry": sources.choice(INDUSTRIES),
    }
    return {name: value for name, value in values.items() if sources.chance(0.6)}
