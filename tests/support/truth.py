"""Compares the whole lake with all records of the sandbox: every row, every field, nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind
from intercom.tables.table import Table

Row = dict[str, Any]


def read_lake(url: str, connection: str, table: str | Table, **storage: Any) -> pa.Table:
    """All rows that a plain glob finds below the table's folder; every file must have the declared schema.

    For a Delta table, the rows of its current version. `table` as a connection has it copied, or by its name.
    """
    entry = TABLES[table] if isinstance(table, str) else table
    fs, root = fsspec.core.url_to_fs(url, **storage)
    fs.invalidate_cache()
    files = list(fs.find(f"{root}/data/{connection}/{entry.name}"))
    if any("/_delta_log/" in path for path in files):
        return read_delta(f"{url}/data/{connection}/{entry.name}", entry, **storage)
    assert all(path.endswith("/data.parquet") for path in files), files
    schema = entry.schema.arrow
    tables = []
    for path in files:
        with fs.open(path, "rb") as file:
            rows = pq.read_table(file, partitioning=None, use_threads=False)  # of few rows each
        assert rows.schema.equals(schema), path
        tables.append(rows)
        check_partition(path, rows, entry)
    return pa.concat_tables([schema.empty_table(), *tables])


def read_delta(uri: str, table: Table, **storage: Any) -> pa.Table:
    """All rows of a Delta table as a reader of the format sees them, without the partition's column."""
    options = {"AWS_ENDPOINT_URL": storage["endpoint_url"], "AWS_ALLOW_HTTP": "true"} if storage else None
    if options and "key" in storage:  # else they are in the environment
        options |= {"AWS_ACCESS_KEY_ID": storage["key"], "AWS_SECRET_ACCESS_KEY": storage["secret"]}
        options |= {"AWS_REGION": "us-east-1"}
    rows = DeltaTable(uri, storage_options=options).to_pyarrow_table()
    if table.month_field is not None:
        for month in rows.column("created_month").unique().to_pylist():
            of_month = rows.filter(pc.equal(rows.column("created_month"), pa.scalar(str(month))))
            check_partition(f"{uri}/created_month={month}/x.parquet", of_month, table)
        rows = rows.drop_columns(["created_month"])
    assert rows.schema.equals(table.schema.arrow), rows.schema
    return rows


def check_partition(path: str, rows: pa.Table, table: Table) -> None:
    """Assert that rows are in the partition of the UTC month in which they, or their parents, were created."""
    if table.month_field is None:
        return
    folder = path.split("/")[-2]
    begun = pc.unique(pc.floor_temporal(rows.column(table.month_field), unit="month")).to_pylist()
    months = {"unknown" if at is None else f"{at.year:04d}-{at.month:02d}" for at in begun}
    assert {f"created_month={month}" for month in months} == {folder}, path


def exploded(table: Table, parents: Sequence[Row]) -> list[Row]:
    """The rows of a derived table by the served records of its parent: one for each element, of repeated ones the last.

    An element without an id gives no row.
    """
    assert table.parent is not None
    rows: dict[tuple[Any, ...], Row] = {}
    for parent in parents:
        inherited = {name: parent.get(member) for name, member in table.parent.inherits.items()}
        for element in _list_at(parent, table.records_at) or _list_at(parent, table.records_otherwise) or ():
            row = element if isinstance(element, dict) else {table.element_as: element}
            if row.get("id") not in (None, ""):
                rows[parent["id"], str(row["id"])] = {**row, **inherited}
    return list(rows.values())


def _list_at(record: Row, path: Sequence[str]) -> list[Any] | None:
    found: Any = record if path else None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) else None


def assert_exact(expected: Sequence[Row | bytes], found: pa.Table, table: str) -> None:
    """Assert that `found` has exactly the expected records (dicts or JSON), each once, with every value."""
    missing, surplus = missing_and_surplus(expected, found, table)
    assert not missing + surplus, (
        f"{table}: {sum(missing.values())} missing or stale, {sum(surplus.values())} surplus or stale\n"
        f"missing {list(missing)[:1]}\nsurplus {list(surplus)[:1]}"
    )


def missing_and_surplus(
    expected: Sequence[Row | bytes], found: pa.Table, table: str
) -> tuple[Counter[str], Counter[str]]:
    """Records, as JSON with sorted members, that are missing in `found`, and those that should not be there."""
    declared = {column.name: column for column in TABLES[table].schema.fields}
    columns = TABLES[table].schema.fingerprint
    want = Counter(
        _frozen_body(record, table, columns) if isinstance(record, bytes) else _frozen(_canonical(record, declared))
        for record in expected
    )
    have = Counter(_recovered(found, declared))
    return want - have, have - want


@lru_cache(maxsize=20_000)
def _frozen_body(body: bytes, table: str, columns: str) -> str:
    """`_frozen` for a record in JSON; cached, because most records are the same in each check of a test.

    `columns` is the fingerprint of the table's declared columns, which a test may change.
    """
    return _frozen(_canonical(json.loads(body), {column.name: column for column in TABLES[table].schema.fields}))


def _recovered(rows: pa.Table, declared: dict[str, Column]) -> Iterator[str]:
    """The records as `_frozen`, rebuilt from their lake rows: columns first, then the members in ``_extra``.

    By columns, since a lake of some hundred rows is compared after each run of a test.
    """
    columns = sorted((name, _members(name, rows.column(name), column.kind)) for name, column in declared.items())
    for number, extra in enumerate(rows.column("_extra").to_pylist()):
        members = [(name, value) for name, values in columns if (value := values[number]) is not None]
        if extra:
            further = json.loads(extra)
            assert not further.keys() & dict(members).keys()
            members += [
                (name, f"{_frozen(name)}: {_frozen(value)}") for name, value in further.items() if value is not None
            ]
            members.sort()
        yield "{" + ", ".join([member for _, member in members]) + "}"


def _members(name: str, values: pa.ChunkedArray[Any], kind: ColumnKind) -> list[str | None]:
    """A column of the members that `_frozen` writes of a record; None for null, which is no member."""
    begin = f"{_frozen(name)}: "
    if kind is ColumnKind.TIMESTAMP:
        of_times = pc.cast(values, pa.int64()).to_pylist()
        return [None if value is None else f"{begin}{value / 1e6!r}" for value in of_times]
    if kind is ColumnKind.JSON:
        texts = [None if value is None else _frozen_text(value) for value in values.to_pylist()]
        return [None if text is None else begin + text for text in texts]
    freeze = encode_basestring_ascii if pa.types.is_string(kind.arrow) else _frozen  # the same for a string, at once
    return [None if value is None else begin + freeze(value) for value in values.to_pylist()]


@lru_cache(maxsize=50_000)
def _frozen_text(text: str) -> str | None:
    """JSON text as `_frozen`, None for null; cached, because many rows have the same lists."""
    value = json.loads(text)
    return None if value is None else _frozen(value)


def _canonical(record: Row, declared: dict[str, Column]) -> Row:
    """A served record with the coercions that the lake promises, and without nulls."""
    found = {}
    for name, value in record.items():
        if value is not None:
            found[name] = _coerced(value, declared[name].kind) if name in declared else value
    return found


def _coerced(value: Any, kind: ColumnKind) -> Any:
    match kind:
        case ColumnKind.STRING | ColumnKind.REFERENCE if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        case ColumnKind.INT if isinstance(value, str) and value.isdigit():
            return int(value)
        case ColumnKind.FLOAT if isinstance(value, int) and not isinstance(value, bool) and int(float(value)) == value:
            return float(value)
        case ColumnKind.TIMESTAMP:
            return _seconds(value)
    return value


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        if not value.lstrip("-").isdigit():
            return datetime.fromisoformat(value).astimezone(UTC).timestamp()
        value = int(value)
    for seconds in (value, value / 1000):  # milliseconds only where no second of the years 1 to 9999 can be meant
        if -62_135_596_800 <= seconds < 253_402_300_800:
            return float(seconds)
    return value


_frozen = json.JSONEncoder(sort_keys=True).encode
"""A record, or a value of one, as text that is the same for what is equal."""
