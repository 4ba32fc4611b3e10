"""What forks of `tests/support/warm.py` do not wait for at the end of a run, since nothing comes of it.

Prefect's thread that tells now and then that a run lives sleeps a second at a time, and the end of a run waits for it:
half a second of each run. That of a run of an asynchronous flow is left alone by Prefect, and so are these.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import prefect.flow_engine


def leave_heartbeats() -> None:
    """In this process and its forks: the thread is a daemon, and tells nothing once the run has ended."""
    engine: Any = prefect.flow_engine
    engine._send_heartbeats = partial(engine._send_heartbeats, join_on_exit=False)
