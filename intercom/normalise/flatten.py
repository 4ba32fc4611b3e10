"""Flat columns: values taken out of nested objects by a path of member names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from msgspec import Raw

from intercom.normalise.arrays import NULL, Text, decode_each, join, one_member
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.decode import Decoded, ObjectDecoder
from intercom.tables.schema import COUNT, EACH, Column, ColumnKind

Path = tuple[str, ...]
Found = dict[Path, Decoded]
"""Decoded columns by path; ``(name,)`` is a record's own member."""


class NestedDecoder:
    """The members of nested objects that flat columns need, each parent read once."""

    def __init__(self, flat: Iterable[Column]) -> None:
        kinds: dict[Path, dict[str, ColumnKind]] = {}
        for column in flat:
            for path in filter(None, (column.path, column.otherwise)):
                plain = _plain(path)
                for size in range(2, len(plain) + 1):
                    members, name = kinds.setdefault(plain[: size - 1], {}), plain[size - 1]
                    kind = column.kind if plain[:size] == column.path else ColumnKind.JSON
                    # A member that is needed as two kinds is read as JSON text: both can be made of it.
                    members[name] = kind if members.get(name, kind) is kind else ColumnKind.JSON
        self._parents = {
            parent: (ObjectDecoder(members), ObjectDecoder(dict.fromkeys(members, ColumnKind.JSON)))
            for parent, members in sorted(kinds.items(), key=lambda item: len(item[0]))
        }

    def find(self, found: Found, *, careful: bool) -> None:
        """Add the members' columns to those of the records; ``careful``: as JSON, whatever the values are."""
        for parent, (decoded, texts) in self._parents.items():
            _, values = found[parent]
            try:
                columns = texts.of_any(values) if careful else decoded.of_some(values)
            except UNREADABLE:
                columns = texts.of_any(values)
            for name, column in columns.items():
                found[*parent, name] = column


def texts_at(path: Path, found: Found) -> Sequence[Text]:
    """The JSON text that each record has at a path; null where it has none, or a value of another shape."""
    plain = _plain(path)
    _, values = found[plain]
    if path == plain:
        return values
    if path[-1] == COUNT:
        lists = decode_each(values, list[Raw])
        return [NULL if elements is None else b"%d" % len(elements) for elements in lists]
    element = one_member(path[-1])
    rows: list[Any] = decode_each(values, list[element])  # type: ignore[valid-type]
    return [_values(row) if row else NULL if row is None else b"[]" for row in rows]


def _values(elements: Sequence[Any]) -> bytes:
    try:
        return join([each.value for each in elements])
    except TypeError:  # an element without the member, which is rare
        return join([each.value for each in elements if each.value is not None])


def _plain(path: Path) -> Path:
    """The path as far as it goes through members only."""
    return tuple(takewhile(lambda name: name not in (EACH, COUNT), path))
