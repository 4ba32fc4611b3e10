"""Records of an answer, kept as the text that was sent; members are decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Raw, Struct, defstruct
from msgspec.json import Decoder

from intercom.errors import SchemaError
from intercom.normalise.arrays import decoder, join, one_member
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.json_repair import repair
from intercom.normalise.json_salvage import elements

Record = Mapping[str, Raw]
"""A JSON object: each member's text as sent, in the order of the members."""

NO_OBJECT: Final = "no JSON object"
NO_JSON: Final = "no valid JSON, perhaps NaN or a raw control character in a text"
TOO_DEEP: Final = "nested too deeply"

_ELEMENTS: Final = Decoder(list[Raw])
_MEMBERS: Final = Decoder(dict[str, Raw])
_TEXTS: Final = Decoder(list[str])
_TEXT_STARTS: Final = ord('"')
_NUMBER_STARTS: Final = frozenset(b"-0123456789")
_EMPTY_TEXT: Final = len('""')


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be a row: its text as sent, and why, in words that show nothing of its content."""

    text: bytes
    reason: str


@dataclass(slots=True)
class SplitRecords:
    """The elements of a list of records: usable records, how many are null, and those that cannot be rows."""

    records: list[Record] = field(default_factory=list)
    nulls: int = 0
    rejected: list[Rejected] = field(default_factory=list)


class RecordHead:
    """Decodes a few members of all records of a list in one pass.

    `required` are those without which a record is no row, `others` those that readers of the list need.
    """

    def __init__(self, required: Sequence[str] = (), others: Iterable[str] = ()) -> None:
        self.required = tuple(required)
        self.places = {name: f"m{place}" for place, name in enumerate(dict.fromkeys((*required, *others)))}
        shape = defstruct(
            "_RecordHead",
            [(place, Raw, None) for place in self.places.values()],
            rename={place: name for name, place in self.places.items()},
            gc=False,
        )
        self.of_list = Decoder(list[shape | None]).decode  # type: ignore[valid-type]
        self.of_one = Decoder(shape).decode
        self._required = tuple(self.places[name] for name in required)
        self._getters = tuple(attrgetter(place) for place in self._required)

    def all_there(self, seen: Sequence[Struct | None]) -> bool:
        """Whether every record has all its required members, each a text; if not, each is checked."""
        if None in seen:
            return False
        try:
            return all("" not in _TEXTS.decode(join(list(map(get, seen)))) for get in self._getters)
        except (TypeError, *UNREADABLE):
            return False

    def missing(self, seen: Struct) -> str | None:
        """The first required member that is no text and no number, or empty; None when all are there."""
        for name, place in zip(self.required, self._required, strict=True):
            value = getattr(seen, place)
            if value is None:
                return name
            first = memoryview(value)[0]
            if not (first in _NUMBER_STARTS or (first == _TEXT_STARTS and len(memoryview(value)) > _EMPTY_TEXT)):
                return name
        return None


_NONE: Final = RecordHead()


class SentRecord(Record):
    """A record that is decoded when it is asked; its text stays valid for as long as the record is held.

    `seen` are the members of `head`, already decoded.
    """

    __slots__ = ("_head", "_seen", "text")

    def __init__(self, text: Raw, head: RecordHead = _NONE, seen: Struct | None = None) -> None:
        self.text, self._head, self._seen = text, head, seen

    def __getitem__(self, name: str) -> Raw:
        place = self._head.places.get(name)
        if place is not None:
            value: Raw | None = getattr(self._seen, place)
        else:
            try:
                value = decoder(one_member(name)).decode(self.text).value
            except UNREADABLE:
                return self.members()[name]
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.members())

    def __len__(self) -> int:
        return len(self.members())

    def with_text(self, text: bytes, changed: Collection[str]) -> SentRecord:
        """The record with another text, in which these members may have changed."""
        if self._head.places.keys().isdisjoint(changed):
            return SentRecord(Raw(text), self._head, self._seen)
        return SentRecord(Raw(text))

    def members(self) -> dict[str, Raw]:
        """All members; where a name is no Unicode, those of the repaired text."""
        try:
            return _MEMBERS.decode(self.text)
        except UNREADABLE:
            return _MEMBERS.decode(repair(bytes(self.text)))


def split_records(array: Raw, head: RecordHead = _NONE) -> SplitRecords:
    """The records of a JSON array, as sent. Null elements are counted: lists may have them.

    Raises SchemaError when it is no array.
    """
    try:
        seen, texts = head.of_list(array), _ELEMENTS.decode(array)
    except UNREADABLE:
        listed = elements(bytes(array))
        if listed is None:
            raise SchemaError("There is no readable JSON array where the records should be.") from None
        return sort_out(listed, head)
    if head.all_there(seen):
        return SplitRecords([SentRecord(text, head, known) for text, known in zip(texts, seen, strict=True)])
    split = SplitRecords()
    for text, known in zip(texts, seen, strict=True):
        if known is None:
            split.nulls += 1
        elif (name := head.missing(known)) is not None:
            split.rejected.append(Rejected(bytes(text), without(name)))
        else:
            split.records.append(SentRecord(text, head, known))
    return split


def sort_out(texts: Iterable[bytes], head: RecordHead) -> SplitRecords:
    """As `split_records`, for elements that may be unsound JSON, one by one; invalid Unicode is repaired."""
    split = SplitRecords()
    for text in texts:
        if text == b"null":
            split.nulls += 1
            continue
        found = _read(text, head)
        if isinstance(found, Rejected):
            split.rejected.append(found)
        else:
            split.records.append(found)
    return split


def without(name: str) -> str:
    """The reason against a record without a required member."""
    return f"no usable key {name!r} (absent, null, empty, or of another type)"


def _read(text: bytes, head: RecordHead) -> SentRecord | Rejected:
    if text[:1] != b"{":
        return Rejected(text, NO_OBJECT)
    try:
        repaired = repair(text)
        _MEMBERS.decode(repaired)
        seen = head.of_one(repaired)
    except RecursionError:
        return Rejected(text, TOO_DEEP)
    except UNREADABLE:
        return Rejected(text, NO_JSON)
    name = head.missing(seen)
    return SentRecord(Raw(repaired), head, seen) if name is None else Rejected(text, without(name))


def members_of(record: Record) -> Mapping[str, Raw]:
    """The record's members, decoded once."""
    return record.members() if isinstance(record, SentRecord) else record


def text_of(record: Record) -> Raw | bytes:
    """The record as one JSON object."""
    return record.text if isinstance(record, SentRecord) else object_text(record.items())


def object_text(members: Iterable[tuple[str, Raw]]) -> bytes:
    """A JSON object of these members, their texts unchanged."""
    return b"{" + b",".join([msgspec.json.encode(name) + b":" + bytes(value) for name, value in members]) + b"}"
