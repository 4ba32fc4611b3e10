"""Rows that are given other columns, one kind of change at a time, with literal records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import Raw

from intercom.compaction.schema_change import migrate_columns
from intercom.errors import LakeError, SchemaError
from intercom.lake.layout import TablePaths
from intercom.lake.parquet import ParquetFile, file_digests, version_of
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.normalise.reshape import Reshape
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import COUNT, EACH, Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.rig import MemoryWatermarks

READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
BASE = (
    Column("id", ColumnKind.STRING),
    Column("created_at", ColumnKind.TIMESTAMP),
    Column("updated_at", ColumnKind.TIMESTAMP),
)


def table(*more: Column, flat: Sequence[Column] = ()) -> Table:
    return replace(TABLES["contacts"], schema=TableSchema((*BASE, *more), tuple(flat)))


def held(old: Table, *records: str) -> Any:
    """Rows of the lake from records as Intercom sends them; each is the members beside the id."""
    sent = (f'{{"id": "c{row}"{", " if record else ""}{record}}}' for row, record in enumerate(records))
    split = split_records(Raw(f"[{', '.join(sent)}]".encode()))
    return Normaliser(old, READ_AT).batch(split.records, where="page 1")


def reshaped(old: Table, new: Table, *records: str) -> list[dict[str, Any]]:
    """The rows without their time of ingestion, which is checked, and without nulls."""
    rows = Reshape(new, old.schema).rows(held(old, *records))
    assert rows.schema.equals(new.schema.arrow)
    rows.validate(full=True)
    found = rows.to_pylist()
    assert [row.pop("_ingested_at") for row in found] == [READ_AT] * len(records)
    assert [row.pop("id") for row in found] == [f"c{row}" for row in range(len(records))]
    return [{name: value for name, value in row.items() if value is not None} for row in found]


AGE = Column("age", ColumnKind.INT)


def test_an_unknown_field_that_gets_a_column_moves_there() -> None:
    assert reshaped(table(), table(AGE), '"age": 7', '"age": null', "", '"beta": 1.10, "age": 8') == [
        {"age": 7},
        {},
        {},
        {"age": 8, "_extra": '{"beta":1.10}'},
    ]


def test_a_value_that_does_not_fit_its_new_column_stays_beside_it_as_it_was_sent() -> None:
    assert reshaped(table(), table(AGE), '"age": [1,  2.0]') == [{"_extra": '{"age":[1,  2.0]}'}]


def test_a_removed_column_is_kept_as_an_unknown_field() -> None:
    assert reshaped(table(AGE), table(), '"age": 7', "", '"beta": 1.10, "age": 8', '"age": "old"') == [
        {"_extra": '{"age":7}'},
        {},
        {"_extra": '{"age":8,"beta":1.10}'},
        {"_extra": '{"age":"old"}'},
    ]


@pytest.mark.parametrize(
    ("old", "new", "sent", "column", "extra"),
    [
        (ColumnKind.STRING, ColumnKind.INT, '"12"', 12, None),
        (ColumnKind.STRING, ColumnKind.INT, '"twelve"', None, '{"x":"twelve"}'),
        (ColumnKind.STRING, ColumnKind.JSON, '"a \\"b\\" é"', '"a \\"b\\" é"', None),
        (ColumnKind.INT, ColumnKind.STRING, "12", "12", None),
        (ColumnKind.INT, ColumnKind.FLOAT, "12", 12.0, None),
        (ColumnKind.INT, ColumnKind.FLOAT, "9007199254740993", None, '{"x":9007199254740993}'),
        (ColumnKind.INT, ColumnKind.BOOL, "1", None, '{"x":1}'),
        (ColumnKind.INT, ColumnKind.TIMESTAMP, "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), None),
        (ColumnKind.FLOAT, ColumnKind.INT, "5.0", 5, None),
        (ColumnKind.FLOAT, ColumnKind.INT, "5.5", None, '{"x":5.5}'),
        (ColumnKind.BOOL, ColumnKind.JSON, "true", "true", None),
        (ColumnKind.BOOL, ColumnKind.STRING, "true", None, '{"x":true}'),
        (ColumnKind.TIMESTAMP, ColumnKind.INT, "1700000000", 1_700_000_000, None),
        (ColumnKind.TIMESTAMP, ColumnKind.STRING, "1700000000", "1700000000", None),
        (ColumnKind.TIMESTAMP, ColumnKind.STRING, '"2026-01-01T00:00:00.5Z"', "2026-01-01T00:00:00.500000+00:00", None),
        (ColumnKind.TIMESTAMP, ColumnKind.STRING, '"9999-12-31T23:59:59Z"', "253402300799", None),
        (ColumnKind.JSON, ColumnKind.INT, "12", 12, None),
        (ColumnKind.JSON, ColumnKind.STRING, '"abc"', "abc", None),
        (ColumnKind.JSON, ColumnKind.STRING, '{"a":  1.10}', None, '{"x":{"a":  1.10}}'),
        (ColumnKind.JSON, ColumnKind.TIMESTAMP, "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), None),
    ],
)
def test_a_changed_type(old: ColumnKind, new: ColumnKind, sent: str, column: Any, extra: str | None) -> None:
    found = reshaped(table(Column("x", old)), table(Column("x", new)), f'"x": {sent}', "")
    expected = {name: value for name, value in (("x", column), ("_extra", extra)) if value is not None}
    assert found == [expected, {}]


def test_a_value_that_fits_its_column_at_last_leaves_extra() -> None:
    assert reshaped(table(AGE), table(Column("age", ColumnKind.STRING)), '"age": "old"') == [{"age": "old"}]


PLACE = Column("place", ColumnKind.JSON)
CITY = Column("place_city", ColumnKind.STRING, ("place", "city"))


def test_a_new_flat_column_is_taken_out_of_its_parent() -> None:
    ids = Column("friend_ids", ColumnKind.JSON, ("friends", "data", EACH, "id"))
    number = Column("friends_count", ColumnKind.INT, ("friends", "total_count"), ("friends", "data", COUNT))
    parents = (PLACE, Column("friends", ColumnKind.JSON))
    place, friends = '{"city": "Oslo",  "zip": 1}', '{"data": [{"id": "1"}, {"id": 2}]}'
    found = reshaped(
        table(*parents), table(*parents, flat=(CITY, ids, number)), f'"place": {place}', f'"friends": {friends}', ""
    )
    assert found == [
        {"place": place, "place_city": "Oslo"},
        {"friends": friends, "friend_ids": '["1",2]', "friends_count": 2},
        {},
    ]


def test_a_flat_column_follows_its_path_and_its_parent() -> None:
    record = '"place": {"city": "Oslo", "town": "Moss"}'
    town = replace(CITY, path=("place", "town"))
    assert reshaped(table(PLACE, flat=[CITY]), table(PLACE, flat=[town]), record)[0]["place_city"] == "Moss"
    gone = reshaped(table(PLACE, flat=[CITY]), table(), record)
    assert gone == [{"_extra": '{"place":{"city": "Oslo", "town": "Moss"}}'}]
    declared = reshaped(table(), table(PLACE, flat=[CITY]), record)
    assert declared[0]["place_city"] == "Oslo"


def test_a_field_named_like_a_flat_column_is_another_one() -> None:
    record = '"place": {"city": "Oslo"}, "place_city": "sent"'
    own = Column("place_city", ColumnKind.STRING)
    assert reshaped(table(PLACE, flat=[CITY]), table(PLACE, own), record)[0]["place_city"] == "sent"
    back = reshaped(table(PLACE, own), table(PLACE, flat=[CITY]), record)[0]
    assert (back["place_city"], back["_extra"]) == ("Oslo", '{"place_city":"sent"}')


def test_columns_that_stay_are_copied_whatever_their_order() -> None:
    old = table(AGE, PLACE, flat=[CITY])
    new = replace(old, schema=TableSchema((PLACE, AGE, *reversed(BASE)), (CITY,)))
    record = '"age": 7, "place": {"city": "Oslo"}, "created_at": "soon", "beta": 1'
    assert reshaped(old, new, record) == [
        {"age": 7, "place": '{"city": "Oslo"}', "place_city": "Oslo", "_extra": '{"created_at":"soon","beta":1}'}
    ]


def test_rows_that_have_nothing_to_move() -> None:
    assert reshaped(table(), table(AGE), "", "") == [{}, {}]
    assert reshaped(table(), table(AGE)) == []


# -- files --------------------------------------------------------------------------------------------------------


def written(tmp_path: Path, rows: pa.RecordBatch, state: TableState, row_group_size: int = 10) -> LakeTable:
    """A lake with one published month, and its record."""
    lake_table = LakeTable(Lake(str(tmp_path / "lake")), TablePaths("acme", "contacts"))
    with lake_table.lake.scratch() as path:
        with ParquetFile(path, rows.schema, "v1") as file:
            file.write(pa.Table.from_batches([rows]), row_group_size=row_group_size)
        placed = lake_table.add_file(path, "2026-01", rows.num_rows, None)
    lake_table.save(replace(state, partitions={"2026-01": Partition(rows.num_rows, "v1", placed.stamp)}))
    return lake_table


def record(old: Table) -> TableState:
    return TableState("lake", old.schema.fingerprint, watermark=9, columns=old.schema)


def test_a_file_is_rewritten_whole_in_the_order_of_its_rows(tmp_path: Path) -> None:
    """Two row groups, both of them of more rows than are rewritten at a time."""
    old, new, count = table(), table(AGE), 9_000
    rows = held(old, *[f'"age": {row}' if row % 3 else "" for row in range(count)])
    lake_table = written(tmp_path, rows, record(old), row_group_size=4_500)
    state = lake_table.state()
    assert state is not None
    after = migrate_columns(new, lake_table, state, MemoryWatermarks())
    assert after == lake_table.state()
    assert (after.columns, after.fingerprint, after.rewriting) == (new.schema, new.schema.fingerprint, None)
    with lake_table.files.fetch("2026-01") as path:
        found = pq.read_table(path, partitioning=None)
        assert after.partitions == {
            "2026-01": Partition(count, version_of(path) or "", lake_table.files.stamp("2026-01"), *file_digests(path))
        }
    assert found.schema.equals(new.schema.arrow)
    assert found.column("age").to_pylist() == [row if row % 3 else None for row in range(count)]
    assert found.column("id").to_pylist() == [f"c{row}" for row in range(count)]
    assert found.column("_extra").null_count == count


def test_a_table_with_the_declared_columns_is_left_alone(tmp_path: Path) -> None:
    lake_table = written(tmp_path, held(table(), ""), record(table()))
    state = lake_table.state()
    assert state is not None
    before = lake_table.lake.stamps("")
    assert migrate_columns(table(), lake_table, state, MemoryWatermarks()) == state
    assert lake_table.lake.stamps("") == before


def test_a_table_that_cannot_be_declared_as_it_was_is_left_to_be_read_again(tmp_path: Path) -> None:
    """Its rows have no column for what is the cursor field now."""
    lake_table = written(tmp_path, held(table(), ""), record(table()))
    state = lake_table.state()
    assert state is not None
    changed = Column("changed_at", ColumnKind.TIMESTAMP)
    other = replace(TABLES["contacts"], cursor_field="changed_at", schema=TableSchema((*BASE, changed)))
    assert migrate_columns(other, lake_table, state, MemoryWatermarks()) == state


def test_a_file_with_other_columns_than_the_record_says_is_an_error_with_its_cure(tmp_path: Path) -> None:
    lake_table = written(tmp_path, held(table(PLACE), ""), record(table()))
    state = lake_table.state()
    assert state is not None
    with pytest.raises(SchemaError, match=r"2026-01.*--full-refresh"):
        migrate_columns(table(AGE), lake_table, state, MemoryWatermarks())


def test_a_damaged_file_is_an_error_with_its_cure(tmp_path: Path) -> None:
    lake_table = written(tmp_path, held(table(), ""), record(table()))
    path = tmp_path / "lake" / lake_table.paths.published("2026-01")
    path.write_bytes(b"PAR1")
    state = lake_table.state()
    assert state is not None
    state = replace(
        state, partitions={"2026-01": replace(state.partitions["2026-01"], stamp=lake_table.files.stamp("2026-01"))}
    )
    with pytest.raises(LakeError, match=r"2026-01.*damaged.*Run again"):
        migrate_columns(table(AGE), lake_table, state, MemoryWatermarks())
    noted = lake_table.state()
    assert noted is not None
    assert noted.damaged == ("2026-01",)
