"""One table of the sandbox: records as the bytes that are served, and sorted views of them for searches.

A record is kept as JSON text and never re-encoded as a whole, so that a decimal such as ``1.10`` or an integer beyond
64 bits leaves the server byte for byte as it was put in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from zlib import crc32

import msgspec

ABSENT: Final = msgspec.UNSET
"""As a field's value: the record has no such key (Intercom omits keys where others would send null)."""

UNSORTED: Final = "?unsorted"
WALK: Final = "?walk"

Value = Any  # a JSON value
Position = tuple[int, Value, str]
"""Rank of the value's kind (null, number, text), the value, the id: a total order over mixed columns."""

Time = int | str | None
"""Unix seconds; those of calls may be ISO 8601 text."""

_split = msgspec.json.Decoder(dict[str, msgspec.Raw])


def raw(text: str) -> msgspec.Raw:
    """JSON text to be served exactly as given, for example ``raw("1.10")``."""
    return msgspec.Raw(text.encode())


def position(value: Value, key: str) -> Position:
    """The sort position of a record with this sort value; records with equal values sort by id."""
    if value is None:
        return (0, 0, key)
    if isinstance(value, int | float):
        return (1, value, key)
    return (2, str(value), key)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as served, with the three fields that every search needs."""

    key: str
    created_at: Time
    updated_at: Time
    body: bytes

    @classmethod
    def encode(cls, key: str, fields: Mapping[str, Value]) -> Record:
        """Encode the fields once; ``raw`` values keep their text, ``ABSENT`` ones leave no key."""
        kept = {name: value for name, value in fields.items() if value is not ABSENT}
        return cls.of_body(key, msgspec.json.encode(kept))

    @classmethod
    def of_body(cls, key: str, body: bytes) -> Record:
        times = _times.decode(body)
        return cls(key, times.created_at, times.updated_at, body)

    def changed(self, fields: Mapping[str, Value]) -> Record:
        """This record with some top-level fields replaced and the text of all others untouched."""
        return Record.encode(self.key, {**_split.decode(self.body), **fields})

    def value(self, path: str) -> Value:
        """The value at a dotted path; ``name[]`` collects over a list, a missing step is null.

        All values are null in a body that is no JSON object, which some tests serve.
        """
        if path == "id":
            return self.key
        if path == "updated_at":
            return self.updated_at
        if path == "created_at":
            return self.created_at
        if path == WALK:
            return crc32(self.key.encode())
        if path == UNSORTED:
            # Changes with the record: a reader that sends no sort loses rows, as with the real API.
            return crc32(f"{self.key}.{self.updated_at}".encode())
        first, *steps = path.split(".")
        try:
            value = _member(first).decode(self.body).value
        except (msgspec.DecodeError, RecursionError):
            value = None
        return _walk(value, steps) if steps else value


class _Times(msgspec.Struct):
    created_at: Time = None
    updated_at: Time = None


_times = msgspec.json.Decoder(_Times)


@cache
def _member(name: str) -> msgspec.json.Decoder[Any]:
    """A decoder that reads one top-level field as ``value``; skipping the others takes a fraction of the time."""
    return msgspec.json.Decoder(msgspec.defstruct("_Member", [("value", Any, None)], rename={"value": name}))


def _walk(node: Value, steps: list[str]) -> Value:
    for number, step in enumerate(steps):
        node = node.get(step.removesuffix("[]")) if isinstance(node, dict) else None
        if step.endswith("[]"):
            return [_walk(element, steps[number + 1 :]) for element in node or []]
    return node


class RecordTable:
    """Records by key, in the order they came, with sorted views that follow each change."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._orders: dict[tuple[str, str], list[Position]] = {}
        self._columns: dict[str, dict[str, Value]] = {}
        self._followers: list[Callable[[str, Record | None], None]] = []
        self.version = 0  # increases with each change, which makes cached results stale

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __getitem__(self, key: str) -> Record:
        return self._records[key]

    @property
    def keys(self) -> Iterable[str]:
        """In the order in which the records came."""
        return self._records.keys()

    def bodies(self, keys: Iterable[str]) -> list[bytes]:
        """The served text of these records."""
        return [self._records[key].body for key in keys]

    def put(self, record: Record) -> None:
        """Add a record or replace the one with its key."""
        self._forget(record.key)
        self._records[record.key] = record
        for (field, ending), order in self._orders.items():
            if record.key.endswith(ending):
                insort(order, position(record.value(field), record.key))
        for field, column in self._columns.items():
            column[record.key] = record.value(field)
        self._tell(record.key, record)

    def remove(self, key: str) -> None:
        """Take a record away; KeyError when there is none."""
        self._forget(key)
        del self._records[key]
        self._tell(key, None)

    def follow(self, changed: Callable[[str, Record | None], None]) -> None:
        """Call ``changed`` with each record that is put from now on, and with None for one that is removed."""
        self._followers.append(changed)

    def _tell(self, key: str, record: Record | None) -> None:
        self.version += 1
        for changed in self._followers:
            changed(key, record)

    def _forget(self, key: str) -> None:
        old = self._records.get(key)
        if old is None:
            return
        for (field, ending), order in self._orders.items():
            if key.endswith(ending):
                del order[bisect_left(order, position(old.value(field), key))]
        for column in self._columns.values():
            del column[key]

    def order(self, field: str, ending: str = "") -> list[Position]:
        """Positions of all records, or of those whose id ends with ``ending``, ascending by this field and then by id.

        The view is sorted once and then updated with each change.
        """
        view = (field, ending)
        if view not in self._orders:
            if ending:
                self._orders[view] = [place for place in self.order(field) if place[2].endswith(ending)]
            else:
                self._orders[view] = sorted(position(record.value(field), record.key) for record in self)
        return self._orders[view]

    def column(self, field: str) -> Mapping[str, Value]:
        """The field's value for each key."""
        if field not in self._columns:
            self._columns[field] = {record.key: record.value(field) for record in self}
        return self._columns[field]

    def after(self, field: str, start: Position | None, count: int) -> list[Position]:
        """Up to ``count`` positions after ``start``, ascending."""
        order = self.order(field)
        first = 0 if start is None else bisect_right(order, start)
        return order[first : first + count]
