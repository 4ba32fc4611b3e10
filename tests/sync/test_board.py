"""The board of a process: its tables, its stage, and what else is waited for."""

from __future__ import annotations

import pytest

from intercom.sync.board import ProgressBoard, Wait
from tests.support.counted import Clock, tracked


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
