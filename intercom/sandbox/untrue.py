"""Answers that are well formed but wrong, as of a search index of which a part is missing or out of date."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from intercom.sandbox.logged import LoggedRequest

Fields = dict[str, msgspec.Raw]

_fields = msgspec.json.Decoder(Fields)
_records = msgspec.json.Decoder(list[msgspec.Raw])


def shard_away(body: bytes) -> bytes:
    """No records, a count of 0 where there is a count, and no next page."""
    fields, name = _list_of(body)
    if name is None:
        return body
    fields[name] = msgspec.Raw(b"[]")
    if _is_number(fields.get("total_count")):
        fields["total_count"] = msgspec.Raw(b"0")
    pages = fields.get("pages")
    if pages is not None and bytes(pages)[:1] == b"{":
        place = _fields.decode(pages)
        place.pop("next", None)
        if "total_pages" in place:
            place["total_pages"] = msgspec.Raw(b"0")
        fields["pages"] = msgspec.Raw(msgspec.json.encode(place))
    return msgspec.json.encode(fields)


def short(body: bytes, every: int) -> bytes:
    """Each ``every``-th record of the page left out; counts and next page as they were."""
    fields, name = _list_of(body)
    if name is None:
        return body
    records = _records.decode(fields[name])
    return _with(fields, name, [record for number, record in enumerate(records, 1) if number % every])


def shifted(body: bytes) -> bytes:
    """The page's first record twice and its last one not; counts and next page as they were."""
    fields, name = _list_of(body)
    if name is None:
        return body
    records = _records.decode(fields[name])
    return _with(fields, name, [records[0], *records[:-1]] if len(records) > 1 else records)


def hollow(body: bytes) -> bytes:
    """No records; counts and next page as they were."""
    fields, name = _list_of(body)
    return body if name is None else _with(fields, name, [])


def counting(body: bytes, count: Callable[[int], int]) -> bytes:
    """Another ``total_count``, where there is one, and everything else as it was."""
    fields = _fields.decode(body)
    total = fields.get("total_count")
    if not _is_number(total):
        return body
    assert total is not None
    return msgspec.json.encode({**fields, "total_count": count(int(bytes(total)))})


def same_next(body: bytes, request: LoggedRequest) -> bytes:
    """The page names itself as the next one; the first page of a search, which has no cursor, stays as it is."""
    fields = _fields.decode(body)
    place = _fields.decode(pages) if (pages := fields.get("pages")) and bytes(pages)[:1] == b"{" else {}
    following = bytes(place.get("next", b"null"))
    if following[:1] == b'"':
        page = request.params.get("page", "1")
        place["next"] = msgspec.Raw(re.sub(rb"([?&]page=)\d+", rb"\g<1>" + page.encode(), following))
    elif following[:1] == b"{":
        cursor = request.body["pagination"].get("starting_after") if request.body else None
        if cursor is None and request.body:
            return body
        itself = {"page": int(request.params.get("page", "1")), "starting_after": cursor}
        place["next"] = msgspec.Raw(msgspec.json.encode({**_fields.decode(following), **itself}))
    else:
        return body
    return msgspec.json.encode({**fields, "pages": place})


def _with(fields: Fields, name: str, records: list[msgspec.Raw]) -> bytes:
    return msgspec.json.encode({**fields, name: records})


def _list_of(body: bytes) -> tuple[Fields, str | None]:
    """The members of an answer, and the name of the one that has its records, or None."""
    fields = _fields.decode(body)
    return fields, next((name for name, value in fields.items() if bytes(value)[:1] == b"["), None)


def _is_number(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).isdigit()
