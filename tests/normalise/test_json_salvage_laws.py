"""What is cut out of an answer that no decoder takes: the parts of whole texts, and nothing of texts that are not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from intercom.api.response import Answer, Failure, HttpResponse, read_answer
from intercom.config.secret_masking import SecretMask
from intercom.normalise.json_salvage import elements, members
from intercom.normalise.records import NO_JSON, NO_OBJECT, TOO_DEEP, RecordHead, SplitRecords, sort_out, split_records
from tests.support.effort import effort

texts = st.text() | st.sampled_from(['"', "\\", '\\"', "]", "}{", ",", "[,]", '":'])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
DEEP = b"[" * 100_000 + b"]" * 100_000
arrays = st.lists(values, max_size=4)
styles = st.fixed_dictionaries({"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 1])})


@settings(max_examples=effort(17, 500))
@given(arrays, styles)
def test_elements_are_those_that_were_put_together_nan_or_not(array: list[Any], style: dict[str, Any]) -> None:
    found = elements(json.dumps(array, **style).encode("utf-8", "surrogatepass"))
    assert found is not None
    assert [spelled(json.loads(text)) for text in found] == [spelled(value) for value in array]


@settings(max_examples=effort(17, 500))
@given(st.dictionaries(st.text(), values, max_size=4), styles)
def test_members_are_those_that_were_put_together(record: dict[str, Any], style: dict[str, Any]) -> None:
    found = members(json.dumps(record, **style).encode())
    assert found is not None
    assert {name: spelled(json.loads(text)) for name, text in found.items()} == {
        name: spelled(value) for name, value in record.items()
    }


def spelled(value: Any) -> str:
    return json.dumps(value)  # NaN is not equal to itself


@settings(max_examples=effort(17, 500))
@given(arrays.filter(bool), st.data())
def test_no_part_of_a_text_passes_for_the_whole(array: list[Any], data: st.DataObject) -> None:
    text = json.dumps(array).encode()
    end = data.draw(st.integers(0, len(text) - 1))
    assert elements(text[:end]) is None
    assert members(b'{"data":' + text[:end] + b"}") is None or b'"' in text


@settings(max_examples=effort(17, 500))
@given(st.binary(max_size=30) | st.text('[]{},":\\ a1', max_size=30).map(str.encode))
def test_anything_is_cut_or_refused(text: bytes) -> None:
    for cut in (elements(text), members(text)):
        assert cut is None or all(part and part in text for part in (cut.values() if isinstance(cut, dict) else cut))


@settings(max_examples=effort(17, 500))
@given(arrays, st.sampled_from([b"NaN", b"{", b"]", b'"', b"\x01", b'{"id":NaN}', b'"\x01"', b"5 5", b"}"]))
def test_an_odd_element_leaves_its_neighbours_or_ends_it_all(array: list[Any], odd: bytes) -> None:
    good = json.dumps([{"id": "1", "sent": value} for value in array]).encode()[1:-1]
    body = b'{"data":[%b,%b,%b],"total_count":3}' % (b'{"id":"0"}', odd, good or b'{"id":"2"}')
    answer = read_answer(HttpResponse(200, {}, body), ("data",), SecretMask([]))
    if isinstance(answer, Failure):
        assert answer.reason.startswith("broken body")
        assert odd in (b"{", b"]", b'"', b"}")
        return
    assert answer.elements is not None
    split = sort_out(answer.elements, RecordHead(("id",)))
    assert bytes(split.records[0]["id"]) == b'"0"'
    assert odd in [rejected.text for rejected in split.rejected]
    assert bytes(answer.fields["total_count"]) == b"3"


def test_a_sound_body_is_not_cut() -> None:
    answer = read_answer(HttpResponse(200, {}, b'{"data":[{"id":"1"}]}'), ("data",), SecretMask([]))
    assert isinstance(answer, Answer)
    assert answer.elements is None


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"data":[1,]}', b'{"data":[NaN],}', b'{"data":[NaN]', b'{"data" [NaN]}', b'{"data":[NaN]}{}'),
        *(b"{data:[NaN]}", b'{"data":{"a":NaN}}', b'{"rows":[NaN]}', b"[NaN]", b"NaN", b'{"data":[NaN],"pages":NaN}'),
        *(b'{"data":[NaN],"n":}', b'{"data":[NaN],"pages":' + DEEP + b"}", b'<a href="[]">{}</a>'),
    ],
)
def test_a_body_that_is_not_whole_or_odd_beside_its_list_is_broken(body: bytes) -> None:
    answer = read_answer(HttpResponse(200, {}, body), ("data",), SecretMask([]))
    assert isinstance(answer, Failure)
    assert answer.reason.startswith("broken body")


@pytest.mark.parametrize("odd", ["[" * 60_000 + "]" * 60_000, '{"a":' * 40_000 + "1" + "}" * 40_000])
def test_depth_costs_no_stack_and_no_more_than_its_length(odd: str) -> None:
    body = f'{{"data":[{{"id":"1"}},{{"id":"2","a":{odd}}}]}}'.encode()
    begin = time.process_time()
    answer = read_answer(HttpResponse(200, {}, body), ("data",), SecretMask([]))
    assert isinstance(answer, Answer)
    assert answer.elements is not None
    split = sort_out(answer.elements, RecordHead(("id",)))
    assert time.process_time() - begin < 3
    assert (len(split.records), [rejected.reason for rejected in split.rejected]) == (1, [TOO_DEEP])


@settings(max_examples=effort(17, 500))
@given(st.lists(st.sampled_from([b"5", b"null", b'{"id":"1"}', b'{"id":2}', b"{}", b'{"id":""}', b"[]", b'{"id":[]}'])))
def test_a_sound_list_is_sorted_out_the_same_in_one_piece_or_one_by_one(texts: list[bytes]) -> None:
    glance = RecordHead(("id",), ("created_at",))
    whole, singly = split_records(Raw(b"[" + b",".join(texts) + b"]"), glance), sort_out(texts, glance)
    assert told(whole) == told(singly)
    assert NO_JSON not in [rejected.reason for rejected in whole.rejected]
    assert [r.text for r in whole.rejected if r.reason == NO_OBJECT] == [
        text for text in texts if text in (b"5", b"[]")
    ]


def told(split: SplitRecords) -> tuple[list[dict[str, bytes]], int, list[tuple[bytes, str]]]:
    records = [{name: bytes(value) for name, value in record.items()} for record in split.records]
    return records, split.nulls, [(rejected.text, rejected.reason) for rejected in split.rejected]


def test_characters_that_are_no_unicode_are_mended_beside_the_list_and_in_it() -> None:
    answer = read_answer(
        HttpResponse(200, {}, b'{"\\ud83d":"\xff","data":[{"id":"\xff"},NaN]}'), ("data",), SecretMask([])
    )
    assert isinstance(answer, Answer)
    assert answer.elements == [b'{"id":"\xff"}', b"NaN"]
    assert bytes(answer.fields["\\ud83d"]) == '"\N{REPLACEMENT CHARACTER}"'.encode()
    split = sort_out(answer.elements, RecordHead(("id",)))
    assert bytes(split.records[0]["id"]) == '"\N{REPLACEMENT CHARACTER}"'.encode()
