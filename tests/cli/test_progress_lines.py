"""Lines of progress where nothing can be redrawn: when they are due, and what they leave behind."""

from __future__ import annotations

import io
import logging
import threading
import time
from dataclasses import dataclass

import pytest

from intercom.cli import progress_lines
from intercom.cli.progress_lines import Lines, printed_lines
from intercom.sync.board import ProgressBoard, Tracked
from intercom.sync.progress import TableProgress
from intercom.sync.progress_text import LOGGER


@dataclass(frozen=True)
class Requests:
    sent: int = 7
    limit: int = 166


class Rig:
    """A board and its lines on one clock, looked at four times a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.board = ProgressBoard(lambda: self.now)
        self.lines = Lines(self.board, lambda: self.now)

    def pass_seconds(self, seconds: float) -> list[tuple[float, str]]:
        """The lines of this time, each with its second."""
        told = []
        for _ in range(int(seconds * 4)):
            if line := self.lines.due():
                told.append((self.now, line))
            self.now += 0.25
        return told

    def read(self, table: str) -> TableProgress:
        progress = TableProgress(table, lambda: self.now)
        self.board.add(Tracked("run", "acme", progress, Requests))
        return progress


def test_the_first_stage_is_told_at_once_and_again_after_10_seconds_and_each_30() -> None:
    rig = Rig()
    rig.board.stage("Starting Prefect's temporary server")
    assert rig.pass_seconds(75) == [
        (0.0, "Starting Prefect's temporary server ..."),
        (10.0, "Starting Prefect's temporary server ... 10 s"),
        (40.0, "Starting Prefect's temporary server ... 40 s"),
        (70.0, "Starting Prefect's temporary server ... 70 s"),
    ]


def test_a_later_stage_is_told_when_it_lasts() -> None:
    rig = Rig()
    rig.board.stage("Starting")
    assert rig.pass_seconds(5) == [(0.0, "Starting ...")]
    rig.board.stage("Opening the lake")
    assert rig.pass_seconds(0.75) == []
    rig.board.stage("Asking Intercom")
    assert rig.pass_seconds(20) == [(6.75, "Asking Intercom ..."), (16.75, "Asking Intercom ... 11 s")]


def test_tables_that_are_read_are_told_in_one_line_after_10_seconds_and_each_30() -> None:
    rig = Rig()
    contacts, tags = rig.read("contacts"), rig.read("tags")
    contacts.expect(300)
    assert rig.pass_seconds(10) == []
    contacts.page(150)
    tags.finish()
    line = "Reading contacts (150 of about 300 rows, {}); 7 of 166 requests per 10 s"
    assert rig.pass_seconds(31) == [
        (10.0, line.format("about 10 s left")),
        (40.0, line.format("time unknown")),
    ]


def test_nothing_is_told_of_nothing() -> None:
    assert Rig().pass_seconds(100) == []


def test_lines_are_printed_until_the_run_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_lines, "_LOOK_SECONDS", 0.002)
    stream, board = io.StringIO(), ProgressBoard()
    with printed_lines(board, stream):
        board.stage("Starting Prefect's temporary server")
        wait_for(stream, "Starting Prefect's temporary server ...\n")
        board.close("run")
        assert all(thread.name != "intercom-lines" for thread in threading.enumerate())
        board.stage("Another run's stage")
    assert stream.getvalue() == "Starting Prefect's temporary server ...\n"


def test_the_logs_own_progress_is_not_printed_beside_also_by_a_handler_that_comes_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress_lines, "_LOOK_SECONDS", 0.002)
    stream, board = io.StringIO(), ProgressBoard()
    handler = logging.StreamHandler(stream)
    try:
        with caplog.at_level(logging.INFO), printed_lines(board, stream):
            logging.getLogger().addHandler(handler)
            for _ in range(6000):
                if handler.filters:
                    break
                time.sleep(0.005)
            logging.getLogger(LOGGER).info("contacts: 48,150 of about 1,000,000 rows")
            logging.getLogger("intercom.sync.ingest").info("contacts: reading")
    finally:
        logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == "contacts: reading\n"
    assert handler.filters == []
    assert len(caplog.records) >= 2


def test_a_pipe_that_nobody_reads_any_more_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_lines, "_LOOK_SECONDS", 0.002)
    stream, board = Gone(), ProgressBoard()
    with printed_lines(board, stream):
        board.stage("Opening the lake")
        for _ in range(6000):
            if stream.tries:
                break
            time.sleep(0.005)
    assert stream.tries


class Gone(io.StringIO):
    tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise BrokenPipeError


def wait_for(stream: io.StringIO, text: str) -> None:
    for _ in range(6000):
        if text in stream.getvalue():
            return
        time.sleep(0.005)
    raise AssertionError(f"{text!r} was not printed within half a minute")
