"""Takes protected values out of records, or puts a hash or a mask in their place, before anything else sees the text.

The text is made anew of the members that were read, so nothing of it gets through in another spelling: a name that is
escaped, a member that comes twice. Whatever is sent at a protected place is protected, of any type; null stays null. A
list on the way is walked. Where a path goes on and there is neither an object nor a list, the value is taken for one of
the protected ones.

The hash is HMAC-SHA-256 of the UTF-8 text of a string. Anything else is hashed as JSON in one spelling, so a number has
the hash of its digits as text. Nothing else of a record's text changes, but blanks between members.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from math import isfinite
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from intercom.errors import ConfigurationError
from intercom.normalise.coerce import EXACT_INTEGERS, UNREADABLE
from intercom.normalise.json_repair import repair
from intercom.normalise.records import Record, SentRecord, text_of
from intercom.tables.column_rules import Action, ColumnRules, key_id_of

MASKED: Final = "[masked]"
"""The text in place of a masked value."""

FORGOTTEN: Final = "[forgotten]"
"""The text in place of a value of a forgotten person. Rules leave it: rewritten rows are as those read again."""

_MASK: Final = Raw(msgspec.json.encode(MASKED))
_OF_NOBODY: Final = msgspec.json.encode(FORGOTTEN)
_MEMBERS: Final = Decoder(dict[str, Raw])
_ELEMENTS: Final = Decoder(list[Raw])
_TEXT: Final = Decoder(str)

_Node = dict[str, "Action | _Node"]
"""By name of a member: what is done with it, or with its members."""


class Protector:
    """Applies the rules of one table to its records. Safe for any number of threads.

    Raises ConfigurationError if a rule hashes and `key` is not the key that the rules name.
    """

    def __init__(self, rules: ColumnRules, key: str | None = None) -> None:
        if rules.key_id and (key is None or key_id_of(key) != rules.key_id):
            raise ConfigurationError(
                f"Columns are hashed with the key {rules.key_id}, and the connection "
                + ("has no hash_key now." if key is None else f"has another one now, {key_id_of(key)}.")
                + " Give the connection the key that it had when the run began, or run again; nothing more was read."
            )
        self.rules = rules
        self._key = b"" if key is None else key.encode()
        self._tree: _Node = {}
        for rule in rules.rules:
            node = self._tree
            for name in rule.path[:-1]:
                inner = node.setdefault(name, {})
                assert isinstance(inner, dict), rule.path  # no path lies in another
                node = inner
            node[rule.path[-1]] = rule.action

    def record(self, record: Record) -> Record:
        """The record without what is protected. Raises one of `UNREADABLE` for a text that is no JSON object."""
        text = self.text(text_of(record))
        return record.with_text(text, self.rules.roots) if isinstance(record, SentRecord) else SentRecord(Raw(text))

    def text(self, text: Raw | bytes) -> bytes:
        """The text of a record without what is protected. Raises one of `UNREADABLE` if it is no JSON object."""
        try:
            members = _MEMBERS.decode(text)
        except UNREADABLE:
            members = _MEMBERS.decode(repair(bytes(text)))
        if self._tree.keys().isdisjoint(members):
            return bytes(text)
        return self._object(members, self._tree)

    def _object(self, members: dict[str, Raw], node: _Node) -> bytes:
        for name, below in node.items():
            value = members.get(name)
            if value is None:
                continue
            left = self._inside(value, below) if isinstance(below, dict) else self._in_place_of(value, below)
            if left is None:
                del members[name]
            else:
                members[name] = left
        return msgspec.json.encode(members)

    def _inside(self, value: Raw, node: _Node) -> Raw | None:
        """What is left of a value whose members are protected; None if nothing is."""
        start = bytes(memoryview(value)[:1])
        try:
            if start == b"{":
                return Raw(self._object(_MEMBERS.decode(value), node))
            if start == b"[":
                left = [self._inside(element, node) for element in _ELEMENTS.decode(value)]
                return Raw(b"[" + b",".join([bytes(one) for one in left if one is not None]) + b"]")
        except UNREADABLE:
            pass
        return self._in_place_of(value, max(_actions(node), key=lambda action: action.strength))

    def _in_place_of(self, value: Raw, action: Action) -> Raw | None:
        if action is Action.EXCLUDE:
            return None
        text = bytes(value)
        if text in (b"null", _OF_NOBODY):
            return value
        if action is Action.MASK:
            return _MASK
        return Raw(b'"' + hmac.digest(self._key, in_one_spelling(text), "sha256").hex().encode() + b'"')


def in_one_spelling(value: bytes) -> bytes:
    """What is hashed of a JSON value: the text of a string, else JSON without blanks, its members by name."""
    try:
        if value[:1] == b'"':
            return _TEXT.decode(value).encode()
        return _SPELLED.encode(_JSON.decode(value.decode())).encode()
    except UNREADABLE:
        return value  # as sent: such a value has no other spelling that we know of


def _number(digits: str) -> int | float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("no float")
    return int(number) if number.is_integer() and abs(number) <= EXACT_INTEGERS else number


_JSON: Final = json.JSONDecoder(parse_float=_number)
_SPELLED: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _actions(node: _Node) -> Iterator[Action]:
    for below in node.values():
        if isinstance(below, dict):
            yield from _actions(below)
        else:
            yield below
