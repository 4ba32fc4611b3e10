"""Asks once more for the children of parents whose answer lacks rows that the lake has: one answer removes nothing.

An answer may be well formed and lack children. In a run that reads what has changed no count tells it, so the lake
does: a stored row that an answer should have had, and that was not read, is asked for by a second request for all
children of its parent. What comes is staged without a mark: a row stays that either answer has, and one that both lack
goes, by the mark of the first.

A child that the lake does not have and that an answer lacks is not noticed. It comes when its parent changes again, or
with a full refresh.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from intercom.compaction.arrow import flat, joined
from intercom.compaction.column_reader import stored_rows
from intercom.compaction.deleted import alive
from intercom.compaction.keys import keys_of
from intercom.compaction.marks import are_marks
from intercom.compaction.stale_children import CUT, PARENT, is_reached, reach_of
from intercom.errors import DamagedFileError, FatalApiError, SchemaError
from intercom.extract.child_answers import ParentRecord, Verdict, page_of_children
from intercom.extract.child_requests import ChildRequests
from intercom.extract.extraction import Extraction
from intercom.lake.findings import not_to_be_merged
from intercom.lake.state import TableState
from intercom.sync.read_table import TableReader
from intercom.sync.staged_rows import staged_rows
from intercom.tables.schema import DELETED_AT, ColumnKind
from intercom.tables.table import Table

log = logging.getLogger(__name__)

MARKS: Final = pa.table({PARENT: pa.array([], pa.string()), CUT: pa.array([], pa.int64())}).schema


def ask_once_more(read: TableReader, state: TableState) -> None:
    """Ask again for the children of each parent of which stored rows were not read. Raises ApiError.

    `state` is the record that the run began with. Files that cannot be read, or are not the table's, count as empty.
    """
    table = read.table
    columns = _names(table)
    keys, found = [], [_empty(table, columns)]  # part by part, so that memory has no more than keys and marks
    for staged in staged_rows(read.lake_table, dict(read.staged_parts()), columns):
        keys.append(flat(keys_of(staged, table.primary_key)))
        found.append(staged.filter(are_marks(staged, table)))
    marks, came = pa.concat_tables(found), joined(keys, pa.string())
    if not marks.num_rows:
        return
    reach = reach_of(_as_marks(table, marks))
    lacking = [
        flat(rows.column(table.parent_column)).filter(_are_missing(table, rows, reach, came))
        for rows in _in_lake(read, state, columns, flat(reach.column(PARENT)))
    ]
    rows = joined(lacking, pa.string())
    if not len(rows):
        return
    parents = _parents(table, marks, pc.unique(rows))
    log.warning(
        "%s: the answers for %d of the %s lack %d rows that the lake has; asking once more",
        *(table.name, len(parents), table.listed.name, len(rows)),
    )
    read.stage(lambda extraction: _ask(extraction, parents))


def _ask(extraction: Extraction, parents: Sequence[ParentRecord]) -> None:
    requests = ChildRequests(extraction.table, extraction.api)

    def ask(parent: ParentRecord) -> None:
        try:
            children = requests.children(parent.key, once=False)
        except FatalApiError as error:
            if error.status != 404:
                raise
            return
        extraction.deliver(page_of_children(extraction.table, parent, children, Verdict.SHORT))

    extraction.in_parallel([lambda parent=parent: ask(parent) for parent in parents])  # type: ignore[misc]


def _names(table: Table) -> list[str]:
    assert table.parent is not None
    names = (*table.primary_key, table.parent_column, table.parent.cut_by, *table.parent.inherits)
    return [name for name in dict.fromkeys(names) if name]


def _empty(table: Table, columns: Sequence[str]) -> pa.Table:
    return table.schema.arrow.empty_table().select(list(columns))


def _in_lake(read: TableReader, state: TableState, columns: Sequence[str], parents: pa.Array) -> Iterator[pa.Table]:
    """Rows that are alive in the table, or wait for their merge; of files the row groups that may have `parents`."""
    table, lake_table = read.table, read.lake_table
    stored = [*columns, *([DELETED_AT] if table.schema.marks_deleted else [])]
    findings = lake_table.findings(state)
    for month in sorted(findings.published.keys() - not_to_be_merged(state, findings)):
        try:
            stamp, key = findings.published[month], (table.parent_column,)
            for _, rows in stored_rows(table, lake_table, month, stamp, stored, key, parents):
                yield rows.filter(alive(rows))
        except (DamagedFileError, SchemaError) as error:
            log.warning("%s: %s is left out: %s", table.name, lake_table.files.path(month), error)
    of_this_run = dict(read.staged_parts())
    waiting = {run.attempt: run.parts for run in state.staged if run.attempt not in of_this_run}
    for rows in staged_rows(lake_table, waiting, columns):
        yield rows.filter(pc.invert(are_marks(rows, table)))


def _are_missing(table: Table, rows: pa.Table, reach: pa.Table, came: pa.Array) -> pa.Array:
    """For each row of the lake: whether an answer should have had it, and no row of its key was read."""
    parents = flat(rows.column(table.parent_column))
    reached = is_reached(parents, flat(_as_marks(table, rows).column(CUT)), reach)
    missing: pa.Array = pc.and_not(reached, pc.is_in(flat(keys_of(rows, table.primary_key)), value_set=came))
    return missing


def _as_marks(table: Table, rows: pa.Table) -> pa.Table:
    assert table.parent is not None
    cut_by = table.parent.cut_by
    cuts = rows.column(cut_by).cast(pa.int64()) if cut_by else pa.nulls(rows.num_rows, pa.int64())
    return pa.table([rows.column(table.parent_column), cuts], schema=MARKS)


def _parents(table: Table, marks: pa.Table, keys: pa.Array) -> list[ParentRecord]:
    """These parents as their last marks have them."""
    assert table.parent is not None
    found: dict[str, ParentRecord] = {}
    of_them = marks.filter(pc.is_in(marks.column(table.parent_column), value_set=keys))
    for row in of_them.select(list(table.parent.inherits)).to_pylist():
        inherited = {name: _as_sent(table, name, value) for name, value in row.items()}
        key = str(row[table.parent_column])
        found[key] = ParentRecord(key, inherited, None, None, b"")
    return list(found.values())


def _as_sent(table: Table, column: str, value: object) -> Raw:
    """A value of an inherited column as a member of a record, from which it becomes the same value again."""
    kind = next(one.kind for one in table.schema.fields if one.name == column)
    if kind is ColumnKind.TIMESTAMP and isinstance(value, datetime):
        value = value.isoformat()
    return Raw(json.dumps(value).encode())
