"""One request and its attempts: the limiter before each, the retry policy after it, and a typed error at the end.

Every call of the API that this package makes is a read, ``POST .../search`` included, so repeating one is safe.
The one exception is a page of the company scroll, whose position moves on the server: see ``once``.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from tenacity import RetryCallState, Retrying, retry_if_result

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
_HEAVY_STATUSES = frozenset({408, 502, 503, 504})
_HEAVY_IN_A_ROW = 2


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request is repeated.

    Before try n + 1 it waits between one half and the whole of ``base_seconds * 2 ** (n - 1)``, at most
    ``cap_seconds``, and at least what a Retry-After header asks for. It gives up after ``tries`` failures, or when
    the next wait would end later than ``total_seconds`` after the start. A 429 is no failure: it was never executed.
    ``read_seconds`` bound each wait for bytes, ``answer_seconds`` a whole answer, and ``answer_bytes`` its body, packed
    and unpacked.
    """

    tries: int = 7
    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    total_seconds: float = 900.0
    connect_seconds: float = 10.0
    read_seconds: float = 120.0
    answer_seconds: float = 300.0
    answer_bytes: int = 256 << 20

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures, the first being 1."""
        return min(self.cap_seconds, self.base_seconds * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class RequestSender:
    """On whose behalf calls are made, and what they go through.

    ``scope`` is the permission that errors name. ``stopped`` is asked before every request; ``sleep`` raises
    AbandonedError by itself.
    """

    connection: Connection
    table: str
    scope: str
    usage: TrafficCounter
    sessions: SessionPool
    limiter: RateLimiter
    policy: RetryPolicy
    sleep: Callable[[float], None]
    stopped: Callable[[], bool]
    mask: SecretMask

    def call(self, request: Request, *, expect: str | None, once: bool = False, heavy: bool = False) -> Answer:
        """The answer to a request after as many attempts as it needs; raises ApiError, or AbandonedError when stopped.

        ``expect``, ``once`` and ``heavy`` are explained at ``TableClient``.
        """
        call = _Call(self, request, expect=expect, once=once, heavy=heavy)
        retrying = Retrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, Failure)),
            wait=call.wait,
            stop=call.is_over,
            before_sleep=call.log_retry,
            retry_error_callback=call.give_up,
            sleep=self.sleep,
        )
        outcome = retrying(call.attempt)
        assert isinstance(outcome, Answer)  # give_up has raised for every failure
        return outcome


class _Call:
    """The attempts of one request; the public methods are tenacity's hooks."""

    def __init__(self, caller: RequestSender, request: Request, *, expect: str | None, once: bool, heavy: bool) -> None:
        self._caller = caller
        self._request = request
        self._expect = expect
        self._once = once
        self._heavy = heavy
        self._failures = 0
        self._refusals = 0
        self._heavy_in_a_row = 0
        self._last = Failure("not sent")

    def attempt(self) -> Answer | Failure:
        limiter = self._caller.limiter
        # A page of the scroll: one chain from end to end, which dies when it waits for a minute.
        permit = limiter.acquire(urgent=self._once, stopped=self._caller.stopped)
        self._caller.usage.count(requests=1)
        received: HttpResponse | Unanswered | None = None
        try:
            received = self._caller.sessions.send(self._request)
        finally:
            # Also when the thread is interrupted: a permit that never comes back would count as in flight.
            if not isinstance(received, HttpResponse):
                limiter.lost(permit)
        outcome = self._judge(permit, received) if isinstance(received, HttpResponse) else self._unanswered(received)
        if isinstance(outcome, Failure):
            self._count(outcome)
        return outcome

    def wait(self, _state: RetryCallState) -> float:
        last = self._last
        if last.over_quota:
            return last.wait_seconds
        tries = self._refusals if last.throttled else self._failures
        return max(self._caller.policy.backoff(tries), last.wait_seconds)

    def is_over(self, state: RetryCallState) -> bool:
        policy, failed = self._caller.policy, not self._last.throttled
        # The slept time counts by what was asked for, too, so that the bound holds under any ``sleep``.
        spent = max(state.seconds_since_start or 0.0, state.idle_for)
        return (
            (failed and (self._once or self._failures >= policy.tries))
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
            server_time=last.server_time,
        )

    @property
    def _what(self) -> str:
        request, caller = self._request, self._caller
        return f"{request.method} {request.path} (table {caller.table!r}, connection {caller.connection.name!r})"

    @property
    def _too_heavy(self) -> bool:
        return self._heavy and self._heavy_in_a_row >= _HEAVY_IN_A_ROW

    def _count(self, failure: Failure) -> None:
        self._last = failure
        if failure.throttled:
            self._refusals += 1
            self._caller.usage.count(throttled=1)
        else:
            self._failures += 1
            self._heavy_in_a_row = self._heavy_in_a_row + 1 if failure.heavy else 0

    def _unanswered(self, lost: Unanswered) -> Failure:
        if lost.unsendable:
            raise FatalApiError(f"{self._what}: the request cannot be sent ({lost.names}). Check base_url and proxies.")
        if lost.too_large:
            raise self._too_large()
        return Failure(f"no answer ({lost.names})", heavy=lost.timed_out)

    def _too_large(self) -> ApiError:
        """Of a search a smaller page may fit."""
        error = PageTooHeavyError if self._heavy else AnswerTooLargeError
        return error(
            f"{self._what}: the answer is larger than {self._caller.policy.answer_bytes / (1 << 20):g} MiB, packed or "
            "unpacked, and was not read to its end. Check what answers at "
            f"{self._caller.connection.base_url}; the watermark has not moved."
        )

    def _judge(self, permit: Permit, received: HttpResponse) -> Answer | Failure:
        limiter, status = self._caller.limiter, received.status
        self._caller.usage.count(received=len(received.body))
        rates = RateHeaders.from_http(received.headers)
        logger.debug("%s: status %d", self._what, status)
        if 200 <= status < 300:
            outcome = read_answer(received, self._expect, self._caller.mask)
            if isinstance(outcome, Answer) or outcome.status == status:
                limiter.answered(permit, rates)
                return outcome
            failure = outcome
        else:
            failure = read_refusal(received, self._caller.mask)
        retry_after, status = retry_after_seconds(received.headers), failure.status or status
        if failure.over_quota:
            pause = limiter.throttled(permit, rates, retry_after)
            return replace(failure, wait_seconds=pause)
        limiter.answered(permit, rates)
        if status in (408, 429) or status >= 500:
            # 503 with Retry-After is an announced pause, which a smaller page would not shorten.
            heavy = status in _HEAVY_STATUSES and not (status == 503 and retry_after is not None)
            return replace(failure, wait_seconds=retry_after or 0.0, heavy=heavy)
        raise self._fatal(failure)

    def _fatal(self, failure: Failure) -> FatalApiError:
        connection, scope = self._caller.connection, self._caller.scope
        error: type[FatalApiError] = RequestRejectedError
        cure = "Asking again gives the same answer."
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
            f"{self._what}: {failure.reason}. {cure} The watermark has not moved.",
            status=failure.status,
            code=failure.code,
            request_id=failure.request_id,
            server_time=failure.server_time,
        )
