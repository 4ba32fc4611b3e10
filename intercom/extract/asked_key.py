"""Compares an answer with the key that was asked for: a single record, or the children of one parent. Pure.

An answer may be well formed and that of another request, as caches and proxies mix them up. Keys are compared as texts:
Intercom sends some ids as numbers. An answer without a key has nothing to compare, and may be the right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from intercom.api.response import Answer
from intercom.errors import SchemaError
from intercom.extract.pages import records_in
from intercom.normalise.coerce import UNREADABLE, coerce
from intercom.normalise.records import Record, RecordHead
from intercom.tables.schema import ColumnKind
from intercom.tables.table import Table

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


def key_of_record(table: Table, answer: Answer) -> str | None:
    """The key in a single record's answer; None where there is none. `table` has a record path."""
    (name,) = table.primary_key
    return _text(bytes(answer.fields.get(name, b"null")))


def another_record(table: Table, key: str, answer: Answer) -> str | None:
    """Why an answer is not that of the address of this key: it has another record. None if it can be."""
    found = key_of_record(table, answer)
    return None if found in (None, key) else "the answer is another record, not the one that was asked for"


def parents_named(table: Table, answer: Answer) -> frozenset[str]:
    """The keys of parents that an answer with children names; empty where it names none."""
    assert table.parent is not None
    named = set[str | None]()
    if table.parent.named_beside:
        named.add(_text(bytes(answer.fields.get(table.parent.named_beside, b"null"))))
    if table.parent.named_in:
        path = table.parent.named_in
        try:
            split, _ = records_in(answer, table, _head(path[0]))
        except SchemaError:  # raised again by whoever reads the answer
            return frozenset()
        named.update(_key_at(record, path) for record in split.records)
    return frozenset(key for key in named if key is not None)


def another_parents(table: Table, key: str, answer: Answer) -> str | None:
    """Why an answer is not that of this parent: it names others only. None if it can be."""
    assert table.parent is not None
    named = parents_named(table, answer)
    if not named or key in named:
        return None
    return f"the answer belongs to another one of the {table.parent.table.name}, not to the one that was asked for"


def _key_at(record: Record, path: Sequence[str]) -> str | None:
    """The key at a path of members; None where there is none."""
    text = record.get(path[0])
    for name in path[1:]:
        try:
            text = None if text is None else _MEMBERS.decode(text).get(name)
        except UNREADABLE:
            return None
    return None if text is None else _text(bytes(text))


def _text(raw: bytes) -> str | None:
    found = coerce(ColumnKind.STRING, raw)
    return found if isinstance(found, str) and found else None


@lru_cache(maxsize=16)
def _head(member: str) -> RecordHead:
    return RecordHead(others=(member,))
