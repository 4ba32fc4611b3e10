"""JSON values, as the bytes that were sent -> Arrow arrays of a declared kind.

A column is decoded at once by a typed decoder; only when that fails is it read value by value, with these coercions and
no others: number to string (its text as sent), digit string and integral float to int, int and numeric string to float
where exact, and times from seconds, milliseconds or ISO 8601. A bool is never a number or a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from math import isfinite
from typing import Final, TypeVar

import msgspec
import pyarrow as pa
from msgspec import Raw
from msgspec.json import Decoder

from intercom.schemas import Kind

T = TypeVar("T")
Text = Raw | bytes
"""One JSON value, as sent."""

NULL: Final = Raw(b"null")
UNREADABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)
"""What decoders and Arrow raise for JSON text that is broken or does not fit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01
_END_SECOND: Final = 253_402_300_800  # 10000-01-01
# Intercom's times are seconds; old data also has milliseconds. As seconds, 1e11 is in the year 5138.
_LARGEST_SECONDS: Final = 100_000_000_000
_EXACT_INTEGERS: Final = 2**53  # a float64 holds every integer up to here, and the next one becomes this one

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_STRING: Final = Decoder(str)
_INT: Final = Decoder(int)
_STRINGS: Final = Decoder(list[str | None])
_INTS: Final = Decoder(list[int | None])
_FLOATS: Final = Decoder(list[float | None])
_BOOLS: Final = Decoder(list[bool | None])


def to_array(kind: Kind, values: Sequence[Text]) -> tuple[pa.Array, Sequence[int]]:
    """The values as ``kind``, and the rows whose value does not fit and is null instead."""
    text = join(values)
    if text == _nulls_text(len(values)):
        return nulls(kind, len(values)), ()
    try:
        return _WHOLE[kind](values, text), ()
    except UNREADABLE:
        return _one_by_one(kind, values)


def decode_each(values: Sequence[Text], shape: type[T]) -> list[T | None]:
    """Each value as ``shape``; None for null and for what has another shape."""
    try:
        return Decoder(list[shape | None]).decode(join(values))  # type: ignore[valid-type]
    except UNREADABLE:
        return [_decode_or_none(value, shape) for value in values]


def join(values: Sequence[Text]) -> bytes:
    """A JSON array of the values."""
    return b"[" + b",".join(values) + b"]"


@lru_cache(maxsize=64)
def nulls(kind: Kind, size: int) -> pa.Array:
    """An array of nulls; kept, because most columns of most pages are empty and pages have few sizes."""
    return pa.nulls(size, kind.arrow)


def epoch_seconds(value: Raw | None) -> int | None:
    """A timestamp in whole unix seconds (floor); None when it is absent, null or unreadable.

    Reads what a TIMESTAMP column reads: seconds or milliseconds (above 1e11) as number or digits, or ISO 8601.
    """
    if value is None:
        return None
    try:
        seconds = _INT.decode(value)
    except UNREADABLE:
        seconds = _LARGEST_SECONDS + 1  # not plain seconds
    if _FIRST_SECOND <= seconds <= _LARGEST_SECONDS:
        return seconds
    microseconds = _to_microseconds(bytes(value))
    return None if microseconds is None else microseconds // 1_000_000


@lru_cache(maxsize=16)
def _nulls_text(size: int) -> bytes:
    return join([NULL] * size)


def _decode_or_none(value: Text, shape: type[T]) -> T | None:
    try:
        return Decoder(shape).decode(value)
    except UNREADABLE:
        return None


# A whole column at once: its values and the JSON array of them -> the array; any error means: look value by value.


def _whole_floats(_: Sequence[Text], text: bytes) -> pa.Array:
    floats = _FLOATS.decode(text)
    if max(map(abs, filter(None, floats)), default=0) >= _EXACT_INTEGERS:
        raise ValueError("perhaps an integer that no float64 holds")
    return pa.array(floats, Kind.FLOAT.arrow)


def _whole_timestamps(_: Sequence[Text], text: bytes) -> pa.Array:
    seconds = _INTS.decode(text)
    present = list(filter(None, seconds))
    if present and not (min(present) >= _FIRST_SECOND and max(present) <= _LARGEST_SECONDS):
        raise ValueError("perhaps milliseconds")
    microseconds = [second and second * 1_000_000 for second in seconds]
    return pa.array(microseconds, Kind.TIMESTAMP.arrow)


def _whole_texts(values: Sequence[Text], _: bytes) -> pa.Array:
    texts = [str(value, "utf-8") for value in values]
    return pa.array([None if text == "null" else text for text in texts] if "null" in texts else texts, pa.string())


_WHOLE: Final[dict[Kind, Callable[[Sequence[Text], bytes], pa.Array]]] = {
    Kind.STRING: lambda _, text: pa.array(_STRINGS.decode(text), Kind.STRING.arrow),
    Kind.INT: lambda _, text: pa.array(_INTS.decode(text), Kind.INT.arrow),
    Kind.FLOAT: _whole_floats,
    Kind.BOOL: lambda _, text: pa.array(_BOOLS.decode(text), Kind.BOOL.arrow),
    Kind.TIMESTAMP: _whole_timestamps,
    Kind.JSON: _whole_texts,
}


# Value by value: one JSON text that is not null -> what the column holds, None when it does not fit.


def _one_by_one(kind: Kind, values: Sequence[Text]) -> tuple[pa.Array, list[int]]:
    read = _READERS[kind]
    texts = [bytes(value) for value in values]
    found = [None if text == b"null" else read(text) for text in texts]
    misfits = [row for row, text in enumerate(texts) if found[row] is None and text != b"null"]
    return pa.array(found, kind.arrow), misfits


def _to_string(text: bytes) -> str | None:
    if text[:1] == b'"':
        try:
            return _STRING.decode(text)
        except UNREADABLE:
            return None
    number = text.decode("ascii", "replace")
    return number if _NUMBER.fullmatch(number) else None


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
    if abs(seconds) > _LARGEST_SECONDS:
        seconds = seconds.scaleb(-3)
    if not _FIRST_SECOND <= seconds < _END_SECOND:
        return None
    return int((seconds * 1_000_000).to_integral_value(ROUND_FLOOR))


def _iso_to_microseconds(moment: str) -> int | None:
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return None
    since_epoch = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    if not _FIRST_SECOND <= since_epoch // timedelta(seconds=1) < _END_SECOND:
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


_READERS: Final[dict[Kind, Callable[[bytes], object]]] = {
    Kind.STRING: _to_string,
    Kind.INT: _to_int,
    Kind.FLOAT: _to_float,
    Kind.BOOL: _to_bool,
    Kind.TIMESTAMP: _to_microseconds,
    Kind.JSON: _to_text,
}
