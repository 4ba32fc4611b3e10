"""What is wrong with a lake: keys that a reader sees twice, rows that are lost, doubled or stale."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from intercom.compaction.deleted import alive
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Access
from tests.support.children import served_records
from tests.support.rig import Rig, parent_of
from tests.support.truth import exploded, missing_and_surplus
from tests.survival.places import Place, rows_seen

Key = tuple[Any, ...]


class WrongLakeError(AssertionError):
    """The lake is not as it should be; `counts` has how many rows are lost, doubled or stale."""

    def __init__(self, what: str, counts: Counter[str]) -> None:
        super().__init__(f"{what}: {dict(counts)}")
        self.counts = counts


@dataclass(frozen=True)
class Wrong:
    """Keys that are not in the lake, that are there twice, and that are there with something else or should be gone."""

    lost: frozenset[Key]
    doubled: frozenset[Key]
    stale: frozenset[Key]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.stale)


def check_keys(place: Place, tables: Iterable[str]) -> int:
    """Raise unless a plain reader sees each key once; gives how many rows it sees."""
    seen = 0
    for table in tables:
        rows = rows_seen(place, table)
        keys = Counter(_keys(rows, table))
        if doubled := [key for key, count in keys.items() if count > 1]:
            raise WrongLakeError(f"{table}: a reader sees keys twice, such as {doubled[:3]}", _count(doubled=doubled))
        seen += rows.num_rows
    return seen


def check_truth(rig: Rig, place: Place, tables: Iterable[str]) -> int:
    """Raise unless every table, without rows that are marked, is what the workspace serves now; gives their number."""
    compared = 0
    for table in tables:
        rows = rows_seen(place, table)
        if place.marks:
            rows = rows.filter(alive(rows)).drop_columns([DELETED_AT])
        expected: list[Any]
        if table == "data_attributes":  # archived ones are not served
            expected = rig.workspace.rows(table)
        elif TABLES[table].access is Access.DERIVED:
            expected = exploded(TABLES[table], rig.workspace.rows(parent_of(table)))
        else:
            expected = list(served_records(rig.workspace, TABLES[table]))
        missing, surplus = missing_and_surplus(expected, rows, table)
        if wrong := judged(missing, surplus, _keys(rows, table), table):
            what = f"{table}: missing {list(missing)[:2]}\nsurplus {list(surplus)[:2]}"
            raise WrongLakeError(what, _count(lost=wrong.lost, doubled=wrong.doubled, stale=wrong.stale))
        compared += rows.num_rows
    return compared


def judged(missing: Counter[str], surplus: Counter[str], there: Iterable[Key], table: str) -> Wrong:
    """What rows, as JSON, that are missing in a lake or surplus there, are: `there` are the keys of all its rows."""
    keys = Counter(there)
    wanted, unwanted = ({_key(json.loads(row), table) for row in rows} for rows in (missing, surplus))
    doubled = frozenset(key for key, count in keys.items() if count > 1)
    return Wrong(frozenset(wanted - keys.keys()), doubled, frozenset((wanted & keys.keys()) | (unwanted - doubled)))


def _keys(rows: pa.Table, table: str) -> list[Key]:
    columns = [rows.column(name).to_pylist() for name in TABLES[table].primary_key]
    return list(zip(*columns, strict=True))


def _key(row: dict[str, Any], table: str) -> Key:
    return tuple(row.get(name) for name in TABLES[table].primary_key)


def _count(**keys: Iterable[Key]) -> Counter[str]:
    return +Counter({what: len(list(found)) for what, found in keys.items()})
