"""Cuts out the parts of a JSON text that cannot be decoded, by brackets, quotes and commas alone.

One record with ``NaN``, a raw control character or a thousand nested lists makes a whole answer unreadable, and the
server would send it again at every try. This module only cuts the text; whether a part is valid JSON, a strict decoder
decides. A text that ends early, lacks a bracket, or is no JSON has no parts.

Time is linear in the length of the text; memory for nesting is one byte a level.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError
from msgspec.json import Decoder

from intercom.normalise.json_repair import repair

_SPACE: Final = b" \t\n\r"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN: Final = re.compile(_STRING + rb'|[\[\]{},"]', re.DOTALL)
_NAME: Final = re.compile(_STRING, re.DOTALL)
_TEXT: Final = Decoder(str)
_QUOTE: Final = ord('"')
_COMMA: Final = ord(",")
_CLOSED_BY: Final[Mapping[int, int]] = {ord("["): ord("]"), ord("{"): ord("}")}


def elements(array: bytes) -> list[bytes] | None:
    """The texts of an array's elements; None when the text is not one whole array, or an element is empty."""
    return _parts(array, ord("["))


def members(text: bytes) -> dict[str, bytes] | None:
    """The members of an object by name, the last of equal names; None when the text is not one whole object."""
    parts = _parts(text, ord("{"))
    if parts is None:
        return None
    found: dict[str, bytes] = {}
    for part in parts:
        name = _NAME.match(part)
        colon, value = (b"", b"") if name is None else _cut(part[name.end() :])
        if name is None or colon != b":" or not value:
            return None
        try:
            found[_TEXT.decode(repair(name[0]))] = value
        except DecodeError:
            return None
    return found


def _cut(rest: bytes) -> tuple[bytes, bytes]:
    """Of the text after a name: its first character, which should be a colon, and the value."""
    rest = rest.strip(_SPACE)
    return rest[:1], rest[1:].strip(_SPACE)


def _parts(text: bytes, opening: int) -> list[bytes] | None:
    parts: list[bytes] = []
    awaited = bytearray()  # the closing bracket of each level
    start = 0
    for token in _TOKEN.finditer(text):
        mark, at, end = text[token.start()], token.start(), token.end()
        if mark == _QUOTE:
            if end - at == 1:
                return None  # a string without an end
        elif mark in _CLOSED_BY:
            if not awaited:
                if mark != opening or text[:at].strip(_SPACE):
                    return None
                start = end
            awaited.append(_CLOSED_BY[mark])
        elif not awaited:
            return None
        elif mark == _COMMA:
            if len(awaited) == 1:
                parts.append(text[start:at].strip(_SPACE))
                start = end
        else:
            if awaited.pop() != mark:
                return None
            if not awaited:
                parts.append(text[start:at].strip(_SPACE))
                parts = [] if parts == [b""] else parts
                return None if b"" in parts or text[end:].strip(_SPACE) else parts
    return None
