"""Rewriting rows gives what reading their records by the new declaration gives, up to what the old types lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.normalise.reshape import Reshape
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import COUNT, EACH, Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.effort import effort

READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BASE = (
    Column("id", ColumnKind.STRING),
    Column("created_at", ColumnKind.TIMESTAMP),
    Column("updated_at", ColumnKind.TIMESTAMP),
)
NAMES = ("a", "b", "c", "parent", "other", "parent_x")

numbers = (
    st.integers(-(2**70), 2**70) | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
)
strings = st.text() | st.datetimes().map(datetime.isoformat) | numbers.map(str)
scalars = st.none() | st.booleans() | numbers | strings
nested = st.fixed_dictionaries(
    {}, optional={"x": scalars, "y": scalars, "list": st.lists(st.fixed_dictionaries({"x": scalars}), max_size=2)}
)
texts = st.builds(
    json.dumps,
    scalars | nested | st.lists(nested, max_size=2),
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
) | st.sampled_from(["1.10", "1E400", "1e999999999", "9007199254740993", "253402300799", "100000000001", "-0", "-0.0"])
FLAT = [
    Column(name, kind, path, otherwise)
    for name, path, otherwise in (
        ("parent_x", ("parent", "x"), ()),
        ("parent_x", ("parent", "y"), ("parent", "x")),
        ("all_x", ("parent", "list", EACH, "x"), ()),
        ("count", ("other", "y"), ("parent", "list", COUNT)),
    )
    for kind in (ColumnKind.STRING, ColumnKind.INT, ColumnKind.JSON)
]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Some columns of any kind in any order, and flat columns where there are their parents as JSON."""
    own = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ColumnKind)))
    fields = draw(st.permutations([*BASE, *(Column(name, kind) for name, kind in own.items())]))
    parents = {name for name, kind in own.items() if kind is ColumnKind.JSON}
    fitting = [c for c in FLAT if c.name not in own and {p[0] for p in (c.path, c.otherwise) if p} <= parents]
    flat = draw(st.lists(st.sampled_from(fitting), unique_by=lambda column: column.name)) if fitting else []
    return replace(TABLES["contacts"], schema=TableSchema(tuple(fields), tuple(flat)))


OTHER_PATH = replace(TABLES["contacts"], schema=TableSchema((*BASE, Column("parent", ColumnKind.JSON)), (FLAT[3],)))
"""With a flat column whose second path goes through members only."""
SAME_PATH = replace(OTHER_PATH, schema=TableSchema(OTHER_PATH.schema.fields, (FLAT[3], replace(FLAT[1], name="x"))))
"""With another flat column, of another type, at that path."""

records = st.lists(
    st.dictionaries(st.sampled_from([*NAMES, "_extra", "created_at", "updated_at", 'odd "name" é']), texts),
    min_size=1,
    max_size=4,
)


def read(table: Table, sent: list[dict[str, str]]) -> Any:
    objects = (
        "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in {"id": f'"k{row}"', **members}.items()) + "}"
        for row, members in enumerate(sent)
    )
    split = split_records(Raw(f"[{','.join(objects)}]".encode()))
    return Normaliser(table, READ_AT).batch(split.records, where="page 1")


def as_held(table: Table, batch: Any) -> list[dict[str, str]]:
    """The members of each record, as far as rows of the table still have them."""
    found = []
    for row in batch.to_pylist():
        extra = msgspec.json.decode(row["_extra"] or "{}", type=dict[str, Raw])
        members = {name: bytes(text).decode() for name, text in extra.items()}
        for column in table.schema.fields:
            if column.name != "id" and row[column.name] is not None:
                members[column.name] = spelled(column.kind, row[column.name])
        found.append(members)
    return found


def spelled(kind: ColumnKind, value: Any) -> str:
    if kind is ColumnKind.JSON:
        return str(value)
    if kind is ColumnKind.TIMESTAMP:
        seconds = (value - EPOCH) / timedelta(seconds=1)
        whole = (value - EPOCH) % timedelta(seconds=1) == timedelta(0)
        return str(int(seconds)) if whole else json.dumps(value.isoformat())
    return msgspec.json.encode(value).decode()


def rows(table: Any) -> list[dict[str, Any]]:
    """Rows for comparison: what is in ``_extra`` counts, not the order in which it lies there."""
    found = []
    for row in table.to_pylist():
        extra = msgspec.json.decode(row["_extra"] or "{}", type=dict[str, Raw])
        found.append({**row, "_extra": {name: bytes(text) for name, text in extra.items()}})
    return found


laws = settings(max_examples=effort(33, 1000))


@laws
@given(tables(), tables(), records)
@example(
    replace(TABLES["contacts"], schema=TableSchema((*BASE, Column("a", ColumnKind.TIMESTAMP)))),
    replace(TABLES["contacts"], schema=TableSchema((*BASE, Column("a", ColumnKind.INT)))),
    [{"a": "100000000000"}, {"a": '"5138-11-16T09:46:41"'}, {"a": "0.5"}],
)
def test_rewritten_rows_are_those_that_reading_again_gives(old: Table, new: Table, sent: list[dict[str, str]]) -> None:
    before = read(old, sent)
    after = Reshape(new, old.schema).rows(before)
    after.validate(full=True)
    assert after.schema.equals(new.schema.arrow)
    assert rows(after) == rows(read(new, as_held(old, before)))


@example(OTHER_PATH, [{}])
@example(OTHER_PATH, [{"parent": '{"x":"a"}'}, {"parent": '{"y":"b"}'}])
@example(SAME_PATH, [{"parent": '{"x":"a"}'}, {"parent": '{"x":7}'}, {}])
@laws
@given(tables(), records)
def test_what_had_no_column_or_was_json_has_lost_nothing(new: Table, sent: list[dict[str, str]]) -> None:
    """So the records themselves count, but for nulls of columns, which are not told from nothing."""
    names = [column.name for column in new.schema.fields if column not in BASE]
    for kept_as_json in (names, names[::2], []):
        json_columns = tuple(Column(name, ColumnKind.JSON) for name in kept_as_json)
        old = replace(TABLES["contacts"], schema=TableSchema((*BASE, *json_columns)))
        whole = [{name: text for name, text in members.items() if text != "null"} for members in sent]
        assert rows(Reshape(new, old.schema).rows(read(old, whole))) == rows(read(new, whole))


@laws
@given(tables(), records)
def test_the_same_declaration_changes_nothing(table: Table, sent: list[dict[str, str]]) -> None:
    before = read(table, sent)
    assert Reshape(table, table.schema).rows(before).equals(pa.Table.from_batches([before]))


@laws
@given(tables(), tables(), records)
def test_a_row_is_rewritten_alike_alone_and_among_others(old: Table, new: Table, sent: list[dict[str, str]]) -> None:
    before = read(old, sent)
    together = Reshape(new, old.schema).rows(before).to_pylist()
    assert [Reshape(new, old.schema).rows(before.slice(row, 1)).to_pylist()[0] for row in range(len(sent))] == together
