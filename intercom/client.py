"""The only HTTP of the package: one connection's API behind retries, the rate limiter and typed errors.

    IntercomClient      connection, sessions and limiter; one per token and process, shared by all threads
    TableClient         the same for one table: names it in errors and counts its requests

Every call of the API that this package makes is a read, ``POST .../search`` included, so repeating one is safe.
The one exception is a page of the company scroll, whose position moves on the server: see ``once``.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import msgspec
import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_result
from urllib3.exceptions import HTTPError, ReadTimeoutError

from intercom.config import Connection
from intercom.errors import (
    FatalApiError,
    PageTooHeavyError,
    PermissionDeniedError,
    RequestRejectedError,
    RetriableApiError,
)
from intercom.limiter import Permit, RateHeaders, RateLimiter, retry_after_seconds

logger = logging.getLogger(__name__)

API_VERSION = "2.14"
_DETAIL_CHARACTERS = 200
# One page that is too much work for the server fails like this again and again (seen with conversation search),
# while smaller pages of the same rows pass. A passing overload looks the same once, hence two in a row.
_HEAVY_STATUSES = frozenset({408, 502, 503, 504})
_HEAVY_IN_A_ROW = 2


@dataclass(frozen=True)
class Answer:
    """A JSON object as the API sent it.

    ``fields`` holds its top-level members, each one's JSON text unchanged; the text stays valid for as long as the
    value is held. ``server_time`` is the Date header in unix seconds.
    """

    fields: dict[str, msgspec.Raw]
    server_time: int | None
    request_id: str | None


@dataclass
class Usage:
    """What one table has cost: attempts sent, and those among them that were answered with 429."""

    requests: int = 0
    throttled: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def count(self, *, requests: int = 0, throttled: int = 0) -> None:
        """Add to the counters; safe from any thread."""
        with self._lock:
            self.requests += requests
            self.throttled += throttled


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request is repeated.

    Before try n + 1 it waits between one half and the whole of ``base_seconds * 2 ** (n - 1)``, at most
    ``cap_seconds``, and at least what a Retry-After header asks for. It gives up after ``tries`` failures, or when
    the next wait would end later than ``total_seconds`` after the start. A 429 is no failure: it was never executed.
    """

    tries: int = 7
    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    total_seconds: float = 900.0
    connect_seconds: float = 10.0
    read_seconds: float = 120.0

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures, the first being 1."""
        return min(self.cap_seconds, self.base_seconds * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


class IntercomClient:
    """The API of one connection; one for each token and process, used by any number of threads."""

    def __init__(
        self,
        connection: Connection,
        limiter: RateLimiter,
        *,
        policy: RetryPolicy = RetryPolicy(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = connection
        self.limiter = limiter
        self.policy = policy
        self.sleep = sleep
        # Intercom allows one open company scroll per workspace and answers a second one with 400 scroll_exists.
        self.scroll_lock = threading.Lock()
        self._sessions = _SessionPool(connection)

    def for_table(self, table: str, scope: str = "") -> TableClient:
        """The same client for one table; ``scope`` is the permission that errors tell the operator to grant."""
        return TableClient(self, table, scope)

    def close(self) -> None:
        """Close all sockets; requests that are under way close theirs when they end."""
        self._sessions.close()

    def send(self, request: _Request) -> requests.Response:
        """One attempt, without limiter and retries; raises what requests raises."""
        headers = {"Content-Type": "application/json"} if request.body is not None else None
        with self._sessions.session() as session:
            return session.request(
                request.method,
                f"{self.connection.base_url}/{request.path.lstrip('/')}",
                params=request.params,
                data=request.body,
                headers=headers,
                timeout=(self.policy.connect_seconds, self.policy.read_seconds),
                allow_redirects=False,
            )


class TableClient:
    """Requests of one table. Safe to share between threads.

    Every method raises PermissionDeniedError (401, 402, 403), RequestRejectedError (other 4xx and redirects) at
    once, and RetriableApiError when the retry policy is used up.
    """

    def __init__(self, client: IntercomClient, table: str, scope: str = "") -> None:
        self.table = table
        self.usage = Usage()
        self.sleep = client.sleep
        self.scroll_lock = client.scroll_lock
        self.scope = scope
        self._client = client

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        expect: str | None = None,
        once: bool = False,
    ) -> Answer:
        """GET ``path`` below the connection's base URL.

        ``expect`` names the member that must be a JSON array; without it the answer counts as broken and is asked
        for again. ``once`` is for requests that move a position on the server: only a 429 is repeated, anything
        else that may pass raises RetriableApiError, since the page may be lost though it was never seen.
        """
        return self._run(_Request("GET", path, params=dict(params or {}), expect=expect, once=once))

    def post(self, path: str, body: Mapping[str, object], *, expect: str | None = None, heavy: bool = False) -> Answer:
        """POST a search. With ``heavy``, two failures in a row that look like too big a page: PageTooHeavyError."""
        return self._run(_Request("POST", path, body=msgspec.json.encode(body), expect=expect, heavy=heavy))

    def _run(self, request: _Request) -> Answer:
        call = _Call(self._client, self, request)
        retrying = Retrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, _Failure)),
            wait=call.wait,
            stop=call.is_over,
            before_sleep=call.log_retry,
            retry_error_callback=call.give_up,
            sleep=self.sleep,
        )
        outcome = retrying(call.attempt)
        assert isinstance(outcome, Answer)  # give_up has raised for every failure
        return outcome


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    params: dict[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    expect: str | None = None
    once: bool = False
    heavy: bool = False


@dataclass(frozen=True)
class _Failure:
    """An attempt without a usable answer."""

    reason: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    wait_seconds: float = 0.0  # what the server asked for, or the limiter
    heavy: bool = False

    @property
    def throttled(self) -> bool:
        return self.status == 429

    @property
    def over_quota(self) -> bool:
        # The other 429, too_many_requests, means that this resource is under load: the rate headers do not help.
        return self.throttled and self.code != "too_many_requests"


class _Call:
    """One request and its attempts; the public methods are tenacity's hooks."""

    def __init__(self, client: IntercomClient, owner: TableClient, request: _Request) -> None:
        self._client = client
        self._owner = owner
        self._request = request
        self._failures = 0
        self._refusals = 0
        self._heavy_in_a_row = 0
        self._last = _Failure("not sent")

    def attempt(self) -> Answer | _Failure:
        permit = self._client.limiter.acquire()
        self._owner.usage.count(requests=1)
        response: requests.Response | _Failure | None = None
        try:
            response = self._exchange()
        finally:
            # Also when the thread is interrupted: a permit that never comes back would count as in flight.
            if not isinstance(response, requests.Response):
                self._client.limiter.lost(permit)
        outcome = self._judge(permit, response) if isinstance(response, requests.Response) else response
        if isinstance(outcome, _Failure):
            self._count(outcome)
        return outcome

    def wait(self, _state: RetryCallState) -> float:
        last = self._last
        if last.over_quota:
            return last.wait_seconds
        tries = self._refusals if last.throttled else self._failures
        return max(self._client.policy.backoff(tries), last.wait_seconds)

    def is_over(self, state: RetryCallState) -> bool:
        policy, failed = self._client.policy, not self._last.throttled
        # The slept time counts by what was asked for, too, so that the bound holds under any ``sleep``.
        spent = max(state.seconds_since_start or 0.0, state.idle_for)
        return (
            (failed and (self._request.once or self._failures >= policy.tries))
            or self._too_heavy
            or spent + state.upcoming_sleep > policy.total_seconds
        )

    def log_retry(self, state: RetryCallState) -> None:
        logger.warning(
            "%s: %s after try %d, trying again in %.1f s",
            self._what,
            self._last.reason,
            state.attempt_number,
            state.upcoming_sleep,
        )

    def give_up(self, state: RetryCallState) -> NoReturn:
        last = self._last
        error = PageTooHeavyError if self._too_heavy else RetriableApiError
        raise error(
            f"{self._what}: no usable answer in {state.attempt_number} tries, at last: {last.reason}. "
            "Run the flow again: the watermark has not moved.",
            status=last.status,
            code=last.code,
            request_id=last.request_id,
        )

    @property
    def _what(self) -> str:
        request, connection = self._request, self._client.connection
        return f"{request.method} {request.path} (table {self._owner.table!r}, connection {connection.name!r})"

    @property
    def _too_heavy(self) -> bool:
        return self._request.heavy and self._heavy_in_a_row >= _HEAVY_IN_A_ROW

    def _count(self, failure: _Failure) -> None:
        self._last = failure
        if failure.throttled:
            self._refusals += 1
            self._owner.usage.count(throttled=1)
        else:
            self._failures += 1
            self._heavy_in_a_row = self._heavy_in_a_row + 1 if failure.heavy else 0

    def _exchange(self) -> requests.Response | _Failure:
        # What requests raises holds the request and so the token. Only names of classes leave this method, and
        # nothing is raised while such an error is handled, so that none hangs on ours as its context.
        try:
            return self._client.send(self._request)
        except (OSError, ValueError, HTTPError) as error:  # OSError is the root of what requests means to raise
            names, timed_out = _names(error), _is_read_timeout(error)
            unsendable = isinstance(error, ValueError)  # a bad URL or header: it fails before there is a connection
        if unsendable:
            raise FatalApiError(f"{self._what}: the request cannot be sent ({names}). Check base_url and proxies.")
        return _Failure(f"no answer ({names})", heavy=timed_out)

    def _judge(self, permit: Permit, response: requests.Response) -> Answer | _Failure:
        rates = RateHeaders.from_http(response.headers)
        status = response.status_code
        logger.debug("%s: status %d", self._what, status)
        if 200 <= status < 300:
            self._client.limiter.answered(permit, rates)
            return self._read(response, rates.date)
        retry_after = retry_after_seconds(response.headers)
        failure = _refusal(response, self._client.connection.access_token.get_secret_value())
        if failure.over_quota:
            pause = self._client.limiter.throttled(permit, rates, retry_after)
            return replace(failure, wait_seconds=pause)
        self._client.limiter.answered(permit, rates)
        if status in (408, 429) or status >= 500:
            # 503 with Retry-After is an announced pause, which a smaller page would not shorten.
            heavy = status in _HEAVY_STATUSES and not (status == 503 and retry_after is not None)
            return replace(failure, wait_seconds=retry_after or 0.0, heavy=heavy)
        raise self._fatal(failure)

    def _read(self, response: requests.Response, server_time: int | None) -> Answer | _Failure:
        """The answer, when it is whole: a body can be empty or cut although its status is 200."""
        request_id = response.headers.get("X-Request-Id")
        try:
            fields = _decode(response.content)
        except msgspec.MsgspecError as error:
            return _Failure(f"broken body, {error}", response.status_code, request_id=request_id)
        expect = self._request.expect
        if expect is not None and not (expect in fields and bytes(memoryview(fields[expect])[:1]) == b"["):
            return _Failure(f"answer without the list {expect!r}", response.status_code, request_id=request_id)
        return Answer(fields, server_time, request_id)

    def _fatal(self, failure: _Failure) -> FatalApiError:
        connection = self._client.connection
        error: type[FatalApiError] = RequestRejectedError
        cure = "Asking again gives the same answer."
        if failure.status in (401, 402, 403):
            error = PermissionDeniedError
            scope = (
                f" Grant the token the permission {self._owner.scope!r}" if self._owner.scope else " Check the token"
            )
            cure = (
                f"{scope.strip()} in Intercom's Developer Hub, check that the plan includes the API, and check the "
                f"region: it is {connection.region.value!r} ({connection.base_url})."
            )
        elif failure.status is not None and failure.status < 400:
            cure = "Redirects are not followed, they would take the token to another place. Check base_url."
        return error(
            f"{self._what}: {failure.reason}. {cure} The watermark has not moved.",
            status=failure.status,
            code=failure.code,
            request_id=failure.request_id,
        )


class _SessionPool:
    """Sessions with keep-alive, each used by one thread at a time; requests does not promise more.

    A session per thread would leave its socket behind with every thread that ends; tasks start many.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: list[requests.Session] = []
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        with self._lock:
            session = self._idle.pop() if self._idle else self._new()
        try:
            yield session
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(session)
            if not keep:
                session.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _new(self) -> requests.Session:
        session = _Session()
        # Proxies and CA bundles come from the environment; an Authorization from ~/.netrc would, too, without this.
        session.auth = _BearerToken(self._connection.access_token)
        session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "Intercom-Version": API_VERSION,  # without it the app's own setting decides the shape of answers
                "User-Agent": _user_agent(),
            }
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
        return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: requests reads the Location even when told not to follow it, and fails on a malformed one."""
        del resp
        return None


class _BearerToken(AuthBase):
    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def _user_agent() -> str:
    try:
        return f"intercom-lake/{version('intercom-lake')}"
    except PackageNotFoundError:  # run from a source tree
        return "intercom-lake"


def _names(error: Exception) -> str:
    inner = error.args[0] if error.args else None
    inner = getattr(inner, "reason", inner)  # of urllib3's MaxRetryError
    return " from ".join(type(e).__name__ for e in (error, inner) if isinstance(e, Exception))


def _is_read_timeout(error: Exception) -> bool:
    # In the middle of a body it comes as a ConnectionError around urllib3's own error.
    inner = error.args[0] if error.args else None
    return isinstance(error, requests.ReadTimeout) or isinstance(inner, ReadTimeoutError)


class _ErrorItem(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    errors: list[_ErrorItem]
    request_id: str | None = None


def _refusal(response: requests.Response, secret: str) -> _Failure:
    """What an error answer says: Intercom's error list, or the start of whatever the edge has sent instead."""

    def clean(text: str) -> str:
        printable = "".join(c if c.isprintable() else " " for c in text.replace(secret, "[token]"))
        return " ".join(printable.split())[:_DETAIL_CHARACTERS]

    status, text = response.status_code, response.content.decode("utf-8", "replace")
    code = None
    request_id = response.headers.get("X-Request-Id")
    try:
        body = msgspec.json.decode(text, type=_ErrorBody)
    except msgspec.MsgspecError:
        pass
    else:
        code = next((clean(e.code) for e in body.errors if e.code), None)
        text = "; ".join(": ".join(filter(None, (e.code, e.message))) for e in body.errors)
        request_id = body.request_id or request_id
    request_id = clean(request_id) if request_id else None
    detail = ", ".join(filter(None, (clean(text), request_id and f"request {request_id}")))
    return _Failure(f"status {status} ({detail})" if detail else f"status {status}", status, code, request_id)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
# An escape sequence of JSON; the group is there when it is half of a surrogate pair.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def _decode(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object; raises msgspec's errors unless the whole body is sound JSON.

    The values are views that keep the body alive. Text that is no Unicode (bytes that are no UTF-8, half of a
    surrogate pair: a customer's text cut in the middle of an emoji) gets U+FFFD in its place. The server would send
    the same bytes at every try, so refusing them would end the table's sync for good because of one character.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    try:
        return _OBJECT.decode(body)
    except msgspec.DecodeError:
        repaired = _ESCAPE.sub(lambda match: rb"\ufffd" if match[1] else match[0], body)
        if repaired == body:
            raise
        return _OBJECT.decode(repaired)
