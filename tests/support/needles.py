"""Unique values that must not get through, and the search for them in all bytes of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from intercom.sandbox import Workspace
from intercom.sandbox.records import Record

MARK = "zqneedle"
"""Part of every needle that is a text."""
DIGITS = 7_183_926_155
"""A needle that is a number."""
ERROR = {"type": "error.list", "errors": [{"code": "bad_request", "message": f"{MARK}-error@x.example is no {DIGITS}"}]}
"""An error as Intercom sends it, which repeats values."""


def needle(name: str) -> str:
    return f"{MARK}-{name}@x.example"


def found_in(text: bytes) -> bool:
    return MARK.encode() in text.lower() or str(DIGITS).encode() in text


def files_with_needles(folder: Path) -> list[str]:
    """Files below the folder with a needle in their bytes, or in the values of Parquet files."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(map(found_in, _texts_of(path)))
    )


def _texts_of(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield json.dumps(pq.ParquetFile(path).read().to_pylist(), default=str).encode()


COLUMNS: Final[dict[str, dict[str, list[str]]]] = {
    "contacts": {
        "exclude": ["avatar", "custom_attributes.national_id", "_extra.ssn", "location_city"],
        "hash": ["email", "phone"],
        "mask": ["name", "social_profiles", "custom_attributes.notes.text", "tags.data.url"],
    },
    "companies": {"mask": ["website", "monthly_spend"], "exclude": ["custom_attributes"]},
    "conversations": {
        "hash": ["source_author_email", "contacts.contacts.external_id"],
        "mask": ["source_author_name", "source.subject", "conversation_rating_remark"],
        "exclude": ["source_body", "custom_attributes"],
    },
    "conversation_parts": {"exclude": ["body", "attachments"], "hash": ["author_email"], "mask": ["author.name"]},
    "admins": {"mask": ["name"], "hash": ["email"]},
}
PLANTED: Final[dict[str, dict[str, Any]]] = {
    "contacts": {
        "avatar": {"type": "avatar", "image_url": needle("avatar")},
        "custom_attributes.national_id": needle("national"),
        "custom_attributes.notes": [{"text": needle("note"), "n": 1}, needle("note in a list"), {"text": DIGITS}],
        "ssn": {"of": needle("ssn")},
        "location.city": needle("city"),
        "email": needle("email"),
        "phone": DIGITS,
        "name": [needle("name")],
        "social_profiles": {"data": [{"url": needle("profile")}]},
        "tags.data.url": needle("tag"),
    },
    "companies": {"website": needle("site"), "monthly_spend": DIGITS, "custom_attributes": {needle("a"): needle("b")}},
    "conversations": {
        "source.author.email": needle("email"),
        "source.author.name": needle("author"),
        "source.subject": needle("subject"),
        "source.body": needle("source body"),
        "conversation_rating": {"rating": 5, "remark": needle("remark")},
        "contacts.contacts.external_id": needle("external"),
        "custom_attributes": {"phone": DIGITS},
    },
    "conversation_parts": {
        "body": needle("body"),
        "author.email": needle("email"),
        "author.name": needle("author"),
        "attachments": [{"name": needle("file")}],
    },
    "admins": {"name": needle("admin"), "email": needle("admin email")},
}
TABLES = (*COLUMNS, "contact_tags", "conversation_contacts")
BROKEN = (
    b'{"id":"b1","created_at":1,"updated_at":2,"email":"%b","x":NaN}' % MARK.encode(),
    b'{"created_at":1,"updated_at":2,"email":"%b"}' % MARK.encode(),
    b'["%b"]' % MARK.encode(),
)


def plant_needles(workspace: Workspace) -> None:
    """Needles at all places of `PLANTED`, and records with needles that cannot be rows."""
    for table, values in PLANTED.items():
        for record in list(workspace.tables[table]):
            body = plant(json.loads(record.body), values)
            workspace.tables[table].put(Record.of_body(record.key, json.dumps(body).encode()))
    for table in ("contacts", "companies", "conversations"):
        for number, text in enumerate(BROKEN):
            workspace.tables[table].put(Record(f"odd {number}", 1_793_000_000, 1_793_000_000, text))


def plant(record: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    """The record with these values at dotted paths; a list on the way stands for each element."""
    for path, value in at.items():
        _put(record, path.split("."), value)
    return record


def _put(found: Any, path: list[str], value: Any) -> None:
    if isinstance(found, list):
        for element in found:
            _put(element, path, value)
    elif isinstance(found, dict):
        if len(path) == 1:
            found[path[0]] = value
        else:
            if not isinstance(found.get(path[0]), dict | list):
                found[path[0]] = {}
            _put(found[path[0]], path[1:], value)
