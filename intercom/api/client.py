"""One connection's API as the rest of the package uses it: with retries, rate limit and typed errors.

IntercomClient      connection, sessions and limiter; one for each token and process, shared by all threads
TableClient         the same for one table: errors name the table, its requests are counted
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from intercom.api.allowance import Allowance
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.response import Answer
from intercom.api.retry import RequestSender, RetryPolicy
from intercom.api.session import Request, SessionPool
from intercom.api.traffic import Traffic, TrafficCounter
from intercom.config.connection import Connection
from intercom.config.secret_masking import SecretMask
from intercom.errors import AbandonedError


class IntercomClient:
    """The API of one connection. One object for each token and process, safe for any number of threads."""

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
        """Takes the token out of texts that the server has sent, before they are shown."""
        if connection.settings.rules:
            self.withhold_texts()
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

    def withhold_texts(self) -> None:
        """Show no text that the server sends with an error: it may repeat a value that columns are protected for.

        For tables that begin from now on. Statuses, codes and ids of requests are shown.
        """
        self.mask = self.mask.withholding()

    def for_table(self, table: str, scope: str = "", allowance: Allowance | None = None) -> TableClient:
        """A client for one table. ``scope`` is the permission that errors tell the operator to grant.

        With an ``allowance``, a request beyond it raises RequestsSpentError and is not sent.
        """
        stopped = threading.Event()
        with self._ending_lock:
            self._stopped.append(stopped)
            if self._ending:  # the table begins while the process ends
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
            counter=TrafficCounter(),
            sessions=self._sessions,
            limiter=self.limiter,
            policy=self.policy,
            sleep=pause,
            stopped=stopped.is_set,
            mask=self.mask,
            allowance=allowance,
        )
        return TableClient(sender, self.scroll_lock, stopped)

    def stop(self) -> None:
        """Stop all tables, also those that begin later: the process is told to end.

        Requests that wait, and later ones, raise AbandonedError. Requests in flight are still answered.
        """
        with self._ending_lock:
            self._ending = True
            for stopped in self._stopped:
                stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether all tables were stopped."""
        return self._ending

    def close(self) -> None:
        """Close all sockets. Requests in flight close theirs when they end."""
        self._sessions.close()


class TableClient:
    """Requests of one table, made by ``IntercomClient.for_table``. Safe for any number of threads.

    A request raises PermissionDeniedError (401, 402, 403), RequestRejectedError (other 4xx, redirects) or
    AnswerTooLargeError after one attempt, RetriableApiError when the retry policy gives it up, and AbandonedError once
    the table is stopped.
    """

    def __init__(self, sender: RequestSender, scroll_lock: threading.Lock, stopped: threading.Event) -> None:
        self.stopped = stopped
        """Set when the table is stopped: pauses end then, and no other request leaves."""
        self.table = sender.table
        self.counter = sender.counter
        self.most_in_flight = sender.limiter.most_in_flight
        self.sleep = sender.sleep
        self.scope = sender.scope
        key = sender.connection.hash_key
        self.hash_key = key.get_secret_value() if key else None
        """The connection's, for rules that hash columns."""
        self.scroll_lock = scroll_lock
        self._sender = sender

    @property
    def allowed_per_second(self) -> float:
        """Requests a second that the rate limit allows, as far as the answers have told."""
        return self._sender.limiter.usage().limit / QUOTA_SECONDS

    def traffic(self) -> Traffic:
        """The traffic of the table so far."""
        return self.counter.traffic(self._sender.limiter.usage().limit)

    def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        expect: tuple[str, ...] = (),
        once: bool = False,
        mismatch: Callable[[Answer], str | None] | None = None,
    ) -> Answer:
        """GET ``path`` below the connection's base URL; ``expect``, ``once`` and ``mismatch`` as in ``Request``.

        With ``once`` the first failure other than a 429 raises RetriableApiError.
        """
        request = Request("GET", path, params=dict(params or {}), expect=expect, once=once, mismatch=mismatch)
        return self._sender.call(request)

    def post(
        self, path: str, body: Mapping[str, object], *, expect: tuple[str, ...] = (), heavy: bool = False
    ) -> Answer:
        """POST a search; ``expect`` and ``heavy`` as in ``Request``.

        With ``heavy``, raises PageTooHeavyError when the page should be asked for in smaller pieces.
        """
        return self._sender.call(Request("POST", path, body=msgspec.json.encode(body), expect=expect, heavy=heavy))
