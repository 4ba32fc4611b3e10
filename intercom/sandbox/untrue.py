"""Answers that are well formed but wrong, as of a search index of which a part is missing or out of date."""

from __future__ import annotations

import msgspec

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


def _with(fields: Fields, name: str, records: list[msgspec.Raw]) -> bytes:
    return msgspec.json.encode({**fields, name: records})


def _list_of(body: bytes) -> tuple[Fields, str | None]:
    """The members of an answer, and the name of the one that has its records, or None."""
    fields = _fields.decode(body)
    return fields, next((name for name, value in fields.items() if bytes(value)[:1] == b"["), None)


def _is_number(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).isdigit()
