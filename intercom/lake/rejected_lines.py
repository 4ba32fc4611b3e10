"""The lines of a file of rejected records: with the text of a record, or with its length only. Pure."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime
from hashlib import sha256
from typing import Any

_TEXTS = ("record", "record_base64")


def line_of(
    text: bytes, *, reason: str, request_id: str | None, time: datetime, digest: str, hides_text: bool
) -> bytes:
    """The line of one record; with `hides_text` its ``length`` in bytes in place of its text."""
    entry: dict[str, Any] = {
        "reason": reason,
        "request_id": request_id,
        "time": time.isoformat(),
        "digest": digest,
    }
    if hides_text:
        return json.dumps(entry | {"length": len(text)}).encode()
    try:
        shown = {"record": text.decode()}
    except UnicodeDecodeError:
        shown = {"record_base64": b64encode(text).decode()}
    return json.dumps(entry | shown).encode()


def entry_of(line: bytes) -> dict[str, Any]:
    """A parsed line; empty if the line is not in the format of this module."""
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) and "reason" in entry else {}


def digest_of(line: bytes) -> str:
    """The digest in a line; empty if the line is not in the format of this module."""
    return str(entry_of(line).get("digest", ""))


def text_in(entry: dict[str, Any]) -> bytes:
    """The record's text as sent; empty where it is hidden."""
    text = entry.get("record")
    return text.encode() if isinstance(text, str) else b64decode(str(entry.get("record_base64", "")))


def without_text(line: bytes) -> bytes:
    """The line with the length of the record in place of its text; of a line in another format the same is kept."""
    entry = entry_of(line)
    if not entry:
        entry = {"reason": "a line that cannot be read", "digest": sha256(line).hexdigest(), "length": len(line)}
    elif any(name in entry for name in _TEXTS):
        entry = {name: value for name, value in entry.items() if name not in _TEXTS} | {"length": len(text_in(entry))}
    return json.dumps(entry).encode()
