"""Calls of Prefect's server with retries, while it is busy or away: sooner and for longer than Prefect's client.

On SQLite a change that reads before it writes is answered by 503 when anything else was written in between. Prefect's
client then waits 2, 4, 8, 16 and 32 s, which is long for a table that is read in a second, and gives up; it waits
after its last try, too. A client that has just been made does not try again at all while nobody listens, as when the
server is started anew under a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import httpx
from prefect.client.base import PrefectResponse
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SettingsContext, get_settings_context
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from intercom.config.redaction import one_line
from intercom.errors import PrefectError

log = logging.getLogger(__name__)

_BUSY = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
_WhenBusy = Callable[[httpx.Response], None]
_when_busy: ContextVar[_WhenBusy | None] = ContextVar("_when_busy", default=None)
_T = TypeVar("_T")


@dataclass(slots=True)
class RetryTiming:
    """How long a server that does not answer is asked (`most`), and the longest `pause` between tries, in seconds.

    The first pause is half a second at most, and each may be twice as long as the one before. Pauses are random, so
    that clients that met at one lock part.
    """

    most: float = 300.0
    pause: float = 5.0


TIMING = RetryTiming()

_SOON = (0.1, 0.4)
"""Seconds before the first tries again of `client_that_asks_soon`."""

_LOGGED_TRY = 4
"""The failed try that is logged: on SQLite one or two are nothing out of the ordinary."""


def call_server(what: str, ask: Callable[[], _T]) -> _T:
    """The result of `ask`, which has to be safe to call again; `what` says in words what is tried ("save block x").

    Raises PrefectError when the server refuses, or has not answered for minutes; other errors of `ask` as they are.
    """

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == _LOGGED_TRY and state.outcome is not None:
            log.warning("Trying again to %s: %s", what, one_line(state.outcome.exception()))

    soon = wait_random_exponential(multiplier=0.5, max=TIMING.pause)
    tries = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=lambda state: max(soon(state), _asked_for(state)),
        stop=stop_after_delay(TIMING.most),
        before_sleep=tell,
        reraise=True,
    )
    try:
        with client_retries(0):
            return tries(ask)
    except httpx.HTTPError as error:
        refused = not _may_pass(error)
        how = "refuses to" if refused else f"was asked for {TIMING.most / 60:.0f} minutes and did not"
        raise PrefectError(f"Prefect's server {how} {what}: {one_line(error)}", refused=refused) from error


def server_client() -> AbstractContextManager[SyncPrefectClient]:
    """Prefect's client for what `call_server` asks: a busy server's answer is an error at once, with no wait before it.

    The client may be the one that the flow and its tasks use, in other threads too: for them it stays as it is.
    """
    return _client(_raise)


def client_that_asks_soon() -> AbstractContextManager[SyncPrefectClient]:
    """Prefect's client with its own retries, of which the first come after tenths of a second and not after two.

    A run that takes its slot meets the server's own write of the run's first events half of the time. Later tries wait
    as long as ever, so that a server that is started anew is waited for.
    """
    soon = iter(_SOON)

    def ask_soon(response: httpx.Response) -> None:
        if pause := next(soon, None):
            response.headers.setdefault("Retry-After", str(pause))

    return _client(ask_soon)


@contextmanager
def _client(when_busy: _WhenBusy) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        http = client._client
        if _look_for_busy not in http.event_hooks["response"]:
            http.event_hooks = {**http.event_hooks, "response": [*http.event_hooks["response"], _look_for_busy]}
        before = _when_busy.set(when_busy)
        try:
            yield client
        finally:
            _when_busy.reset(before)


def _look_for_busy(response: httpx.Response) -> None:
    if (when_busy := _when_busy.get()) and (response.is_server_error or response.status_code in _BUSY):
        when_busy(response)


def _raise(response: httpx.Response) -> None:
    response.read()
    PrefectResponse.from_httpx_response(response).raise_for_status()


def client_retries(most: int) -> SettingsContext:
    """Prefect's settings with `most` retries of its client. Prefect's own way to change one rebuilds all, in 80 ms."""
    context = get_settings_context()
    client = context.settings.client.model_copy(update={"max_retries": most})
    return SettingsContext(profile=context.profile, settings=context.settings.model_copy(update={"client": client}))


def _asked_for(state: RetryCallState) -> float:
    """Seconds that the server has asked to wait, as Prefect Cloud does with a 429."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.response.headers.get("Retry-After", "") if isinstance(error, httpx.HTTPStatusError) else ""
    return min(float(asked), TIMING.most) if asked.isdecimal() else 0.0


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)
