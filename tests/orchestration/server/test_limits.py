"""Runs that wait for each other by Prefect's concurrency limits, and holders that go without a word."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.errors import BusyError
from intercom.orchestration.server.limits import scroll_limit
from intercom.orchestration.server.slots import SlotRequest, SlotState, SlotTiming, ensure_limit, hold_slot
from tests.support.prefect_server import ROOT, Prefect, inherited, temporary_client
from tests.support.relay import relayed
from tests.support.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONNECTION = "limited"
LIMIT = f"intercom-sync-{CONNECTION}"
SHORT_LEASES = """
import sys
import intercom.orchestration.server.slots
from intercom.cli.run import run_from_shell
intercom.orchestration.server.slots.TIMING.lease = 60  # the least that Prefect grants, of which 20 are granted here
intercom.orchestration.server.slots.TIMING.pause = 1
raise SystemExit(run_from_shell(sys.argv[1], sys.argv[2:]))
"""


@pytest.fixture
def here(prefect: Prefect) -> Iterator[None]:
    """This process uses the server too."""
    with temporary_client(prefect.api):
        yield


def using(api: str) -> AbstractContextManager[object]:
    """This process asks another address, once each thing."""
    return temporary_client(api, retries=False)


class WaitingClock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits += 1

    def timing(self, **others: float) -> SlotTiming:
        return SlotTiming(lease=60.0, clock=lambda: self.now, sleep=self.sleep, **others)


def turn(limit: str, left_over: bool = False, **others: Any) -> SlotRequest:
    return SlotRequest(limit, "another run", lambda _waited: left_over, **others)


def slots(prefect: Prefect, limit: str) -> int:
    return int(prefect.get(f"v2/concurrency_limits/{limit}")["active_slots"])


def test_a_limit_that_is_not_there_keeps_nobody(prefect: Prefect, here: None) -> None:
    with hold_slot(turn("nobody-made-this")) as held, hold_slot(turn("nobody-made-this")) as second:
        assert held is SlotState.NONE
        assert second is SlotState.NONE
    assert "nobody-made-this" not in str(prefect.post("v2/concurrency_limits/filter", {"limit": 200}))


def test_a_slot_is_held_while_the_block_lasts_and_given_back_when_it_fails(prefect: Prefect, here: None) -> None:
    def fail_while_it_is_held() -> None:
        with hold_slot(turn("made", made=True)) as held:
            assert held is SlotState.SLOT
            assert slots(prefect, "made") == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_is_held()
    assert slots(prefect, "made") == 0


def test_who_waits_is_told_each_minute_and_at_last_refused(
    prefect: Prefect, here: None, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_limit("busy")
    caplog.set_level(logging.INFO, logger="intercom")
    with hold_slot(turn("busy")):
        clock = WaitingClock()
        refused = pytest.raises(BusyError, match=r"busy was not free for 0\.1 hours.*prefect gcl update busy")
        with refused, hold_slot(turn("busy"), clock.timing(most=300)):
            raise AssertionError("two have the slot")
        assert (clock.now, clock.waits) == (300, 60)
        assert slots(prefect, "busy") == 1
    told = [record.message for record in caplog.records]
    assert told == [f"Waiting for limit busy: another run has it. {n} min until now" for n in range(5)]


def test_a_limit_of_none_holds_all_runs_up(prefect: Prefect, here: None) -> None:
    ensure_limit("closed")
    prefect.run("-m", "prefect", "gcl", "update", "closed", "--limit", "0")
    with pytest.raises(BusyError), hold_slot(turn("closed", left_over=True), WaitingClock().timing(most=300)):
        pass


def test_a_slot_that_is_left_over_is_not_waited_for_once_its_lease_would_have_ended(
    prefect: Prefect, here: None, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_limit("ghost")
    prefect.post("v2/concurrency_limits/increment", {"names": ["ghost"], "slots": 1, "mode": "concurrency"})
    clock = WaitingClock()
    with hold_slot(turn("ghost", left_over=True), clock.timing()) as held:
        assert held is SlotState.LEFT_OVER
        assert 60 < clock.now <= 125
    assert slots(prefect, "ghost") == 1  # it may be somebody else's after all
    assert "prefect gcl update ghost" in caplog.text


def test_a_lost_slot_and_a_server_that_is_gone_end_no_run(
    prefect: Prefect, here: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is started anew counts its slots, but knows no lease: who holds one gives back the slot itself."""
    ensure_limit("anew")
    with hold_slot(turn("anew")):
        prefect.stop()
        prefect.start()
        assert slots(prefect, "anew") == 1
    assert slots(prefect, "anew") == 0
    down = threading.Event()
    gone = relayed(prefect, lambda _method, _path: 503 if down.is_set() else None)
    with gone as api, using(api):
        with hold_slot(turn("anew")):
            down.set()
        assert "was not given back" in caplog.text
    with using(api), hold_slot(turn("anew"), WaitingClock().timing()) as held:  # no answer: the lake's lock has to do
        assert held is SlotState.NONE


def run(prefect: Prefect, rig: Rig, flow: str, *options: str, program: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [flow, "--connection", CONNECTION, "--lake", rig.lake_url, *options]
    return subprocess.Popen(
        [sys.executable, *program, *command], cwd=ROOT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE,
        env={**inherited(), **prefect.environment}, text=True,
    )  # fmt: skip


def completed(process: subprocess.Popen[str]) -> str:
    """What a run has printed, which must have succeeded."""
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return output


def has_told_that_it_waits(prefect: Prefect, since: datetime) -> bool:
    """Whether a run says so from now on; the server has the lines of other tests as well, the oldest ones first."""
    wanted = {"logs": {"timestamp": {"after_": since.isoformat()}}, "sort": "TIMESTAMP_DESC", "limit": 200}
    for _ in range(240):
        time.sleep(0.5)
        if any(f"Waiting for limit {LIMIT}" in line["message"] for line in prefect.post("logs/filter", wanted)):
            return True
    return False


@pytest.fixture
def limited(prefect: Prefect, rig: Rig, here: None) -> Rig:
    """A rig with a connection block, and the limits that `deployments/bootstrap.py` makes."""
    rig.connection = CONNECTION
    prefect.save_connection(CONNECTION, rig)
    ensure_limit(LIMIT)
    ensure_limit(scroll_limit(rig.workspace.options.app_id))
    return rig


def test_a_compaction_waits_for_a_running_sync_and_both_complete(prefect: Prefect, limited: Rig) -> None:
    rig = limited
    scroll = scroll_limit(rig.workspace.options.app_id)
    begun: list[subprocess.Popen[str]] = []
    found: list[Any] = []

    def start_compaction(request: Any) -> None:
        if request.path == "/companies/scroll" and not begun:
            since = datetime.now(UTC)
            begun.append(run(prefect, rig, "flows/compact.py", "--tables", "tags,companies"))
            found.extend([slots(prefect, scroll), has_told_that_it_waits(prefect, since)])

    completed(run(prefect, rig, "flows/sync.py", "--tables", "tags", "--compact", "never"))
    rig.server.before_request(start_compaction)
    completed(run(prefect, rig, "flows/sync.py", "--tables", "companies", "--compact", "never"))
    completed(begun[0])  # before anything is asserted: a process that is left behind fails another test
    assert found == [1, True]
    rig.check(("tags", "companies"))
    assert (slots(prefect, LIMIT), slots(prefect, scroll)) == (0, 0)


def test_a_run_that_was_killed_keeps_others_waiting_no_longer_than_its_lease(prefect: Prefect, limited: Rig) -> None:
    rig = limited
    asked, killed = threading.Event(), threading.Event()

    def hang(request: Any) -> None:
        if request.path == "/tags" and not asked.is_set():
            asked.set()
            killed.wait(60)

    rig.server.before_request(hang)
    short = "-c", SHORT_LEASES
    first = run(prefect, rig, "flows/sync.py", "--tables", "tags", program=short)
    assert asked.wait(120)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    killed.set()
    assert slots(prefect, LIMIT) == 1
    assert f"Waiting for limit {LIMIT}" in completed(
        run(prefect, rig, "flows/sync.py", "--tables", "tags", program=short)
    )
    rig.check(["tags"])
    assert slots(prefect, LIMIT) == 0
