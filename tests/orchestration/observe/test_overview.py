"""The overview of a connection, as markdown."""

from __future__ import annotations

from typing import Any

from intercom.orchestration.observe.overview import as_overview

NEVER = dict.fromkeys(
    ["rows", "watermark", "synced_at", "last_run_at", "last_run_id", "last_status", "last_error_at",
     "last_error_run_id", "last_error"]
)  # fmt: skip
CONTACTS = {
    **NEVER, "table": "contacts", "rows": 1234, "synced_at": "2026-11-03T12:00:01Z",
    "last_run_at": "2026-11-03T13:07:59Z", "last_run_id": "run-2", "last_status": "failed",
    "last_error_at": "2026-11-03T13:07:59Z", "last_error_run_id": "run-2", "last_error": "no\nanswer | " + "x" * 400,
}  # fmt: skip
TAGS = {
    **NEVER, "table": "tags", "rows": 0, "synced_at": "2026-11-03T12:00:01Z",
    "last_run_at": "2026-11-03T12:01:00Z", "last_run_id": "run-1", "last_status": "synced",
}  # fmt: skip


def overview(tables: list[dict[str, Any]], report_url: str | None = None) -> list[str]:
    summary = {
        "connection": "acme", "lake": "s3://bucket/crm", "kind": "sync", "run_id": "run-2",
        "ended_at": "2026-11-03T13:07:59Z", "lake_tables": tables,
    }  # fmt: skip
    text = as_overview(summary, "| of the run |", lambda text, run: f"[{text}]({run})", report_url)
    return text.replace("\u2011", "-").replace("\u00a0", " ").splitlines()


def test_every_table_has_a_row_with_its_freshness_rows_last_run_and_last_error() -> None:
    lines = overview([CONTACTS, TAGS, {**NEVER, "table": "teams"}])
    assert lines[0] == "All tables of `acme` in `s3://bucket/crm`, times in UTC"
    assert [line for line in lines if line.startswith("| ")] == [
        "| table | up to date as of | rows | last run | last error |",
        "| contacts | 2026-11-03 12:00 | 1,234 | [2026-11-03 13:07](run-2) failed | 2026-11-03 13:07 |",
        "| tags | 2026-11-03 12:00 | 0 | [2026-11-03 12:01](run-1) |  |",
        "| teams | - | - | - |  |",
        "| of the run |",
    ]
    command = "intercom-lake report --lake s3://bucket/crm --connection acme --output report.html"
    assert lines[-1] == f"All of the lake as one page: `{command}`"


def test_errors_stand_below_the_table_in_a_line_each_and_are_cut() -> None:
    (error,) = [line for line in overview([CONTACTS, TAGS]) if line.startswith("- ")]
    assert error.startswith("- contacts, [2026-11-03 13:07](run-2): no answer | xxx")
    assert error.endswith("xxx...")
    assert len(error) < 400


def test_the_tables_of_the_run_follow() -> None:
    lines = overview([TAGS])
    assert lines[-5:-2] == ["### Latest run: sync, [2026-11-03 13:07](run-2)", "", "| of the run |"]


def test_a_lake_without_tables_has_no_table() -> None:
    assert not [line for line in overview([])[:-3] if line.startswith("|")]


def test_a_table_that_the_last_run_has_skipped_is_told_apart_from_one_that_failed() -> None:
    assert "| [2026-11-03 12:01](run-1) skipped |" in overview([TAGS | {"last_status": "skipped"}])[4]


def test_a_report_that_is_published_is_linked() -> None:
    lines = overview([TAGS], "https://reports.example.com/acme.html")
    assert lines[-1] == "All of the lake as one page: [the report](https://reports.example.com/acme.html)"
