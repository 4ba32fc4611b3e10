"""Records as sent -> Arrow batches of exactly the declared schema.

What has no column or does not fit its column goes to ``_extra`` verbatim, so that an odd value never fails a page and
never changes a type.

A page is read by a typed decoder of the declared members. The decoder refuses a page with an odd value or an unknown
member; such a page is read column by column, and value by value where needed, which is several times the work. So the
normaliser learns from it: the odd column is read as text from then on, and the unknown member is expected. The rows are
the same either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.errors import SchemaError
from intercom.normalise.arrays import NULL, Text, nulls, to_array
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.decode import ObjectDecoder, to_arrays
from intercom.normalise.flatten import Found, NestedDecoder, texts_at
from intercom.normalise.records import Record, members_of, object_text, text_of
from intercom.tables.schema import DELETED_AT, EXTRA, INGESTED_AT, Column, ColumnKind, TableSchema
from intercom.tables.table import Table

Page = tuple[Sequence[Record], str]
"""Records, and what errors call their page."""

ROWS_TOGETHER: Final = 300
"""Rows that are decoded at a time: enough to share the fixed cost of a column, few enough for the processor's cache."""
_MOST_TOGETHER: Final = 10 * ROWS_TOGETHER
"""Rows of one page that are decoded at a time, at most: decoded values take far more memory than their columns."""
_MOST_EXPECTED: Final = 64
"""Unknown members that are expected at most: where there are more, the names are data, such as ids."""
MOST_NAMED: Final = 300
"""Unknown members whose names are kept; a record's are kept together."""


class Normaliser:
    """Turns pages of one table's records into batches; all rows carry ``ingested_at`` (aware)."""

    def __init__(self, table: Table, ingested_at: datetime) -> None:
        if ingested_at.tzinfo is None:
            raise ValueError("ingested_at needs a time zone")
        self._table = table
        self._schema = table.schema.arrow
        self._ingested_at = pa.scalar(ingested_at, ColumnKind.TIMESTAMP.arrow)
        self._expected = _Expected(table.schema)
        self._nested = NestedDecoder(table.schema.flat)
        self._beside: set[str] = set()

    @property
    def unknown(self) -> list[str]:
        """Names, sorted, of fields without a column so far; of more than `MOST_NAMED` only the first ones."""
        return sorted(self._beside)

    def batch(self, records: Sequence[Record], *, where: str) -> pa.RecordBatch:
        """One row per record in their order, columns as in ``table.schema.arrow``.

        Raises SchemaError for a record without the table's key; ``where`` (for example "page 3, request abc") and the
        record's position in the page are in the message, its content is not.
        """
        return self.batch_pages([(records, where)])

    def batch_pages(self, pages: Sequence[Page]) -> pa.RecordBatch:
        """One batch of the records of several pages, which is less work than a batch for each; otherwise as `batch`."""
        batches = [self._batch(some) for some in _together(pages)]
        if len(batches) == 1:
            return batches[0]
        joined: pa.RecordBatch = pa.concat_batches(batches)  # type: ignore[attr-defined, unused-ignore]
        return joined

    def _batch(self, pages: Sequence[Page]) -> pa.RecordBatch:
        records = [record for page, _ in pages for record in page]
        if not records:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        rows = self._rows(records)
        for name in self._table.required_columns:
            self._demand(name, rows.arrays[name], pages)
        arrays = rows.arrays | {
            EXTRA: self._extra(records, rows),
            DELETED_AT: nulls(ColumnKind.TIMESTAMP, len(records)),
            INGESTED_AT: pa.repeat(self._ingested_at, len(records)),  # type: ignore[call-overload, unused-ignore]
        }
        return pa.RecordBatch.from_arrays([arrays[name] for name in self._schema.names], schema=self._schema)

    def _rows(self, records: Sequence[Record]) -> _Rows:
        try:
            rows = _Rows(self._table.schema, *self._expected.read(records))
            rows.convert(self._nested, careful=False)
        except UNREADABLE:
            found, unknown, names = _read_carefully(self._table.schema.fields, records)
            rows = _Rows(self._table.schema, found, unknown)
            rows.convert(self._nested, careful=True)
            self._expected = self._expected.with_more(rows.odd, names)
        return rows

    def _demand(self, name: str, array: pa.Array, pages: Sequence[Page]) -> None:
        if array.null_count == 0 and pc.index(array, "").as_py() < 0:
            return
        row = next(row for row, value in enumerate(array.to_pylist()) if not value)
        for page, where in pages:
            if row < len(page):
                raise SchemaError(
                    f"Table {self._table.name!r}, {where}: record {row + 1} of {len(page)} has no usable key {name!r}"
                    " (absent, null, empty, or of another type). The page was not kept; ask Intercom about the request."
                )
            row -= len(page)

    def _extra(self, records: Sequence[Record], rows: _Rows) -> pa.Array:
        positions = rows.misfits.keys() | rows.unknown
        if not positions:
            return nulls(ColumnKind.JSON, len(records))
        declared = self._expected.declared
        texts: list[str | None] = [None] * len(records)
        for row in positions:
            odd = rows.misfits.get(row, ())
            members = members_of(records[row])
            unknown = [name for name in members if name not in declared]
            if not self._beside.issuperset(unknown) and len(self._beside) < MOST_NAMED:
                self._beside.update(unknown)
            beside = [name for name in members if name in odd or name not in declared] if odd else unknown
            texts[row] = object_text((name, members[name]) for name in beside).decode("utf-8", "replace")
        return pa.array(texts, ColumnKind.JSON.arrow)


class _Expected:
    """What is known of the members of a table's records: declared kinds, odd columns, unknown members."""

    def __init__(self, schema: TableSchema, odd: frozenset[str] = frozenset(), unknown: tuple[str, ...] = ()) -> None:
        self.declared = frozenset(column.name for column in schema.fields)
        self._schema, self._odd, self._unknown = schema, odd, unknown
        kinds = {column.name: ColumnKind.JSON if column.name in odd else column.kind for column in schema.fields}
        self._members = ObjectDecoder(kinds, unknown, closed=True)

    def read(self, records: Sequence[Record]) -> tuple[Found, set[int]]:
        """Decoded columns, and the rows with unknown members; one of `UNREADABLE` where not all is as expected."""
        columns = self._members.of_objects([text_of(record) for record in records])
        unknown = [columns[name][1] for name in self._unknown]
        rows = {row for values in unknown for row, value in enumerate(values) if value is not None}
        return {(name,): columns[name] for name in self.declared}, rows

    def with_more(self, odd: Iterable[str], unknown: Iterable[str]) -> _Expected:
        """With the odd columns and the unknown members of a page that was not as expected."""
        names = [name for name in unknown if name not in self._unknown and _can_be_expected(name)]
        more = (*self._unknown, *names)[:_MOST_EXPECTED]
        if more == self._unknown and self._odd.issuperset(odd):
            return self
        return _Expected(self._schema, self._odd.union(odd), more)


class _Rows:
    """The rows of some pages: decoded columns, and the arrays made of them."""

    def __init__(self, schema: TableSchema, found: Found, unknown: set[int]) -> None:
        self.arrays: dict[str, pa.Array] = {}
        self.misfits: dict[int, set[str]] = {}
        """By row: declared members that do not fit their column."""
        self.odd: set[str] = set()
        """Declared members that are not of their plain type throughout."""
        self.unknown = unknown
        """Rows with members that are not declared."""
        self._schema, self._found = schema, found

    def convert(self, nested: NestedDecoder, *, careful: bool) -> None:
        """Fill `arrays` with declared and flat columns; one of `UNREADABLE` unless ``careful``."""
        nested.find(self._found, careful=careful)
        together = {}
        for column in self._schema.fields + self._schema.flat:
            path = column.path or (column.name,)
            decoded = self._found.get(path) or (ColumnKind.JSON, texts_at(path, self._found))
            if careful or decoded[0] is not column.kind:
                self._convert_one(column, decoded[1])
            else:
                together[column.name] = decoded
        self.arrays |= to_arrays(together)
        for column in self._schema.flat:
            if column.otherwise and self.arrays[column.name].null_count:
                other = to_array(column.kind, texts_at(column.otherwise, self._found)).array
                self.arrays[column.name] = pc.coalesce(self.arrays[column.name], other)

    def _convert_one(self, column: Column, texts: Sequence[Text]) -> None:
        converted = to_array(column.kind, texts)
        self.arrays[column.name] = converted.array
        if column.path:
            return
        for row in converted.misfits:
            self.misfits.setdefault(row, set()).add(column.name)
        if not converted.plain:
            self.odd.add(column.name)


def _together(pages: Sequence[Page]) -> list[list[Page]]:
    """The pages in groups that are decoded together; a page of very many records, such as a long list, in pieces."""
    groups: list[list[Page]] = []
    size = ROWS_TOGETHER
    for records, where in pages:
        for first in range(0, max(1, len(records)), _MOST_TOGETHER):
            if size >= ROWS_TOGETHER:
                groups.append([])
                size = 0
            piece = records[first : first + _MOST_TOGETHER]
            groups[-1].append((piece, where))
            size += len(piece)
    return groups


def _read_carefully(fields: Sequence[Column], records: Sequence[Record]) -> tuple[Found, set[int], list[str]]:
    """The columns of any records as JSON, the rows with unknown members, and the names of those."""
    objects = [members_of(record) for record in records]
    declared = {column.name for column in fields}
    unknown = {row: [name for name in members if name not in declared] for row, members in enumerate(objects)}
    names = list(dict.fromkeys(name for row in unknown.values() for name in row))
    found: Found = {(name,): (ColumnKind.JSON, [members.get(name, NULL) for members in objects]) for name in declared}
    return found, {row for row, others in unknown.items() if others}, names


def _can_be_expected(name: str) -> bool:
    return name.isprintable() and not {'"', "\\"}.intersection(name)
