"""One connection's API as the rest of the package uses it: behind retries, the rate limiter and typed errors.

IntercomClient      connection, sessions and limiter; one per token and process, shared by all threads
TableClient         the same for one table: names it in errors and counts its requests
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.response import Answer
from intercom.api.retry import RequestSender, RetryPolicy
from intercom.api.session import Request, SessionPool
from intercom.api.traffic import Traffic, TrafficCounter
from intercom.config.connection import Connection
from intercom.config.secret_masking import SecretMask
from intercom.errors import AbandonedError


class IntercomClient:
    """The API of one connection; one for each token and process, used by any number of threads."""

    def __init__(
        self,
        connection: Connection,
        limiter: RateLimiter,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.connection = connection
        self.limiter = limiter
        self.policy = policy or RetryPolicy()
        self.mask = SecretMask([connection.access_token.get_secret_value()])
        """For text that the server has sent and that is shown."""
        self._sleep = sleep
        self._stopped: list[threading.Event] = []
        self._ending = False
        self._ending_lock = threading.Lock()
        # Intercom allows one open company scroll per workspace and answers a second one with 400 scroll_exists.
        self.scroll_lock = threading.Lock()
        self._sessions = SessionPool(
            connection,
            connect_seconds=self.policy.connect_seconds,
            read_seconds=self.policy.read_seconds,
            answer_seconds=self.policy.answer_seconds,
            answer_bytes=self.policy.answer_bytes,
        )

    def for_table(self, table: str, scope: str = "") -> TableClient:
        """The same client for one table; ``scope`` is the permission that errors tell the operator to grant."""
        stopped = threading.Event()
        with self._ending_lock:
            self._stopped.append(stopped)
            if self._ending:  # a table whose turn comes while the process ends
                stopped.set()

        def pause(seconds: float) -> None:
            if self._sleep is None:
                stopped.wait(seconds)
            else:
                self._sleep(seconds)
            if stopped.is_set():
                raise AbandonedError

        sender = RequestSender(
            connection=self.connection,
            table=table,
            scope=scope,
            usage=TrafficCounter(),
            sessions=self._sessions,
            limiter=self.limiter,
            policy=self.policy,
            sleep=pause,
            stopped=stopped.is_set,
            mask=self.mask,
        )
        return TableClient(sender, self.scroll_lock, stopped)

    def stop(self) -> None:
        """Let no other request leave, of any table, also of one that begins later: the process is told to end.

        What waits, or would ask next, ends with AbandonedError; what is under way comes back first.
        """
        with self._ending_lock:
            self._ending = True
            for stopped in self._stopped:
                stopped.set()

    def close(self) -> None:
        """Close all sockets; requests that are under way close theirs when they end."""
        self._sessions.close()


class TableClient:
    """Requests of one table, from ``IntercomClient.for_table``. Safe to share between threads.

    Every method raises PermissionDeniedError (401, 402, 403), RequestRejectedError (other 4xx and redirects) at
    once, RetriableApiError when the retry policy is used up, and AbandonedError once the table is not to be read on.
    """

    def __init__(self, sender: RequestSender, scroll_lock: threading.Lock, stopped: threading.Event) -> None:
        self.stopped = stopped
        """Set when this table is not to be read on: pauses end then, and no other request leaves."""
        self.table = sender.table
        self.usage = sender.usage
        self.most_in_flight = sender.limiter.most_in_flight
        self.sleep = sender.sleep
        self.scope = sender.scope
        self.scroll_lock = scroll_lock
        self._sender = sender

    def traffic(self) -> Traffic:
        """What the table has cost until now."""
        return self.usage.traffic(self._sender.limiter.usage().limit)

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
        return self._sender.call(Request("GET", path, params=dict(params or {}), expect=expect, once=once))

    def post(self, path: str, body: Mapping[str, object], *, expect: str | None = None, heavy: bool = False) -> Answer:
        """POST a search. With ``heavy``, two failures in a row that look like too big a page: PageTooHeavyError."""
        return self._sender.call(Request("POST", path, body=msgspec.json.encode(body), expect=expect, heavy=heavy))
