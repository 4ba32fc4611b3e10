"""Notes which rows a read meets, also those that are not staged: a row that was met is not missing.

Tables that each run reads whole note every key, since rows that come unchanged are not staged. Of all others only those
keys are looked at that an earlier sweep has doubted.
"""

from __future__ import annotations

from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import joined
from intercom.extract.pages import Page
from intercom.lake.sweeps import Sweep
from intercom.normalise.coerce import coerce
from intercom.tables.schema import ColumnKind
from intercom.tables.table import Access, Strategy, Table


def has_sweeps(table: Table) -> bool:
    """Whether rows of the table can be missed one by one: a merged table with one key column, or a child table.

    Entries of a log stay. A small list that is replaced, and a derived table, have no row that was not read.
    """
    if table.is_child:
        return True
    return table.strategy is Strategy.MERGE and table.access is not Access.TIME_LOG and len(table.primary_key) == 1


def is_read_whole(table: Table) -> bool:
    """Whether each run meets every row, so that each is a sweep."""
    return has_sweeps(table) and not table.is_child and not table.reads_by_window


class Sightings:
    """The keys that a read has met. Pages may come from several threads.

    `doubted` is what an earlier sweep has left. For a child table the keys are those of parents.
    """

    def __init__(self, table: Table, doubted: Sweep) -> None:
        self._column = table.parent_column if table.is_child else table.primary_key[0]
        self._all, self._doubted, self._keys = is_read_whole(table), doubted, doubted.keys
        self._seen: set[str] = set()
        self._met: list[pa.Array] = []
        self._lock = Lock()

    def note(self, page: Page) -> None:
        """Note the page's records, those outside the window too."""
        if not (self._all or self._keys):
            return
        records = [*page.records, *page.beyond]
        texts = [coerce(ColumnKind.STRING, bytes(record.get(self._column, b"null"))) for record in records]
        with self._lock:
            if self._all:
                self._met.append(pa.array(texts, pa.string()))
            self._seen.update(self._keys.intersection(text for text in texts if isinstance(text, str)))

    @property
    def met(self) -> pa.Array:
        """The distinct keys of all rows that were met; empty for a table that is not read whole."""
        with self._lock:
            return pc.drop_null(pc.unique(joined(self._met, pa.string())))

    @property
    def left(self) -> Sweep:
        """What the earlier sweep has doubted, and this read has not met."""
        with self._lock:
            return self._doubted.without(self._seen)
