"""Lines that say how far a run is, where no display can be redrawn: in a pipe, a file, a CI job."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from intercom.sync.board import ProgressBoard
from intercom.sync.progress_text import LOGGER, whole_run

_LOOK_SECONDS = 0.25
_STAGE_SECONDS = 1.0
"""A stage that is over sooner has no line, but for the first one: a run that is read by nobody stays short."""
_FIRST_SECONDS = 10.0
_NEXT_SECONDS = 30.0


@contextmanager
def printed_lines(board: ProgressBoard, stream: IO[str]) -> Iterator[None]:
    """Print lines while the block lasts, or until a run closes the board to print its summary."""
    printer = _Printer(Lines(board), stream)
    with board.on_close(printer.stop):
        printer.start()
        try:
            yield
        finally:
            printer.stop()


class Lines:
    """Decides when a line is due: for the first stage at once, for others when they last; then after 10 s, and each 30.

    `clock` is in seconds.
    """

    def __init__(self, board: ProgressBoard, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._told: str | None = None
        self._due = clock() + _FIRST_SECONDS

    def due(self) -> str | None:
        """The line that is due now; None if none is."""
        waits, now = self._board.waits(), self._clock()
        stage = next((wait for wait in waits if wait.is_stage), None)
        if stage is not None and stage.text != self._told and (self._told is None or stage.seconds >= _STAGE_SECONDS):
            self._told, self._due = stage.text, now + _FIRST_SECONDS
            return f"{stage.text} ..."
        if now < self._due:
            return None
        self._due = now + _NEXT_SECONDS
        return whole_run(self._board.tracked(), waits) or None


class NoProgressLog:
    """Keeps the log's lines of progress, which say the same, from handlers that print where progress is shown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: list[logging.Handler] | None = []

    def watch(self, is_shown: Callable[[object], bool]) -> None:
        """Look for handlers of the root logger whose stream is where progress is shown; may be called again."""
        with self._lock:
            if self._handlers is None:
                return
            for handler in logging.getLogger().handlers:
                if handler not in self._handlers and is_shown(getattr(handler, "stream", None)):
                    handler.addFilter(_is_no_progress)
                    self._handlers.append(handler)

    def end(self) -> None:
        """Leave the handlers as they were."""
        with self._lock:
            for handler in self._handlers or ():
                handler.removeFilter(_is_no_progress)
            self._handlers = None


class _Printer:
    """Prints from a thread of its own."""

    def __init__(self, lines: Lines, stream: IO[str]) -> None:
        self._lines = lines
        self._stream = stream
        self._stopped = threading.Event()
        self._no_log = NoProgressLog()
        self._thread = threading.Thread(target=self._run, name="intercom-lines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Print no more; stopping twice does nothing."""
        self._stopped.set()
        self._thread.join()
        self._no_log.end()

    def _run(self) -> None:
        while True:
            self._no_log.watch(lambda stream: stream is self._stream)
            if line := self._lines.due():
                with suppress(OSError, ValueError):  # a reader that has gone is no reason to fail
                    print(line, file=self._stream, flush=True)
            if self._stopped.wait(_LOOK_SECONDS):
                return


def _is_no_progress(record: logging.LogRecord) -> bool:
    """Whether the line is none of those that are shown otherwise: progress, and warnings that the summary has."""
    return record.name != LOGGER and not getattr(record, "in_summary", False)
