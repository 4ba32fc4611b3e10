"""Takes forgotten people out of records: their own records are dropped, and what names them elsewhere is masked. Pure.

    a record of the person: the contact, a note on it         dropped
    an object of the person in a list, such as `contacts`     taken out of the list
    an object of the person elsewhere, such as `author`       its texts are masked, other values become null
    what an author of a text has written                      `body`, `subject`, `title` and attachments are masked
    any other text that is an id, email or phone of theirs    masked, as external ids where they stand as such
    teammates, teams and bots                                 stay, also where one has the same email
    the record's own key, and that of its parent              stay: a number may be theirs, and a conversation's id

A person is known by ids, emails and phone numbers that are given as a question about a value (`Forgotten`), so that
nobody who reads the lake finds them there. Free text that others have written stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.json_repair import repair
from intercom.normalise.protect import FORGOTTEN
from intercom.normalise.records import Record, SentRecord, text_of
from intercom.tables.table import Table

CONTACTS: Final = "contacts"

_MASK: Final = Raw(msgspec.json.encode(FORGOTTEN))
_NULL: Final = Raw(b"null")
_MEMBERS: Final = Decoder(dict[str, Raw])
_ELEMENTS: Final = Decoder(list[Raw])
_TEXT: Final = Decoder(str)
_A_TEXT: Final = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_EXTERNAL: Final = ("external_id", "user_id")
"""Members that are an external id."""
_NAMES_OF_ONE: Final = ("id", *_EXTERNAL, "contact_id", "email")
"""Members by which an object is the person."""
_OTHERS: Final = frozenset({"admin", "team", "bot", "operator"})
"""Values of `type` of those who are no contacts."""
_WRITTEN: Final = ("body", "subject", "title", "attachments", "quick_reply_options", "redacted_body", "url")
"""Members beside an author that are what the author has written, or lead to it."""
_OF_A_CALL: Final = ("phone", "recording_url", "transcription_url", "transcript")


class Forgotten(Protocol):
    """Who is forgotten: `holds` says whether a value is one of theirs; `lengths` are those of such values, in bytes.

    With `external` a value counts that is theirs only where an external id stands.
    """

    @property
    def lengths(self) -> frozenset[int]: ...

    def holds(self, value: bytes, *, external: bool = False) -> bool: ...


class Eraser:
    """Takes forgotten people out of the records of one table. Safe for any number of threads."""

    def __init__(self, table: Table, forgotten: Forgotten) -> None:
        self._forgotten = forgotten
        self._is_contacts = table.name == CONTACTS
        of_contacts = table.parent is not None and table.parent.table.name == CONTACTS
        self.own_key: str | None = "id" if self._is_contacts else table.parent_column if of_contacts else None
        """The column with the id of the contact whose own record it is; None if the records belong to others, too."""
        self._is_calls = table.name == "calls"
        self._keys = {*table.primary_key, *([table.parent_column] if table.is_child else [])}

    def record(self, record: Record) -> Record | None:
        """The record without forgotten people, None if it is one's own. Raises one of `UNREADABLE` for no object."""
        text = text_of(record)
        if not self._has(bytes(text)):
            return record
        left = self.text(text)
        return None if left is None else SentRecord(Raw(left))

    def text(self, text: Raw | bytes) -> bytes | None:
        """The text of a record without forgotten people; None if it is one's own."""
        try:
            members = _MEMBERS.decode(text)
        except UNREADABLE:
            members = _MEMBERS.decode(repair(bytes(text)))
        if self.own_key is not None and self._is(members.get(self.own_key)):
            return None
        if self._is_contacts or not self._has(bytes(text)):
            return bytes(text)  # another contact may have the same email, and is somebody who was not asked about
        if self._is_calls and self._is(members.get("contact_id")):
            _mask(members, _OF_A_CALL)
        keys = {name: value for name, value in members.items() if name in self._keys}
        return msgspec.json.encode(self._members(members) | keys)

    def forgets_parent(self, key: str) -> bool:
        """Whether the records of a parent with this key are dropped."""
        return self.own_key is not None and self._holds(key.encode())

    def is_own(self, record: Record) -> bool:
        """Whether a record, or a mark, is one of a forgotten person."""
        return self.own_key is not None and self._is(record.get(self.own_key))

    def names_one(self, text: bytes) -> bool:
        """Whether a text, which need be no sound JSON, has a value of a forgotten person in quotes."""
        return self._has(text)

    def _value(self, value: Raw) -> Raw:
        """A value without forgotten people."""
        text = bytes(value)
        if not self._has(text):
            return value
        try:
            if text[:1] == b'"':
                return _MASK if self._is(value) else value
            if text[:1] == b"[":
                elements = [self._value(one) for one in _ELEMENTS.decode(value) if not self._is_one(one)]
                return Raw(b"[" + b",".join(map(bytes, elements)) + b"]")
            if text[:1] == b"{":
                return self._object(_MEMBERS.decode(value))
        except UNREADABLE:
            pass
        return _MASK  # who is in it cannot be told apart

    def _object(self, members: dict[str, Raw]) -> Raw:
        if _is_other(members):
            return Raw(msgspec.json.encode(members))
        if self._is_person(members):
            return Raw(msgspec.json.encode({name: _masked(name, value) for name, value in members.items()}))
        return Raw(msgspec.json.encode(self._members(members)))

    def _members(self, members: dict[str, Raw]) -> dict[str, Raw]:
        """The members of an object that is not a person."""
        source = _object_in(members.get("source"))
        if self._wrote(members) or (source is not None and self._wrote(source)):
            _mask(members, _WRITTEN)
        return {
            name: _MASK if name in _EXTERNAL and self._is(value, external=True) else self._value(value)
            for name, value in members.items()
        }

    def _wrote(self, members: Mapping[str, Raw]) -> bool:
        """Whether the author beside a text is one of those who are forgotten."""
        author = _object_in(members.get("author"))
        return author is not None and not _is_other(author) and self._is_person(author)

    def _is_one(self, value: Raw) -> bool:
        """Whether an element of a list stands for a person: an object, or an id alone."""
        if bytes(memoryview(value)[:1]) == b'"':
            return self._is(value)
        members = _object_in(value)
        return members is not None and not _is_other(members) and self._is_person(members)

    def _is_person(self, members: Mapping[str, Raw]) -> bool:
        return any(self._is(members.get(name), external=name in _EXTERNAL) for name in _NAMES_OF_ONE)

    def _is(self, value: Raw | None, *, external: bool = False) -> bool:
        """Whether a JSON value is a text that is one of theirs."""
        if value is None or bytes(memoryview(value)[:1]) != b'"':
            return False
        try:
            return self._holds(_TEXT.decode(value).encode(), external=external)
        except UNREADABLE:
            return False

    def _has(self, text: bytes) -> bool:
        """Whether a text inside a JSON value is or may be one of theirs. An escaped text is decoded."""
        lengths, holds = self._forgotten.lengths, self._forgotten.holds
        if b"\\" not in text:  # as most records; then every second piece is a text
            return any(len(piece) in lengths and holds(piece, external=True) for piece in text.split(b'"')[1::2])
        for found in _A_TEXT.findall(text):
            if b"\\" in found:
                if self._is(Raw(b'"' + found + b'"'), external=True):
                    return True
            elif len(found) in lengths and holds(found, external=True):
                return True
        return False

    def _holds(self, value: bytes, *, external: bool = False) -> bool:
        return len(value) in self._forgotten.lengths and self._forgotten.holds(value, external=external)


def _is_other(members: Mapping[str, Raw]) -> bool:
    kind = members.get("type")
    return kind is not None and bytes(kind).strip(b'"').decode("utf-8", "replace") in _OTHERS


def _object_in(value: Raw | None) -> dict[str, Raw] | None:
    if value is None or bytes(memoryview(value)[:1]) != b"{":
        return None
    try:
        return _MEMBERS.decode(value)
    except UNREADABLE:
        return None


def _masked(name: str, value: Raw) -> Raw:
    """What is left of a member of a person."""
    if name == "type":
        return value
    return _MASK if bytes(memoryview(value)[:1]) == b'"' else _NULL


def _mask(members: dict[str, Raw], names: tuple[str, ...]) -> None:
    for name in names:
        if name in members:
            members[name] = _masked(name, members[name])
