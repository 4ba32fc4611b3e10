"""Small lists: what a record gets from the request that it was listed by."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, cast

import msgspec

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
