"""Where the records are in an answer, and what a page of them says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from intercom.api.response import Answer, Failure, HttpResponse, read_answer
from intercom.config.secret_masking import SecretMask
from intercom.extract.pages import page_of
from intercom.tables.catalogue import TABLES

NESTED = replace(TABLES["contacts"], records_at=("tags", "tags"))


def answer(body: str) -> Answer | Failure:
    return read_answer(HttpResponse(200, {}, body.encode()), NESTED.records_at, SecretMask([]))


def page(body: str) -> Any:
    found = answer(body)
    assert isinstance(found, Answer)
    return page_of(found, NESTED, 1)


def test_records_are_found_inside_another_member() -> None:
    found = page('{"id": "7", "tags": {"type": "tag.list", "tags": [{"id": "1"}, null, {"id": "2"}]}, "data": [{}]}')
    assert [json.loads(bytes(record["id"])) for record in found.records] == ["1", "2"]
    assert (found.nulls, found.size) == (1, len('[{"id": "1"}, null, {"id": "2"}]'))


def test_one_broken_record_inside_another_member_costs_none_of_the_others() -> None:
    found = page('{"id": "7", "tags": {"tags": [{"id": "1"}, {"id": "2", "x": NaN}, {"id": "3"}]}, "pages": null}')
    assert [json.loads(bytes(record["id"])) for record in found.records] == ["1", "3"]
    assert [rejected.text for rejected in found.rejected] == [b'{"id": "2", "x": NaN}']


@pytest.mark.parametrize(
    "body",
    ['{"tags": [{"id": "1"}]}', '{"tags": {"data": []}}', '{"tags": {"tags": {}}}', '{"tags": null}', '{"data": []}'],
)
def test_an_answer_without_the_list_where_it_should_be_is_broken(body: str) -> None:
    found = answer(body)
    assert isinstance(found, Failure)
    assert "'tags.tags'" in found.reason


def test_a_page_has_read_as_far_as_its_newest_record() -> None:
    times = [1_700_000_000, None, 1_700_000_900, "1700000950", "no time", 1_700_000_500_000]
    records = [{"id": str(number), "updated_at": at} for number, at in enumerate(times)]
    found = page(json.dumps({"tags": {"tags": records}}))
    assert found.seconds("updated_at") == [1_700_000_000, None, 1_700_000_900, 1_700_000_950, None, 1_700_000_500]
    assert found.newest == 1_700_000_950
    assert page('{"tags": {"tags": [{"id": "1"}]}}').newest is None
    tags = Answer({"data": found.records[0].text}, None, None, elements=[b'{"id": "1", "updated_at": 5}'])
    assert page_of(tags, TABLES["tags"], 1).newest is None  # it has no watermark
