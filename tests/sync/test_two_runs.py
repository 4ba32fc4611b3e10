"""Locks between real processes: one holds, is killed or is stopped, and others want the same table."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intercom.errors import LakeError
from intercom.lake.locks.files import heartbeat_path
from intercom.lake.locks.liveness import LockTiming
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from intercom.lake.storage import Lake
from tests.conftest import BUCKET

QUICK = LockTiming(heartbeat=0.2, expiry=1.0, margin=0.05)
HOLD = """
import sys
from intercom.errors import LakeError
from intercom.lake.storage import Lake
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.locks.liveness import LockTiming

url, run_id, heartbeat, expiry, margin = sys.argv[1:]
sys.stdin.readline()
try:
    timing = LockTiming(float(heartbeat), float(expiry), float(margin))
    with TableLocks(Lake(url), "acme", ["contacts", "tags"], run_id, timing=timing) as locks:
        print("holds", flush=True)
        sys.stdin.readline()
        locks.check()
    print("released", flush=True)
except LakeError as error:
    print(error, flush=True)
"""


class Holder:
    """A process that takes two tables when it is told to, and releases them when it is told to."""

    def __init__(self, lake: Lake, run_id: str, timing: LockTiming) -> None:
        settings = (lake.url, run_id, str(timing.heartbeat), str(timing.expiry), str(timing.margin))
        self._child = subprocess.Popen(
            [sys.executable, "-c", HOLD, *settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def go_on(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def says(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def get(self, what: signal.Signals) -> None:
        self._child.send_signal(what)
        if what == signal.SIGKILL:
            self._child.wait()

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def hold(lake: Lake) -> Iterator[Callable[..., Holder]]:
    """Starts processes that hold tables, or try to."""
    holders = []

    def start(run_id: str = "first", timing: LockTiming | None = None, *, told: bool = True) -> Holder:
        holder = Holder(lake, run_id, timing or LockTiming())
        holders.append(holder)
        if told:
            holder.go_on()
            assert holder.says() == "holds"
        return holder

    yield start
    for holder in holders:
        holder.end()


def at_once() -> LockTiming:
    """Those who use it never wait."""
    return LockTiming(sleep=lambda _: pytest.fail("it waits"))


def second(lake: Lake, timing: LockTiming) -> TableLocks:
    return TableLocks(lake, "acme", ["tags"], "second", timing=timing)


def test_a_second_run_ends_at_once_until_the_first_one_has_released_its_tables(
    lake: Lake, hold: Callable[..., Holder]
) -> None:
    first = hold()
    before = lake.stamps("")
    with pytest.raises(LakeError, match=r"^tags: already running since 20\d\d-.* by run first \(on .+\)\. Nothing was"):
        second(lake, at_once()).acquire()
    assert lake.stamps("") == before
    first.go_on()
    assert first.says() == "released"
    with second(lake, at_once()) as locks:
        locks.check()


def test_a_run_that_was_killed_is_replaced_at_once(lake: Lake, hold: Callable[..., Holder]) -> None:
    hold().get(signal.SIGKILL)
    with second(lake, at_once()) as locks:
        locks.check()
        assert list(lake.list("_locks/runs")) == [heartbeat_path(locks.attempt)]
        with TableLocks(lake, "acme", ["contacts"], "third", timing=at_once()) as others:
            others.check()  # what the dead one held besides is free too


def test_a_run_that_was_stopped_is_replaced_when_it_expires_and_notices_it(
    lake: Lake, hold: Callable[..., Holder]
) -> None:
    first = hold(timing=QUICK)
    first.get(signal.SIGSTOP)
    with taken_in_time(lake) as locks:
        first.get(signal.SIGCONT)
        first.go_on()
        assert "The lock on tags was lost by first." in first.says()
        locks.renew()
        locks.check()
        assert list(lake.list("_locks/runs")) == [heartbeat_path(locks.attempt)]


@contextmanager
def taken_in_time(lake: Lake) -> Iterator[TableLocks]:
    """Tried again and again while somebody else has it, until the test's own time is up."""
    locks = second(lake, QUICK)
    while True:
        try:
            locks.acquire()
            break
        except LakeError:
            time.sleep(0.05)
            locks = second(lake, QUICK)
    yield locks
    locks.release()


def test_a_run_keeps_its_tables_for_longer_than_they_take_to_expire(lake: Lake) -> None:
    timing = LockTiming(heartbeat=0.1, expiry=3.0, margin=0.05)
    elsewhere = Process("elsewhere", None, 1, None)
    with TableLocks(lake, "acme", ["tags"], "first", timing=timing, process=elsewhere) as first:
        beats = 0
        while beats < 35:
            with pytest.raises(LakeError, match=r"already running.* by run first \(on elsewhere\)"):
                second(lake, timing).acquire()
            beats = lake.read_json(heartbeat_path(first.attempt))["beats"]
        first.check()


def test_a_dead_lock_of_another_host_is_taken_over_when_it_expires(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    lake.write_json("_locks/runs/lost.1.json", {"run_id": "lost", "since": "2026-01-01", "process": {"host": "gone"}})
    lake.create_json("_locks/tables/acme/tags/000007.json", {"attempt": "lost.1"})
    with caplog.at_level("INFO", "intercom"), second(lake, QUICK) as locks:
        assert locks.token.generations == {"tags": 8}
    assert caplog.text.count("already running since 2026-01-01 by run lost") == 1
    assert list(lake.list("_locks")) == ["_locks/tables/acme/tags/000008.json"]


def test_of_processes_that_start_at_the_same_time_one_gets_the_tables(lake: Lake, hold: Callable[..., Holder]) -> None:
    holders = [hold(f"run-{number}", told=False) for number in range(4)]
    for holder in holders:
        holder.go_on()
    answers = sorted(holder.says()[:26] for holder in holders)
    assert answers == ["contacts: already running "] * 3 + ["holds"]


def test_of_threads_that_start_at_the_same_time_one_gets_a_table_of_an_s3_lake(s3_storage: dict[str, Any]) -> None:
    def contend(number: int) -> TableLocks | LakeError:
        locks = TableLocks(Lake(f"s3://{BUCKET}/lake", s3_storage), "acme", ["contacts", "tags"], f"run-{number}")
        try:
            locks.acquire()
        except LakeError as error:
            return error
        return locks

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(contend, range(6)))
    (winner,) = [answer for answer in answers if isinstance(answer, TableLocks)]
    assert all("already running" in str(answer) for answer in answers if answer is not winner)
    winner.check()
    winner.release()
