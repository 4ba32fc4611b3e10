"""One record by its id. Some records have fields here that lists and searches leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intercom.sandbox.answers import Answer, Refusal
from intercom.sandbox.records import Record
from intercom.sandbox.workspace import Workspace

TABLES = ("contacts", "companies", "conversations", "articles")
NOT_FOUND = {
    "contacts": ("not_found", "User Not Found"),
    "companies": ("company_not_found", "Company Not Found"),
    "conversations": ("not_found", "Resource Not Found"),
    "articles": ("not_found", "Resource Not Found"),
}
ONLY_HERE: Mapping[str, Mapping[str, Any]] = {
    "conversations": {
        "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [], "total_count": 0}
    },
    "articles": {
        "statistics": {
            "type": "article_statistics",
            "views": 10,
            "conversations": 0,
            "reactions": 0,
            "happy_reaction_percentage": 0.0,
            "neutral_reaction_percentage": 0.0,
            "sad_reaction_percentage": 0.0,
        }
    },
}


def single(workspace: Workspace, path: str) -> Answer | None:
    """The record at ``/<table>/<id>``; None for any other path, Refusal 404 where there is no such record."""
    table, _, key = path.removeprefix("/").partition("/")
    if table not in TABLES or not key or "/" in key:
        return None
    records = workspace.tables[table]
    if key not in records:
        code, message = NOT_FOUND[table]
        raise Refusal(404, message, code)
    return Answer(200, _full_record(table, records[key]).body)


def _full_record(table: str, record: Record) -> Record:
    return record.changed(ONLY_HERE[table]) if table in ONLY_HERE else record
