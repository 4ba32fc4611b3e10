"""HTTP sessions to one connection's host, kept alive; the only HTTP of the package.

They send the connection's token and no other credentials. Exceptions of the HTTP library hold the request, and so the
token: none of them leaves this module.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, ReadTimeoutError

from intercom.api.body import TooLargeError, TooSlowError, answers_within, read_body
from intercom.api.response import Answer, HttpResponse
from intercom.config.connection import Connection

API_VERSION = "2.14"


@dataclass(frozen=True)
class Request:
    """What is sent, and what is asked of the answer. ``path`` is below the connection's base URL, ``body`` JSON.

    ``expect`` is the path of the member of the answer that must be a JSON array, outermost name first; an answer
    without it counts as broken. Empty: nothing is expected.
    ``once``: only a 429 is retried. The request moves a position on the server, so that after any other failure the
    page may be lost though it was never seen; or it has failed in earlier runs. ``heavy``: two failures in a row that
    look like too big a page are the end. ``mismatch`` says of an answer that can be read why it is not the one to this
    request, None if it is; one that is not counts as broken.
    """

    method: str
    path: str
    params: dict[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    expect: tuple[str, ...] = ()
    once: bool = False
    heavy: bool = False
    mismatch: Callable[[Answer], str | None] | None = None


@dataclass(frozen=True)
class Unanswered:
    """A request without a whole answer. ``names``: the classes of the errors, for messages."""

    names: str
    timed_out: bool  # while the answer, or the rest of it, was waited for
    unsendable: bool  # the URL or a header is invalid, so that no connection was opened
    too_large: bool = False  # the body exceeds the allowed bytes


class SessionPool:
    """Sessions with keep-alive, each used by one thread at a time: requests does not promise more.

    Not one session for each thread: tasks start many threads, and each would leave a socket behind when it ends. The
    bounds are those of ``RetryPolicy``.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        connect_seconds: float,
        read_seconds: float,
        answer_seconds: float,
        answer_bytes: int,
    ) -> None:
        self._connection = connection
        self._timeout = (connect_seconds, read_seconds)
        self._answer_seconds, self._answer_bytes = answer_seconds, answer_bytes
        self._idle: list[requests.Session] = []
        self._closed = False
        self._lock = threading.Lock()

    def send(self, request: Request) -> HttpResponse | Unanswered:
        """Send one attempt. The answer may have any status; redirects are not followed."""
        # Errors are returned: one raised here would have the library's, and so the token, as its context.
        try:
            return self._send(request)
        except (OSError, ValueError, HTTPError) as error:  # requests' own errors are OSErrors
            slow = _is_too_slow(error)
            return Unanswered(
                f"not whole after {self._answer_seconds:g} s" if slow else _names(error),
                slow or _is_read_timeout(error),
                isinstance(error, ValueError),
                isinstance(error, TooLargeError),
            )

    def close(self) -> None:
        """Close all sockets. Requests in flight close theirs when they end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _send(self, request: Request) -> HttpResponse:
        headers = {"Content-Type": "application/json"} if request.body is not None else None
        with self._session() as session:
            response = session.request(
                request.method,
                f"{self._connection.base_url}/{request.path.lstrip('/')}",
                params=request.params,
                data=request.body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
            try:
                # Read by urllib3: requests reads in pieces of 10 KB, which takes twice as long as all else here.
                body = read_body(
                    lambda most: response.raw.read(most, decode_content=False) or b"",
                    response.headers.get("Content-Encoding", ""),
                    self._answer_bytes,
                )
            except BaseException:
                response.raw.close()  # unread bytes would be taken for the next answer
                raise
        return HttpResponse(response.status_code, response.headers, body)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
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

    def _new(self) -> requests.Session:
        session = _Session()
        # Proxies and CA bundles come from the environment. Without this line an Authorization from ~/.netrc would, too.
        session.auth = _BearerToken(self._connection.access_token)
        session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "Intercom-Version": API_VERSION,  # else the app's own setting decides the shape of answers
                "User-Agent": _user_agent(),
            }
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Adapter(self._answer_seconds))
        return session


class _Session(requests.Session):
    """A session for one host, and for requests that are sent in one way."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[str, Any] | None = None

    def merge_environment_settings(self, *args: Any) -> dict[str, Any]:  # type: ignore[override, unused-ignore]
        """Proxies and CA bundles from the environment, looked up once: requests does so twice for each request."""
        if self._settings is None:
            self._settings = dict(super().merge_environment_settings(*args))
            self.trust_env = False
        return self._settings

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: requests reads the Location even when told not to follow it, and fails on a malformed one."""
        del resp
        return None


class _Adapter(HTTPAdapter):
    """One connection at a time, directly or by a proxy. An answer must be whole within ``answer_seconds``."""

    def __init__(self, answer_seconds: float) -> None:
        self._response = answers_within(answer_seconds)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls.response_class is not self._response:
            pool.ConnectionCls = type("_Connection", (pool.ConnectionCls,), {"response_class": self._response})
        return pool


class _BearerToken(AuthBase):
    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


@cache
def _user_agent() -> str:
    """With the version of the installed package, which takes milliseconds to find: longer than a request."""
    try:
        return f"intercom-lake/{version('intercom-lake')}"
    except PackageNotFoundError:  # run from a source tree
        return "intercom-lake"


def _names(error: Exception) -> str:
    """The system's words for it, then the classes of an error and of its reason.

    ``connection refused: ConnectionError from NewConnectionError``. Texts of errors are not shown: they quote URLs.
    """
    inner = error.args[0] if error.args else None
    inner = getattr(inner, "reason", inner)  # of urllib3's MaxRetryError
    classes = " from ".join(type(e).__name__ for e in (error, inner) if isinstance(e, Exception))
    words = _system_words(error)
    return f"{words}: {classes}" if words else classes


_MOST_CAUSES: Final = 10


def _system_words(error: BaseException | None) -> str:
    """What the operating system says of the network, from the first of the error's causes that is its own."""
    for _ in range(_MOST_CAUSES):
        if isinstance(error, socket.gaierror):
            return "the host's name cannot be resolved"
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno).lower()
        if error is None:
            break
        error = error.__cause__ or error.__context__
    return ""


def _is_too_slow(error: BaseException | None) -> bool:
    """Whether our TooSlowError is among the error's causes: the libraries raise their own errors from it."""
    return error is not None and (
        isinstance(error, TooSlowError) or _is_too_slow(error.__cause__) or _is_too_slow(error.__context__)
    )


def _is_read_timeout(error: Exception) -> bool:
    return isinstance(error, requests.ReadTimeout | ReadTimeoutError)  # urllib3's in the middle of a body
