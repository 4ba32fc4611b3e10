"""Objects of one shape -> columns: a typed decoder reads whole objects, and all columns of a kind become Arrow at once.

Every call into Arrow costs as much as some hundred values, and a page has sixty columns of 150 values: so there is one
call for each kind, and a column is a slice of its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import pyarrow as pa
from msgspec import Raw, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple

from intercom.normalise.arrays import NULL, Text, decode_each, from_decoded, join
from intercom.tables.schema import ColumnKind

Values = Sequence[Any]
"""One column, decoded: str, int, float or bool by its kind; str or int for a reference; the text for JSON.

None for null except in JSON."""

Decoded = tuple[ColumnKind, Values]
"""Values and the kind that they were decoded as; JSON where they are still to be converted."""

_DECODED: Final[dict[ColumnKind, Any]] = {
    ColumnKind.STRING: str | None,
    ColumnKind.REFERENCE: int | str | None,
    ColumnKind.INT: int | None,
    ColumnKind.FLOAT: float | None,
    ColumnKind.BOOL: bool | None,
    ColumnKind.TIMESTAMP: int | None,
    ColumnKind.JSON: Raw,
}


class ObjectDecoder:
    """Reads the members of objects that have a name here, each as its kind; an absent member is null.

    Members named in ``others`` are read as text, None where absent. Any other member is skipped, or with ``closed``
    refused. Names must not have quotes, backslashes or control characters.
    """

    def __init__(self, kinds: Mapping[str, ColumnKind], others: Sequence[str] = (), *, closed: bool = False) -> None:
        self._names = (*kinds, *others)
        self._kinds = (*kinds.values(), *[ColumnKind.JSON for _ in others])
        self._shape = _shape(tuple(kinds.items()), tuple(others), closed)
        self._absent = self._shape()
        self._decode = Decoder(self._shape).decode
        self._decode_some = Decoder(list[self._shape | None]).decode  # type: ignore[name-defined]

    def of_objects(self, texts: Iterable[Text]) -> dict[str, Decoded]:
        """The columns of one or more objects; one of `UNREADABLE` where any value is not of its kind."""
        return self._columns([self._decode(text) for text in texts])

    def of_some(self, texts: Sequence[Text]) -> dict[str, Decoded]:
        """The columns of one or more objects or nulls; one of `UNREADABLE` where any value is not of its kind."""
        return self._columns([row or self._absent for row in self._decode_some(join(texts))])

    def of_any(self, texts: Sequence[Text]) -> dict[str, Decoded]:
        """The columns of one or more values; a value that is no such object counts as an object without members."""
        return self._columns([row or self._absent for row in decode_each(texts, self._shape)])

    def _columns(self, rows: Sequence[Struct]) -> dict[str, Decoded]:
        return dict(zip(self._names, zip(self._kinds, zip(*map(astuple, rows), strict=True), strict=True), strict=True))


@lru_cache(maxsize=256)
def _shape(kinds: tuple[tuple[str, ColumnKind], ...], others: tuple[str, ...], closed: bool) -> type[Struct]:
    """The class of an `ObjectDecoder`'s objects. Making one takes as long as decoding a page of small records, and
    each read of a table would make the same ones."""
    types = [(_DECODED[kind], NULL if kind is ColumnKind.JSON else None) for _, kind in kinds]
    types += [(Raw, None) for _ in others]
    names = [*(name for name, _ in kinds), *others]
    return defstruct(
        "_Members",
        [(f"m{number}", *each) for number, each in enumerate(types)],
        rename={f"m{number}": name for number, name in enumerate(names)},
        forbid_unknown_fields=closed,
        gc=False,
    )


def to_arrays(columns: Mapping[str, Decoded]) -> dict[str, pa.Array]:
    """Columns of equal length, at least one value each; one of `UNREADABLE` where any value may not fit its kind."""
    arrays: dict[str, pa.Array] = {}
    for kind in ColumnKind:
        names = [name for name, (of, _) in columns.items() if of is kind]
        if names:
            together = from_decoded(kind, list(chain.from_iterable([columns[name][1] for name in names])))
            size = len(together) // len(names)
            for number, name in enumerate(names):
                arrays[name] = together.slice(number * size, size)
    return arrays
