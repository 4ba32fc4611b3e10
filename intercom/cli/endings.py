"""How a command ends: exit statuses, and one line when it is interrupted.

Ctrl-C and SIGTERM reach the main thread as KeyboardInterrupt, which ends a run in order: no further request, locks
given back. A run can also be killed at any moment without harm, so what takes longer than `GRACE_SECONDS` is cut off.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

COMPLETED: Final = 0
FAILED: Final = 1
WRONG_SETTINGS: Final = 2
GRACE_SECONDS: Final = 3.5
"""From the signal to the end of the process, at most."""
_HEARD_SECONDS: Final = 2.0
"""For the watching thread to hear of a signal that the main thread has got."""
_LAST_SECONDS: Final = 1.0
_SIGNALS: Final = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Told to end"}


class InterruptedCommand(Exception):
    """The command was interrupted and has said so; `status` is what it exits with: 130 or 143."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@contextmanager
def ending_cleanly(where: Callable[[], str], grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """Turn a signal that comes while the block lasts into one line and InterruptedCommand.

    `where` says how far the command is, in sentences. Only for the main thread. The process ends within
    `grace_seconds` of the signal, also if the block, or what is registered with atexit, takes longer.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    ending = _Ending(where, grace_seconds)
    # The system's own record of signals, since Prefect has handlers of its own while a flow runs.
    before = signal.set_wakeup_fd(write)
    handler = signal.signal(signal.SIGTERM, _raise)
    threading.Thread(target=ending.watch, args=(read,), name="intercom-signals", daemon=True).start()
    try:
        yield
    except BaseException as error:
        if not ending.heard.wait(0 if isinstance(error, Exception) else _HEARD_SECONDS):
            raise
        raise InterruptedCommand(ending.say()) from None
    else:
        if ending.heard.is_set():  # the block has ended because of it
            raise InterruptedCommand(ending.say())
    finally:
        signal.set_wakeup_fd(before)
        if not ending.heard.is_set():
            signal.signal(signal.SIGTERM, handler)
            os.write(write, b"\0")
            os.close(write)


class _Ending:
    """The first signal that has come, and the one line about it."""

    def __init__(self, where: Callable[[], str], grace_seconds: float) -> None:
        self._where, self._grace_seconds = where, grace_seconds
        self._lock = threading.Lock()
        self._said = False
        self._number = 0
        self.heard = threading.Event()

    def watch(self, read: int) -> None:
        """Wait for a signal; a second one, or the end of the grace, ends the process. A byte 0 ends the watch."""
        while (number := os.read(read, 1)[0]) not in _SIGNALS:
            if number == 0:
                os.close(read)
                return
        logging.disable(logging.CRITICAL)  # what threads that are cut off have to say is no news
        self._number = number
        self.heard.set()
        select.select([read], [], [], self._grace_seconds)
        last = threading.Thread(target=self.say, daemon=True)  # it may need a lock that the main thread holds
        last.start()
        last.join(_LAST_SECONDS)
        os._exit(128 + number)

    def say(self) -> int:
        """Print the line unless that was done; the exit status."""
        with self._lock:
            if not self._said:
                self._said = True
                with suppress(OSError, ValueError):  # the terminal has gone
                    print(f"{_SIGNALS[signal.Signals(self._number)]}. {self._where()}", file=sys.stderr, flush=True)
        return 128 + self._number


def _raise(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
