"""Whether anybody is at work on a connection's tables, as one sees it who takes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.errors import LakeError
from intercom.lake.locks.liveness import IdleCheck, LockTiming
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake


class Watcher:
    """Looks again and again, by a clock of its own."""

    def __init__(self, lake: Lake) -> None:
        self.now = 0.0
        self.stillness = IdleCheck(lake, "acme", LockTiming(expiry=60.0, clock=lambda: self.now))

    def looks(self, seconds: float) -> bool:
        self.now += seconds
        return self.stillness.lasts()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


@pytest.fixture
def watcher(lake: Lake) -> Watcher:
    return Watcher(lake)


def test_one_look_is_not_enough_nor_are_two_in_a_hurry(watcher: Watcher) -> None:
    assert [watcher.looks(seconds) for seconds in (0, 59, 1)] == [False, False, True]


def test_a_run_that_shows_that_it_lives_is_seen(lake: Lake, watcher: Watcher) -> None:
    clock = [0.0]
    with TableLocks(lake, "acme", ["tags"], "run", timing=LockTiming(clock=lambda: clock[0])) as locks:
        assert not watcher.looks(60)
        locks._beat()
        assert not watcher.looks(60)
        assert watcher.looks(60)  # silent for a minute: as if it had been killed


def test_a_run_that_has_just_begun_is_seen(lake: Lake, watcher: Watcher) -> None:
    assert not watcher.looks(60)
    with TableLocks(lake, "acme", ["tags"], "run"):
        assert not watcher.looks(60)


def test_runs_of_other_connections_do_not_count(lake: Lake, watcher: Watcher) -> None:
    watcher.looks(60)
    with TableLocks(lake, "other", ["tags"], "run"):
        assert watcher.looks(60)


def test_where_nobody_can_lock_nothing_is_known(lake: Lake, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lake, "creates_exclusively", lambda _self: False)
    assert not any(watcher.looks(60) for _ in range(5))


def test_a_lake_that_cannot_be_asked_tells_nothing(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: Lake, folder: str) -> dict[str, int]:
        raise LakeError(f"Cannot list {folder}")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "list", unreachable)
        assert not watcher.looks(0)
        assert not watcher.looks(60)
    assert [watcher.looks(60), watcher.looks(60)] == [False, True]
