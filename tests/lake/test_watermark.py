"""Watermarks as records: what goes in comes out, and a record that is none is told where it is wrong."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.errors import ConfigurationError
from intercom.lake.watermark import Watermark, from_record, to_record

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


@pytest.mark.parametrize("watermark", [CONTACTS, replace(CONTACTS, value=None, run_id="", rows=0)])
def test_a_record_is_read_as_it_was_written(watermark: Watermark) -> None:
    assert from_record(json.loads(json.dumps(to_record(watermark))), "block") == watermark


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
        ({"table": None}, "block acme: 'table' is missing"),
        ({"lake_id": 7}, "block acme: 'lake_id' is missing"),
        ({"value": "yesterday"}, "block acme, 'value': no time"),
        ({"value": ""}, "block acme, 'value': no time"),
        ({"value": 1_790_000_000}, "block acme, 'value': no time"),
        ({"rows": "many"}, "block acme: 'rows' is no whole number"),
    ],
)
def test_a_wrong_record_is_told_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_record({**to_record(CONTACTS), **change}, "block acme")


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="block acme: expected an object"):
        from_record(None, "block acme")
