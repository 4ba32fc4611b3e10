"""SIGINT for processes that tests start, also where the shell ignores it, as it does for a job in the background."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def children_get_sigint() -> Iterator[None]:
    """Processes started in the block react to SIGINT as in a terminal, also if this process ignores it.

    A child inherits an ignored signal, but a signal with a handler gets the default action in the child. So a handler
    is set here. This avoids `preexec_fn`, which is unsafe with threads. A handler can only be set in the main thread,
    in which pytest runs tests.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
