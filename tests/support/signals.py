"""SIGINT for processes that tests start, also where the shell ignores it, as it does for a job in the background."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def children_get_sigint() -> Iterator[None]:
    """Processes that are started in the block take SIGINT as in a terminal: a child inherits that it is ignored.

    A handler of the parent becomes the default in a child, without `preexec_fn`, which is unsafe beside threads. The
    handler is set in the main thread only, which is where pytest runs tests.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
