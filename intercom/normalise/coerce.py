"""One JSON value, as the bytes that were sent -> what a column of a declared kind holds.

The only coercions are: number to string (its text as sent, but 0 for a reference -0), digit string and integral float
to int, int and numeric string to float where exact, and times from seconds, milliseconds or ISO 8601. A bool is never a
number or a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from math import isfinite
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from intercom.tables.schema import ColumnKind

UNREADABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What decoders and Arrow raise for JSON text that is broken or does not fit."""

FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01
LAST_SECOND: Final = 253_402_300_799
"""9999-12-31 23:59:59. Intercom's times are seconds, old data also has milliseconds: a number is read as milliseconds
only if it lies outside of `FIRST_SECOND` to `LAST_SECOND`, and so cannot be seconds."""
EXACT_INTEGERS: Final = 2**53  # a float64 holds every integer up to here, and the next one becomes this one

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_STRING: Final = Decoder(str)
_INT: Final = Decoder(int)


def coerce(kind: ColumnKind, text: bytes) -> object:
    """What a column of this kind holds for a JSON text other than null (times: microseconds); None: it does not fit."""
    return _READERS[kind](text)


def epoch_seconds(value: Raw | None) -> int | None:
    """A timestamp in whole unix seconds (floor); None when it is absent, null or unreadable.

    Reads what a TIMESTAMP column reads: ISO 8601, or a number or digits, in seconds or (if too large) milliseconds.
    """
    if value is None:
        return None
    try:
        seconds = _INT.decode(value)
    except UNREADABLE:
        seconds = LAST_SECOND + 1  # not plain seconds
    if FIRST_SECOND <= seconds <= LAST_SECOND:
        return seconds
    microseconds = _to_microseconds(bytes(value))
    return None if microseconds is None else microseconds // 1_000_000


def _to_string(text: bytes) -> str | None:
    if text[:1] == b'"':
        try:
            return _STRING.decode(text)
        except UNREADABLE:
            return None
    number = text.decode("ascii", "replace")
    return number if _NUMBER.fullmatch(number) else None


def _to_reference(text: bytes) -> str | None:
    return "0" if text == b"-0" else _to_string(text)  # the typed decoder, which reads a page at once, has an integer


def _to_int(text: bytes) -> int | None:
    """An integer of 64 bits from an integer, an integral float or a string of digits."""
    digits = _to_string(text)
    if digits is None or not (_INTEGER if text[:1] == b'"' else _NUMBER).fullmatch(digits):
        return None
    number = _to_decimal(digits)
    if number is None or not -(2**63) <= number < 2**63 or number != number.to_integral_value():
        return None
    return int(number)


def _to_float(text: bytes) -> float | None:
    """The nearest float of a number or a numeric string; an integer must be exact."""
    digits = _to_string(text)
    if digits is None or not _NUMBER.fullmatch(digits):
        return None
    number = float(digits)
    if not isfinite(number) or (_INTEGER.fullmatch(digits) and int(number) != int(digits)):
        return None
    return number


def _to_bool(text: bytes) -> bool | None:
    return {b"true": True, b"false": False}.get(text)


def _to_microseconds(text: bytes) -> int | None:
    """Microseconds since 1970 (floor) from seconds, milliseconds or ISO 8601; times without a zone are UTC."""
    moment = _to_string(text)
    if moment is None:
        return None
    if not _NUMBER.fullmatch(moment):
        return _iso_to_microseconds(moment)
    seconds = _to_decimal(moment)
    if seconds is None:
        return None
    if not FIRST_SECOND <= seconds < LAST_SECOND + 1:
        seconds = seconds.scaleb(-3)
    if not FIRST_SECOND <= seconds < LAST_SECOND + 1:
        return None
    return int((seconds * 1_000_000).to_integral_value(ROUND_FLOOR))


def _iso_to_microseconds(moment: str) -> int | None:
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return None
    since_epoch = (time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH
    if not FIRST_SECOND <= since_epoch // timedelta(seconds=1) <= LAST_SECOND:
        return None
    return since_epoch // timedelta(microseconds=1)


def _to_decimal(digits: str) -> Decimal | None:
    """Exact; None for what no column can hold, so that later arithmetic stays small (1e999999999 is legal JSON)."""
    try:
        number = Decimal(digits)
    except ArithmeticError:
        return None
    return number if number.adjusted() < 20 else None


def _to_text(text: bytes) -> str:
    return text.decode("utf-8", "replace")


_READERS: Final[dict[ColumnKind, Callable[[bytes], object]]] = {
    ColumnKind.STRING: _to_string,
    ColumnKind.REFERENCE: _to_reference,
    ColumnKind.INT: _to_int,
    ColumnKind.FLOAT: _to_float,
    ColumnKind.BOOL: _to_bool,
    ColumnKind.TIMESTAMP: _to_microseconds,
    ColumnKind.JSON: _to_text,
}
