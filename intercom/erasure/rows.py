"""Takes a person out of rows that lie in the lake, in the way in which records are kept out (`normalise.erase`)."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, joined, numbers
from intercom.erasure.person import Person, rows_with
from intercom.normalise.erase import Eraser
from intercom.normalise.reshape import Reshape
from intercom.tables.table import Table


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows of a file without a person, in their order; how many were `removed` and `masked`.

    `left` counts rows in which a name of the person stands inside a longer text that somebody else has written.
    """

    rows: pa.Table
    removed: int
    masked: int
    left: int


class RowEraser:
    """Takes one person out of batches of a table's rows."""

    def __init__(self, table: Table, eraser: Eraser, person: Person) -> None:
        self._eraser, self._person = eraser, person
        self._reshape = Reshape(table, table.schema, change=self._without)

    def names_one(self, rows: pa.RecordBatch | pa.Table) -> pa.Array:
        """For each row: whether it is the person's own, or one of the person's names is in one of its texts."""
        return rows_with(rows, (*self._person.values, *self._person.external_ids))

    def erased(self, batch: pa.RecordBatch) -> Erased:
        """The rows of a batch without the person."""
        whole = pa.Table.from_batches([batch])
        hits = self.names_one(batch)
        if not pc.any(hits).as_py():
            return Erased(whole, 0, 0, 0)
        own = self._own(batch)
        met = pc.and_not(hits, own)
        places = numbers(batch.num_rows)
        stay = whole.filter(pc.invert(pc.or_(hits, own)))
        made = self._reshape.rows(batch.filter(met))
        before = whole.filter(met)
        order = joined([places.filter(pc.invert(pc.or_(hits, own))), places.filter(met)], places.type)
        rows = pa.concat_tables([stay, made]).take(pc.sort_indices(order))
        changed = sum(ours != theirs for ours, theirs in zip(before.to_pylist(), made.to_pylist(), strict=True))
        return Erased(
            rows, pc.sum(own).as_py() or 0, changed, pc.sum(rows_with(made, self._person.values)).as_py() or 0
        )

    def _without(self, record: bytes) -> bytes:
        left = self._eraser.text(record)
        assert left is not None  # rows of one's own are taken out before
        return left

    def _own(self, batch: pa.RecordBatch) -> pa.Array:
        key = self._eraser.own_key
        if key is None:
            return pa.array([False] * batch.num_rows, pa.bool_())
        own: pa.Array = pc.equal(flat(batch.column(key)), pa.scalar(self._person.contact)).fill_null(False)
        return own
