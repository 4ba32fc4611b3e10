"""Watermarks in a file: what goes in comes out, and a file that is none is told where it is wrong."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.errors import ConfigurationError
from intercom.lake.watermark import Watermark
from intercom.orchestration.server.watermark_records import dumped, from_record, loaded, to_record

CONTACTS = Watermark(
    connection="acme",
    table="contacts",
    lake_id="1a2b3c4d5e6f",
    lake_url="s3://bucket/prefix",
    cursor_field="updated_at",
    value=1_790_000_000,
    run_id="run",
    rows=12,
    saved_at=datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC),
)


def test_what_is_exported_is_imported() -> None:
    empty = replace(CONTACTS, table="articles", value=None, run_id="", rows=0)
    assert loaded(dumped([CONTACTS, empty]).encode(), "file") == [empty, CONTACTS]


def test_a_record_of_the_oldest_version_is_read() -> None:
    names = {key: to_record(CONTACTS)[key] for key in ("connection", "table", "lake_id", "lake_url", "cursor_field")}
    found = from_record({**names, "later": 1}, "block")
    assert replace(found, saved_at=CONTACTS.saved_at) == replace(CONTACTS, value=None, run_id="", rows=0)


def test_a_time_without_a_zone_is_in_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        found = from_record({**to_record(CONTACTS), "value": "2026-11-02 08:58:43"}, "block")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.value == int(datetime(2026, 11, 2, 8, 58, 43, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": None}, "watermark 2: 'table' is missing"),
        ({"lake_id": 7}, "watermark 2: 'lake_id' is missing"),
        ({"value": "yesterday"}, "watermark 2, 'value': no time"),
        ({"value": ""}, "watermark 2, 'value': no time"),
        ({"value": 1_790_000_000}, "watermark 2, 'value': no time"),
        ({"rows": "many"}, "watermark 2: 'rows' is no whole number"),
        ({"table": "contacts"}, "watermark 2: contacts of the same lake is there twice"),
    ],
)
def test_a_wrong_record_is_told_with_its_place(change: dict[str, Any], message: str) -> None:
    records = [to_record(CONTACTS), {**to_record(CONTACTS), "table": "articles", **change}]
    with pytest.raises(ConfigurationError, match=message):
        loaded(json.dumps({"format": 1, "watermarks": records}).encode(), "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("\udcff", "no JSON"),
        ("[]", "no file of watermarks"),
        ('{"watermarks": {}}', "no file of watermarks"),
        ('{"watermarks": []}', "format None"),
        ('{"format": 2, "watermarks": []}', "format 2, this version knows 1"),
        ('{"format": 1, "watermarks": [null]}', "watermark 1: expected an object"),
    ],
)
def test_another_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        loaded(text.encode(errors="surrogateescape"), "file")
