"""Keeps stored children that a full refresh neither read nor found to be gone: Intercom gives the newest ones only.

An answer that is cut says nothing of children that are older than those in it. A read that replaces the table would
remove them, and no later read could bring them back. So they are staged beside what was read, as the lake has them. A
read that repairs the table would miss them, and is held against the number of rows that there were.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.compact import compact_table
from intercom.compaction.deleted import alive
from intercom.compaction.marks import are_marks
from intercom.compaction.stale_children import CUT, PARENT, is_reached, reach_of
from intercom.errors import LakeError
from intercom.lake.findings import not_to_be_merged
from intercom.lake.parquet import ParquetReader, is_damage, open_parquet
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.normalise.reshape import Reshape
from intercom.sync.read_table import TableReader
from intercom.sync.staged_rows import staged_rows
from intercom.tables.table import Table

log = logging.getLogger(__name__)

_ROWS_AT_A_TIME = 4096


def has_open_children(table: Table) -> bool:
    """Whether an answer may say nothing of some stored children."""
    return table.replaces_children and table.parent is not None and bool(table.parent.cut_by)


def merged_before(table: Table, lake_table: LakeTable, state: TableState, store: WatermarkStore) -> TableState:
    """Merge rows that wait, before a read that replaces the table: only published children can be kept.

    Files that cannot be merged stay as they are, for the read to replace.
    """
    if not (has_open_children(table) and state.staged and state.columns == table.schema):
        return state
    try:
        compact_table(table, lake_table, store)
    except LakeError as error:
        log.warning("%s: rows that wait cannot be merged before all is read: %s", table.name, error)
    return lake_table.state() or state


def keep_open_children(read: TableReader, state: TableState | None) -> None:
    """Stage the stored children that no answer of this read has, and none says to be gone."""
    if not has_open_children(read.table) or state is None:
        return
    reach = reach_of(pa.concat_tables([_NO_MARKS, *_marks(read)]))
    if pc.all(pc.equal(reach.column(CUT), _EVERYTHING)).as_py() is not False:
        return
    read.add_rows(_open_rows(read, state, reach))


_NO_MARKS = pa.table({PARENT: pa.array([], pa.string()), CUT: pa.array([], pa.int64())})
_EVERYTHING = reach_of(pa.table({PARENT: ["one"], CUT: pa.nulls(1, pa.int64())})).column(CUT)[0]
"""The time of a mark that speaks of all children."""


def _marks(read: TableReader) -> Iterator[pa.Table]:
    """The marks of all parts that this run has staged: parents, and the times of their oldest children that came."""
    table, counted = read.table, dict(read.staged_parts())
    assert table.parent is not None
    names = list(dict.fromkeys((*table.primary_key, table.parent_column, table.parent.cut_by)))
    for staged in staged_rows(read.lake_table, counted, names):
        rows = staged.filter(are_marks(staged, table))
        cuts = rows.column(table.parent.cut_by).cast(pa.int64())
        yield pa.table([rows.column(table.parent_column), cuts], schema=_NO_MARKS.schema)


def _open_rows(read: TableReader, state: TableState, reach: pa.Table) -> Iterator[pa.RecordBatch]:
    """Stored rows that are alive, of marked parents, and that no mark speaks of; with the declared columns."""
    table, lake_table, hash_key = read.table, read.lake_table, read.api.hash_key
    findings = lake_table.findings(state)
    for month in findings.published.keys() - not_to_be_merged(state, findings):
        try:
            with lake_table.files.fetch(month) as path, open_parquet(path) as file:
                for rows in _with_declared_columns(table, state, file, hash_key):
                    yield from rows.filter(_are_open(table, rows, reach)).to_batches()
        except Exception as error:
            if not is_damage(error):
                raise
            log.warning("%s: %s is damaged, and rows of it cannot be kept", table.name, lake_table.files.path(month))


def _with_declared_columns(
    table: Table, state: TableState, file: ParquetReader, hash_key: str | None
) -> Iterator[pa.Table]:
    """A file's rows under the table's rules; none of a file whose columns nothing tells."""
    declared = table.schema.arrow
    same_rules = state.columns is None or state.columns.rules == table.schema.rules
    if file.schema_arrow.equals(declared) and same_rules:
        for batch in file.iter_batches(_ROWS_AT_A_TIME):
            yield pa.Table.from_batches([batch])
    elif state.columns is not None and file.schema_arrow.equals(state.columns.arrow):
        reshape = Reshape(table, state.columns, hash_key)
        for batch in file.iter_batches(_ROWS_AT_A_TIME):
            yield reshape.rows(batch)


def _are_open(table: Table, rows: pa.Table, reach: pa.Table) -> pa.Array:
    assert table.parent is not None
    parents = flat(rows.column(table.parent_column))
    marked = pc.is_in(parents, value_set=flat(reach.column(PARENT)))
    cuts = flat(rows.column(table.parent.cut_by)).cast(pa.int64())
    are_open: pa.Array = pc.and_not(pc.and_(marked, alive(rows)), is_reached(parents, cuts, reach))
    return are_open
