"""Rows of a parent table -> rows of the table that is derived of it: one for each element of a list in a parent's row.

An element is normalised like a record that Intercom sent, so its types and its ``_extra`` are as everywhere. Columns
that the row inherits are copied from the parent's row. Here and not beside the files, since `rules` has a fingerprint
of this code: what it made is made anew when it changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from operator import and_
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from intercom.normalise.arrays import NULL, Text, decode_each, join, one_member
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Record, RecordHead, object_text, sort_out, split_records
from intercom.tables.read_marks import own_key
from intercom.tables.schema import DELETED_AT, TableSchema
from intercom.tables.table import Access, Strategy, Table

_PLAIN_STARTS: Final = frozenset(b'"-0123456789')
_WHERE: Final = "elements of lists in the lake"


class _ListFacts(msgspec.Struct):
    """What a list of the API says of itself beside its elements."""

    has_more: bool | None = None
    total_count: int | None = None


class Explode:
    """Makes the rows of one derived table, all with this time of ingestion, of any number of batches of its parent's.

    `columns` are the parent's columns that the batches need. `cut` counts parents with more elements than their list
    holds, `rejected` the elements that could not be rows. Where deleted rows are marked, rows have the mark of their
    parent's row, and parents that are marked are in neither number. A null element, and a value that is no list, give
    no row.
    """

    def __init__(self, table: Table, ingested_at: datetime) -> None:
        assert table.parent is not None
        self._paths = [path for path in (table.records_at, table.records_otherwise) if path]
        self._schema = table.schema.arrow
        self._element_as = table.element_as
        self._head = RecordHead(own_key(table))
        self._normaliser = Normaliser(_as_list(table), ingested_at)
        marks = {DELETED_AT: DELETED_AT} if table.schema.marks_deleted else {}
        self._inherits = {**table.parent.inherits, **marks}
        self.columns = tuple(dict.fromkeys((*self._inherits.values(), *(path[0] for path in self._paths))))
        self.cut = 0
        self.rejected = 0

    @property
    def unknown(self) -> list[str]:
        """Names of elements' members without a column, as `Normaliser.unknown`."""
        return self._normaliser.unknown

    def rows(self, parents: pa.RecordBatch) -> pa.Table:
        """The rows of a batch of parents, in their order; an element that repeats inside one list has several."""
        counts: list[Any] = [True] * parents.num_rows
        if DELETED_AT in self._inherits:
            counts = pc.is_null(parents.column(DELETED_AT)).to_pylist()
        lists = self._lists(parents, counts)
        elements = list(map(self._object, chain.from_iterable(lists)))
        owners = [row for row, found in enumerate(lists) for _ in found]
        records, owners = self._usable(elements, owners, counts)
        if not records:
            return self._schema.empty_table()
        made = self._normaliser.batch_pages([(records, _WHERE)])
        places = pa.array(owners, pa.int64())
        inherited = {name: parents.column(member).take(places) for name, member in self._inherits.items()}
        columns = [
            inherited[field.name].cast(field.type) if field.name in inherited else made.column(field.name)
            for field in self._schema
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _lists(self, parents: pa.RecordBatch, counts: Sequence[bool]) -> list[Sequence[Raw]]:
        """The elements of each parent's list, at the first path that has one; `counts`: whether it may count as cut."""
        lists: list[Sequence[Raw] | None] = [None] * parents.num_rows
        for path in self._paths:
            holders = _texts(parents.column(path[0]))
            for name in path[1:-1]:
                holders = _members(holders, name)
            found = decode_each(_members(holders, path[-1]) if len(path) > 1 else holders, list[Raw])
            if len(path) > 1:
                are_cut = map(_is_cut, decode_each(holders, _ListFacts), found)
                self.cut += sum(map(and_, are_cut, counts))
            lists = [ours if ours is not None else theirs for ours, theirs in zip(lists, found, strict=True)]
        return [found or () for found in lists]

    def _object(self, element: Raw) -> Text:
        if self._element_as and memoryview(element)[0] in _PLAIN_STARTS:
            return object_text([(self._element_as, element)])
        return element

    def _usable(
        self, elements: Sequence[Text], owners: list[int], counts: Sequence[bool]
    ) -> tuple[Sequence[Record], list[int]]:
        """The elements that can be rows, and the parents' places that belong to them."""
        if not elements:
            return [], []
        split = split_records(Raw(join(elements)), self._head)
        if len(split.records) == len(elements):
            return split.records, owners
        records: list[Record] = []
        places: list[int] = []
        for element, owner in zip(elements, owners, strict=True):
            one = sort_out([bytes(element)], self._head)
            self.rejected += len(one.rejected) if counts[owner] else 0
            records += one.records
            places += [owner] * len(one.records)
        return records, places


def _as_list(table: Table) -> Table:
    """The elements as a table of their own, without what they inherit: the normaliser knows nothing of parents."""
    assert table.parent is not None
    fields = tuple(column for column in table.schema.fields if column.name not in table.parent.inherits)
    return replace(
        table,
        path="/",
        access=Access.LIST,
        strategy=Strategy.REPLACE,
        schema=TableSchema(fields, table.schema.flat),
        primary_key=own_key(table),
        parent=None,
        records_otherwise=(),
        element_as="",
    )


def _texts(column: pa.Array) -> list[Text]:
    return [NULL if text is None else text for text in column.cast(pa.binary()).to_pylist()]


def _members(objects: Sequence[Text], name: str) -> list[Text]:
    """One member of each object as text; null where there is none."""
    found: list[Any] = decode_each(objects, one_member(name))
    return [NULL if each is None or each.value is None else each.value for each in found]


def _is_cut(facts: _ListFacts | None, elements: Sequence[Raw] | None) -> bool:
    """Whether a list says that it holds fewer elements than there are.

    `has_more` is believed first: a count may be too large, since it counts what the API does not give.
    """
    if facts is None or elements is None:
        return False
    if facts.has_more is not None:
        return facts.has_more
    return facts.total_count is not None and facts.total_count > len(elements)
