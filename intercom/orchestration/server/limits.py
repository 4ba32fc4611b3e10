"""Global concurrency limits of Prefect: one run over a connection at a time, one company scroll in a workspace.

They only make runs wait for each other; the lock in the lake protects the data. So a run goes on if the limit does not
exist, if the server does not answer, or if its slot is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from prefect.context import FlowRunContext

from intercom.config.connection import connection_slug
from intercom.orchestration.server.slots import SlotRequest, SlotState, hold_slot

SCROLL_WAIT_SECONDS = 3600
"""How long a scroll waits for another one: longer than a million companies take. Then it is tried all the same, since
Intercom refuses a second scroll."""


def sync_limit(connection: str) -> str:
    """Name of the limit of runs over a connection."""
    return f"intercom-sync-{connection_slug(connection)}"


def scroll_limit(workspace: str) -> str:
    """Name of the limit of company scrolls in the workspace of this code."""
    return f"intercom-scroll-{re.sub('[^A-Za-z0-9_-]', '-', workspace)}"


def sync_turn(connection: str, idle: Callable[[], bool]) -> AbstractContextManager[SlotState]:
    """Keep other runs from a connection while the block lasts, after waiting for the one that is at work.

    Outside a flow run the limit is not used. `idle` says whether nobody was at work since its last call: then a slot
    that is still taken is not waited for. Raises BusyError.
    """
    if FlowRunContext.get() is None:
        return nullcontext(SlotState.NONE)
    return hold_slot(
        SlotRequest(sync_limit(connection), f"another run over connection {connection!r}", lambda _waited: idle())
    )


def scroll_turn(workspace: str, sleep: Callable[[float], None]) -> AbstractContextManager[SlotState]:
    """Keep others from the company scroll of a workspace while the block lasts, after waiting for the one under way.

    The limit is made if there is none. Raises what `sleep` raises.
    """
    return hold_slot(
        SlotRequest(
            scroll_limit(workspace),
            f"another scroll over the companies of workspace {workspace}",
            lambda waited: waited > SCROLL_WAIT_SECONDS,
            made=True,
            sleep=sleep,
        )
    )
