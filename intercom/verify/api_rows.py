"""Records that a verification has read from the workspace, as rows with the declared columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat, numbers
from intercom.compaction.keys import KEY, keys_of
from intercom.extract.pages import Page
from intercom.normalise.coerce import EPOCH
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import Record
from intercom.sync.protection import Protection
from intercom.tables.table import Table
from intercom.verify.lake_index import CHANGED, CREATED, seconds_in, times_of


class ApiRows:
    """Rows of one table as the workspace gave them, under the table's rules. Pages may come from any thread.

    `rejected` counts records that cannot be rows, as a run would find, too. `protection` are the table's rules.
    """

    def __init__(self, table: Table, protection: Protection) -> None:
        self._protection = protection
        self.table = replace(table, schema=table.schema.configured(table.schema.rules, marks_deleted=False))
        self.rejected = 0
        self._normaliser = Normaliser(self.table, EPOCH)
        self._batches: list[pa.RecordBatch] = []
        self._lock = Lock()
        self._rows: pa.Table | None = None

    def add(self, page: Page) -> None:
        """Take the records of a page; marks are none."""
        page = self._protection.page(page)
        with self._lock:
            self.rejected += len(page.rejected)
            self._rows = None
            self._add(page.records[page.marks :], page.where)

    def _add(self, records: Sequence[Record], where: str) -> None:
        if not records:
            return
        try:
            self._batches.append(self._normaliser.batch(records, where=where))
        except MemoryError:
            raise
        except Exception:  # whatever it is: a run rejects such a record, and goes on
            if len(records) == 1:
                self.rejected += 1
                return
            half = len(records) // 2
            self._add(records[:half], where)
            self._add(records[half:], where)

    def rows(self) -> pa.Table:
        """All rows, with KEY, CREATED and CHANGED (as `LakeIndex`); of a key the version that changed last.

        Of versions that changed in the same second, the one that was read last.
        """
        with self._lock:
            if self._rows is None:
                self._rows = self._newest()
            return self._rows

    def _newest(self) -> pa.Table:
        created, changed = times_of(self.table)
        rows = pa.Table.from_batches(self._batches, self.table.schema.arrow).combine_chunks()
        keys = pa.table({name: rows.column(name).fill_null(pa.scalar("")) for name in self.table.primary_key})
        rows = rows.append_column(KEY, flat(keys_of(keys, self.table.primary_key)))
        rows = rows.append_column(CREATED, seconds_in(rows, created)).append_column(CHANGED, seconds_in(rows, changed))
        order = pa.table(
            {KEY: rows.column(KEY), CHANGED: rows.column(CHANGED), "place": numbers(rows.num_rows).cast(pa.int64())}
        )
        by_age = order.take(pc.sort_indices(order, sort_keys=[(CHANGED, "ascending"), ("place", "ascending")]))
        if changed is not None:  # nulls sort last, and would count as the newest
            has = by_age.column(CHANGED).is_valid()
            by_age = pa.concat_tables([by_age.filter(pc.invert(has)), by_age.filter(has)])
        ranked = by_age.append_column("rank", numbers(by_age.num_rows).cast(pa.int64()))
        last = ranked.group_by(KEY).aggregate([("rank", "max")]).column("rank_max")
        return rows.take(ranked.column("place").take(flat(last)))
