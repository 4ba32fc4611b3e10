"""The summary of a run: what it says of each table, and what it takes over from the run before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from intercom.api.traffic import Traffic
from intercom.lake.state import TableState
from intercom.lake.state_entries import Partition
from intercom.sync.run import Run, RunRequest, asked_range
from intercom.sync.run_summary import RunFacts, known_tables, recorded_table, run_summary
from intercom.sync.summary import TableResult
from tests.support.results import table_result

START = 1_793_707_200  # 2026-11-03 12:00:00 UTC
BEGAN = datetime(2031, 1, 1, tzinfo=UTC)  # by a machine whose clock is years ahead
RUN = Run("run-1", "acme", BEGAN + timedelta(seconds=5), run_start=START)
FACTS = RunFacts("run-1", "acme", "s3://bucket/crm", ("contacts", "tags"), "auto", BEGAN, RunRequest(), RUN)
ENDED = BEGAN + timedelta(seconds=65.25)
CONTACTS = table_result(
    "contacts", rows_read=7, new=2, changed=1, unchanged=4, removed=3, rows=9, waiting=5, seconds=0.4444,
    traffic=Traffic(4, 1, 1_200, 166, 0.0, 1.0), watermark_before=START - 60, watermark_after=START - 1,
    notes=("contacts: 1 of 2 rows",), hints=("contacts: 1 field has no column",), rejected=2,
    rejected_file="_rejected/acme/contacts/run-1.jsonl",
)  # fmt: skip
TAGS = TableResult("tags", failure="GET /tags: status 403")


def summary(tables: list[TableResult], facts: RunFacts = FACTS, **options: Any) -> dict[str, Any]:
    made = run_summary(facts, tables, ended_at=ENDED, **options)
    assert json.loads(json.dumps(made)) == made
    return made


def entries(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["table"]: entry for entry in made["lake_tables"]}


def test_the_run_says_what_it_was_asked_and_how_it_ended_by_intercoms_clock() -> None:
    history_from, until = asked_range(datetime(2026, 1, 2).date(), datetime(2026, 2, 3).date(), full_refresh=False)
    made = summary([CONTACTS, TAGS], replace(FACTS, request=RunRequest(history_from=history_from, until=until)))
    assert (made["version"], made["run_id"], made["flow"], made["kind"]) == (1, "run-1", "intercom-sync", "backfill")
    assert (made["connection"], made["lake"]) == ("acme", "s3://bucket/crm")
    assert (made["started_at"], made["ended_at"]) == ("2026-11-03T11:59:55Z", "2026-11-03T12:01:00Z")
    assert (made["seconds"], made["state"]) == (65.25, "failed")
    assert made["message"] == "1 of 2 tables failed:\ntags failed: GET /tags: status 403"
    assert made["asked"] == {
        "tables": ["contacts", "tags"], "full_refresh": False, "start_date": "2026-01-02", "end_date": "2026-02-03",
        "compact": "auto",
    }  # fmt: skip


def test_without_intercoms_time_this_machines_counts() -> None:
    assert summary([], replace(FACTS, run=replace(RUN, doubt=86_400)))["started_at"] == "2031-01-01T00:00:00Z"
    assert summary([], replace(FACTS, run=None))["started_at"] == "2031-01-01T00:00:00Z"


def test_a_table_has_its_counts_times_notes_and_rejected_records() -> None:
    made = summary([CONTACTS])
    assert made["state"] == "completed"
    assert made["tables"] == [
        {
            "table": "contacts", "status": "synced", "reason": "incremental", "complete": True,
            "rows_read": 7, "new": 2, "changed": 1, "unchanged": 4, "removed": 3, "rows": 9, "waiting": 5,
            "kept": 0, "undecided": 0,
            "requests": 4, "throttled": 1, "bytes_received": 1_200, "seconds": 0.444,
            "watermark_before": "2026-11-03T11:59:00Z", "watermark_after": "2026-11-03T11:59:59Z",
            "warnings": ["contacts: 1 of 2 rows"],
            "hints": ["contacts: 1 field has no column", "contacts: 5 staged rows wait to be merged with later ones"],
            "rejected": 2, "rejected_file": "_rejected/acme/contacts/run-1.jsonl", "error": None,
        }
    ]  # fmt: skip


def test_a_run_has_the_traffic_of_its_tables_and_the_share_of_the_quota_that_it_was() -> None:
    tags = table_result("tags", traffic=Traffic(79, 0, 800, 166, 0.5, 9.0))
    assert summary([CONTACTS, tags])["traffic"] == {
        "requests": 83, "throttled": 1, "bytes_received": 2_000, "seconds": 9.0, "limit_per_10s": 166, "share": 0.5,
    }  # fmt: skip
    assert summary([TAGS])["traffic"] == {
        "requests": 0, "throttled": 0, "bytes_received": 0, "seconds": 0.0, "limit_per_10s": None, "share": None,
    }  # fmt: skip


def test_a_table_that_failed_has_no_counts_unless_it_was_read() -> None:
    refused = replace(CONTACTS, failure="the watermark block was refused")
    tags, contacts = summary([TAGS, refused])["tables"]
    assert (tags["status"], tags["error"]) == ("failed", "GET /tags: status 403")
    assert {tags[name] for name in ("rows_read", "new", "rows", "requests", "seconds", "complete", "reason")} == {None}
    assert (contacts["status"], contacts["rows_read"], contacts["rows"]) == ("failed", 7, 9)


def test_a_table_that_was_skipped_says_why_and_is_no_failure() -> None:
    denied = TableResult("teams", skipped="skipped: the token may not read it")
    made = summary([CONTACTS, denied])
    entry = made["tables"][1]
    assert (entry["status"], entry["reason"], entry["error"]) == ("skipped", "skipped: the token may not read it", None)
    assert {entry[name] for name in ("rows_read", "new", "rows", "requests", "seconds", "complete")} == {None}
    assert entry["hints"] == ["teams: skipped: the token may not read it"]
    assert made["state"] == "completed"
    assert "teams" not in entries(made)  # the lake has nothing of it
    assert made["message"] == "1 table is in the lake, 1 skipped (teams); 1 warning: contacts: 1 of 2 rows"


def test_a_table_that_is_skipped_now_stays_as_old_as_it_was() -> None:
    before = summary([table_result("teams", rows=3)])
    later = replace(FACTS, run_id="run-2", run=replace(RUN, run_id="run-2", run_start=START + 3600))
    made = summary([TableResult("teams", skipped="skipped: no")], later, lake_tables=known_tables(before) or [])
    was, now = entries(before)["teams"], entries(made)["teams"]
    assert (now["last_run_id"], now["last_status"]) == ("run-2", "skipped")
    assert [now[name] for name in ("rows", "synced_at", "last_error")] == [3, was["synced_at"], None]


def test_tables_that_the_run_did_not_touch_stay_as_the_run_before_has_left_them() -> None:
    first = summary([CONTACTS, table_result("teams", rows=3)])
    later = replace(FACTS, run_id="run-2", run=replace(RUN, run_id="run-2", run_start=START + 3600))
    second = summary([TAGS], later, lake_tables=known_tables(first) or [])
    assert [entry["table"] for entry in second["lake_tables"]] == ["contacts", "tags", "teams"]
    assert entries(second)["contacts"] == entries(first)["contacts"] == {
        "table": "contacts", "rows": 9, "watermark": "2026-11-03T11:59:59Z", "synced_at": "2026-11-03T12:00:00Z",
        "last_run_at": "2026-11-03T12:01:00Z", "last_run_id": "run-1", "last_status": "synced",
        "last_error_at": None, "last_error_run_id": None, "last_error": None,
    }  # fmt: skip
    assert entries(second)["tags"] == {
        "table": "tags", "rows": None, "watermark": None, "synced_at": None,
        "last_run_at": "2026-11-03T13:01:00Z", "last_run_id": "run-2", "last_status": "failed",
        "last_error_at": "2026-11-03T13:01:00Z", "last_error_run_id": "run-2", "last_error": "GET /tags: status 403",
    }  # fmt: skip


def test_an_error_leaves_rows_and_freshness_and_stays_known_after_the_next_good_run() -> None:
    first = summary([CONTACTS])
    failed = summary([TableResult("contacts", failure="boom")], lake_tables=known_tables(first) or [])
    assert (entries(failed)["contacts"]["rows"], entries(failed)["contacts"]["last_status"]) == (9, "failed")
    assert entries(failed)["contacts"]["synced_at"] == entries(first)["contacts"]["synced_at"]
    good = entries(summary([CONTACTS], replace(FACTS, run_id="run-3"), lake_tables=known_tables(failed) or []))
    assert (good["contacts"]["last_status"], good["contacts"]["last_error"]) == ("synced", "boom")
    assert good["contacts"]["last_error_run_id"] == "run-1"


def test_neither_a_backfill_nor_a_short_read_nor_a_merge_makes_a_table_fresh() -> None:
    short = table_result("contacts", rows=9, complete=False)
    assert entries(summary([short]))["contacts"]["synced_at"] is None
    backfill = replace(FACTS, run=replace(RUN, until=START))
    assert entries(summary([CONTACTS], backfill))["contacts"]["synced_at"] is None
    merged = TableResult("contacts", compacted=CONTACTS.compacted)
    compaction = replace(FACTS, request=None, run=None)
    made = summary([merged], compaction, lake_tables=known_tables(summary([CONTACTS])) or [])
    assert (made["flow"], made["kind"], made["tables"][0]["status"]) == ("intercom-compact", "compact", "compacted")
    assert entries(made)["contacts"]["synced_at"] == "2026-11-03T12:00:00Z"


def test_what_an_earlier_try_has_read_is_no_fresher_for_the_retry() -> None:
    first = summary([CONTACTS])
    assert CONTACTS.ingested is not None
    again = replace(CONTACTS, ingested=replace(CONTACTS.ingested, earlier_try=True))
    later = replace(FACTS, run=replace(RUN, run_start=START + 3600))
    retried = entries(summary([again], later, lake_tables=known_tables(first) or []))["contacts"]
    assert (retried["synced_at"], retried["last_run_at"]) == ("2026-11-03T12:00:00Z", "2026-11-03T13:01:00Z")


def test_a_watermark_that_a_run_has_taken_away_is_not_shown_any_more() -> None:
    before = known_tables(summary([CONTACTS])) or []
    wider = table_result("contacts", rows=9, complete=False, watermark_after=None)
    assert entries(summary([wider], lake_tables=before))["contacts"]["watermark"] is None
    merged = TableResult("contacts", compacted=CONTACTS.compacted)
    compaction = replace(FACTS, request=None, run=None)
    assert entries(summary([merged], compaction, lake_tables=before))["contacts"]["watermark"] is not None


def test_a_merge_over_all_tables_adds_none_that_the_lake_lacks() -> None:
    assert summary([TableResult("teams")], replace(FACTS, request=None, run=None))["lake_tables"] == []


def test_a_run_that_ended_early_says_why_and_keeps_what_is_known() -> None:
    before = known_tables(summary([CONTACTS])) or []
    made = summary([], error="contacts: already running", lake_tables=before, pruned_on="2026-11-03")
    assert (made["state"], made["message"], made["tables"]) == ("failed", "contacts: already running", [])
    assert made["lake_tables"] == before
    assert made["pruned_on"] == "2026-11-03"


def test_a_table_is_also_known_by_its_record_alone() -> None:
    state = TableState(
        "lake", "f", watermark=START, run_id="old", ingested_at=datetime(2026, 11, 1, 5, tzinfo=UTC),
        saved_at=datetime(2026, 11, 1, 6, tzinfo=UTC), partitions={"2026-11": Partition(4, "v", "s")},
    )  # fmt: skip
    told = recorded_table("contacts", state)
    assert (told["rows"], told["watermark"], told["last_run_id"]) == (4, "2026-11-03T12:00:00Z", "old")
    assert (told["synced_at"], told["last_run_at"]) == ("2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z")
    assert (told["last_status"], told["last_error"]) == ("synced", None)
    assert recorded_table("contacts", replace(state, complete=False))["synced_at"] is None
    assert recorded_table("contacts", replace(state, refused="too many"))["last_error"] == "too many"


def test_a_summary_of_a_later_version_or_without_its_fields_is_not_believed() -> None:
    made = summary([CONTACTS])
    assert known_tables(None) is None
    assert known_tables({**made, "version": 2}) is None
    assert known_tables({**made, "version": "1"}) is None
    assert known_tables({"version": 1}) is None
    assert known_tables({"version": 1, "lake_tables": [{"rows": 1}, "x"]}) == []
    (kept,) = known_tables({"version": 1, "lake_tables": [{"table": "tags", "of_a_later_release": 1}]}) or []
    assert kept["table"] == "tags"
    assert "of_a_later_release" not in kept
