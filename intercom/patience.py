"""Prefect's server while it is busy or away: asked again for longer than Prefect's own client does.

On SQLite a change that reads before it writes is answered by 503 when anything else was written in between: where runs
log much, all six tries of Prefect's client can meet that. And a new client does not try again at all while nobody
listens, as when the server is started anew under a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random

from intercom.disclosure import shown
from intercom.errors import PrefectError

log = logging.getLogger(__name__)

_BUSY = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
_T = TypeVar("_T")


@dataclass(slots=True)
class Timing:
    """For how long a server is asked that does not answer, and at most how far apart, in seconds."""

    most: float = 300.0
    pause: float = 5.0


TIMING = Timing()


def patiently(what: str, ask: Callable[[], _T]) -> _T:
    """What `ask` gives; it has to be safe to call again, and `what` says in words what is tried ("save block x").

    Raises PrefectError when the server refuses, or has not answered for minutes; other errors of `ask` as they are.
    """

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            log.warning("Trying again to %s: %s", what, in_a_line(state.outcome.exception()))

    tries = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_random(0.0, TIMING.pause),  # apart from those who meet the same lock
        stop=stop_after_delay(TIMING.most),
        before_sleep=tell,
        reraise=True,
    )
    try:
        return tries(ask)
    except httpx.HTTPError as error:
        refused = not _may_pass(error)
        how = "refuses to" if refused else f"was asked for {TIMING.most / 60:.0f} minutes and did not"
        raise PrefectError(f"Prefect's server {how} {what}: {in_a_line(error)}", refused=refused) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)


def in_a_line(error: BaseException | None) -> str:
    """An error of Prefect's client in one line, without its hint where to read about HTTP; some of httpx have no text.

    Without the password that may be in the address of the API, too.
    """
    return shown(" ".join(str(error).partition("- For more information")[0].split()) or type(error).__name__)
