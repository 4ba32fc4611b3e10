"""The live display of a run in a terminal: one line per table, redrawn in place, other output above it.

Where nothing can be redrawn, as in a pipe, `progress_lines` prints a line now and then instead.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from intercom.cli.progress_lines import NoProgressLog, printed_lines
from intercom.sync.board import BOARD, ProgressBoard, Tracked, Wait
from intercom.sync.progress import Snapshot
from intercom.sync.progress_text import last_line, pages_read, rows_read, time_left
from intercom.sync.time_text import duration

_REDRAW_SECONDS = 0.5
_ABOUT = "~"
_WIDEST = 100
_BAR_FROM = 70
"""Columns of a terminal; in a narrower one there is no room for bars."""


@contextmanager
def live_progress(board: ProgressBoard = BOARD) -> Iterator[None]:
    """Show what the board has while the block lasts, or until a run closes the board to print its summary.

    It is drawn on standard error, where logs go too, if that is a terminal that can redraw lines and has a reader. In
    a pipe, a dumb terminal or a CI job lines are printed there instead. It may begin before logging is set up.
    """
    console = Console(file=sys.stderr)
    if not console.is_interactive or not console.file.isatty() or os.environ.get("CI"):
        with printed_lines(board, sys.stderr):
            yield
        return
    display = _Display(console, board)
    with board.on_close(display.stop):
        display.start()
        try:
            yield
        finally:
            display.stop()


class _Display:
    """Redraws from a thread of its own.

    Drawing and everything printed meanwhile take one lock: each moves the cursor to where the other left it.
    """

    def __init__(self, console: Console, board: ProgressBoard) -> None:
        self._console = console
        self._board = board
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._redirected = ExitStack()
        self._no_log = NoProgressLog()
        self._live = Live(
            get_renderable=self._drawn,
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._thread = threading.Thread(target=self._redraw, name="intercom-display", daemon=True)

    def start(self) -> None:
        """Begin to draw, and send what is printed meanwhile to the lines above."""
        self._live.start()
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty():
                self._redirect(stream)
        self._thread.start()

    def stop(self) -> None:
        """Draw a last time and leave the terminal as it was; stopping twice does nothing."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._live.stop()
        # Without the lock, else a deadlock: a log handler may hold its own lock while it waits for this one to print.
        self._redirected.close()
        self._thread.join()
        self._no_log.end()
        _release_handlers()

    def _drawn(self) -> RenderableType:
        return drawing(self._board.tracked(), self._console, self._board.waits(), over=self._stopped.is_set())

    def _redraw(self) -> None:
        while not self._stopped.wait(_REDRAW_SECONDS):
            self._no_log.watch(self._is_above)  # handlers that were set up since the display began
            with self._lock:
                if not self._stopped.is_set():
                    self._live.refresh()

    def _redirect(self, stream: IO[str]) -> None:
        """Redirect all that is written to this stream: prints, and logs, whose handlers hold the stream itself."""
        redirect = redirect_stdout if stream is sys.stdout else redirect_stderr
        self._redirected.enter_context(redirect(self._above(stream)))
        for handler in logging.getLogger().handlers:
            own = getattr(handler, "console", None)  # of Prefect's handler and rich's: they print there, not to .stream
            if isinstance(own, Console) and own.file is stream:
                self._redirected.callback(setattr, own, "file", stream)
                own.file = cast("IO[str]", self._above(stream))
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                self._redirected.callback(handler.setStream, stream)
                handler.setStream(self._above(stream))
        self._no_log.watch(self._is_above)

    def _is_above(self, stream: object) -> bool:
        return isinstance(stream, _Above)

    def _above(self, stream: IO[str]) -> _Above:
        """A stream that prints above the display, for one writer: two that share it would mix their lines."""
        above = _Above(self._console, stream, self._lock)
        self._redirected.callback(above.end)
        return above


class _Above(io.TextIOBase):
    """A text stream whose whole lines appear above the display."""

    def __init__(self, console: Console, stream: IO[str], lock: threading.RLock) -> None:
        self.stream = stream
        self._console = console
        self._lock = lock
        self._rest = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            if lines:
                self._console.print(Text("\n").join(Text.from_ansi(line) for line in lines))
        return len(text)

    def end(self) -> None:
        """Print what has no line end yet. Whoever still holds the stream may go on to print, as without a display."""
        if self._rest:
            self.write("\n")


def _release_handlers() -> None:
    """Give the terminal back to log handlers that were set up while the display stood."""
    for handler in logging.getLogger().handlers:
        own = getattr(handler, "console", None)
        if isinstance(own, Console) and isinstance(own.file, _Above):
            own.file = own.file.stream
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, _Above):
            handler.setStream(handler.stream.stream)


def drawing(
    tables: Sequence[Tracked], console: Console, waits: Sequence[Wait] = (), *, over: bool = False
) -> RenderableType:
    """A line per table and, until all is over, one about the run: how busy its token is, what is being waited for."""
    snapshots = [tracked.progress.snapshot() for tracked in tables]
    width = min(console.width, _WIDEST)
    lines = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    lines.add_column(no_wrap=True)
    for _ in ("rows", "pages"):
        lines.add_column(no_wrap=True, justify="right")
    bars = width >= _BAR_FROM and any(_has_bar(snapshot) for snapshot in snapshots)
    if bars:
        lines.expand, lines.width = True, width
        lines.add_column(ratio=1)
    lines.add_column(no_wrap=True, justify="right")
    for snapshot in snapshots:
        name = _name(snapshot, ascii_only=console.options.ascii_only)
        bar = [_bar(snapshot)] if bars else []
        lines.add_row(name, rows_read(snapshot, _ABOUT), pages_read(snapshot), *bar, _time(snapshot))
    last = Text(last_line(tables, waits), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(*[lines] * bool(snapshots), *[] if over else [last])


def _name(snapshot: Snapshot, *, ascii_only: bool) -> Text:
    mark, style = " ", ""
    if snapshot.failed:
        mark, style = "x" if ascii_only else "✗", "red"
    elif snapshot.finished:
        mark, style = "+" if ascii_only else "✓", "green"
    return Text.assemble((mark, style), " ", snapshot.table)


def _bar(snapshot: Snapshot) -> RenderableType:
    return ProgressBar(total=100.0, completed=snapshot.percent or 0.0) if _has_bar(snapshot) else ""


def _has_bar(snapshot: Snapshot) -> bool:
    return snapshot.percent is not None and not snapshot.over


def _time(snapshot: Snapshot) -> str:
    if snapshot.failed:
        return "failed"
    return duration(snapshot.seconds) if snapshot.finished else time_left(snapshot, _ABOUT)
