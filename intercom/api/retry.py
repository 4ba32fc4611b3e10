"""One request and its attempts: the rate limiter before each, the retry policy after it, a typed error at the end.

Tally           the failed attempts of one request so far
RetryPolicy     two questions about a tally: is the request over, and how long to wait before the next attempt
RequestSender   the loop: send, judge what came back, ask the policy

Every call of the API that this package makes is a read, ``POST .../search`` included, so a retry is safe. The one
exception is a page of the company scroll, whose position moves on the server: see ``once`` at ``Request``.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tenacity import RetryCallState, Retrying, retry_always

from intercom.api.allowance import Allowance
from intercom.api.headers import RateHeaders, retry_after_seconds
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.rate_limit.quota import Permit
from intercom.api.response import Answer, Failure, HttpResponse, read_answer, read_refusal
from intercom.api.session import Request, SessionPool, Unanswered
from intercom.api.traffic import TrafficCounter
from intercom.config.connection import Connection
from intercom.config.secret_masking import SecretMask
from intercom.errors import (
    AnswerTooLargeError,
    ApiError,
    FatalApiError,
    PageTooHeavyError,
    PermissionDeniedError,
    RequestRejectedError,
    RetriableApiError,
)

logger = logging.getLogger(__name__)

# One page that is too much work for the server fails like this again and again (seen with conversation search),
# while smaller pages of the same rows pass. A passing overload looks the same once, hence two in a row.
_HEAVY_STATUSES: Final = frozenset({408, 502, 503, 504})
_HEAVY_IN_A_ROW: Final = 2
_NOT_SENT: Final = Failure("not sent")


@dataclass(frozen=True)
class Tally:
    """The failed attempts of one request so far."""

    failures: int = 0
    """Attempts without a usable answer, other than a 429."""
    throttles: int = 0
    """Attempts answered with 429. The server has not executed them, so they are no failures."""
    heavy_in_a_row: int = 0
    """Failures, without another kind in between, that look like a page that is too much work for the server."""
    last: Failure = _NOT_SENT

    @property
    def attempts(self) -> int:
        """Attempts of any outcome so far."""
        return self.failures + self.throttles

    def after(self, attempt: Failure) -> Tally:
        """The tally with one more attempt. A 429 between two heavy failures does not part them."""
        if attempt.throttled:
            return replace(self, throttles=self.throttles + 1, last=attempt)
        heavy_in_a_row = self.heavy_in_a_row + 1 if attempt.heavy else 0
        return replace(self, failures=self.failures + 1, heavy_in_a_row=heavy_in_a_row, last=attempt)


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request is retried, and the bounds of each attempt. Times are seconds, sizes bytes.

    A request is given up after ``tries`` failures, or when the next wait would end later than ``total_seconds`` after
    the first attempt. ``read_seconds`` bounds each wait for bytes, ``answer_seconds`` a whole answer, and
    ``answer_bytes`` its body, packed and unpacked.
    """

    tries: int = 7
    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    total_seconds: float = 900.0
    connect_seconds: float = 10.0
    read_seconds: float = 120.0
    answer_seconds: float = 300.0
    answer_bytes: int = 256 << 20

    def is_over(self, tally: Tally, seconds: float, *, once: bool = False, heavy: bool = False) -> bool:
        """Whether the request is given up after the attempts of the tally.

        ``seconds`` is the time from the first attempt to the end of the next wait. ``once`` and ``heavy`` are those of
        the request: with ``once`` the first failure is the last, with ``heavy`` two heavy failures in a row are enough.
        """
        tries = 1 if once else self.tries
        return tally.failures >= tries or (heavy and is_too_heavy(tally)) or seconds > self.total_seconds

    def wait(self, tally: Tally) -> float:
        """Seconds to wait before the next attempt.

        After a 429 over the quota, until the quota is free again. Else the backoff: between one half and the whole of
        ``base_seconds * 2 ** (n - 1)`` after n failures (n throttles if the last attempt was throttled), at most
        ``cap_seconds``, and at least what a Retry-After header asks for.
        """
        last = tally.last
        if last.over_quota:
            return last.wait_seconds
        count = tally.throttles if last.throttled else tally.failures
        backoff = min(self.cap_seconds, self.base_seconds * 2.0 ** (count - 1)) * random.uniform(0.5, 1.0)
        return max(backoff, last.wait_seconds)


def is_too_heavy(tally: Tally) -> bool:
    """Whether the failures look like one page that is too much work, and no longer like a passing overload."""
    return tally.heavy_in_a_row >= _HEAVY_IN_A_ROW


@dataclass(frozen=True)
class RequestSender:
    """Sends the requests of one table.

    ``scope`` is the permission that errors name. ``stopped`` is asked before every attempt; ``sleep`` raises
    AbandonedError by itself. ``allowance`` bounds the attempts, where it is given.
    """

    connection: Connection
    table: str
    scope: str
    counter: TrafficCounter
    sessions: SessionPool
    limiter: RateLimiter
    policy: RetryPolicy
    sleep: Callable[[float], None]
    stopped: Callable[[], bool]
    mask: SecretMask
    allowance: Allowance | None = None

    def call(self, request: Request) -> Answer:
        """The answer to a request, after as many attempts as it needs.

        Raises ApiError, or AbandonedError when the table is stopped.
        """
        tally = Tally()
        attempts = Retrying(
            # The body below returns or raises when an attempt decides the request; all others are retried.
            retry=retry_always,
            wait=lambda _state: self.policy.wait(tally),
            stop=lambda state: self.policy.is_over(
                tally, _seconds_after_wait(state), once=request.once, heavy=request.heavy
            ),
            before_sleep=lambda state: self._log_retry(request, tally, state.upcoming_sleep),
            retry_error_callback=lambda _state: None,  # given up: the iteration ends, and the error is raised below
            sleep=self.sleep,
        )
        for attempt in attempts:
            outcome = self._attempt(request)
            if isinstance(outcome, Answer):
                return outcome
            if outcome.throttled:
                self.counter.count(throttled=1)
            tally = tally.after(outcome)
            attempt.retry_state.set_result(tally)  # makes tenacity ask stop and wait
        raise self._given_up(request, tally)

    def _attempt(self, request: Request) -> Answer | Failure:
        """One attempt, sent when the rate limiter lets it; raises ApiError where a retry would change nothing."""
        if self.allowance is not None:
            self.allowance.take()
        # A request with `once` is a page of a scroll, which expires when no request uses it for a minute.
        permit = self.limiter.acquire(urgent=request.once, stopped=self.stopped)
        self.counter.count(requests=1)
        received: HttpResponse | Unanswered | None = None
        sent_at = time.monotonic()
        try:
            received = self.sessions.send(request)
            seconds = time.monotonic() - sent_at
        finally:
            # Also when the thread is interrupted: a permit that never comes back would count as in flight.
            if not isinstance(received, HttpResponse):
                self.limiter.lost(permit)
        if isinstance(received, HttpResponse):
            outcome = self._judge(request, permit, received)
            return replace(outcome, seconds=seconds) if isinstance(outcome, Answer) else outcome
        return self._unanswered(request, received)

    def _judge(self, request: Request, permit: Permit, received: HttpResponse) -> Answer | Failure:
        """What a whole HTTP answer means; gives the permit back to the limiter."""
        status = received.status
        self.counter.count(received=len(received.body))
        rates = RateHeaders.from_http(received.headers)
        logger.debug("%s: status %d", self._what(request), status)
        if 200 <= status < 300:
            outcome = _own_answer(request, read_answer(received, request.expect, self.mask), status)
            if isinstance(outcome, Answer) or outcome.status == status:
                self.limiter.answered(permit, rates)
                return outcome
            failure = outcome
        else:
            failure = read_refusal(received, self.mask)
        retry_after, status = retry_after_seconds(received.headers), failure.status or status
        if failure.over_quota:
            pause = self.limiter.throttled(permit, rates, retry_after)
            return replace(failure, wait_seconds=pause)
        self.limiter.answered(permit, rates)
        if status in (408, 429) or status >= 500:
            # 503 with Retry-After is an announced pause, which a smaller page would not shorten.
            heavy = status in _HEAVY_STATUSES and not (status == 503 and retry_after is not None)
            return replace(failure, wait_seconds=retry_after or 0.0, heavy=heavy)
        raise self._fatal(request, failure)

    def _unanswered(self, request: Request, lost: Unanswered) -> Failure:
        """What it means that no whole answer came."""
        if lost.unsendable:
            what = self._what(request)
            raise FatalApiError(f"{what}: the request cannot be sent ({lost.names}). Check base_url and proxies.")
        if lost.too_large:
            raise self._too_large(request)
        return Failure(f"no answer ({lost.names})", heavy=lost.timed_out)

    def _log_retry(self, request: Request, tally: Tally, wait: float) -> None:
        logger.warning(
            "%s: %s after try %d, trying again in %.1f s", self._what(request), tally.last.reason, tally.attempts, wait
        )

    def _what(self, request: Request) -> str:
        return f"{request.method} {request.path} (table {self.table!r}, connection {self.connection.name!r})"

    def _given_up(self, request: Request, tally: Tally) -> RetriableApiError:
        last = tally.last
        error = PageTooHeavyError if request.heavy and is_too_heavy(tally) else RetriableApiError
        return error(
            f"{self._what(request)}: no usable answer in {tally.attempts} tries, at last: {last.reason}. "
            "Run the flow again: the watermark has not moved.",
            status=last.status,
            code=last.code,
            request_id=last.request_id,
            server_time=last.server_time,
        )

    def _too_large(self, request: Request) -> ApiError:
        """For a search PageTooHeavyError, which makes the caller ask for smaller pages: one of them may fit."""
        error = PageTooHeavyError if request.heavy else AnswerTooLargeError
        return error(
            f"{self._what(request)}: the answer is larger than {self.policy.answer_bytes / (1 << 20):g} MiB, packed or "
            "unpacked, and was not read to its end. Check what answers at "
            f"{self.connection.base_url}; the watermark has not moved."
        )

    def _fatal(self, request: Request, failure: Failure) -> FatalApiError:
        connection, scope = self.connection, self.scope
        error: type[FatalApiError] = RequestRejectedError
        cure = "Run again; if it is refused again, check base_url, or ask Intercom's support, with the request's id."
        if failure.status == 401:
            error = PermissionDeniedError
            needed = f", which needs the permission {scope!r}," if scope else ""
            cure = (
                f"The token is wrong, expired or revoked, or of another region. Put the app's present one{needed} into "
                f"the connection, whose region is {connection.region.value!r} ({connection.base_url})."
            )
        elif failure.status in (402, 403):
            error = PermissionDeniedError
            first = f"Grant the token the permission {scope!r}" if scope else "Check the token"
            cure = (
                f"{first} in Intercom's Developer Hub, check that the plan includes the API, and check the region: "
                f"it is {connection.region.value!r} ({connection.base_url})."
            )
        elif failure.status is not None and failure.status < 400:
            cure = "Redirects are not followed, they would take the token to another place. Check base_url."
        return error(
            f"{self._what(request)}: {failure.reason}. {cure} The watermark has not moved.",
            status=failure.status,
            code=failure.code,
            request_id=failure.request_id,
            server_time=failure.server_time,
        )


def _own_answer(request: Request, outcome: Answer | Failure, status: int) -> Answer | Failure:
    """The outcome; a failure where it is an answer that belongs to another request."""
    if not isinstance(outcome, Answer) or request.mismatch is None:
        return outcome
    reason = request.mismatch(outcome)
    if reason is None:
        return outcome
    told = f"{reason} (request {outcome.request_id}, nothing of it was taken)"
    return Failure(told, status, request_id=outcome.request_id, server_time=outcome.server_time)


def _seconds_after_wait(state: RetryCallState) -> float:
    """From the first attempt to the end of the next wait.

    Past waits count by what was asked for, too, so that the bound holds under any ``sleep``.
    """
    return max(state.seconds_since_start or 0.0, state.idle_for) + state.upcoming_sleep
