"""Synthetic entries of the log of activities: what teammates have changed in the workspace."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from intercom.sandbox.seed.sources import Sources

Fields = dict[str, Any]

_KINDS = ("app_name_change", "message_state_change", "role_change", "admin_login_success", "csv_export")


def activity_log(sources: Sources) -> Fields:
    """One entry. The shape of ``metadata`` depends on its type; an entry of the system has nobody who did it."""
    created, _ = sources.times()
    kind = sources.choice(_KINDS)
    admin = sources.one("admins") or "991267000"
    by = {"type": "admin", "id": admin, "email": f"admin.{admin}@example.com", "ip": "127.0.0.1"}
    return {
        "id": str(UUID(int=sources.random.getrandbits(128), version=4)),
        "performed_by": by if sources.chance(0.9) else None,
        "metadata": _metadata(kind, sources),
        "created_at": created,
        "activity_type": kind,
        "activity_description": f"{sources.person()} did this: {kind}",
    }


def _metadata(kind: str, sources: Sources) -> Fields | None:
    match kind:
        case "app_name_change":
            return {"before": sources.person(), "after": sources.person()}
        case "message_state_change":
            message = {"id": sources.number(1, 999), "title": sources.text(1)}
            return {"message": message, "before": "draft", "after": "live"}
        case "role_change":
            return {"before": {"name": "Agent"}, "after": {"name": "Admin", "permissions": [1, None]}}
        case "csv_export":
            return {}
        case _:
            return None
