"""Whatever a record holds: the page is read, the schema is the declared one, and nothing sent is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from intercom.normalise.coerce import epoch_seconds
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.effort import effort

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, 253402300799, 253402300800, -62135596800, -62135596801, 10**400]),
)
strings = st.one_of(
    st.text(), st.datetimes().map(datetime.isoformat), numbers.map(str), st.sampled_from(["\0", "😀", ""])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, strings)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
texts = st.one_of(
    st.builds(json.dumps, values, ensure_ascii=st.booleans(), indent=st.sampled_from([None, 1])),
    st.sampled_from(
        [
            "1.0",
            "-0",
            "1.10",
            "1e3",
            "1E400",
            "0.1e-7",
            "1e-400",
            "1e999999999",
            "9007199254740993",
            "[" * 200 + "]" * 200,
        ]
    ),
)
# One column of each kind: odd values meet odd kinds often here, and seldom among the 56 columns of contacts.
KINDS = replace(
    TABLES["tags"],
    schema=TableSchema((Column("id", ColumnKind.STRING), *(Column(f"a_{kind}", kind) for kind in ColumnKind))),
)
tables = st.sampled_from([KINDS, KINDS, TABLES["contacts"], TABLES["companies"], TABLES["conversations"]])


@st.composite
def pages(draw: st.DrawFn) -> tuple[Table, list[dict[str, str]]]:
    """A table and records of it as member -> JSON text: odd values in declared columns, unknown members."""
    table = draw(tables)
    names = [column.name for column in table.schema.fields] + ["location_city", "unknown", "_extra", 'odd "name" é\0']
    members = st.dictionaries(st.sampled_from(names), texts, max_size=12)
    records = draw(st.lists(members, min_size=1, max_size=4))
    return table, [{**record, table.required_columns[0]: json.dumps(f"k{row}")} for row, record in enumerate(records)]


def read(table: Table, records: list[dict[str, str]], normaliser: Normaliser | None = None) -> pa.RecordBatch:
    objects = ("{" + ",".join(f"{json.dumps(name)}: {text}" for name, text in r.items()) + "}" for r in records)
    split = split_records(Raw(("[" + ", ".join(objects) + "]").encode()))
    normaliser = normaliser or Normaliser(table, NOW)
    return normaliser.batch(split.records, where="page 1")


def says_the_same(kind: ColumnKind, held: Any, text: str) -> bool:
    """Whether a column's value is what was sent, up to the documented spellings."""
    if kind is ColumnKind.JSON:
        return bool(held == text)
    sent = json.loads(text, parse_int=Decimal, parse_float=Decimal)
    if isinstance(sent, bool):
        return kind is ColumnKind.BOOL and held is sent
    if kind is ColumnKind.REFERENCE and text == "-0":
        return bool(held == "0")
    if kind.held is ColumnKind.STRING:
        return bool(held == (text if isinstance(sent, Decimal) else sent))
    if kind is ColumnKind.INT:
        return bool(Decimal(held) == Decimal(sent))
    if kind is ColumnKind.FLOAT:
        return float(sent) == held and ("." in text or "e" in text.lower() or Decimal(held) == Decimal(sent))
    try:
        number = Decimal(sent)
    except ArithmeticError:
        return bool(held == datetime.fromisoformat(sent).replace(tzinfo=UTC))
    micros = number * (10**6 if -62135596800 <= number < 253402300800 else 1000)
    return bool((held - EPOCH) // NOW.resolution == micros.to_integral_value(ROUND_FLOOR))


@settings(max_examples=effort(50, 1500))
@given(pages())
@example((KINDS, [{"id": '"k"', "a_float": "9007199254740993", "a_timestamp": "253402300800"}]))
@example((KINDS, [{"id": '"k"', "a_float": "9007199254740992", "a_timestamp": "253402300799"}]))
def test_nothing_of_a_record_is_lost(page: tuple[Table, list[dict[str, str]]]) -> None:
    table, records = page
    batch = read(table, records)
    kinds = {column.name: column.kind for column in table.schema.fields}
    assert batch.schema == table.schema.arrow
    batch.validate(full=True)
    for row, sent in zip(batch.to_pylist(), records, strict=True):
        extra = msgspec.json.decode(row["_extra"] or "{}", type=dict[str, Raw])
        for name, text in sent.items():
            if name in extra:
                assert bytes(extra[name]).decode() == text
                assert name not in kinds or row[name] is None
            elif text == "null":
                assert row[name] is None
            else:
                assert says_the_same(kinds[name], row[name], text), (name, row[name], text)
        assert extra.keys() <= sent.keys()


@settings(max_examples=effort(20, 600))
@given(pages())
def test_a_record_reads_the_same_alone_as_among_others(page: tuple[Table, list[dict[str, str]]]) -> None:
    table, records = page
    alone = [read(table, [record]).to_pylist()[0] for record in records]
    assert read(table, records).to_pylist() == alone


@settings(max_examples=effort(33, 1000))
@given(pages())
def test_what_was_read_before_does_not_matter(page: tuple[Table, list[dict[str, str]]]) -> None:
    table, records = page
    fresh = read(table, records).to_pylist()
    normaliser = Normaliser(table, NOW)
    for record in records:
        read(table, [record], normaliser)
    again = read(table, records, normaliser)
    again.validate(full=True)
    assert again.to_pylist() == fresh
    assert [read(table, [record], normaliser).to_pylist()[0] for record in records] == fresh


@settings(max_examples=effort(20, 600))
@given(texts)
def test_seconds_are_those_of_the_column(text: str) -> None:
    held = read(TABLES["contacts"], [{"id": '"1"', "updated_at": text}]).to_pylist()[0]["updated_at"]
    seconds = None if held is None else (held - EPOCH) // (NOW.resolution * 1_000_000)
    assert epoch_seconds(Raw(text.encode())) == seconds


@settings(max_examples=effort(20, 600))
@given(st.lists(texts, min_size=1, max_size=4))
@pytest.mark.parametrize("path", [("contacts", "companies"), ("contacts", "location"), ("conversations", "source")])
def test_odd_nested_values_never_fail_a_page(path: tuple[str, str], odd: list[str]) -> None:
    table, name = TABLES[path[0]], path[1]
    nested = [f'{{"data":{text},"country":{text},"author":{text},"total_count":{text}}}' for text in odd]
    elements = [f'{{"data":[{{"id":{text}}},{text}],"author":{{"id":{text}}}}}' for text in odd]
    sent = [*odd, *nested, *elements]
    batch = read(table, [{"id": '"1"', name: text} for text in sent])
    assert batch[name].to_pylist() == [None if text == "null" else text for text in sent]
    assert batch["_extra"].null_count == len(sent)


@given(st.lists(st.one_of(st.none(), st.dictionaries(st.text(), values, max_size=3)), max_size=4), st.booleans())
@settings(max_examples=effort(20, 600))
def test_splitting_keeps_every_record_and_every_value(records: list[dict[str, Any] | None], ascii_only: bool) -> None:
    split = split_records(Raw(json.dumps(records, ensure_ascii=ascii_only).encode()))
    found = [{name: json.loads(bytes(value)) for name, value in record.items()} for record in split.records]
    assert found == [record for record in records if record is not None]
    assert (split.nulls, split.rejected) == (records.count(None), [])
