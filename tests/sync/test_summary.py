"""The table at the end of a run, as text and as markdown."""

from __future__ import annotations

from intercom.api.traffic import Traffic
from intercom.sync.summary import (
    HEADINGS,
    TEXT_HEADINGS,
    TableResult,
    as_markdown,
    as_text,
    failures,
    remarks,
    spent,
    verdict,
    warnings,
)
from tests.support.results import table_result

CONTACTS = table_result(
    "contacts",
    rows_read=12_345,
    new=1_000,
    changed=20,
    unchanged=11_325,
    removed=3,
    rows=1_234_567,
    traffic=Traffic(requests=1_083, throttled=2, received=1_850_000, limit=166, began=1000.0, ended=1100.0),
    seconds=61.27,
    watermark_before=0,
    watermark_after=1_793_707_199,
    notes=("contacts, May 2026: 9 of 10 rows", "contacts, June 2026: 8 of 10 rows"),
)
TAGS = table_result(
    "tags",
    rows_read=7,
    rows=7,
    traffic=Traffic(1, 0, 999, 166, 1099.0, 1100.4),
    seconds=0.04,
    notes=("tags: 7 of 8 rows",),
)
FAILED = TableResult("companies", failure="401 Unauthorized: check the token")
TEAMS = table_result("teams", rows_read=3, rows=3)


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
        "received": "1.9 MB",
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
    assert failures([TableResult("tags", failure="")]) == ["tags failed: "]
    assert TableResult("tags", failure="").cells()[1] == "failed"


def row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_holds_the_same_cells_and_remarks_and_the_watermarks_in_a_table_of_their_own() -> None:
    lines = as_markdown([CONTACTS, FAILED, TAGS]).splitlines()
    counts, times = list(HEADINGS[:-2]), ["table", "watermark before", "watermark after"]
    assert row(lines[0]) == counts
    assert lines[1] == "|---|" + "---:|" * (len(counts) - 1)
    assert row(lines[2]) == CONTACTS.cells()[:-2]
    assert row(lines[3]) == FAILED.cells()[:-2]
    assert row(lines[4]) == TAGS.cells()[:-2]
    told = [f"- {remark}" for remark in remarks([CONTACTS, FAILED, TAGS])]
    assert lines[5:8:2] == ["", ""]
    assert lines[8 : 8 + len(told)] == told
    after = lines[8 + len(told) :]
    assert after[0] == ""
    assert row(after[1]) == times
    assert after[2] == "|---|---:|---:|"
    assert [row(line) for line in after[3:]] == [["contacts", *CONTACTS.cells()[-2:]]]


def test_text_leaves_out_what_a_terminal_has_no_room_for() -> None:
    assert as_text([CONTACTS]).splitlines()[0].split() == " ".join(TEXT_HEADINGS).split()
    assert set(HEADINGS) - set(TEXT_HEADINGS) == {"received"}
    assert CONTACTS.cells(TEXT_HEADINGS)[7:10] == ["1,083", "2", "61.3"]


def test_markdown_says_what_a_run_took_of_the_allowance_and_that_failed_tables_are_not_in_it() -> None:
    together = "1,084 requests in 2 min: 65 % of the 166 per 10 s that are allowed; 1.9 MB received"
    assert as_markdown([CONTACTS, TAGS]).splitlines()[5] == together
    assert as_markdown([CONTACTS, FAILED, TAGS]).splitlines()[6] == f"{together}; without tables that failed"
    assert "allowed" not in as_markdown([TEAMS])  # nothing was asked: a flow that only merges


def test_a_small_share_is_not_rounded_to_nothing() -> None:
    assert spent(Traffic(1, 0, 812, 1000, 5.0, 5.4)) == (
        "1 request in 0.4 s: under 1 % of the 1,000 per 10 s that are allowed; 812 B received"
    )


def test_a_cell_with_a_bar_stays_one_cell() -> None:
    assert as_markdown([table_result("a|b")]).splitlines()[2].startswith(r"| a\|b | 0 |")


def test_the_outcome_of_a_table_is_its_rows_and_watermark() -> None:
    assert CONTACTS.outcome() == "1,234,567 rows, watermark 2026-11-03 11:59:59 UTC"
    assert TAGS.outcome() == "7 rows"
    assert FAILED.outcome() == "failed"


def test_a_run_without_tables_is_a_heading() -> None:
    assert as_text([]).split() == " ".join(TEXT_HEADINGS).split()
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
    told = table_result("tags", hints=("tags: 1 field has no column",))
    assert warnings([told]) == []
    assert verdict([told]) == verdict([TEAMS])
    assert remarks([TAGS, told]) == ["warning: tags: 7 of 8 rows", "note: tags: 1 field has no column"]
    assert as_text([told]).splitlines()[-1] == "note: tags: 1 field has no column"


def test_a_table_that_was_refused_has_failed_although_it_was_read_and_merged() -> None:
    refused = "a full refresh would remove 60 of 150 rows (40 %), which two reads lack"
    result = table_result("contacts", rows_read=90, rows=150, changed=2, refused=refused)
    assert failures([result]) == [f"contacts failed: {refused}"]
    assert verdict([result]).startswith("1 of 1 tables failed:")
