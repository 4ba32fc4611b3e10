"""The latest runs of one table: each run adds its row to what the run before has left."""

from __future__ import annotations

from intercom.api.traffic import Traffic
from intercom.orchestration.observe.history import ROWS, as_history
from intercom.sync.summary import PAGE_WIDTH, TableResult
from tests.support.results import table_result

TAGS = table_result(
    "tags", rows_read=7, new=2, changed=1, unchanged=4, removed=3, rows=9,
    traffic=Traffic(4, 1, 1_200, 166, 0.0, 1.0), seconds=0.44, watermark_after=1_793_707_199,
)  # fmt: skip
SHORT = table_result("tags", rows_read=1, notes=("tags: 1 of 2 rows",), hints=("tags: 1 field has no column",))


def history(table: TableResult, previous: str | None, at: str = "now", lake: str = "s3://bucket/crm") -> str:
    return as_history(table, at=at, kind="sync", lake=lake, previous=previous)


def rows(text: str) -> list[list[str]]:
    """Cells of the runs, those of both tables in one, without the headings."""
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("| run")]
    counts, costs = ([[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]] for lines in tables)
    return [[*first, *second[1:]] for first, second in zip(counts, costs, strict=True) if first[0] == second[0]]


def test_each_number_stands_under_its_heading() -> None:
    text = history(TAGS, None)
    lake, *tables = text.split("\n\n")
    assert lake == "`s3://bucket/crm`"
    counts, costs = ([cell.strip() for cell in table.splitlines()[0].strip("|").split("|")] for table in tables)
    assert counts[0] == costs[0]
    assert dict(zip([*counts, *costs[1:]], rows(text)[0], strict=True)) == {
        "run (UTC)": "now",
        "kind": "sync",
        "rows read": "7",
        "new": "2",
        "changed": "1",
        "removed": "3",
        "in table": "9",
        "requests": "4",
        "seconds": "0.4",
        "watermark after (UTC)": "2026\u201111\u201103\u00a011:59:59",
        "lake": "crm",
    }


def test_the_newest_run_is_on_top_and_the_earlier_ones_follow_as_they_were() -> None:
    first = history(TAGS, None, at="one")
    second = history(TableResult("tags", failure="401"), first, at="two")
    third = history(TAGS, second, at="three", lake="s3://other/")
    assert [(row[0], row[2], row[-1]) for row in rows(third)] == [
        ("three", "7", "other"),
        ("two", "failed", "crm"),
        ("one", "7", "crm"),
    ]
    assert rows(third)[1:] == rows(second)


def test_only_so_many_runs_are_kept() -> None:
    text = None
    for run in range(ROWS + 5):
        text = history(TAGS, text, at=str(run))
    assert text is not None
    assert [row[0] for row in rows(text)] == [str(run) for run in reversed(range(5, ROWS + 5))]


def test_remarks_are_those_of_this_run_only() -> None:
    first = history(SHORT, None)
    assert first.split("\n\n")[2] == "- warning: tags: 1 of 2 rows\n- note: tags: 1 field has no column"
    second = history(TAGS, first)
    assert "1 of 2" not in second
    assert len(rows(second)) == 2


def test_what_is_no_such_table_is_not_taken_over() -> None:
    begun = history(TAGS, None)
    other_columns = begun.replace("| kind ", "| sort ").replace("| lake |", "| place |")
    for previous in ("", "lost", "| a | b |\n|---|---|\n| 1 | 2 |", other_columns):
        assert history(TAGS, previous) == begun


def test_a_bar_in_a_lakes_name_does_not_end_its_cell() -> None:
    text = history(TAGS, history(TAGS, None, lake="file:///a|b"))
    assert text.count(r"a\|b") == 1
    assert len({line.replace(r"\|", "").count("|") for line in text.split("\n\n")[-1].splitlines()}) == 1


def test_the_tables_fit_prefects_page() -> None:
    told = table_result(
        "contacts", rows_read=12_345_678, new=12_345, changed=12_345, removed=12_345, rows=12_345_678,
        traffic=Traffic(requests=123_456), seconds=12_345.6, watermark_after=1_793_707_199,
    )  # fmt: skip
    text = as_history(told, at="2026-11-28 04:16", kind="full refresh", lake="s3://bucket/intercom", previous=None)
    for table in text.split("\n\n")[1:]:
        heading, _, line = ([cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines())
        kept_together = [max(len(cell), *map(len, name.split())) for name, cell in zip(heading, line, strict=True)]
        assert sum(kept_together) + 2 * (len(heading) - 1) <= PAGE_WIDTH + len(" refresh")  # which is broken there
