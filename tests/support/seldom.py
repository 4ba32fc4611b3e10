"""Loops of Prefect's server that look for work several times a second: in forks of `tests/support/warm.py`, once.

Three servers run as long as the tests do, and each took 2.4 % of a core while nobody used it, most of it in loops of
its queue of tasks, `docket`. A task that is to run at once wakes the queue as before; what is due at a time may begin a
second late.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partialmethod
from queue import Empty
from typing import Any

import docket
from burner_redis.pubsub import PubSub  # type: ignore[import-untyped]

LOOK = timedelta(seconds=1)


def look_seldom() -> None:
    """In this process and its forks, before a server is started."""
    worker, queue, subscriber = docket.Worker, docket.Docket, PubSub
    _preset(worker, minimum_check_interval=LOOK, scheduling_resolution=LOOK)
    _preset(queue, heartbeat_interval=10 * LOOK)
    subscriber._queue_get = _next_message


def _preset(made: Any, **given: timedelta) -> None:
    made.__init__ = partialmethod(made.__init__, **given)


async def _next_message(subscriber: Any, timeout: float | None) -> Any:
    """The next one, or None: after a second if `timeout` is shorter, and never if that is None.

    The method itself gives a thread a tenth of a second to wait in, again and again.
    """
    while True:
        try:
            return subscriber._queue.get_nowait()
        except Empty:
            if timeout == 0:
                return None
        await asyncio.sleep(LOOK.total_seconds())
        if timeout is not None and subscriber._queue.empty():
            return None
