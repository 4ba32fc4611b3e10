"""The HTTP server of a workspace: checks credentials, version and rate limit, applies faults, logs requests."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from threading import Lock
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from intercom.sandbox.answers import Answer, Refusal
from intercom.sandbox.endpoints import Endpoints
from intercom.sandbox.faults import SCROLL_PATH, Fault, FaultKind, Faults
from intercom.sandbox.limits import Allowance, RateLimit
from intercom.sandbox.logged import LoggedRequest
from intercom.sandbox.transport import Headers, Transport
from intercom.sandbox.workspace import Workspace

VERSION = "2.14"


class SandboxServer:
    """Serves a workspace on the loopback interface; use it as a context manager.

    ``rate_limit`` requests are allowed in each window of ``window_seconds``; ``rate_headers=False`` leaves the
    X-RateLimit headers out. The server waits ``latency_seconds`` before each answer. Port 0 takes a free port.
    ``compress=False`` never sends gzip. Compression takes more time than the rest of an answer, which would distort
    measurements of a client.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        rate_limit: int = 100_000,
        window_seconds: float = 10.0,
        rate_headers: bool = True,
        latency_seconds: float = 0.0,
        port: int = 0,
        token: str = "sandbox-token",
        compress: bool = True,
    ) -> None:
        self.workspace = workspace
        self.token = token
        self.rate_headers = rate_headers
        self.latency_seconds = latency_seconds
        self.date_ahead_seconds = 0.0
        """By how much the Date header of each answer is ahead of the workspace's clock."""
        self.log: list[LoggedRequest] = []
        self._limit = RateLimit(workspace.time, rate_limit, window_seconds)
        self._endpoints = Endpoints(workspace)
        self._faults = Faults()
        self._hooks: list[Callable[[LoggedRequest], object]] = []
        self._lock = Lock()
        self._requests = 0
        self._transport = Transport(self._respond, port, compress=compress)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._transport.port}"

    @property
    def rate_limit(self) -> int:
        """Requests allowed in a window; a change counts from the next request on."""
        return self._limit.limit

    @rate_limit.setter
    def rate_limit(self, requests: int) -> None:
        self._limit.limit = requests

    def start(self) -> Self:
        self._transport.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        self._transport.stop()

    def refuse(self) -> None:
        """Close the port and every connection, so that new ones are refused, until `accept`."""
        self._transport.refuse()

    def accept(self) -> None:
        """Open the port again."""
        self._transport.reopen()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def fail(
        self,
        path: str | None = None,
        kind: FaultKind = "status",
        *,
        status: int = 502,
        times: int = 1,
        after: int = 0,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        executed: bool = False,
        seconds: float = 0.0,
        every: int = 10,
        where: Callable[[LoggedRequest], bool] | None = None,
        instead: Callable[[str], str] | None = None,
    ) -> Fault:
        """Make requests to ``path`` (None: any path) fail: the first ``after`` succeed, the next ``times`` fail.

        ``executed``: the server executes the request before the answer is lost, so that a scroll advances. ``body``
        (text, bytes or JSON) replaces the fault's default body, ``headers`` are added, ``seconds`` is the time of
        "delay". ``where`` restricts the fault to some requests of the path, for example to one query; only these count
        for ``after`` and ``times``.

        Some kinds change the right answer to one that is well formed, has status 200 and is wrong. "shard_away": no
        records, a count of 0, no next page. "short": each ``every``-th record of a page is missing, with the same
        count. "shifted": one record of the page is there twice and another one is missing. "hollow": no records, but
        the same count and next page. "again": the right answer to the request before, of the same path. "same_next":
        the page names itself as the next one. "fewer" and "more": another count. A scroll advances by such a page.
        "another": the answer of another path, which ``instead`` gives for the request's.

        "reset_body" resets the connection in the middle of the right answer, "drip" sends it a byte in ``seconds``.
        """
        fault = Fault(kind, path, status, times, after, body, headers or {}, executed, seconds, every, where, instead)
        self._faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        self._faults.clear()

    def before_request(self, callback: Callable[[LoggedRequest], object]) -> None:
        """Call ``callback`` before each request is executed; no lock is held, so it may change the workspace."""
        self._hooks.append(callback)

    def clear_hooks(self) -> None:
        self._hooks.clear()

    def other_usage(self, requests: int) -> None:
        """Take requests from the current window, as other apps of the workspace do."""
        self._limit.use(requests)

    def requests_by_window(self) -> list[int]:
        """Number of requests that the limit let through, per window, from the first request's window on."""
        counts = dict(self._limit.let_through)
        return [counts.get(window, 0) for window in range(min(counts), max(counts) + 1)] if counts else []

    def requests(self, path: str | None = None) -> list[LoggedRequest]:
        """The logged requests, to one path or to all."""
        with self._lock:
            return [request for request in self.log if path in (None, request.path)]

    def clear_log(self) -> None:
        with self._lock:
            self.log.clear()

    def _respond(self, method: str, target: str, headers: Headers, body: bytes) -> Answer:
        """Log and answer one request; raises Reset to close the connection without an answer."""
        arrived = time.monotonic()
        request = self._record(arrived, method, target, headers, body)
        for hook in list(self._hooks):
            hook(request)
        if self.latency_seconds:
            time.sleep(self.latency_seconds)
        request_id = f"0{request.number:06d}sandbox"
        try:
            answer = self._checked(request, headers, body, request_id)
        except Refusal as refusal:
            answer = refusal.answer(request_id)
        answer.headers.setdefault("Date", formatdate(self.workspace.time() + self.date_ahead_seconds, usegmt=True))
        answer.headers.setdefault("X-Request-Id", request_id)
        request.status = answer.status
        return answer

    def _record(self, arrived: float, method: str, target: str, headers: Headers, body: bytes) -> LoggedRequest:
        url = urlsplit(target)
        decoded = _decode(body)
        kept = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        with self._lock:
            self._requests += 1
            request = LoggedRequest(
                self._requests,
                arrived,
                method,
                unquote(url.path),
                params,
                decoded if isinstance(decoded, dict) else None,
                kept,
            )
            self.log.append(request)
        return request

    def _checked(self, request: LoggedRequest, headers: Headers, body: bytes, request_id: str) -> Answer:
        """Answer after the checks. Credentials are checked first: without valid ones there are no rate headers."""
        self._authenticate(headers.get("Authorization"))
        allowance = self._limit.take()
        fault = self._faults.match(request) if allowance.allowed else None

        def execute(path: str) -> Answer:
            try:
                return self._execute(replace(request, path=path), headers, body, allowance)
            except Refusal as refusal:
                return refusal.answer(request_id)

        if fault is None:
            answer = execute(request.path)
            self._faults.served(request, answer)
        else:
            answer = fault.answer(request, request_id, execute)
            if fault.kills_scroll and request.path == SCROLL_PATH:
                with self.workspace.lock:
                    self.workspace.scroll.kill()
        if self.rate_headers and answer.content_type != "text/html" and (fault is None or not fault.bare):
            answer.headers = allowance.headers() | answer.headers
        return answer

    def _authenticate(self, authorization: str | None) -> None:
        if authorization is None:
            raise Refusal(401, "Access Token missing", "missing_authorization")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "Authorization must be a Bearer token", "unauthorized")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refusal(401, "Access Token Invalid", "token_not_found")

    def _execute(self, request: LoggedRequest, headers: Headers, body: bytes, allowance: Allowance) -> Answer:
        if not allowance.allowed:
            window = f"{self._limit.window_seconds:g}_seconds"
            raise Refusal(429, f"Exceeded rate limit of {allowance.limit} in {window}", "rate_limit_exceeded")
        if headers.get("Intercom-Version") != VERSION:
            message = f"Intercom-Version must be {VERSION}"
            raise Refusal(400, message, "parameter_invalid", "Intercom-Version")
        if not any(kind in headers.get("Accept", "") for kind in ("application/json", "*/*")):
            raise Refusal(406, "Accept must allow application/json")
        decoded: Any = None
        if request.method == "POST":
            if not headers.get("Content-Type", "").startswith("application/json"):
                raise Refusal(415, "Content-Type must be application/json")
            decoded = _decode(body)
        return self._endpoints.answer(request.method, request.path, request.params, decoded)


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
