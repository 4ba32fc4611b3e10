"""Waits for the one slot of a Prefect global concurrency limit, leases it, renews the lease, and gives the slot back.

Prefect's own context manager (`prefect.concurrency.sync.concurrency`, read in 3.9.1) is not used, for reasons that the
tests of this module show. It waits without a line in the log. It tries to renew three times within seconds and then
gives up, while a server that is restarted is away for longer. It fails the run when the slot cannot be given back. And
a server keeps slots in its database, but leases in memory by default: after a restart it answers that the lease is
gone, and counts the slot as taken for ever. Here the holder of a forgotten lease gives the slot back, and takes it
again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum, auto
from threading import Event, Lock, Thread
from uuid import UUID

import httpx
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from intercom.config.redaction import one_line
from intercom.errors import BusyError
from intercom.lake.locks.liveness import boot_clock
from intercom.orchestration.server.retry import client_that_asks_soon
from intercom.sync.board import BOARD

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SlotTiming:
    """How slots are taken and kept, in seconds.

    A slot is leased for `lease` (Prefect asks for 60 at least) and renewed four times in that time, so the slot of a
    run that was killed is free after it. While another run has the slot, it is asked for each `pause`, with a line in
    the log each `tell`, for up to `most`. A server that does not answer is asked for up to `silent`.
    """

    lease: float = 120.0
    pause: float = 5.0
    tell: float = 60.0
    most: float = 6 * 3600.0
    silent: float = 30.0
    clock: Callable[[], float] = boot_clock
    sleep: Callable[[float], None] = time.sleep


TIMING = SlotTiming()


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A request for the slot of `limit`; `other` names in words who may have it.

    `left_over` is asked once a minute, with the seconds waited, when they are more than a lease lasts. True says that
    nobody seems to use the slot, and the run goes on without it. `made`: the limit is created where there is none.
    `sleep` takes the place of the timing's.
    """

    limit: str
    other: str
    left_over: Callable[[float], bool]
    made: bool = False
    sleep: Callable[[float], None] | None = None


class SlotState(Enum):
    """How a request for a slot ended."""

    SLOT = auto()  # it is held
    LEFT_OVER = auto()  # there is a limit, and nobody seemed to use its slot
    NONE = auto()  # no limit, or no answer


@contextmanager
def hold_slot(request: SlotRequest, timing: SlotTiming = TIMING) -> Iterator[SlotState]:
    """Hold the slot while the block lasts. The block runs without it if there is no limit, no answer, or no user of it.

    Raises BusyError when another run keeps the slot for too long.
    """
    slot = _Slot(request.limit, request.made, timing)
    with BOARD.waiting("Waiting for Prefect's limit", request.limit):
        hold = _wait(slot, request, timing)
    if hold is not SlotState.SLOT:
        yield hold
        return
    try:
        slot.start_renewing()
        yield hold
    finally:
        slot.release()


def ensure_limit(name: str) -> bool:
    """Create a limit of one slot; False when there is one of that name, which stays as it is.

    It is looked for first: a server that is asked to create one that is there logs a traceback.
    """
    with client_that_asks_soon() as client:
        with suppress(ObjectNotFound):
            client.read_global_concurrency_limit_by_name(name)
            return False
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        except ObjectAlreadyExists:
            return False
    return True


class _Found(Enum):
    TAKEN = auto()
    BUSY = auto()
    CLOSED = auto()  # somebody has set the limit to 0
    NO_LIMIT = auto()


def _wait(slot: _Slot, request: SlotRequest, timing: SlotTiming) -> SlotState:
    """Ask until the slot is held, or need not be waited for; BusyError after `timing.most`."""
    began = timing.clock()
    told, silent_since, seen_taken = began - timing.tell, None, False
    while True:
        now = timing.clock()
        try:
            found, silent_since = slot.take(), None
            seen_taken = seen_taken or found is _Found.BUSY
        except httpx.HTTPError as error:
            silent_since = now if silent_since is None else silent_since
            if not seen_taken and (now - silent_since >= timing.silent or _refused(error)):
                log.warning(
                    "Going on without limit %s, for which Prefect gives no slot: %s", request.limit, one_line(error)
                )
                return SlotState.NONE
            found = _Found.BUSY
        if found in (_Found.TAKEN, _Found.NO_LIMIT):
            return SlotState.SLOT if found is _Found.TAKEN else SlotState.NONE
        waited = now - began
        if waited >= timing.most:
            raise BusyError(_too_long(request, waited))
        if now - told >= timing.tell and silent_since is None:
            told = now
            log.info("Waiting for limit %s: %s. %d min until now", request.limit, _reason(found, request), waited // 60)
            if found is _Found.BUSY and waited > timing.lease and request.left_over(waited):
                log.warning(
                    "Going on without limit %s: its slot is taken, and nobody seems to be at work. If no such run is "
                    "under way, not even into another lake, free the slot: %s",
                    request.limit,
                    _cure(request.limit),
                )
                return SlotState.LEFT_OVER
        (request.sleep or timing.sleep)(timing.pause)


def _refused(error: httpx.HTTPError) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error


def _reason(found: _Found, request: SlotRequest) -> str:
    return "it is set to 0" if found is _Found.CLOSED else f"{request.other} has it"


def _too_long(request: SlotRequest, waited: float) -> str:
    return (
        f"Limit {request.limit} was not free for {waited / 3600:.1f} hours: {request.other} has it, or it is set to 0. "
        "Nothing was read or written by what waited. See which runs are under way in Prefect and run again when they "
        f"have ended; if there are none, free it by: {_cure(request.limit)}"
    )


def _cure(limit: str) -> str:
    return f"prefect gcl update {limit} --limit 1 --active-slots 0"


class _Slot:
    def __init__(self, limit: str, made: bool, timing: SlotTiming) -> None:
        self._limit, self._made, self._timing = limit, made, timing
        self._lease: UUID | None = None
        self._leased_at = 0.0
        self._ended = Event()
        self._asking = Lock()

    def take(self) -> _Found:
        asked = self._timing.clock()
        with client_that_asks_soon() as client:
            try:
                answer = client.increment_concurrency_slots_with_lease(
                    [self._limit], 1, "concurrency", self._timing.lease
                ).json()
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.LOCKED:
                    return _Found.BUSY
                if error.response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                    return _Found.CLOSED
                raise
        if not answer["limits"]:
            if not self._made:
                return _Found.NO_LIMIT
            self._made = False
            ensure_limit(self._limit)
            return self.take()
        self._lease, self._leased_at = UUID(answer["lease_id"]), asked
        return _Found.TAKEN

    def start_renewing(self) -> None:
        run = copy_context().run  # with the run's context, else the thread's lines are not in the run's log
        Thread(target=run, args=(self._keep,), name=f"slot {self._limit}", daemon=True).start()

    def release(self) -> None:
        """Give the slot back. The work is done by now, so a failure is only logged: the lease ends by itself."""
        self._ended.set()
        try:
            with self._asking, client_that_asks_soon() as client:
                if self._lease is not None and self._renewed():
                    client.release_concurrency_slots_with_lease(self._lease)
        except httpx.HTTPError as error:
            log.warning(
                "The slot of limit %s was not given back, and is free when its lease ends: %s",
                self._limit,
                one_line(error),
            )

    def _keep(self) -> None:
        """Renew until the slot is given back, in a thread. A failure is tried again, and never ends the run."""
        told = False
        while not self._ended.wait(self._timing.lease / 4):
            try:
                with self._asking:
                    if self._ended.is_set():
                        return
                    if not self._renewed() and self.take() is not _Found.TAKEN:
                        log.warning("The slot of limit %s was lost: another run may start beside this one", self._limit)
                        return
                told = False
            except httpx.HTTPError as error:
                if not told:
                    log.warning("The slot of limit %s was not renewed, trying again: %s", self._limit, one_line(error))
                told = True

    def _renewed(self) -> bool:
        """Renew the lease; False when it is gone, and the slot with it."""
        if self._lease is None:
            return False
        asked = self._timing.clock()
        with client_that_asks_soon() as client:
            try:
                client.renew_concurrency_lease(self._lease, self._timing.lease)
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.GONE:
                    raise
                held, self._lease = asked - self._leased_at, None
                if held < self._timing.lease:
                    # It has not expired, so the server was started anew and forgot it; but it still counts the slot.
                    client.release_concurrency_slots([self._limit], 1, max(held, 1.0))
                return False
        self._leased_at = asked
        return True
