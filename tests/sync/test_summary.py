"""The table at the end of a run, as text and as markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.api.traffic import Traffic
from intercom.compaction.compact import Compacted
from intercom.sync.summary import (
    HEADINGS,
    PAGE_WIDTH,
    WIDTH,
    TableResult,
    as_markdown,
    as_text,
    failures,
    remarks,
    spent,
    verdict,
    warnings,
)
from intercom.tables.catalogue import TABLES
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


def blocks(text: str) -> list[list[str]]:
    """The lines of each table, and last those of the remarks."""
    return [block.splitlines() for block in text.split("\n\n")]


def words(line: str) -> list[str]:
    """Cells of a line, which two blanks or more stand between."""
    return re.split(" {2,}", line)


def test_text_columns_are_aligned_names_to_the_left_and_numbers_to_the_right() -> None:
    heading, first, second = blocks(as_text([CONTACTS, TAGS]))[0]
    assert len(heading) == len(first) == len(second)
    assert (heading.split()[0], first.split()[0], second.split()[0]) == ("table", "contacts", "tags")
    assert second.startswith("tags      ")
    end = heading.index("read") + len("read")
    assert first[:end].endswith(" 12,345")
    assert second[:end].endswith(" 7")
    assert first[end : end + 2] == "  "


def test_no_line_of_text_ends_in_spaces() -> None:
    assert all(line == line.rstrip() for line in as_text([CONTACTS, FAILED, TAGS]).splitlines())


def test_small_numbers_and_costs_share_one_table_and_the_watermarks_have_theirs() -> None:
    contacts = table_result(
        "contacts", rows_read=62, changed=12, unchanged=50, rows=2_000, seconds=5.8, traffic=Traffic(requests=1),
        watermark_before=1_793_700_000, watermark_after=1_793_707_199,
    )  # fmt: skip
    counts, watermarks = blocks(as_text([contacts, TEAMS]))
    assert [words(line) for line in counts] == [
        ["table", "read", "new", "changed", "same", "in table", "requests", "seconds"],
        ["contacts", "62", "0", "12", "50", "2,000", "1", "5.8"],
        ["teams", "3", "0", "0", "0", "3", "0", "0.0"],
    ]
    assert [words(line) for line in watermarks] == [
        ["table", "watermark before (UTC)", "after (UTC)"],
        ["contacts", "2026-11-03 10:00:00", "2026-11-03 11:59:59"],
    ]


def test_what_a_terminal_has_no_room_for_stands_beside_the_watermarks() -> None:
    counts, others, remarks_below = blocks(as_text([CONTACTS, FAILED, TAGS]))
    assert [words(line) for line in counts] == [
        ["table", "read", "new", "changed", "same", "removed", "in table"],
        ["contacts", "12,345", "1,000", "20", "11,325", "3", "1,234,567"],
        ["companies", "failed"],
        ["tags", "7", "0", "0", "0", "0", "7"],
    ]
    assert [words(line) for line in others] == [
        ["table", "requests", "429s", "seconds", "watermark before (UTC)", "after (UTC)"],
        ["contacts", "1,083", "2", "61.3", "1970-01-01 00:00:00", "2026-11-03 11:59:59"],
        ["tags", "1", "0", "0.0", "-", "-"],
    ]
    assert remarks_below == [
        "warning: contacts, May 2026: 9 of 10 rows",
        "warning: contacts, June 2026: 8 of 10 rows",
        "warning: tags: 7 of 8 rows",
    ]


def test_why_a_table_failed_is_said_by_the_verdict_and_not_by_the_text_once_more() -> None:
    assert "check the token" not in as_text([FAILED, TAGS])
    assert verdict([FAILED, TAGS]).count("check the token") == 1


def test_a_flow_that_only_merges_has_no_columns_of_reading() -> None:
    merged = TableResult("contacts", compacted=Compacted(rows=9, new=2, changed=1, unchanged=4), seconds=3.0)
    failed = TableResult("companies", failure="the disk is full")
    (counts,) = blocks(as_text([merged, failed]))
    assert [words(line) for line in counts] == [
        ["table", "new", "changed", "same", "in table", "seconds"],
        ["contacts", "2", "1", "4", "9", "3.0"],
        ["companies", "failed"],
    ]
    assert as_markdown([merged]).splitlines()[0] == "| table | new | changed | unchanged | in table | seconds |"


def test_a_long_remark_is_wrapped_in_a_terminal_and_whole_in_a_pipe() -> None:
    hint = f"tags: 20 fields have no column and are kept in _extra: {', '.join(f'field_{n}' for n in range(20))}"
    told = table_result("tags", hints=(hint,))
    assert as_text([told]).splitlines()[-1] == f"note: {hint}"
    first, *others = blocks(as_text([told], 200))[-1]
    assert first.startswith("note: tags: 20 fields")
    assert len(others) > 1
    assert all(line.startswith("  ") for line in others)
    assert all(len(line) <= WIDTH for line in (first, *others))
    assert " ".join(line.strip() for line in (first, *others)) == f"note: {hint}"
    narrow = as_text([CONTACTS, told], 40).splitlines()
    assert max(map(len, narrow)) <= 41  # the names and one watermark


def test_a_path_in_a_remark_is_not_broken() -> None:
    path = "s3://bucket/" + "-".join(["folder"] * 20)
    assert path in as_text([table_result("tags", notes=(f"tags: a file is no table's: {path}",))], 80).splitlines()[-1]


NUMBERS = st.sampled_from([0, 7, 12_345_678]) | st.integers(0, 10**12)
SECONDS = st.none() | st.integers(0, 4_000_000_000)
RESULTS = st.builds(
    table_result,
    st.sampled_from(list(TABLES)),
    rows_read=NUMBERS, new=NUMBERS, changed=NUMBERS, unchanged=NUMBERS, removed=NUMBERS, rows=NUMBERS,
    traffic=st.builds(Traffic, NUMBERS, NUMBERS, NUMBERS),
    seconds=st.floats(0, 10**6),
    watermark_before=SECONDS, watermark_after=SECONDS,
) | st.builds(TableResult, st.sampled_from(list(TABLES)), failure=st.just("401")) | st.builds(
    TableResult, st.sampled_from(list(TABLES)), compacted=st.builds(Compacted, rows=NUMBERS, new=NUMBERS)
)  # fmt: skip


def shown_in(lines: Sequence[list[str]], result: TableResult) -> set[str]:
    return {cell for line in lines if line[0] == result.table for cell in line[1:]}


@given(results=st.lists(RESULTS, max_size=9, unique_by=lambda result: result.table))
def test_no_number_makes_a_table_too_wide_or_is_lost(results: list[TableResult]) -> None:
    text = as_text(results)
    assert max(map(len, text.splitlines())) <= WIDTH
    lines = [words(line) for block in blocks(text) for line in block]
    pages = [row(line) for line in as_markdown(results).replace("\u2011", "-").replace("\u00a0", " ").splitlines()]
    for result in results:
        told = dict(zip(HEADINGS, result.cells(), strict=True))
        kept = {cell for name, cell in told.items() if cell not in ("0", "-", "") and name not in ("table", "received")}
        if result.error is None and result.ingested is None:
            kept = {told[name] for name in ("new", "in table")}
        assert kept <= shown_in(lines, result)
        assert kept <= shown_in(pages, result)


@given(results=st.lists(RESULTS, min_size=1, max_size=9, unique_by=lambda result: result.table))
def test_tables_on_prefects_page_are_no_wider_than_it_has_room_for(results: list[TableResult]) -> None:
    for part in as_markdown(results).split("\n\n"):
        if part.startswith("| table"):
            heading, _, *lines = [row(line) for line in part.splitlines()]
            columns = zip([max(heading_of.split(), key=len) for heading_of in heading], *lines, strict=True)
            assert sum(max(map(len, column)) + 2 for column in columns) - 2 <= PAGE_WIDTH


@pytest.mark.parametrize("second", [0, 1_793_707_199])
def test_times_are_said_to_be_utc(second: int) -> None:
    read = table_result("contacts", watermark_before=second, watermark_after=second)
    shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
    assert as_text([read]).count(shown) == 2
    assert "watermark before (UTC)" in as_text([read])
    assert "watermark before (UTC) | watermark after (UTC)" in as_markdown([read])


def test_only_failed_tables_are_failures() -> None:
    assert failures([CONTACTS, FAILED, TAGS]) == ["companies failed: 401 Unauthorized: check the token"]
    assert failures([CONTACTS, TAGS]) == []
    assert remarks([]) == []


def test_an_empty_error_message_is_still_a_failure() -> None:
    assert failures([TableResult("tags", failure="")]) == ["tags failed: "]
    assert TableResult("tags", failure="").cells()[1] == "failed"


def row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_holds_the_same_cells_and_remarks_in_narrow_tables() -> None:
    counts, told, costs, watermarks, allowance = as_markdown([CONTACTS, FAILED, TAGS]).split("\n\n")
    assert [row(line) for line in counts.splitlines()] == [
        ["table", "rows read", "new", "changed", "unchanged", "removed", "in table"],
        ["---", *["---:"] * 6],
        ["contacts", "12,345", "1,000", "20", "11,325", "3", "1,234,567"],
        ["companies", "failed", "", "", "", "", ""],
        ["tags", "7", "0", "0", "0", "0", "7"],
    ]
    assert told.splitlines() == [f"- {remark}" for remark in remarks([CONTACTS, FAILED, TAGS])]
    assert [row(line) for line in costs.splitlines()] == [
        ["table", "requests", "429s", "received", "seconds"],
        ["---", *["---:"] * 4],
        ["contacts", "1,083", "2", "1.9\u00a0MB", "61.3"],
        ["tags", "1", "0", "999\u00a0B", "0.0"],
    ]
    assert [row(line) for line in watermarks.splitlines()[::2]] == [
        ["table", "watermark before (UTC)", "watermark after (UTC)"],
        ["contacts", "1970\u201101\u201101\u00a000:00:00", "2026\u201111\u201103\u00a011:59:59"],
    ]
    assert allowance.endswith("; without tables that failed")


def test_markdown_says_what_a_run_took_of_the_allowance_and_that_failed_tables_are_not_in_it() -> None:
    together = "1,084 requests in 2 min: 65 % of the 166 per 10 s that are allowed; 1.9 MB received"
    assert as_markdown([CONTACTS, TAGS]).splitlines()[-1] == together
    assert as_markdown([CONTACTS, FAILED, TAGS]).splitlines()[-1] == f"{together}; without tables that failed"
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
    assert as_text([]).split() == ["table", "read"]
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


def test_a_table_that_was_skipped_has_no_numbers_one_note_and_is_no_failure() -> None:
    denied = "skipped: the token may not read it without the permission 'read tickets' (403 forbidden)"
    tickets, types = (TableResult(name, skipped=denied) for name in ("tickets", "ticket_types"))
    told = [TEAMS, tickets, types]
    assert (failures(told), warnings(told)) == ([], [])
    assert remarks(told) == [f"note: tickets, ticket_types: {denied}"]
    assert verdict(told) == "1 table is in the lake, 2 skipped (tickets, ticket_types)"
    assert words(as_text(told).splitlines()[2]) == ["tickets", "skipped"]
    assert as_text(told).splitlines()[-1] == remarks(told)[0]
    assert "| tickets | skipped |" in as_markdown(told)
    assert tickets.outcome() == "skipped"
    assert verdict([TEAMS, tickets, FAILED]).startswith("1 of 3 tables failed:\ncompanies failed")


def test_a_hint_that_is_the_same_of_several_tables_is_one_line() -> None:
    same = [table_result(name, hints=(f"{name}: start date all changes nothing",)) for name in ("tags", "teams")]
    other = table_result("admins", hints=("admins: 1 field has no column",))
    assert remarks([*same, other]) == [
        "note: tags, teams: start date all changes nothing",
        "note: admins: 1 field has no column",
    ]
