"""The live display: its lines, when there is one, and that nothing printed meanwhile tears it."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass

import pytest
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console

from intercom.cli import live_display as display
from intercom.cli.live_display import drawing, live_progress
from intercom.sync.board import ProgressBoard, Tracked
from intercom.sync.progress import TableProgress
from intercom.sync.progress_text import LOGGER


@dataclass(frozen=True)
class Requests:
    sent: int = 160
    limit: int = 166


class Terminal(io.StringIO):
    """A terminal: takes what is written to it, and shows what a reader sees, with all that has scrolled away."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        lines, row, column = [""], 0, 0
        for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|.|\n", self.getvalue()):
            if token == "\r":
                column = 0
            elif token == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif token.endswith("A") and len(token) > 1:
                row -= int(token[2:-1] or 1)
            elif token == "\x1b[2K":
                lines[row] = ""
            elif not token.startswith("\x1b"):
                lines[row] = f"{lines[row]:<{column}}"[:column] + token + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def board(clock: list[float]) -> ProgressBoard:
    board = ProgressBoard()
    for table in ("contacts", "companies", "conversations", "data_attributes", "tags"):
        progress = TableProgress(table, lambda: clock[0])
        board.add(Tracked("run", "acme", progress, Requests))
    contacts, companies, conversations, attributes, tags = (one.progress for one in board.tracked())
    contacts.expect(1_000_000)
    conversations.expect(1000)
    clock[0] = 100.0
    for progress, pages, rows in ((contacts, 321, 150), (companies, 48, 100), (conversations, 1, 150)):
        for _ in range(pages):
            progress.page(rows)
    clock[0] = 110.0
    attributes.page(18)
    attributes.finish()
    tags.fail()
    return board


def drawn(board: ProgressBoard, width: int, **options: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None, record=True)
    console.print(drawing(board.tracked(), console, **options))
    return console.export_text().splitlines()


def test_there_is_a_line_for_each_table_and_one_for_the_token(board: ProgressBoard) -> None:
    lines = drawn(board, 100)
    assert [line[:17].rstrip() for line in lines[:-1]] == [
        "  contacts", "  companies", "  conversations", "✓ data_attributes", "✗ tags",
    ]  # fmt: skip
    words = [re.split(r"\s{2,}", line[2:].strip()) for line in lines]
    assert words[0][:3] == ["contacts", "48,150 of ~1,000,000 rows", "321 pages"]
    assert re.fullmatch(r"━[━╸╺]*", words[0][3])
    assert words[0][4] == "~36 min left"
    assert words[1] == ["companies", "4,800 rows", "48 pages", "total unknown"]
    assert words[3] == ["data_attributes", "18 rows", "1 page", "2 min"]
    assert words[4] == ["tags", "0 rows", "0 pages", "failed"]
    assert lines[-1] == "160 of 166 requests per 10 s"
    assert {len(line) for line in lines[:-1]} == {100}


def test_a_line_is_never_wider_than_the_terminal(board: ProgressBoard) -> None:
    for width in (20, 40, 69, 70, 80, 200):
        lines = drawn(board, width)
        assert max(map(len, lines)) <= width
        if width >= 40:
            assert len(lines) == 6
    assert not any("━" in line for line in drawn(board, 69))
    assert "48,150 of ~1,000,000 rows" in drawn(board, 69)[0]


def test_the_last_line_says_what_comes_next(board: ProgressBoard) -> None:
    assert drawn(ProgressBoard(), 80) == ["Starting ..."]
    for one in board.tracked():
        one.progress.finish()
    assert drawn(board, 80)[-1] == "Waiting for Prefect ..."
    assert len(drawn(board, 80, over=True)) == 5
    assert drawn(ProgressBoard(), 80, over=True) == []


def test_a_terminal_without_unicode_gets_other_marks(board: ProgressBoard) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=terminal, width=100, force_terminal=True, color_system=None)
    console.print(drawing(board.tracked(), console))
    terminal.seek(0)
    text = terminal.read()
    assert "+ data_attributes" in text
    assert "x tags" in text


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("CI", "FORCE_COLOR", "NO_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


@contextmanager
def shell(
    terminal: Terminal, *, stdout: io.StringIO | None = None, stderr: io.StringIO | None = None
) -> Iterator[None]:
    """A process in this terminal, whose logs go to standard error: by Prefect's handler, and by a plain one."""
    stdout, stderr = stdout or terminal, stderr or terminal
    handler, plain = PrefectConsoleHandler(stream=stderr), logging.StreamHandler(stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s | %(name)s - %(message)s"))
    root = logging.getLogger()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        for added in (handler, plain):
            root.addHandler(added)
        try:
            yield
        finally:
            for added in (handler, plain):
                root.removeHandler(added)
            for left in (handler.stream, plain.stream, handler.console.file, sys.stderr):
                assert left is stderr
            assert sys.stdout is stdout
            assert not handler.filters + plain.filters
            assert all(thread.name != "intercom-display" for thread in threading.enumerate())


TABLES = ["contacts", "companies", "conversations", "data_attributes", "tags"]


def tables_in(lines: list[str]) -> list[str]:
    return [line[2:].split()[0] for line in lines if line[:1] in (" ", "✓", "✗") and line.strip()]


def test_what_is_printed_and_logged_meanwhile_stands_above_the_display_once(
    terminal: Terminal, board: ProgressBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "_REDRAW_SECONDS", 0.01)

    def chatter() -> None:
        for number in range(10):
            logging.getLogger("chatter").warning("chatter-%d logged", number)
            print(f"chatter-{number} printed")
            sys.stderr.write(f"chatter-{number} ")
            sys.stderr.write("written\n")

    def more() -> None:
        for number in range(20):
            logging.getLogger("more").warning("more-%d", number)

    with shell(terminal):
        with live_progress(board):
            threads = [threading.Thread(target=target) for target in (chatter, more)]
            for thread in threads:
                thread.start()
            board.add(Tracked("run", "acme", TableProgress("late"), Requests))  # the display grows meanwhile
            for thread in threads:
                thread.join()
        print("afterwards")
    lines = terminal.lines()
    above, below = lines[: 4 * 10 + 2 * 20], lines[4 * 10 + 2 * 20 :]
    assert tables_in(below) == [*TABLES, "late"]
    assert below[6:] == ["afterwards", ""]
    for how in ("printed", "written", "logged"):  # each once and in order; logged by the plain handler
        assert [line for line in above if line.startswith("chatter-") and line.endswith(how)] == [
            f"chatter-{number} {how}" for number in range(10)
        ]
    assert [line for line in above if line.startswith("more-")] == [f"more-{number}" for number in range(20)]
    for name, count, end in (("more", 20, ""), ("chatter", 10, " logged")):  # and by Prefect's
        assert [line.split(" - ")[1] for line in above if f"| {name} - " in line] == [
            f"{name}-{number}{end}" for number in range(count)
        ]


def test_a_run_that_is_over_frees_the_terminal_before_it_prints(terminal: Terminal, board: ProgressBoard) -> None:
    with shell(terminal), live_progress(board):
        board.close("run")
        assert sys.stdout is terminal
        print("summary")
        written = terminal.getvalue()
    assert terminal.getvalue() == written
    assert tables_in(terminal.lines()[:5]) == TABLES
    assert terminal.lines()[5:] == ["summary", ""]


def test_an_error_leaves_the_terminal_as_it_was(terminal: Terminal, board: ProgressBoard) -> None:
    with shell(terminal), suppress(KeyboardInterrupt), live_progress(board):
        print("half a line", end="")
        raise KeyboardInterrupt
    assert "half a line" in terminal.lines()
    assert terminal.lines()[-1] == ""
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")  # the cursor is back


def test_lines_that_repeat_the_display_are_left_to_other_logs(
    terminal: Terminal, board: ProgressBoard, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), shell(terminal), live_progress(board):
        logging.getLogger(LOGGER).info("contacts: 48,150 of about 1,000,000 rows")
    assert len(caplog.records) == 1
    assert "of about" not in terminal.getvalue()


def test_logging_that_is_set_up_under_the_display_is_shown_above_it_and_given_back(
    terminal: Terminal, board: ProgressBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "_REDRAW_SECONDS", 0.01)
    root = logging.getLogger()
    with shell(terminal):
        with live_progress(board):
            late = PrefectConsoleHandler()  # as Prefect does when it is imported: on what standard error is now
            root.addHandler(late)
            try:
                while not late.filters:
                    time.sleep(0.001)
                logging.getLogger(LOGGER).warning("contacts: 48,150 of about 1,000,000 rows")
                logging.getLogger("late").warning("once more")
            finally:
                root.removeHandler(late)
                root.addHandler(late)
        root.removeHandler(late)
        assert late.stream is late.console.file is terminal
        assert late.filters == []
    assert "of about" not in terminal.getvalue()
    assert terminal.getvalue().count("once more") == 3  # by each handler


def test_what_is_waited_for_stands_in_the_last_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_REDRAW_SECONDS", 0.01)
    board = ProgressBoard()
    with shell(terminal), live_progress(board):
        board.stage("Starting Prefect's temporary server")
        while "Starting Prefect's temporary server ..." not in terminal.getvalue():
            time.sleep(0.001)
    assert terminal.lines() == [""]  # the display leaves no stage behind


@pytest.mark.parametrize("setting", [("CI", "true"), ("TERM", "dumb"), ("TTY_INTERACTIVE", "0")])
def test_some_terminals_have_no_reader(
    terminal: Terminal, board: ProgressBoard, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    monkeypatch.setenv(*setting)
    with shell(terminal), live_progress(board):
        print("as ever")
    assert terminal.getvalue() == "as ever\n"


def test_a_pipe_is_no_terminal_also_where_colours_are_forced(
    terminal: Terminal, board: ProgressBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    pipe = io.StringIO()
    with shell(terminal, stderr=pipe), live_progress(board):
        print("as ever", file=sys.stderr)
    assert pipe.getvalue() == "as ever\n"


def test_output_that_goes_into_a_file_stays_there(terminal: Terminal, board: ProgressBoard) -> None:
    file = io.StringIO()
    with shell(terminal, stdout=file), live_progress(board):
        print("for the file")
    assert file.getvalue() == "for the file\n"
    assert tables_in(terminal.lines()) == TABLES


def test_others_may_print_while_the_display_ends(terminal: Terminal, board: ProgressBoard) -> None:
    over = threading.Event()
    logged = []

    def chatter() -> None:
        while not over.is_set():
            logging.getLogger("chatter").warning("%d", len(logged))
            logged.append(len(logged))

    thread = threading.Thread(target=chatter, daemon=True)
    with shell(terminal):
        thread.start()
        for _ in range(30):
            with live_progress(board):
                count = len(logged)
                while len(logged) == count and thread.is_alive():
                    time.sleep(0.001)
        over.set()
        thread.join()
    assert {line for line in terminal.getvalue().split() if line.isdigit()} >= {str(number) for number in logged}
