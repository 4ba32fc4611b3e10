"""Whether a process that left its name in a file is gone: told of those of this host only."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from intercom.lake import process
from intercom.lake.process import Process


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    """A process that ends when it is told to."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def started(child: subprocess.Popen[bytes]) -> Process:
    return replace(Process.current(), pid=child.pid, started=process._started(child.pid))


def test_a_process_is_gone_when_it_has_ended_also_before_its_parent_asks(child: subprocess.Popen[bytes]) -> None:
    here, other = Process.current(), started(child)
    assert not here.has_outlived(other)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays in the list of processes
    assert here.has_outlived(other)
    child.wait()
    assert here.has_outlived(other)


def test_a_process_lives_itself_and_is_known_by_its_record() -> None:
    here = Process.current()
    assert Process.from_json(here.to_json()) == here
    assert here.can_see(here)
    assert not here.has_outlived(here)


def test_a_later_process_of_the_same_number_is_another_one_where_start_times_are_told() -> None:
    here = Process.current()
    told = Path("/proc/self/stat").exists()
    assert (here.started is not None) is told
    assert here.has_outlived(replace(here, started=1)) is told  # in the first tick after the boot
    assert not here.has_outlived(replace(here, started=None))


@pytest.mark.parametrize("difference", [{"host": "elsewhere"}, {"space": "another boot"}, {"space": None}])
def test_nothing_is_known_of_processes_of_other_hosts(difference: dict[str, str | None]) -> None:
    here = Process.current()
    other = replace(here, pid=2**22 + 1, **difference)  # no process has that number
    assert here.has_outlived(replace(here, pid=other.pid))
    assert not here.can_see(other)
    assert not here.has_outlived(other)


def test_where_a_host_does_not_tell_its_boot_nothing_is_known_of_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    here = Process.current()
    assert here.space is None
    assert not here.can_see(here)


@pytest.mark.parametrize("record", [{}, {"host": "a"}, {"host": "a", "space": None, "pid": "x", "started": None}])
def test_a_damaged_record_is_a_process_of_no_host(record: dict[str, object]) -> None:
    assert not Process.current().has_outlived(Process.from_json(record))
