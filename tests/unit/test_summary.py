"""The table at the end of a run, as text and as markdown."""

from __future__ import annotations

from intercom.summary import HEADINGS, TableSummary, as_markdown, as_text, failures, remarks, verdict, warnings

CONTACTS = TableSummary(
    "contacts",
    rows_read=12_345,
    new=1_000,
    changed=20,
    unchanged=11_325,
    removed=3,
    rows=1_234_567,
    requests=1_083,
    throttled=2,
    seconds=61.27,
    watermark_before=0,
    watermark_after=1_793_707_199,
    notes=("contacts, May 2026: 9 of 10 rows", "contacts, June 2026: 8 of 10 rows"),
)
TAGS = TableSummary("tags", rows_read=7, rows=7, requests=1, seconds=0.04, notes=("tags: 7 of 8 rows",))
FAILED = TableSummary("companies", rows_read=99, requests=5, error="401 Unauthorized: check the token")
TEAMS = TableSummary("teams", rows_read=3, rows=3)


def test_each_number_stands_under_its_heading() -> None:
    assert dict(zip(HEADINGS, CONTACTS.cells(), strict=True)) == {
        "table": "contacts",
        "rows read": "12,345",
        "new": "1,000",
        "changed": "20",
        "unchanged": "11,325",
        "removed": "3",
        "in table": "1,234,567",
        "requests": "1,083",
        "429s": "2",
        "seconds": "61.3",
        "watermark before": "1970-01-01 00:00:00",
        "watermark after": "2026-11-03 11:59:59",
    }


def test_a_table_without_a_watermark_shows_a_dash() -> None:
    assert TAGS.cells()[-2:] == ["-", "-"]


def test_a_failed_table_shows_no_numbers_that_could_be_taken_for_results() -> None:
    assert FAILED.cells() == ["companies", "failed", *[""] * (len(HEADINGS) - 2)]


def test_text_columns_are_aligned_names_to_the_left_and_numbers_to_the_right() -> None:
    heading, first, second, *_ = as_text([CONTACTS, TAGS]).splitlines()
    assert len(heading) == len(first) == len(second)
    assert (heading.split()[0], first.split()[0], second.split()[0]) == ("table", "contacts", "tags")
    assert second.startswith("tags      ")
    end = heading.index("rows read") + len("rows read")
    assert first[:end].endswith(" 12,345")
    assert second[:end].endswith(" 7")
    assert first[end : end + 2] == "  "


def test_no_line_of_text_ends_in_spaces() -> None:
    assert all(line == line.rstrip() for line in as_text([CONTACTS, FAILED, TAGS]).splitlines())


def test_text_ends_with_the_failures_and_then_the_warnings_of_all_tables() -> None:
    lines = as_text([CONTACTS, FAILED, TAGS]).splitlines()
    assert lines[1].startswith("contacts")
    assert lines[2].split() == ["companies", "failed"]
    assert lines[4:] == [
        "companies failed: 401 Unauthorized: check the token",
        "warning: contacts, May 2026: 9 of 10 rows",
        "warning: contacts, June 2026: 8 of 10 rows",
        "warning: tags: 7 of 8 rows",
    ]


def test_only_failed_tables_are_failures() -> None:
    assert failures([CONTACTS, FAILED, TAGS]) == ["companies failed: 401 Unauthorized: check the token"]
    assert failures([CONTACTS, TAGS]) == []
    assert remarks([]) == []


def test_an_empty_error_message_is_still_a_failure() -> None:
    assert failures([TableSummary("tags", error="")]) == ["tags failed: "]
    assert TableSummary("tags", error="").cells()[1] == "failed"


def test_markdown_holds_the_same_cells_and_remarks() -> None:
    lines = as_markdown([CONTACTS, FAILED]).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(HEADINGS)
    assert lines[1] == "|---|" + "---:|" * (len(HEADINGS) - 1)
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == CONTACTS.cells()
    assert [line.count("|") for line in lines[:4]] == [len(HEADINGS) + 1] * 4
    assert lines[4] == ""
    assert lines[5:] == [f"- {remark}" for remark in remarks([CONTACTS, FAILED])]


def test_a_run_without_tables_is_a_heading() -> None:
    assert as_text([]).split() == " ".join(HEADINGS).split()
    assert len(as_markdown([]).splitlines()) == 2


def test_a_run_that_has_everything_says_so_and_no_more() -> None:
    assert verdict([TEAMS]) == "1 table is in the lake"
    assert verdict([TEAMS, TEAMS]) == "2 tables are in the lake"
    assert warnings([TEAMS, TEAMS]) == []


def test_a_run_that_stays_short_of_rows_names_them_in_its_verdict() -> None:
    assert verdict([TEAMS, TAGS]) == "2 tables are in the lake; 1 warning: tags: 7 of 8 rows"
    assert verdict([CONTACTS, TEAMS, TAGS]) == (
        "3 tables are in the lake; 3 warnings: contacts, May 2026: 9 of 10 rows; contacts, June 2026: 8 of 10 rows; "
        "tags: 7 of 8 rows"
    )
    assert warnings([TEAMS, TAGS]) == ["tags: 7 of 8 rows"]


def test_a_run_with_failed_tables_names_these_first_of_all() -> None:
    assert verdict([TEAMS, FAILED, TAGS]) == (
        "1 of 3 tables failed:\ncompanies failed: 401 Unauthorized: check the token"
    )


def test_a_hint_is_shown_and_is_no_warning() -> None:
    told = TableSummary("tags", hints=("tags: 1 field has no column",))
    assert warnings([told]) == []
    assert verdict([told]) == verdict([TEAMS])
    assert remarks([TAGS, told]) == ["warning: tags: 7 of 8 rows", "note: tags: 1 field has no column"]
    assert as_text([told]).splitlines()[-1] == "note: tags: 1 field has no column"
