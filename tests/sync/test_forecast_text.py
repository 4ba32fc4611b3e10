"""A forecast as text of 80 columns, and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.extract.read_forecast import Range
from intercom.sync.forecast import RunForecast
from intercom.sync.forecast_text import WIDTH, as_json, as_text, shown, what_is_read
from intercom.sync.table_forecast import TableForecast

NOV_2 = 1_793_606_300  # 2026-11-02 07:58:20 UTC
CONTACTS = TableForecast(
    "contacts", watermark=NOV_2 + 3600, reason="incremental", read_from=NOV_2, rows=Range(60, 2100),
    requests=Range(2, 16), received=Range(120_000, 4_200_000), parquet=Range(30_000, 1_000_000),
    why="search counts whole days", requests_of_the_plan=3,
)  # fmt: skip
ALL = replace(CONTACTS, watermark=None, read_from=None, reads_all=True)
NUMBERS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (CONTACTS, "changes since 2026-11-02 07:58"),
        (replace(CONTACTS, reads_all=True), "everything"),
        (replace(ALL, reason="the lake has no record of this table"), "everything: first load"),
        (replace(ALL, reason="a full refresh was asked for"), "everything: full refresh"),
        (replace(ALL, reason="1 published file of the table is gone (2026-09)"), "everything: see below"),
        (
            replace(ALL, read_from=NOV_2, reason="the lake has no record of this table"),
            "from 2026-11-02: first load",
        ),
        (replace(ALL, marked=False, reason="no row was seen in earlier runs"), "everything"),
        (replace(ALL, backfill=True, read_from=NOV_2, read_until=NOV_2 + 86_400), "2026-11-02 to 2026-11-02"),
        (replace(ALL, backfill=True, read_until=NOV_2 + 86_400), "until 2026-11-02"),
        (replace(ALL, failure="why"), "failed, see below"),
        (replace(ALL, skipped="why"), "skipped, see below"),
        (TableForecast("contact_tags", marked=False, parent="contacts", derived=True), "made of contacts"),
    ],
)
def test_what_is_read_is_said_in_few_words(table: TableForecast, what: str) -> None:
    assert what_is_read(table) == what


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Range.exactly(1_234_567), "1,234,567"),
        (Range(60, 2100), "60 to 2,100"),
        (Range(1_250_000, 2_410_001), "1.2M to 2.5M"),
        (Range(12_399, 100_001), "12.3k to 101k"),
        (Range(9_999, 99_951), "9,999 to 100.0k"),
        (Range(80, None), "at least 80"),
        (Range(0, None), "unknown"),
    ],
)
def test_bounds_are_rounded_away_from_each_other(number: Range, text: str) -> None:
    assert shown(number) == text


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=9))
def test_it_fits_80_columns(numbers: list[tuple[int, int, int, int]]) -> None:
    tables = tuple(
        replace(
            ALL, table="data_attributes", backfill=True, read_from=NOV_2, read_until=NOV_2 + 86_400,
            rows=Range(rows, rows + more), requests=Range(requests // 100, (requests + others) // 100),
            notes=("a word " * 30,), why="a reason " * 20,
        )
        for rows, more, requests, others in numbers
    )  # fmt: skip
    text = as_text(RunForecast(tables, 1666, 12, 9), ["a remark " * 20])
    assert max(map(len, text.splitlines())) <= WIDTH


def test_reasons_bounds_failures_and_notes_stand_below_the_total() -> None:
    reason = "1 published file of the table is gone (2026-09)"
    repaired = replace(ALL, table="articles", reason=reason, why="")
    failed = TableForecast("companies", failure="Forbidden: grant it.")
    skipped = TableForecast("calls", skipped="skipped: no permission")
    noted = replace(CONTACTS, table="conversations", notes=("300 staged rows of earlier runs wait to be merged",))
    below = as_text(RunForecast((CONTACTS, failed, skipped, noted, repaired), 166, 20, 7), ["Nothing was written."])
    lines = " ".join(below.partition("\n\n")[2].split())
    assert "In all 180 to 6,300 rows by 6 to 48 requests" in lines
    assert "at 166 requests per 10 s, of which others use about 20 now." in lines
    assert "received, 0.1 MB to 3.0 MB as Parquet" in lines
    assert f"articles: read from the beginning, because {reason}" in lines
    assert "contacts, conversations: bounds from below and above, since search counts whole days" in lines
    assert "companies would fail: Forbidden: grant it. calls: skipped: no permission" in lines
    assert lines.count("calls") == 1
    assert "conversations: 300 staged rows of earlier runs wait to be merged" in lines
    assert below.endswith("Nothing was written.")


@pytest.mark.parametrize(
    ("requests", "time"),
    [
        (Range.exactly(30), "less than a minute"),
        (Range.exactly(1660), "about 2 min"),
        (Range(1660, 9960), "2 min to 10 min"),
        (Range(1660, None), "at least 2 min"),
    ],
)
def test_minutes_are_those_of_the_allowed_rate(requests: Range, time: str) -> None:
    text = as_text(RunForecast((replace(CONTACTS, requests=requests),), 166, 0, 1))
    assert f"requests: {time} at 166 requests per 10 s" in " ".join(text.split())


def test_a_request_for_each_parent_is_told_with_its_time_and_a_derived_table_costs_none() -> None:
    parts = replace(
        ALL, table="conversation_parts", rows=Range(0, None), requests=Range(3024, 3024), parent="conversations",
        asked=Range(3000, 3000), why="",
    )  # fmt: skip
    changed = replace(parts, table="contact_notes", watermark=NOV_2, parent="contacts", asked=Range(20, 300))
    none = replace(changed, table="contact_segments", asked=Range(0, 0))
    unknown = replace(parts, table="company_segments", parent="companies", asked=Range(0, None))
    derived = TableForecast("contact_tags", marked=False, parent="contacts", derived=True, reason="made of contacts")
    text = as_text(RunForecast((parts, changed, none, unknown, derived), 166, 0, 7))
    lines = " ".join(text.split())
    assert "contact_tags made of contacts 0" in lines
    assert "conversation_parts: one request for each of 3,000 conversations: about 3 min by itself" in lines
    assert "contact_notes: one request for each of 20 to 300 contacts that may have changed: about 3 min" in lines
    assert "company_segments: one request for each of an unknown number of companies: " in lines
    assert "contact_segments: one request" not in lines
    made = json.loads(json.dumps(as_json(RunForecast((parts, derived), 166, 0, 7))))["tables"]
    assert made["conversation_parts"]["parents_asked"] == {"least": 3000, "most": 3000}
    assert (made["contact_tags"]["parent"], made["contact_tags"]["rows"]) == ("contacts", None)
    assert made["contact_tags"]["requests"] == {"least": 0, "most": 0}


def test_json_has_bounds_times_and_the_sum() -> None:
    failed, skipped = TableForecast("companies", failure="why"), TableForecast("calls", skipped="why not")
    made = json.loads(json.dumps(as_json(RunForecast((CONTACTS, failed, skipped), 166, 0, 4), connection="acme")))
    assert made["connection"] == "acme"
    contacts = made["tables"]["contacts"]
    assert contacts["rows"] == {"least": 60, "most": 2100}
    assert (contacts["watermark"], contacts["from"]) == ("2026-11-02T08:58:20Z", "2026-11-02T07:58:20Z")
    assert made["tables"]["companies"]["failure"] == "why"
    assert made["tables"]["calls"]["skipped"] == "why not"
    assert made["total"]["requests"] == {"least": 2, "most": 16}
    assert made["requests_of_this_plan"] == 4
