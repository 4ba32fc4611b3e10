"""Records as sent -> Arrow batches of exactly the declared schema.

Each record is decoded one level deep; nested values stay the bytes that were sent. The values of one column of a page
are joined to one JSON array and decoded at once by a typed decoder; only a column that has an odd value is read value
by value. What has no column or does not fit its column goes to ``_extra`` verbatim, so that an odd value never fails a
page and never changes a type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw
from msgspec.json import Decoder

from intercom.errors import SchemaError
from intercom.jsontext import mend
from intercom.schemas import COUNT, EACH, EXTRA, INGESTED_AT, Column, Kind
from intercom.tables import Table
from intercom.values import NULL, UNREADABLE, Text, decode_each, epoch_seconds, join, nulls, to_array

__all__ = ["Normaliser", "Record", "epoch_seconds", "split_records"]

Record = dict[str, Raw]
Path = tuple[str, ...]

_RECORDS: Final = Decoder(list[Record | None])
_ELEMENTS: Final = Decoder(list[Raw])
_RECORD: Final = Decoder(Record | None)


def split_records(array: Raw, *, where: str = "Intercom's answer") -> list[Record | None]:
    """The records of a JSON array, nested values as sent; a null element is None (the list of admins may have them).

    Raises SchemaError when it is no array, or with the position of the first element that is no object. The message
    begins with ``where`` (for example "Table 'tags', page 3, request abc").
    """
    try:
        return _RECORDS.decode(array)
    except UNREADABLE:
        return _split_one_by_one(mend(bytes(array)), where)


def _split_one_by_one(array: bytes, where: str) -> list[Record | None]:
    try:
        elements = _ELEMENTS.decode(array)
    except UNREADABLE as error:
        raise SchemaError(f"{where}: no readable JSON array where the records should be.") from error
    records = []
    for position, element in enumerate(elements, start=1):
        try:
            records.append(_RECORD.decode(element))
        except UNREADABLE as error:
            raise SchemaError(f"{where}: record {position} of {len(elements)} is no JSON object.") from error
    return records


class Normaliser:
    """Turns pages of one table's records into batches; all rows carry ``ingested_at`` (aware)."""

    def __init__(self, table: Table, ingested_at: datetime) -> None:
        if ingested_at.tzinfo is None:
            raise ValueError("ingested_at needs a time zone")
        self._table = table
        self._schema = table.schema.arrow
        self._names = [column.name for column in table.schema.fields]
        self._ingested_at = pa.scalar(ingested_at, Kind.TIMESTAMP.arrow)

    def batch(self, records: Sequence[Record], *, where: str) -> pa.RecordBatch:
        """One row per record in their order, columns as in ``table.schema.arrow``.

        Raises SchemaError for a record without the table's key; ``where`` (for example "page 3, request abc") and the
        record's position in the page are in the message, its content is not.
        """
        page = _Page(self._names, records)
        misfits: dict[int, set[str]] = {}
        arrays: dict[str, pa.Array] = {}
        for column in self._table.schema.fields:
            arrays[column.name], rows = to_array(column.kind, page.values((column.name,)))
            for row in rows:
                misfits.setdefault(row, set()).add(column.name)
        for name in self._table.required:
            self._demand(name, arrays[name], where)
        for column in self._table.schema.flat:
            arrays[column.name] = page.flat_column(column)
        arrays[EXTRA] = self._extra(records, misfits, page.rows_with_unknown)
        arrays[INGESTED_AT] = pa.repeat(self._ingested_at, len(records))
        return pa.RecordBatch.from_arrays([arrays[name] for name in self._schema.names], schema=self._schema)

    def _demand(self, name: str, array: pa.Array, where: str) -> None:
        if array.null_count == 0 and pc.index(array, "").as_py() < 0:
            return
        position = 1 + next(row for row, value in enumerate(array.to_pylist()) if not value)
        raise SchemaError(
            f"Table {self._table.name!r}, {where}: record {position} of {len(array)} has no usable key {name!r}"
            " (absent, null, empty, or of another type). The page was not kept; ask Intercom about the request."
        )

    def _extra(self, records: Sequence[Record], misfits: Mapping[int, set[str]], unknown: set[int]) -> pa.Array:
        rows = misfits.keys() | unknown
        if not rows:
            return nulls(Kind.JSON, len(records))
        known = frozenset(self._names)
        texts: list[str | None] = [None] * len(records)
        for row in rows:
            odd = misfits.get(row, ())
            texts[row] = _object_text(
                (name, value) for name, value in records[row].items() if name in odd or name not in known
            )
        return pa.array(texts, Kind.JSON.arrow)


class _Page:
    """The values of one page by column."""

    def __init__(self, names: Sequence[str], records: Sequence[Record]) -> None:
        # A template gives every record the declared members first and in one order, and then only the unknown ones:
        # columns come from one zip, and a record with unknown members is one that is longer than the template.
        template = dict.fromkeys(names, NULL)
        filled = [template | record for record in records]
        columns = zip(*[record.values() for record in filled], strict=False)
        self._columns = dict(zip(names, columns, strict=False))
        self._objects: dict[Path, list[Record]] = {}
        self.rows_with_unknown = {row for row, record in enumerate(filled) if len(record) > len(names)}

    def flat_column(self, column: Column) -> pa.Array:
        """A column taken from a nested value, null where it is not to be had."""
        array, _ = to_array(column.kind, self.values(column.path))
        if column.otherwise and array.null_count:
            array = pc.coalesce(array, to_array(column.kind, self.values(column.otherwise))[0])
        return array

    def values(self, path: Path) -> Sequence[Text]:
        """What each record has at a path, null where it has nothing or something of another shape."""
        parent, name = path[:-1], path[-1]
        if not parent:
            return self._columns.get(name, ())
        if name == COUNT:
            lists = decode_each(self.values(parent), list[Raw])
            return [NULL if elements is None else b"%d" % len(elements) for elements in lists]
        if parent[-1] == EACH:
            rows = decode_each(self.values(parent[:-1]), list[Record])
            return [
                NULL if row is None else join([element[name] for element in row if name in element]) for row in rows
            ]
        if parent not in self._objects:
            self._objects[parent] = [found or {} for found in decode_each(self.values(parent), Record)]
        return [found.get(name, NULL) for found in self._objects[parent]]


def _object_text(members: Iterable[tuple[str, Raw]]) -> str:
    pairs = (msgspec.json.encode(name).decode() + ":" + str(value, "utf-8", "replace") for name, value in members)
    return "{" + ",".join(pairs) + "}"
