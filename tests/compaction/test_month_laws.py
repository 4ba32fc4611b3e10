"""Whatever number a time is: its row gets a month, the month a folder, and the folder is that of the month."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from intercom.api.response import Answer
from intercom.extract.pages import page_of
from intercom.lake.layout import TablePaths
from intercom.lake.staging import split_by_month
from intercom.lake.state import TableState
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.sync.time_text import shown_time
from intercom.tables.catalogue import TABLES
from tests.support.effort import effort

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PATHS = TablePaths("acme", "contacts")
FIRST, LAST = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999
seconds = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(FIRST, LAST), st.integers(FIRST, FIRST + 32 * 10**9))


def sent(values: list[int]) -> Raw:
    text = json.dumps([{"id": str(row), "created_at": value, "updated_at": value} for row, value in enumerate(values)])
    return Raw(text.encode())


def read(values: list[int]) -> pa.Table:
    records = split_records(sent(values)).records
    return pa.Table.from_batches([Normaliser(TABLES["contacts"], NOW).batch(records, where="page 1")])


@settings(max_examples=effort(67, 2000))
@given(st.lists(seconds, min_size=1, max_size=5))
@example([FIRST])
@example([LAST, FIRST, LAST + 1, FIRST - 1, 0])
@example([2**63 - 1, -(2**63)])
def test_each_row_lies_in_the_folder_of_its_month(values: list[int]) -> None:
    found = {}
    for month, rows in split_by_month(read(values).to_batches(), "created_at"):
        path = PATHS.part("run", month, 0)
        assert PATHS.run_and_month(path) == ("run", month)
        assert PATHS.month_of(PATHS.published(month)) == month
        found |= dict.fromkeys(rows.column("id").to_pylist(), month)
    assert [found[str(row)] for row in range(len(values))] == [month_of(value) for value in values]


def test_the_month_is_that_of_the_partition_field() -> None:
    rows = read([0])
    later = pa.array([datetime(2026, 11, 3, tzinfo=UTC)], rows.column("updated_at").type)
    rows = rows.set_column(rows.schema.get_field_index("updated_at"), "updated_at", later)
    assert [month for month, _ in split_by_month(rows.to_batches(), "updated_at")] == ["2026-11"]
    assert [month for month, _ in split_by_month(rows.to_batches(), "created_at")] == ["1970-01"]


def month_of(value: int) -> str:
    """Milliseconds where no second can be meant; no month where neither is a time."""
    micros = value * 10**6 if FIRST <= value <= LAST else value * 1000
    if not FIRST * 10**6 <= micros < (LAST + 1) * 10**6:
        return "unknown"
    at = EPOCH + timedelta(microseconds=micros)
    return f"{at.year:04d}-{at.month:02d}"


@given(st.lists(seconds, min_size=1, max_size=5))
@example([FIRST, -1])
@example([-5_000_000])
def test_a_page_has_read_as_far_as_its_newest_row(values: list[int]) -> None:
    times = read(values).column("updated_at")
    known = [(at - EPOCH) // timedelta(seconds=1) for at in times.to_pylist() if at is not None]
    assert page_of(Answer({"data": sent(values)}, None, None), TABLES["contacts"], 1).newest == max(known, default=None)


@given(st.integers(FIRST, LAST))
@example(FIRST)
@example(LAST)
def test_a_watermark_of_any_year_is_told_and_saved_in_four_digits(second: int) -> None:
    state = TableState(lake_id="x", fingerprint="y", watermark=second, history_from=second)
    assert state_from_json(json.loads(json.dumps(state_to_json(state)))).watermark == second
    assert datetime.fromisoformat(f"{shown_time(second)}+00:00") == EPOCH + timedelta(seconds=second)
