"""Protected values: whatever is sent at a protected place, and however it is spelled, its text does not get through."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from intercom.errors import ConfigurationError
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.protect import MASKED, Protector, in_one_spelling
from intercom.normalise.records import RecordHead, split_records
from intercom.tables.column_rules import Action, ColumnRule, ColumnRules, key_id_of, with_rules

KEY = "a key of many characters"
NEEDLE = "needle-5f3a"


def rules(**paths: Action) -> ColumnRules:
    return with_rules((ColumnRule(tuple(name.split("__")), action) for name, action in paths.items()), key_id_of(KEY))


def hashed(text: str) -> str:
    return hmac.digest(KEY.encode(), text.encode(), "sha256").hex()


def protected(record: str | bytes, **paths: Action) -> Any:
    return json.loads(Protector(rules(**paths), KEY).text(record if isinstance(record, bytes) else record.encode()))


def test_a_value_is_taken_out_hashed_or_masked_and_all_others_stay() -> None:
    record = '{"id":"1","email":"a@b.example","name":"Ann","avatar":{"url":"x"},"size":1.10}'
    found = protected(record, email=Action.HASH, name=Action.MASK, avatar=Action.EXCLUDE)
    assert found == {"id": "1", "email": hashed("a@b.example"), "name": MASKED, "size": 1.1}


def test_texts_without_a_protected_member_are_as_sent() -> None:
    text = b'{ "id" : "1", "size": 1.10 }'
    assert Protector(rules(email=Action.MASK), KEY).text(text) == text


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    "record",
    [
        '{"email":"NEEDLE","email":"NEEDLE"}',
        '{"em\\u0061il":"NEEDLE"}',
        '{"email":"x","em\\u0061il":"NEEDLE"}',
        '{"email":["NEEDLE",{"x":"NEEDLE"}]}',
        '{"email":{"NEEDLE":1}}',
        '{"email":{"x":NEEDLE_NUMBER}}',
        '{"email":NEEDLE_NUMBER}',
        '{"email":"\\ud83d NEEDLE"}',
        '{"a":{"b":"NEEDLE"}}',
        '{"a":{"b":"x"},"a":{"b":"NEEDLE"}}',
        '{"a":{"b":"NEEDLE","b":"x"}}',
        '{"a":{"\\u0062":"NEEDLE"}}',
        '{"a":[{"b":"NEEDLE"},[{"b":["NEEDLE"]}],"NEEDLE",NEEDLE_NUMBER]}',
        '{"a":"NEEDLE"}',
        '{"a":NEEDLE_NUMBER}',
        '{ "a" : { "b" : "NEEDLE" } }',
    ],
)
def test_nothing_of_a_protected_value_gets_through(record: str, action: Action) -> None:
    sent = record.replace("NEEDLE_NUMBER", "71839261").replace("NEEDLE", NEEDLE)
    assert (NEEDLE in sent) or ("71839261" in sent)
    left = Protector(rules(email=action, a__b=action), KEY).text(sent.encode())
    assert NEEDLE.encode() not in left
    assert b"71839261" not in left
    json.loads(left)


def test_names_of_other_places_are_not_protected() -> None:
    assert protected('{"b":1,"c":{"b":2},"a":{"c":3}}', a__b=Action.EXCLUDE) == {"b": 1, "c": {"b": 2}, "a": {"c": 3}}


@pytest.mark.parametrize("action", [Action.HASH, Action.MASK])
def test_null_stays_null(action: Action) -> None:
    assert protected('{"email":null,"a":null,"c":{"b":null}}', email=action, a__b=action, c__b=action) == {
        "email": None,
        "a": None,
        "c": {"b": None},
    }


def test_equal_values_have_equal_hashes_however_they_are_sent() -> None:
    spelled = ['"5"', "5", '"\\u0035"', "5.0", "50e-1"]
    assert {protected(f'{{"email":{text}}}', email=Action.HASH)["email"] for text in spelled} == {hashed("5")}
    objects = ['{"a":1,"b":[2, "x"]}', '{ "b":[2.0,"\\u0078"], "a":1 }']
    assert len({protected(f'{{"email":{text}}}', email=Action.HASH)["email"] for text in objects}) == 1


def test_lists_on_the_way_are_walked() -> None:
    record = '{"tags":{"data":[{"id":"1","name":"a"},{"id":"2","name":"b"},{"id":"3"}]}}'
    assert protected(record, tags__data__name=Action.HASH) == {
        "tags": {"data": [{"id": "1", "name": hashed("a")}, {"id": "2", "name": hashed("b")}, {"id": "3"}]}
    }
    assert protected(record, tags__data__name=Action.EXCLUDE) == {
        "tags": {"data": [{"id": "1"}, {"id": "2"}, {"id": "3"}]}
    }


def test_a_value_nested_too_deeply_is_protected_as_a_whole() -> None:
    deep = "[" * 100_000 + f'"{NEEDLE}"' + "]" * 100_000
    text = f'{{"id":"1","a":{deep}}}'.encode()
    try:
        left = Protector(rules(a__b=Action.MASK), KEY).text(text)
    except UNREADABLE:
        return  # the record is rejected
    assert NEEDLE.encode() not in left


def test_a_text_that_is_no_object_raises() -> None:
    with pytest.raises(UNREADABLE):
        Protector(rules(email=Action.MASK), KEY).text(b'{"email": NaN}')


def test_members_that_a_reader_has_decoded_before_are_not_given_as_sent() -> None:
    head = RecordHead(("id",), ("created_at",))
    (record,) = split_records(Raw(b'[{"id":"1","created_at":7,"updated_at":8}]'), head).records
    left = Protector(rules(created_at=Action.MASK), KEY).record(record)
    assert bytes(left["created_at"]) == json.dumps(MASKED).encode()
    assert bytes(Protector(rules(updated_at=Action.MASK), KEY).record(record)["created_at"]) == b"7"


@pytest.mark.parametrize("key", [None, "another key of many characters"])
def test_another_key_than_the_one_the_rules_name_is_refused_and_not_shown(key: str | None) -> None:
    with pytest.raises(ConfigurationError, match=key_id_of(KEY)) as refused:
        Protector(rules(email=Action.HASH), key)
    assert key is None or key not in str(refused.value)
    Protector(rules(email=Action.MASK), key)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_hashed_does_not_depend_on_how_a_value_is_written(value: Any, ascii_only: bool, indent: Any) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    plain = json.dumps(value, sort_keys=True).encode()
    assert in_one_spelling(written) == in_one_spelling(plain)


@given(st.dictionaries(st.sampled_from(["a", "b", "email", "c"]), json_values), st.sampled_from(Action))
def test_protecting_twice_by_mask_or_exclusion_changes_nothing_and_other_members_stay(
    record: dict[str, Any], action: Action
) -> None:
    protector = Protector(rules(email=action, a__b=action), KEY)
    once = protector.text(json.dumps(record).encode())
    if action is not Action.HASH:
        assert protector.text(once) == once
    left = json.loads(once)
    assert {name: left[name] for name in ("b", "c") if name in left} == {
        name: record[name] for name in ("b", "c") if name in record
    }
    if action is Action.EXCLUDE:
        assert "email" not in left
