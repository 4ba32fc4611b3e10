"""Rows that are rewritten under more rules are those that a read of their records under these rules gives."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from intercom.normalise.normaliser import Normaliser
from intercom.normalise.protect import Protector
from intercom.normalise.records import split_records
from intercom.normalise.reshape import Reshape
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import NO_RULES, Action, ColumnRule, ColumnRules, key_id_of, with_rules
from intercom.tables.schema import EACH, Column, ColumnKind, TableSchema
from intercom.tables.table import Table
from tests.support.effort import effort

KEY = "a key of many characters"
READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = replace(
    TABLES["contacts"],
    schema=TableSchema(
        (
            Column("id", ColumnKind.STRING),
            Column("created_at", ColumnKind.TIMESTAMP),
            Column("updated_at", ColumnKind.TIMESTAMP),
            Column("email", ColumnKind.STRING),
            Column("owner", ColumnKind.REFERENCE),
            Column("size", ColumnKind.INT),
            Column("seen_at", ColumnKind.TIMESTAMP),
            Column("spam", ColumnKind.BOOL),
            Column("place", ColumnKind.JSON),
            Column("tags", ColumnKind.JSON),
        ),
        (
            Column("place_city", ColumnKind.STRING, ("place", "city")),
            Column("place_zip", ColumnKind.INT, ("place", "zip")),
            Column("tag_names", ColumnKind.JSON, ("tags", EACH, "name")),
        ),
    ),
)
PATHS = (
    *(("email",), ("owner",), ("size",), ("seen_at",), ("spam",), ("place",), ("tags",), ("ssn",)),
    *(("place", "city"), ("place", "zip"), ("place", "more", "x"), ("tags", "name")),
)

texts = st.text(max_size=5)
records = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "email": st.none() | texts | st.dictionaries(texts, texts, max_size=1),
            "owner": st.none() | st.integers(0, 99) | texts,
            "size": st.none() | st.integers(-9, 99),
            "seen_at": st.none() | st.integers(0, 2**31),
            "spam": st.none() | st.booleans(),
            "place": st.none()
            | st.fixed_dictionaries(
                {}, optional={"city": texts, "zip": st.integers(0, 9), "more": st.dictionaries(st.just("x"), texts)}
            ),
            "tags": st.none() | st.lists(st.fixed_dictionaries({"id": texts}, optional={"name": texts}), max_size=2),
            "ssn": texts | st.lists(texts, max_size=1),
            "unknown": texts,
        },
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def rules(draw: st.DrawFn) -> ColumnRules:
    chosen = draw(st.dictionaries(st.sampled_from(PATHS), st.sampled_from(Action), max_size=5))
    kept = [
        ColumnRule(path, action)
        for path, action in chosen.items()
        if not any(other != path and path[: len(other)] == other for other in chosen)
    ]
    return with_rules(kept, key_id_of(KEY))


def under(found: ColumnRules) -> Table:
    return replace(PLAIN, schema=PLAIN.schema.configured(found, marks_deleted=False))


def read(table: Table, sent: list[dict[str, Any]]) -> Any:
    texts = [json.dumps({"id": f"k{row}", **record}) for row, record in enumerate(sent)]
    protector = Protector(table.schema.rules, KEY)
    split = split_records(Raw(f"[{','.join(texts)}]".encode()))
    return Normaliser(table, READ_AT).batch([protector.record(record) for record in split.records], where="page 1")


def rows(table: Any) -> list[dict[str, Any]]:
    """Rows in which JSON counts by its value."""
    return [
        {
            name: json.loads(value) if name in ("_extra", "place", "tags") and value else value
            for name, value in row.items()
        }
        for row in table.to_pylist()
    ]


@settings(max_examples=effort(60, 1000))
@given(rules(), records)
def test_rows_without_rules_become_those_that_a_read_under_rules_gives(new: ColumnRules, sent: list[Any]) -> None:
    table = under(new)
    rewritten = Reshape(table, PLAIN.schema, KEY).rows(read(PLAIN, sent))
    assert rewritten.schema.equals(table.schema.arrow)
    assert rows(rewritten) == rows(read(table, sent))


@st.composite
def less(draw: st.DrawFn, new: ColumnRules) -> ColumnRules:
    """Rules to which the given ones only add protection: fewer, weaker, or of a part of what is protected now."""
    kept = []
    for rule in draw(st.lists(st.sampled_from(new.rules), unique=True)) if new else []:
        weaker = [action for action in Action if action.strength <= rule.action.strength]
        inner = [path for path in PATHS if rule.covers(path)] if rule.action is not Action.HASH else [rule.path]
        kept.append(ColumnRule(draw(st.sampled_from(inner)), draw(st.sampled_from(weaker))))
    return with_rules(kept, key_id_of(KEY))


@settings(max_examples=effort(60, 1000))
@given(rules(), records, st.data())
def test_rules_that_only_add_protection_need_no_read(new: ColumnRules, sent: list[Any], data: st.DataObject) -> None:
    old = data.draw(less(new))
    assert new.only_adds_to(old)
    before, after = under(old), under(new)
    rewritten = Reshape(after, before.schema, KEY).rows(read(before, sent))
    assert rows(rewritten) == rows(read(after, sent))


@given(rules(), rules(), records)
def test_what_is_protected_now_is_protected_whatever_the_rules_were(
    old: ColumnRules, new: ColumnRules, sent: list[Any]
) -> None:
    marked = [{**record, "email": f"needle-{record.get('email')}", "place": {"city": "needle"}} for record in sent]
    before, after = under(old), under(new)
    rewritten = str(Reshape(after, before.schema, KEY).rows(read(before, marked)).to_pylist())
    covered = [path for path in (("email",), ("place", "city")) if any(rule.covers(path) for rule in new.rules)]
    assert ("needle-" in rewritten) <= (("email",) not in covered)
    assert ("'needle'" in rewritten) <= (("place", "city") not in covered)


@given(rules())
def test_rules_are_read_back_from_a_record_and_add_nothing_to_themselves(found: ColumnRules) -> None:
    assert ColumnRules.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.only_adds_to(found)
    assert found.only_adds_to(NO_RULES)
    assert not found.not_applied_by(found)
    assert under(found).schema.fingerprint == under(found).schema.fingerprint
    assert TableSchema.from_json(under(found).schema.to_json()) == under(found).schema
