"""Whatever bytes an answer has: records of it are rows, are rejected and counted, or the answer counts as broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.api.response import Answer, Failure, HttpResponse, read_answer
from intercom.config.secret_masking import SecretMask
from intercom.extract.pages import page_of
from intercom.normalise.normaliser import Normaliser
from intercom.tables.catalogue import TABLES
from tests.support.effort import effort

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "dG9rOjEyMzQ1Njc4OTA="
CONTACTS = TABLES["contacts"]

odd = st.sampled_from(
    ['"', "\\", "\\u0000", "\\ud800", "\ud83d", "\x00", "\x01", "NaN", "-Infinity", "1e999999999", "9" * 400, "[" * 300]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | odd
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | odd, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["email", "name", "updated_at", "created_at", "tags", "custom_attributes", "new"]) | st.text()
records = st.builds(
    lambda key, members: {"type": "contact", "id": key, **members},
    st.text("0123456789abcdef", min_size=1, max_size=24),
    st.dictionaries(names.filter(lambda name: name not in ("id", "type")), values, max_size=4),
)
elements = st.lists(st.one_of(records, records, records, values), max_size=6)


def as_text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The body of a list, with some bytes of it lost, replaced or added."""
    body = bytearray(as_text({"type": "list", "data": draw(elements), "total_count": draw(st.integers())}))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body)


def rows_of(body: bytes) -> tuple[Answer | Failure, int, int, int]:
    """What the answer is taken for, and how many of its elements are rows, rejected and null."""
    answer = read_answer(HttpResponse(200, {}, body), CONTACTS.records_at, SecretMask([TOKEN]))
    if isinstance(answer, Failure):
        return answer, 0, 0, 0
    page = page_of(answer, CONTACTS, 1)
    batch = Normaliser(CONTACTS, NOW).batch(page.records, where=page.where) if page.records else None
    rows = 0 if batch is None else batch.num_rows
    assert rows == len(page.records)
    if batch is not None:
        batch.validate(full=True)
    return answer, rows, len(page.rejected), page.nulls


@given(damaged() | st.binary(max_size=200) | values.map(as_text))
@settings(max_examples=effort(150, 20_000), deadline=None)
def test_no_bytes_fail_a_read_in_another_way_than_a_failure(body: bytes) -> None:
    answer, *_ = rows_of(body)
    if isinstance(answer, Failure):
        assert answer.reason


@given(elements)
@settings(max_examples=effort(100, 20_000), deadline=None)
def test_every_element_of_a_list_is_counted(listed: list[Any]) -> None:
    _, rows, rejected, nulls = rows_of(as_text({"type": "list", "data": listed}))
    assert nulls == sum(one is None for one in listed)
    assert rows + rejected + nulls == len(listed)
    assert rows >= sum(isinstance(one, dict) and one.get("type") == "contact" and json_is_sound(one) for one in listed)


def json_is_sound(value: object) -> bool:
    """Whether it is plain JSON, without NaN and its like."""
    try:
        json.dumps(value, allow_nan=False).encode("utf-8")
    except (ValueError, UnicodeEncodeError):
        return False
    return True
