"""How far a table is: the counters, the estimate and the words, on a clock that the test owns."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.sync.progress import (
    ProgressBoard,
    Snapshot,
    TableProgress,
    Tracked,
    Wait,
    described,
    duration,
    last_line,
    rows_read,
    time_left,
    whole_run,
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Requests:
    sent: int = 160
    limit: int = 166


def read(progress: TableProgress, clock: Clock, pages: int, *, seconds_each: float, rows: int = 150) -> None:
    for _ in range(pages):
        clock.now += seconds_each
        progress.page(rows)


def snapshot(**changes: object) -> Snapshot:
    values = {
        "table": "contacts", "rows": 48_150, "pages": 321, "expected": 1_000_000, "seconds": 20.0,
        "seconds_left": 360.0, "finished": False, "failed": False, **changes,
    }  # fmt: skip
    return Snapshot(**values)  # type: ignore[arg-type]


def test_pages_and_rows_are_counted_until_the_end() -> None:
    clock = Clock()
    progress = TableProgress("tags", clock)
    read(progress, clock, 3, seconds_each=2.0, rows=50)
    seen = progress.snapshot()
    assert (seen.table, seen.rows, seen.pages, seen.expected, seen.seconds) == ("tags", 150, 3, None, 6.0)
    assert not seen.over
    progress.finish()
    clock.now += 100
    assert progress.snapshot() == snapshot(
        table="tags", rows=150, pages=3, expected=None, seconds=6.0, seconds_left=0.0, finished=True
    )


def test_no_page_is_lost_between_threads() -> None:
    progress = TableProgress("contacts")
    threads = [threading.Thread(target=lambda: [progress.page(3) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (progress.snapshot().pages, progress.snapshot().rows) == (16_000, 48_000)


@given(
    pages=st.integers(min_value=1, max_value=400),
    seconds_each=st.floats(min_value=0.005, max_value=90),
    rows=st.integers(min_value=1, max_value=150),
    more=st.integers(min_value=0, max_value=10_000),
)
def test_at_an_even_speed_the_time_left_is_that_of_the_rest(
    pages: int, seconds_each: float, rows: int, more: int
) -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    read(progress, clock, pages, seconds_each=seconds_each, rows=rows)
    progress.expect((pages + more) * rows)
    left = progress.snapshot().seconds_left
    if pages * seconds_each < 3:
        assert left is None or pages * seconds_each == pytest.approx(3)
    else:
        assert left == pytest.approx(more * seconds_each, rel=1e-6)


def test_the_estimate_follows_the_speed_of_the_last_half_minute() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    progress.expect(1_000_000)
    read(progress, clock, 600, seconds_each=1.0)
    read(progress, clock, 400, seconds_each=0.1)
    left = progress.snapshot().seconds_left
    assert left == pytest.approx((1_000_000 - 150_000) / 1500, rel=0.05)


def test_a_table_that_stalls_gives_no_estimate_until_it_goes_on() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    progress.expect(3000)
    read(progress, clock, 10, seconds_each=1.0)
    assert progress.snapshot().seconds_left == pytest.approx(10)
    clock.now += 15
    assert progress.snapshot().seconds_left == pytest.approx(25)
    clock.now += 30
    assert progress.snapshot().seconds_left is None
    read(progress, clock, 1, seconds_each=5.0)
    assert progress.snapshot().seconds_left == pytest.approx(1350 * 50 / 150)


def test_a_better_number_replaces_the_first() -> None:
    progress = TableProgress("contacts")
    progress.expect(100)
    progress.expect(300)
    progress.page(150)
    assert progress.snapshot().percent == 50.0


def test_only_a_finished_table_is_at_100_percent() -> None:
    assert snapshot(rows=500, expected=1000).percent == 50.0
    assert snapshot(rows=0, expected=0).percent == 0.0
    assert snapshot(rows=1200, expected=1000).percent == 99.0
    assert snapshot(rows=900, expected=1000, finished=True).percent == 100.0
    assert snapshot(expected=None).percent is None
    assert snapshot(expected=None, finished=True).percent == 100.0
    assert snapshot(rows=1000, expected=1000, finished=True, failed=True).percent == 99.0
    assert snapshot(failed=True).over
    assert snapshot(finished=True).over


def test_a_failure_after_the_last_page_is_a_failure_and_takes_no_more_time() -> None:
    clock = Clock()
    progress = TableProgress("contacts", clock)
    read(progress, clock, 1, seconds_each=4.0)
    progress.finish()
    clock.now += 60
    progress.fail()
    seen = progress.snapshot()
    assert (seen.finished, seen.failed, seen.seconds) == (True, True, 4.0)


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"), (0.72, "0.7 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "2 min"),
        (360, "6 min"), (5940, "99 min"), (6000, "1 h 40 min"), (7200, "2 h 0 min"), (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_durations_are_as_exact_as_anybody_needs(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def tracked(run_id: str, table: str) -> Tracked:
    return Tracked(run_id, "acme", TableProgress(table), Requests)


def names(board: ProgressBoard) -> list[tuple[str, str]]:
    return [(one.run_id, one.progress.table) for one in board.tracked()]


def test_a_board_holds_tables_in_order_until_their_run_is_over() -> None:
    board = ProgressBoard()
    for run_id, table in (("a", "tags"), ("b", "tags"), ("a", "admins"), ("a", "tags")):
        board.add(tracked(run_id, table))
    assert names(board) == [("a", "tags"), ("b", "tags"), ("a", "admins")]
    board.close("a")
    assert names(board) == [("b", "tags")]


def test_listeners_still_see_the_tables_of_the_run_that_is_over() -> None:
    board, seen = ProgressBoard(), []
    board.add(tracked("a", "tags"))
    with board.on_close(lambda: seen.append(names(board))):
        board.close("a")
        board.close("a")
    board.close("a")
    assert seen == [[("a", "tags")], []]


def said(board: ProgressBoard) -> list[str]:
    return [str(wait) for wait in board.waits()]


def test_a_stage_lasts_until_the_next_one_or_until_a_table_is_read() -> None:
    clock = Clock()
    board = ProgressBoard(clock)
    assert board.waits() == []
    board.stage("Opening the lake")
    clock.now += 4.8
    assert board.waits() == [Wait("Opening the lake", pytest.approx(4.8), is_stage=True)]  # type: ignore[arg-type]
    assert said(board) == ["Opening the lake ... 4 s"]
    board.stage("Asking Intercom")
    assert said(board) == ["Asking Intercom ..."]
    board.add(tracked("a", "tags"))
    assert board.waits() == []
    board.stage("Telling Prefect")
    board.close("a")
    assert board.waits() == []
    board.stage("Opening the lake")
    board.stage(None)
    assert board.waits() == []


def test_waits_with_one_text_are_shown_as_one_behind_the_stage() -> None:
    clock = Clock()
    board = ProgressBoard(clock)
    with board.waiting("Merging", "contacts"):
        clock.now += 12
        with board.waiting("Waiting for another run"), board.waiting("Merging", "tags"):
            clock.now += 1
            board.stage("Saving")
            assert said(board) == ["Saving ...", "Merging contacts, tags ... 13 s", "Waiting for another run ... 1 s"]
        with pytest.raises(KeyError), board.waiting("Failing"):
            raise KeyError
        assert said(board) == ["Saving ...", "Merging contacts ... 13 s"]
    assert said(board) == ["Saving ..."]


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
