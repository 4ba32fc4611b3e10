"""Block types as their forms in Prefect show them, and that documents of other versions can be read."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.blocks.core import Block

from intercom.blocks import IntercomConnection
from intercom.watermark_blocks import IntercomWatermark

KINDS = [IntercomConnection, IntercomWatermark]


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_says_what_each_field_is(kind: type[Block]) -> None:
    fields = kind.model_json_schema()["properties"]
    assert set(fields) == set(kind.model_fields)
    for name, field in fields.items():
        assert field["title"][0].isupper(), name
        assert field["title"] != name.replace("_", " ").title() or "_" not in name, name  # not the one pydantic makes
        assert len(field["description"]) > 20, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_type_has_a_picture_words_and_an_example(kind: type[Block]) -> None:
    shown = kind._to_block_type()
    assert str(shown.logo_url).startswith("https://")
    assert str(shown.documentation_url).startswith("https://")
    assert len(shown.description or "") > 40
    compile(shown.code_example or "", kind.__name__, "exec")
    assert f"import {kind.__name__}\n" in (shown.code_example or "")


@pytest.mark.parametrize(
    ("kind", "required"),
    [
        (IntercomConnection, {"access_token"}),
        (IntercomWatermark, {"connection", "table", "lake_id", "lake_url", "cursor_field"}),
    ],
)
def test_no_field_is_required_that_the_first_version_did_not_require(kind: type[Block], required: set[str]) -> None:
    assert {name for name, field in kind.model_fields.items() if field.is_required()} == required


@pytest.mark.parametrize("more", [{}, {"a_field_of_a_later_version": 1}])
def test_values_of_other_versions_are_read(more: dict[str, Any]) -> None:
    connection = IntercomConnection.model_validate({"access_token": "secret", **more})
    assert (connection.region, connection.base_url, connection.requests_in_flight) == ("us", None, None)
