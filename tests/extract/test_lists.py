"""Small lists: what a record gets from the request that it was listed by."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from intercom.api.client import TableClient
from intercom.api.response import Answer
from intercom.extract.extraction import Extraction, Resumable
from intercom.extract.lists import read_list
from intercom.extract.pages import Page
from intercom.tables.catalogue import TABLES


class OneAttribute:
    """An API that lists one attribute of a model, and does not say of which."""

    stopped = threading.Event()

    def get(self, _path: str, _params: Mapping[str, Any], **_expect: Any) -> Answer:
        return Answer({"data": msgspec.Raw(b'[{"name": "plan"}]')}, None, None)


def test_an_attribute_carries_the_model_that_it_was_asked_for_by() -> None:
    pages: list[Page] = []
    table = TABLES["data_attributes"]
    api, nobody = cast(TableClient, OneAttribute()), cast(Resumable, None)
    read_list(Extraction(api, table, 0, pages.append, expect=lambda _rows: None, resumable=nobody))
    found = [
        {name: json.loads(bytes(value)) for name, value in record.items()} for page in pages for record in page.records
    ]
    assert found == [{"model": request["model"], "name": "plan"} for request in table.requests]


class Tags:
    """An API that lists other tags with each answer, and the last ones for ever."""

    stopped = threading.Event()

    def __init__(self, *answers: str) -> None:
        self.left, self.asked = list(answers), 0

    def get(self, _path: str, _params: Mapping[str, Any], **_expect: Any) -> Answer:
        self.asked += 1
        found = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return Answer({"data": msgspec.Raw(f"[{', '.join(map(tag, found))}]".encode())}, None, None)


def tag(key: str) -> str:
    return f'{{"type": "tag", "id": "{key}"}}'


@pytest.mark.parametrize(
    ("answers", "asked", "taken"),
    [(["ab"], 1, "ab"), (["aa", "ab"], 2, "ab"), (["aab"], 2, "aab"), (["b", "c"], 1, "b")],
)
def test_a_page_with_a_record_twice_is_asked_for_once_more(answers: list[str], asked: int, taken: str) -> None:
    pages: list[Page] = []
    api, nobody = Tags(*answers), cast(Resumable, None)
    read_list(
        Extraction(cast(TableClient, api), TABLES["tags"], 0, pages.append, expect=lambda _rows: None, resumable=nobody)
    )
    assert api.asked == asked
    assert "".join(json.loads(bytes(record["id"])) for page in pages for record in page.records) == taken
