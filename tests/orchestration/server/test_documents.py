"""Block types as their forms in Prefect show them, and that documents of other versions can be read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.core import Block
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from intercom.blocks import IntercomConnection, IntercomWatermark
from intercom.orchestration.server.documents import made_or_there, save_document

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


class Racing:
    """A Prefect client beside which another one creates each thing just after this one has looked for it."""

    def __init__(self) -> None:
        self.data: dict[str, Any] | None = None
        self.created_beside = False

    def read_block_document_by_name(self, *_: Any) -> Any:
        if self.data is None:
            raise ObjectNotFound(Exception())
        return SimpleNamespace(id=1)

    def create_block_document(self, document: Any) -> None:
        if not self.created_beside:
            self.created_beside, self.data = True, {"by": "another run"}
            raise ObjectAlreadyExists(Exception())
        self.data = document.data

    def update_block_document(self, _: int, update: Any) -> None:
        self.data = update.data


def test_a_document_that_another_run_creates_meanwhile_is_saved_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntercomWatermark, "_block_schema_id", uuid4())
    monkeypatch.setattr(IntercomWatermark, "_block_type_id", uuid4())
    client: Any = Racing()
    save_document(client, IntercomWatermark, "acme", {"by": "this run"})
    assert client.data == {"by": "this run"}


def test_what_is_always_created_by_others_in_the_end_is_an_error() -> None:
    def exists() -> None:
        raise ObjectAlreadyExists(Exception())

    with pytest.raises(ObjectAlreadyExists):
        made_or_there(exists)
