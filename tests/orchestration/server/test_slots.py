"""A slot that is held: renewed while it is, taken again when the server forgot it, and waited for.

Prefect's client is replaced at its edge, so that minutes of leases pass in no time; what a real server does with slots
is in the integration tests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any
from uuid import uuid4

import httpx
import pytest

from intercom.orchestration.server import slots
from intercom.orchestration.server.slots import SlotRequest, SlotState, SlotTiming, hold_slot
from intercom.sync.board import BOARD

REQUEST = httpx.Request("POST", "http://prefect/api")


def refused(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError(str(status), request=REQUEST, response=httpx.Response(status, request=REQUEST))


@dataclass
class Server:
    """Answers to come, by kind of call, and the calls; without one a call succeeds."""

    calls: list[str] = field(default_factory=list)
    answers: dict[str, list[Exception]] = field(default_factory=dict)
    called: dict[tuple[str, int], Event] = field(default_factory=dict)

    def _call(self, kind: str) -> None:
        self.calls.append(kind)
        self.after(kind, self.calls.count(kind)).set()
        if self.answers.get(kind):
            raise self.answers[kind].pop(0)

    def after(self, kind: str, times: int) -> Event:
        return self.called.setdefault((kind, times), Event())

    def increment_concurrency_slots_with_lease(self, *_: Any) -> httpx.Response:
        self._call("take")
        return httpx.Response(200, json={"lease_id": str(uuid4()), "limits": [{"name": "limit"}]})

    def renew_concurrency_lease(self, *_: Any) -> None:
        self._call("renew")

    def release_concurrency_slots(self, *_: Any) -> None:
        self._call("decrement")

    def release_concurrency_slots_with_lease(self, *_: Any) -> None:
        self._call("release")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    @contextmanager
    def client() -> Iterator[Server]:
        yield server

    monkeypatch.setattr(slots, "client_that_asks_soon", client)
    return server


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def turn(left_over: Callable[[float], bool] = lambda _waited: False) -> SlotRequest:
    return SlotRequest("limit", "another run", left_over)


def test_a_slot_is_renewed_while_it_is_held_and_not_after(server: Server) -> None:
    with hold_slot(turn(), SlotTiming(lease=0.04)) as held:
        assert held is SlotState.SLOT
        assert server.after("renew", 3).wait(60)
    assert server.calls[-1] == "release"
    assert set(server.calls) == {"take", "renew", "release"}


def test_a_lease_that_a_new_server_forgot_is_given_back_and_taken_again(server: Server) -> None:
    server.answers["renew"] = [refused(410)]
    with hold_slot(turn(), SlotTiming(lease=0.04, clock=lambda: 0.0)):
        assert server.after("take", 2).wait(60)
    assert server.calls[:4] == ["take", "renew", "decrement", "take"]
    assert server.calls[-1] == "release"


def test_a_lease_that_has_expired_is_nobody_s_to_give_back(server: Server) -> None:
    """The slot may be somebody else's by then."""
    server.answers["renew"] = [refused(410)]
    times = iter([0.0, 0.0, 0.0])
    with hold_slot(turn(), SlotTiming(lease=0.04, clock=lambda: next(times, 10.0))):
        assert server.after("take", 2).wait(60)
    assert "decrement" not in server.calls


def test_a_slot_that_is_lost_is_told_and_the_run_goes_on(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["renew"] = [refused(410)]
    with hold_slot(turn(), SlotTiming(lease=0.04, clock=lambda: 0.0)):
        server.answers["take"] = [refused(423)]
        assert server.after("take", 2).wait(60)
    assert "another run may start beside this one" in caplog.text
    assert server.calls.count("decrement") == 1
    assert "release" not in server.calls


def test_trouble_while_renewing_is_told_once_and_tried_again(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["renew"] = [httpx.ConnectError("away"), httpx.ConnectError("away")]
    with hold_slot(turn(), SlotTiming(lease=0.04)):
        assert server.after("renew", 4).wait(60)
    assert caplog.text.count("was not renewed, trying again: away") == 1
    assert server.calls[-1] == "release"


def test_who_has_seen_the_slot_taken_waits_also_while_the_server_is_away(server: Server) -> None:
    """It would only meet the other run's lock, and fail."""
    clock = Clock()
    server.answers["take"] = [refused(423), *[httpx.ConnectError("away")] * 60, refused(503)]
    with hold_slot(turn(), SlotTiming(clock=clock, sleep=clock.sleep)) as held:
        assert held is SlotState.SLOT
    assert clock.now > 300


def test_who_waits_for_a_slot_says_so_until_it_has_it(server: Server) -> None:
    clock = Clock()
    said: list[str] = []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        said.extend(wait.text for wait in BOARD.waits())

    server.answers["take"] = [refused(423)] * 2
    with hold_slot(turn(), SlotTiming(clock=clock, sleep=sleep)):
        assert said == ["Waiting for Prefect's limit limit"] * 2
        assert BOARD.waits() == []


def test_a_server_that_is_away_from_the_beginning_holds_nobody_up_for_long(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    server.answers["take"] = [httpx.ConnectError("away")] * 60
    with hold_slot(turn(), SlotTiming(clock=clock, sleep=clock.sleep)) as held:
        assert held is SlotState.NONE
    assert clock.now == 30
    assert "Going on without limit" in caplog.text
    assert "release" not in server.calls


def test_a_slot_that_nobody_uses_is_left_as_it_is(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It may be that of a run over another lake."""
    clock = Clock()
    caplog.set_level(logging.INFO, logger="intercom")
    server.answers["take"] = [refused(423)] * 1000
    asked: list[float] = []

    def at_the_second_look(waited: float) -> bool:
        asked.append(waited)
        return len(asked) == 2

    with hold_slot(turn(at_the_second_look), SlotTiming(clock=clock, sleep=clock.sleep)) as held:
        assert held is SlotState.LEFT_OVER
    assert asked == [180, 240]
    assert set(server.calls) == {"take"}
    assert "prefect gcl update limit" in caplog.text
