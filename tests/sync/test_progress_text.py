"""Progress in words."""

from __future__ import annotations

import pytest

from intercom.sync.board import Tracked, Wait
from intercom.sync.progress import TableProgress
from intercom.sync.progress_text import described, last_line, rows_read, time_left, whole_run
from tests.support.counted import Clock, Requests, read, snapshot, tracked


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "48,150 of about 1,000,000 rows, 321 pages, 160 of 166 requests per 10 s, about 6 min left"),
        ({"seconds_left": None},
         "48,150 of about 1,000,000 rows, 321 pages, 160 of 166 requests per 10 s, time unknown"),
        ({"expected": None, "seconds_left": None},
         "48,150 rows, 321 pages, 160 of 166 requests per 10 s, total unknown"),
        ({"expected": 48_000, "seconds_left": 0.0},
         "48,150 of about 48,000 rows, 321 pages, 160 of 166 requests per 10 s, nearly done"),
        ({"rows": 0, "pages": 0, "expected": None}, "0 rows, 0 pages, 160 of 166 requests per 10 s, no page yet"),
        ({"rows": 1, "pages": 1, "finished": True}, "1 row, 1 page, read in 20 s"),
        ({"rows": 0, "pages": 0, "failed": True}, "failed after 0 rows, 0 pages"),
        ({"finished": True, "failed": True}, "failed after 48,150 rows, 321 pages"),
    ],
)  # fmt: skip
def test_a_table_in_words(changes: dict[str, object], text: str) -> None:
    assert described(snapshot(**changes), Requests()) == text


def test_the_terminals_words_are_shorter() -> None:
    assert rows_read(snapshot(), "~") == "48,150 of ~1,000,000 rows"
    assert time_left(snapshot(), "~") == "~6 min left"


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "10 s"), (9.0, "10 s"), (42.3, "42 s"), (150.1, "3 min")])
def test_a_guess_is_not_told_to_the_second_at_the_end(seconds: float, text: str) -> None:
    assert time_left(snapshot(seconds_left=seconds), "about ") == f"about {text} left"


def test_a_run_in_a_line_names_what_is_read_and_what_is_waited_for() -> None:
    clock = Clock()
    tables = [Tracked("a", "acme", TableProgress(name, clock), Requests) for name in ("contacts", "tags", "companies")]
    contacts, tags, companies = (one.progress for one in tables)
    contacts.expect(300)
    read(contacts, clock, 1, seconds_each=1.0)
    read(companies, clock, 1, seconds_each=1.0, rows=100)
    tags.finish()
    assert whole_run(tables, [Wait("Merging tags", 12.0)]) == (
        "Reading contacts (150 of about 300 rows, time unknown), companies (100 rows, total unknown); "
        "160 of 166 requests per 10 s; Merging tags ... 12 s"
    )
    contacts.finish()
    companies.finish()
    assert whole_run(tables, [Wait("Merging tags", 12.0)]) == "Merging tags ... 12 s"
    assert whole_run(tables, []) == "Waiting for Prefect ..."
    assert whole_run([], []) == ""


def test_below_the_tables_stands_how_busy_the_token_is_and_what_else_takes_long() -> None:
    waits = [Wait("Merging contacts", 12.0), Wait("Telling Prefect of tags", 0.3)]
    reading, over = tracked("a", "companies"), tracked("a", "tags")
    over.progress.finish()
    assert last_line([over, reading], waits) == "160 of 166 requests per 10 s; Merging contacts ... 12 s"
    assert last_line([over], waits) == "Merging contacts ... 12 s"
    assert last_line([over], waits[1:]) == "Telling Prefect of tags ..."
    assert last_line([], [Wait("Locking tables", 0.1, is_stage=True), *waits[1:]]) == "Locking tables ..."
    assert last_line([over], []) == "Waiting for Prefect ..."
    assert last_line([], []) == "Starting ..."
