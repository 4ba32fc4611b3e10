"""Holds rows as the workspace gave them against the lake's: which are missing, stale, or of other content.

A row that has changed after `settled` need not be in the lake in that version: the next sync reads it. `settled` is the
watermark less the lookback, so that what has changed before it is never read again by a sync.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.keys import KEY, keys_of
from intercom.tables.schema import DELETED_AT, EXTRA, INGESTED_AT, ColumnKind
from intercom.tables.table import Table
from intercom.verify.lake_index import CHANGED, CREATED, WAITING, LakeIndex

_OURS: Final = (KEY, CREATED, CHANGED)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the lake has to have: rows that changed from `history_from` on (None: all) and before `settled`.

    Unix seconds. A `settled` of None: nothing is known of the last sync. `is_timed`: a row that does not tell when it
    changed has to be there; else it may have come since the last sync.
    """

    settled: int | None
    history_from: int | None = None
    is_timed: bool = True


@dataclass(slots=True)
class Judged:
    """Keys of rows by what was found. `missing` with the time of creation, None where there is none.

    `fields`: by key, the names of the columns that differ. `later` counts rows that have come or changed since the
    last sync, or that may have; `same` those that were compared field by field and are the same.
    """

    missing: dict[str, int | None] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    later: int = 0
    same: set[str] = field(default_factory=set)

    @property
    def suspects(self) -> list[str]:
        """All keys about which there is something to say."""
        return [*self.missing, *self.stale, *self.fields]


@dataclass(frozen=True, slots=True)
class Compared:
    """Keys by how the workspace's version stands to the lake's, before any field is compared."""

    missing: dict[str, int | None]
    stale: list[str]
    same: list[str]
    later: int


def compare_versions(rows: pa.Table, index: LakeIndex, expected: Expected) -> Compared:
    """Sort rows of the workspace, as `ApiRows.rows` has them, by their versions.

    Rows whose version in the lake is later than the one that came are left out: a search may lag behind.
    """
    held = index.at(index.places_of(flat(rows.column(KEY))))
    missing: dict[str, int | None] = {}
    stale: list[str] = []
    same: list[str] = []
    later = 0
    columns = (rows.column(KEY), rows.column(CREATED), rows.column(CHANGED), held.column(KEY), held.column(CHANGED))
    waiting = held.column(WAITING).to_pylist()
    for place, (key, created, changed, there, had) in enumerate(zip(*(c.to_pylist() for c in columns), strict=True)):
        if _is_before(changed, expected.history_from):
            continue
        is_late = _is_late(expected, changed if changed is not None else created)
        if there is None:
            later += is_late
            if not is_late:
                missing[key] = created
        elif changed == had and (changed is None or not is_late):
            if not waiting[place]:
                same.append(key)
        elif is_late:
            later += changed != had
        elif changed is not None and (had is None or had < changed):
            stale.append(key)
    return Compared(missing, stale, same, later)


def _is_late(expected: Expected, second: int | None) -> bool:
    if expected.settled is None or second is None:
        return expected.settled is None or not expected.is_timed
    return second >= expected.settled


def _is_before(changed: int | None, history_from: int | None) -> bool:
    return history_from is not None and changed is not None and changed < history_from


def differing_fields(table: Table, ours: pa.Table, theirs: pa.Table) -> dict[str, tuple[str, ...]]:
    """By key, the names of columns whose values differ, of rows that both have; keys without a difference are left out.

    `ours` are rows of the lake, `theirs` as `ApiRows.rows` has them. JSON is compared as values. A list that came cut
    is not compared: the lake may have the rest of it.
    """
    own = pa.table({name: ours.column(name).fill_null(pa.scalar("")) for name in table.primary_key})
    keys = flat(keys_of(own, table.primary_key)) if ours.num_rows else pa.array([], pa.string())
    places = pc.index_in(keys, value_set=flat(theirs.column(KEY)))
    both = places.is_valid()
    ours, theirs, keys = ours.filter(both), theirs.take(places.drop_null()), keys.filter(both)
    found: dict[str, list[str]] = {}
    cut, texts = _cut_lists(table, theirs), json_columns(table)
    for name in table.schema.arrow.names:
        if name in (INGESTED_AT, DELETED_AT):
            continue
        left, right = _plain(ours.column(name)), _plain(theirs.column(name))
        if left.equals(right):
            continue
        for place, (had, has) in enumerate(zip(left.to_pylist(), right.to_pylist(), strict=True)):
            if had != has and not _is_same(had, has, as_json=name in texts) and place not in cut.get(name, ()):
                found.setdefault(str(keys[place]), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Times as integers: a time beyond the year 9999 has no Python value."""
    return flat(values).cast(pa.int64()) if pa.types.is_timestamp(values.type) else flat(values)


def _is_same(ours: Any, theirs: Any, *, as_json: bool) -> bool:
    if ours is None or theirs is None:
        return False
    if isinstance(ours, float):
        return ours != ours and theirs != theirs  # neither is a number
    return as_json and bool(_value(ours) == _value(theirs))


def json_columns(table: Table) -> frozenset[str]:
    """The columns that hold JSON text."""
    fields = (*table.schema.fields, *table.schema.flat)
    return frozenset((EXTRA, *(column.name for column in fields if column.kind is ColumnKind.JSON)))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _cut_lists(table: Table, theirs: pa.Table) -> Mapping[str, set[int]]:
    """By column, the places of rows whose list came cut; flat columns are made of such a list as well."""
    found: dict[str, set[int]] = {}
    for name in table.refilled:
        if name not in theirs.column_names:
            continue
        texts = theirs.column(name).to_pylist()
        places = {place for place, text in enumerate(texts) if text is not None and _has_more(text)}
        made = [column.name for column in table.schema.flat if name in (*column.path[:1], *column.otherwise[:1])]
        for column in (name, *made):
            found.setdefault(column, set()).update(places)
    return found


def _has_more(text: str) -> bool:
    value = _value(text)
    return isinstance(value, dict) and value.get("has_more") is True


def only(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The rows of these keys."""
    return rows.filter(pc.is_in(flat(rows.column(KEY)), value_set=pa.array(keys, pa.string())))
