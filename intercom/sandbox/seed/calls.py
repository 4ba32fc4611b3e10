"""Synthetic phone calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from intercom.sandbox.seed.sources import Sources

Fields = dict[str, Any]


def call(sources: Sources) -> Fields:
    """A call, whose times are unix seconds or ISO 8601 text; one that was not answered has fewer of them."""
    created, updated = sources.times()
    key = sources.numeric_id("calls", 123)
    sources.remember("calls", key)
    answered = sources.chance(0.7)
    times: dict[str, int | None] = {
        "initiated_at": created,
        "answered_at": created + 3 if answered else None,
        "ended_at": created + sources.number(4, 3_000),
        "created_at": created,
        "updated_at": updated,
    }
    text = sources.chance(0.5)
    url = f"https://api.intercom.io/calls/{key}"
    return {
        "type": "call",
        "id": key,
        "conversation_id": sources.one("conversations"),
        "admin_id": sources.one("admins"),
        "contact_id": sources.one("contacts"),
        "state": "completed" if answered else "missed",
        **{name: _iso(at) if text else at for name, at in times.items()},
        "recording_url": f"{url}/recording" if answered else None,
        "transcription_url": f"{url}/transcript" if answered else None,
        "call_type": sources.choice(("phone", "web")),
        "direction": sources.choice(("inbound", "outbound")),
        "ended_reason": sources.maybe(0.5, "completed"),
        "phone": f"+49{sources.number(10**8, 10**10)}",
        "fin_recording_url": None,
        "fin_transcription_url": None,
    }


def _iso(second: int | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
