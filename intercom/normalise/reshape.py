"""Converts rows from older declared columns to the present ones, by what the rows hold; nothing is read again.

Columns that are declared as before are copied. For all others, a record is made of each row and normalised like one
that Intercom sent. The record has what was kept in ``_extra``, the old columns that changed, and the nested values that
flat columns are taken from. A value that does not fit its new column, or has no column any more, is kept in ``_extra``.
Where deleted rows are marked no more, those that are marked are left out.

Rules that are new are applied to that record. What earlier rules have taken away is gone: a value that is not protected
any more stays null, a hash, or the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from intercom.normalise.arrays import nulls
from intercom.normalise.coerce import EPOCH, FIRST_SECOND, LAST_SECOND
from intercom.normalise.normaliser import ROWS_TOGETHER, Normaliser
from intercom.normalise.protect import Protector
from intercom.normalise.records import Record, SentRecord
from intercom.tables.schema import DELETED_AT, EXTRA, INGESTED_AT, Column, ColumnKind, TableSchema
from intercom.tables.table import Table


class Reshape:
    """Turns batches with the columns of `old` into tables with those of ``table.schema``, row by row in their order.

    `hash_key` is needed where rules that are new hash; ConfigurationError without it. With `change`, all columns are
    made anew of what it gives for a row's record.
    """

    def __init__(
        self,
        table: Table,
        old: TableSchema,
        hash_key: str | None = None,
        *,
        change: Callable[[bytes], bytes] | None = None,
    ) -> None:
        new = table.schema
        protector = Protector(new.rules.not_applied_by(old.rules), hash_key)
        self._change = change or protector.text
        changed = protector.rules.roots
        kept: set[Column] = set()
        if change is None:
            kept |= {column for column in set(old.fields).intersection(new.fields) if column.name not in changed}
            kept |= {column for column in set(old.flat).intersection(new.flat) if changed.isdisjoint(_parents(column))}
        self._schema = new.arrow
        self._marks_before, self._marks = old.marks_deleted, new.marks_deleted
        self._kept = {EXTRA: False, INGESTED_AT: True} | {
            column.name: column in kept for column in (*new.fields, *new.flat)
        }
        flat = tuple(column for column in new.flat if column not in kept)
        parents = frozenset[str]().union(*map(_parents, flat))
        # A table must declare these columns, so the normaliser's table and the record have them, too.
        needed = {*parents, *table.needed_columns}
        fields = tuple(column for column in new.fields if column not in kept or column.name in needed)
        self._normaliser = Normaliser(replace(table, schema=TableSchema(fields, flat)), EPOCH)
        self._keys = [column for column in old.fields if column.name in table.required_columns]
        self._members = [
            column
            for column in old.fields
            if column not in self._keys and (column not in kept or column.name in parents)
        ]

    def rows(self, old: pa.RecordBatch) -> pa.Table:
        """The rows of a batch with the old columns, as a table with the new columns; the times of ours stay."""
        if self._marks_before and not self._marks:
            old = old.filter(pc.is_null(old.column(DELETED_AT)))
        held = [pc.is_valid(old.column(name)) for name in (EXTRA, *(column.name for column in self._members))]
        some = reduce(pc.or_, held)
        made = self._made(old.filter(some))
        places = pc.if_else(some, pc.subtract(pc.cumulative_sum(some.cast(pa.int64())), 1), None)
        columns = {
            name: old.column(name) if kept else made.column(name).take(places) for name, kept in self._kept.items()
        }
        if self._marks:
            columns[DELETED_AT] = (
                old.column(DELETED_AT) if self._marks_before else nulls(ColumnKind.TIMESTAMP, old.num_rows)
            )
        return pa.Table.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)

    def _made(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        records = list(self._records(rows))
        pages = [
            (records[first : first + ROWS_TOGETHER], "rows of the lake")
            for first in range(0, len(records), ROWS_TOGETHER)
        ]
        return self._normaliser.batch_pages(pages or [([], "rows of the lake")])

    def _records(self, rows: pa.RecordBatch) -> Iterator[Record]:
        members = [*self._keys, *self._members]
        names = [msgspec.json.encode(column.name) + b":" for column in members]
        texts = [_texts(column.kind, rows.column(column.name)) for column in members]
        for extra, *values in zip(rows.column(EXTRA).to_pylist(), *texts, strict=True):
            found = [name + value for name, value in zip(names, values, strict=True) if value is not None]
            if extra is not None:
                found.append(extra[1:-1].encode())
            yield SentRecord(Raw(self._change(b"{" + b",".join(found) + b"}")))


def _parents(flat: Column) -> frozenset[str]:
    return frozenset(path[0] for path in (flat.path, flat.otherwise) if path)


def _texts(kind: ColumnKind, values: pa.Array) -> Sequence[bytes | None]:
    """Values of a column as JSON texts, None for null."""
    if kind is ColumnKind.TIMESTAMP:
        values = values.cast(pa.int64())
    spelled = _SPELLED[kind]
    return [None if value is None else spelled(value) for value in values.to_pylist()]


def _time_text(microseconds: int) -> bytes:
    seconds, rest = divmod(microseconds, 1_000_000)
    if rest == 0 and FIRST_SECOND <= seconds <= LAST_SECOND:  # another number would be read as milliseconds
        return b"%d" % seconds
    return msgspec.json.encode((EPOCH + timedelta(microseconds=microseconds)).isoformat())


_SPELLED: Final[dict[ColumnKind, Callable[[Any], bytes]]] = {
    ColumnKind.STRING: msgspec.json.encode,
    ColumnKind.REFERENCE: msgspec.json.encode,
    ColumnKind.INT: msgspec.json.encode,
    ColumnKind.FLOAT: msgspec.json.encode,
    ColumnKind.BOOL: msgspec.json.encode,
    ColumnKind.TIMESTAMP: _time_text,
    ColumnKind.JSON: str.encode,
}
