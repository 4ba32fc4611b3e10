"""JSON values, as the bytes that were sent -> Arrow arrays of a declared kind.

A column is decoded at once by a typed decoder; only when that fails is it read value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw
from msgspec.json import Decoder

from intercom.normalise.coerce import EXACT_INTEGERS, FIRST_SECOND, LAST_SECOND, UNREADABLE, coerce, epoch_seconds
from intercom.tables.schema import ColumnKind

T = TypeVar("T")
Text = Raw | bytes
"""One JSON value, as sent."""

NULL: Final = Raw(b"null")

_SEPARATOR: Final = b"\x1e"  # no JSON text has a control character but spaces, tabs and line ends

decoder: Final[Callable[[Any], Decoder[Any]]] = lru_cache(maxsize=64)(Decoder)
"""The decoder for a type. Cached, because making one costs more than decoding a page's column."""

_SCALARS: Final = Decoder(list[int | float | str | bool | None])
_WHOLE: Final[dict[ColumnKind, Decoder[Any]]] = {
    ColumnKind.STRING: Decoder(list[str | None]),
    ColumnKind.REFERENCE: Decoder(list[int | str | None]),
    ColumnKind.INT: Decoder(list[int | None]),
    ColumnKind.FLOAT: Decoder(list[float | None]),
    ColumnKind.BOOL: Decoder(list[bool | None]),
    ColumnKind.TIMESTAMP: Decoder(list[int | None]),
}


class Converted(NamedTuple):
    """A column; the rows whose value does not fit and is null instead; `plain`: all values were decoded at once."""

    array: pa.Array
    misfits: Sequence[int] = ()
    plain: bool = True


def to_array(kind: ColumnKind, values: Sequence[Text]) -> Converted:
    """The values as ``kind``."""
    text = join(values)
    if text == _nulls_text(len(values)):
        return Converted(nulls(kind, len(values)))
    try:
        return Converted(from_decoded(kind, values if kind is ColumnKind.JSON else _WHOLE[kind].decode(text)))
    except UNREADABLE:
        return _one_by_one(kind, values)


def from_decoded(kind: ColumnKind, values: Sequence[Any]) -> pa.Array:
    """Values as a typed decoder gives them: str, int, float, bool or None, seconds for times, the text for JSON.

    A reference is str or int.

    Raises one of `UNREADABLE` when the values have to be read one by one: one does not fit, or may mean another thing.
    """
    return _FROM_DECODED[kind](values)


def decode_each(values: Sequence[Text], shape: type[T]) -> list[T | None]:
    """Each value as ``shape``; None for null and for what has another shape."""
    try:
        found: list[T | None] = decoder(list[shape | None]).decode(join(values))  # type: ignore[valid-type]
    except UNREADABLE:
        return [_decode_or_none(value, shape) for value in values]
    return found


@lru_cache(maxsize=64)
def one_member(name: str) -> type[Any]:
    """A shape that takes one member of an object, as ``value``: its text, None where it is absent.

    Raises ValueError for a name with quotes, backslashes or control characters.
    """
    return msgspec.defstruct("OneMember", [("value", Raw, None)], rename={"value": name}, gc=False)


def all_epoch_seconds(values: Sequence[Raw | None]) -> list[int | None]:
    """`epoch_seconds` of each value, decoded at once where all are plain seconds or null."""
    try:
        found: list[int | None] = _WHOLE[ColumnKind.TIMESTAMP].decode(join([value or NULL for value in values]))
    except UNREADABLE:
        return [epoch_seconds(value) for value in values]
    if all(second is None or FIRST_SECOND <= second <= LAST_SECOND for second in found):
        return found
    return [epoch_seconds(value) for value in values]


def join(values: Sequence[Text]) -> bytes:
    """A JSON array of the values."""
    return b"[" + b",".join(values) + b"]"


@lru_cache(maxsize=64)
def nulls(kind: ColumnKind, size: int) -> pa.Array:
    """An array of nulls. Cached, because most columns of most pages are empty and pages have few sizes."""
    array: pa.Array = pa.nulls(size, kind.arrow)  # type: ignore[call-overload, unused-ignore]
    return array


@lru_cache(maxsize=16)
def _nulls_text(size: int) -> bytes:
    return join([NULL] * size)


def _decode_or_none(value: Text, shape: type[T]) -> T | None:
    try:
        found: T = decoder(shape).decode(value)
    except UNREADABLE:
        return None
    return found


# A whole column of decoded values at once; any error means: look value by value.


def _references(values: Sequence[int | str | None]) -> pa.Array:
    texts = [str(value) if type(value) is int else value for value in values]
    return pa.array(texts, ColumnKind.REFERENCE.arrow)


def _floats(values: Sequence[float | None]) -> pa.Array:
    if max(map(abs, filter(None, values)), default=0) >= EXACT_INTEGERS:
        raise ValueError("perhaps an integer that no float64 holds")
    return pa.array(values, ColumnKind.FLOAT.arrow)


def _timestamps(values: Sequence[int | None]) -> pa.Array:
    seconds = pa.array(values, pa.int64())
    least, most = (bound.as_py() for bound in pc.min_max(seconds).values())
    if least is not None and not FIRST_SECOND <= least <= most <= LAST_SECOND:
        raise ValueError("perhaps milliseconds")
    return pc.multiply(seconds, 1_000_000).view(ColumnKind.TIMESTAMP.arrow)


def _texts(values: Sequence[Text]) -> pa.Array:
    # Arrow cuts the texts faster than Python measures them. The cast refuses what is no UTF-8: no decoder looks at it.
    together = pa.array([_SEPARATOR.join(values)], pa.binary()).cast(ColumnKind.JSON.arrow)
    texts = pc.split_pattern(together, _SEPARATOR.decode()).values
    if len(texts) != len(values):
        raise ValueError("a text that is not JSON")
    present = pc.not_equal(texts, pa.scalar("null")).buffers()[1]
    return pa.Array.from_buffers(ColumnKind.JSON.arrow, len(texts), [present, *texts.buffers()[1:]])


_FROM_DECODED: Final[dict[ColumnKind, Callable[[Sequence[Any]], pa.Array]]] = {
    ColumnKind.STRING: lambda values: pa.array(values, ColumnKind.STRING.arrow),
    ColumnKind.REFERENCE: _references,
    ColumnKind.INT: lambda values: pa.array(values, ColumnKind.INT.arrow),
    ColumnKind.FLOAT: _floats,
    ColumnKind.BOOL: lambda values: pa.array(values, ColumnKind.BOOL.arrow),
    ColumnKind.TIMESTAMP: _timestamps,
    ColumnKind.JSON: _texts,
}


# Value by value: one JSON text that is not null -> what the column holds, None when it does not fit.


def _one_by_one(kind: ColumnKind, values: Sequence[Text]) -> Converted:
    plain = _plain_microseconds(values) if kind is ColumnKind.TIMESTAMP else [None] * len(values)
    found: list[object] = [
        (None if value == NULL else coerce(kind, bytes(value))) if known is None else known
        for value, known in zip(values, plain, strict=True)
    ]
    misfits = [row for row, value in enumerate(found) if value is None and values[row] != NULL]
    return Converted(pa.array(found, kind.arrow), misfits, plain=False)


def _plain_microseconds(values: Sequence[Text]) -> list[int | None]:
    """The times that are whole seconds, as nearly all are in a column with some others; None where they are not."""
    try:
        numbers = _SCALARS.decode(join(values))
    except UNREADABLE:
        return [None] * len(values)
    return [
        number * 1_000_000 if type(number) is int and FIRST_SECOND <= number <= LAST_SECOND else None
        for number in numbers
    ]
