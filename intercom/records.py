"""An answer's records, each kept as the text that was sent until somebody asks for what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from intercom.errors import SchemaError
from intercom.jsontext import mend
from intercom.scalars import UNREADABLE
from intercom.values import NULL, decoder, one_member

Record = Mapping[str, Raw]
"""A JSON object: each member's text as sent, in the order of the members."""

_OBJECT_STARTS: Final = ord("{")
_ELEMENTS: Final = Decoder(list[Raw])
_MEMBERS: Final = Decoder(dict[str, Raw])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be a row: its text as sent, and why, in words that show nothing of its content."""

    text: bytes
    reason: str


class SentRecord(Record):
    """A record that is decoded when it is asked; its text stays valid for as long as the record is held."""

    __slots__ = ("text",)

    def __init__(self, text: Raw) -> None:
        self.text = text

    def __getitem__(self, name: str) -> Raw:
        try:
            value: Raw | None = decoder(one_member(name)).decode(self.text).value
        except UNREADABLE:
            return self.members()[name]
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.members())

    def __len__(self) -> int:
        return len(self.members())

    def members(self) -> dict[str, Raw]:
        """All members; names that are no Unicode are mended, and then the whole record is."""
        try:
            return _MEMBERS.decode(self.text)
        except UNREADABLE:
            return _MEMBERS.decode(mend(bytes(self.text)))


def split_records(array: Raw, *, where: str = "Intercom's answer") -> list[Record | None]:
    """The records of a JSON array, as sent; a null element is None (the list of admins may have them).

    Raises SchemaError when it is no array, or with the position of the first element that is no object. The message
    begins with ``where`` (for example "Table 'tags', page 3, request abc").
    """
    elements = _elements(array, where)
    records: list[Record | None] = []
    for element in elements:
        if memoryview(element)[0] == _OBJECT_STARTS:
            records.append(SentRecord(element))
        elif element == NULL:
            records.append(None)
        else:
            raise SchemaError(f"{where}: record {len(records) + 1} of {len(elements)} is no JSON object.")
    return records


def _elements(array: Raw, where: str) -> list[Raw]:
    try:
        return _ELEMENTS.decode(array)
    except UNREADABLE:
        pass
    try:
        return _ELEMENTS.decode(mend(bytes(array)))
    except UNREADABLE as error:
        raise SchemaError(f"{where}: no readable JSON array where the records should be.") from error


def members_of(record: Record) -> Mapping[str, Raw]:
    """The record's members, decoded once."""
    return record.members() if isinstance(record, SentRecord) else record


def text_of(record: Record) -> Raw | bytes:
    """The record as one JSON object."""
    return record.text if isinstance(record, SentRecord) else object_text(record.items())


def object_text(members: Iterable[tuple[str, Raw]]) -> bytes:
    """A JSON object of these members, their texts unchanged."""
    return b"{" + b",".join([msgspec.json.encode(name) + b":" + bytes(value) for name, value in members]) + b"}"
