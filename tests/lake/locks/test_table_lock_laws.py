"""Locks whatever the order of steps: contenders on several hosts that pause, die and come back, over one store.

Each contender runs in a thread of its own, of which one moves at a time: a scheduler says who takes the next step (one
request to the store, or a look at the clock after a sleep), who dies, and when time passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from threading import Semaphore, Thread
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.errors import LakeError
from intercom.lake.locks.liveness import LockTiming
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from tests.support.effort import effort

TABLES = ("contacts", "tags")
HEARTBEAT, EXPIRY, MARGIN = 15.0, 60.0, 3.0


class Killed(BaseException):
    """The process is gone."""


class World:
    """The store's files with the times of their last change (cut to seconds), and what time it is."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.files: dict[str, tuple[Mapping[str, Any], int]] = {}
        self.contenders: list[Contender] = []

    def join(self, host: str, tables: Iterable[str], beats: int) -> Contender:
        contender = Contender(self, len(self.contenders), host, tables, beats)
        self.contenders.append(contender)
        contender.move(start=True)
        return contender

    def look(self) -> None:
        """Nobody else believes in the lock on a table that somebody believes in."""
        for table in TABLES:
            holders = [one.number for one in self.contenders if table in one.tables and one.believes()]
            assert len(holders) <= 1, f"{table} is held by {holders}"

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    def end(self) -> None:
        """Let everybody come to an end, in turn, while time passes."""
        for _ in range(2000):
            moved = [one.move() for one in self.contenders]
            if not any(one.alive for one in self.contenders):
                return
            if not any(moved):
                self.wait(1.0)
        raise AssertionError("somebody waits for ever")

    def kill_all(self) -> None:
        for one in self.contenders:
            one.kill()


class Contender:
    """One attempt at a run: takes its tables, beats some times, releases them. Also the lake that it sees."""

    local = True

    def __init__(self, world: World, number: int, host: str, tables: Iterable[str], beats: int) -> None:
        self.world, self.number, self.host, self.tables, self.beats = world, number, host, tuple(tables), beats
        self.alive, self.got_it, self.wakes_at = True, False, 0.0
        self._holds = False
        self._go, self._back = Semaphore(0), Semaphore(0)
        timing = LockTiming(HEARTBEAT, EXPIRY, MARGIN, clock=lambda: world.now, sleep=self._sleep)
        self.locks = TableLocks(self, "acme", self.tables, f"run-{number}", timing=timing, process=self)
        self._thread = Thread(target=self._live, daemon=True)

    # -- for the scheduler ------------------------------------------------------------------------------------

    def move(self, *, start: bool = False) -> bool:
        """Take the next step, if it is alive and awake."""
        if not self.alive or self.world.now < self.wakes_at:
            return False
        self._thread.start() if start else self._go.release()
        self._back.acquire()
        self.world.look()
        return True

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self._go.release()
            self._thread.join()

    def believes(self) -> bool:
        return self.alive and self._holds and self.locks.held()

    # -- its life ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.locks.acquire()
            self.got_it = self._holds = True
            for _ in range(self.beats):
                self._sleep(HEARTBEAT)
                self.locks.renew()
                self.locks.check()
            self._holds = False
            self.locks.release()
        except LakeError:
            self._holds = False
            self.locks.release()

    def _live(self) -> None:
        try:
            self._run()
        except Killed:
            pass
        finally:
            self.alive = False
            self._back.release()

    def _step(self) -> None:
        if self.alive:
            self._back.release()
            self._go.acquire()
        if not self.alive:
            raise Killed

    def _sleep(self, seconds: float) -> None:
        self.wakes_at = self.world.now + seconds
        self._step()

    # -- the lake it sees -------------------------------------------------------------------------------------

    def creates_exclusively(self) -> bool:
        return True

    def create_json(self, path: str, record: Mapping[str, Any]) -> bool:
        self._step()
        if path in self.world.files:
            return False
        self.world.files[path] = (dict(record), int(self.world.now))
        return True

    def write_json(self, path: str, record: Mapping[str, Any]) -> None:
        self._step()
        self.world.files[path] = (dict(record), int(self.world.now))

    def read_json(self, path: str) -> Any:
        self._step()
        return self.world.files.get(path, (None,))[0]

    def list(self, folder: str) -> dict[str, int]:
        self._step()
        return {path: 1 for path in self.world.files if path.startswith(f"{folder}/")}

    def discard_scratch(self, owner: Process) -> None:
        self._step()
        believing = [one for one in self.world.contenders if (one.host, one.number) == (owner.host, owner.pid)]
        assert not any(one.believes() for one in believing), "its files are removed, and it believes in its lock"

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._step()
            self.world.files.pop(path, None)

    # -- the process it is ------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        return Process(self.host, "", self.number, None).to_json()

    def can_see(self, other: Process) -> bool:
        return other.host == self.host

    def sees_at_work(self, other: Process) -> bool:
        return False  # it may be asleep, and then others wait for its silence

    def has_outlived(self, other: Process) -> bool:
        return self.can_see(other) and not self.world.contenders[other.pid].alive


RUN = st.tuples(st.just("run"), st.integers(0, 4), st.integers(1, 8))
ACTIONS = st.one_of(
    RUN,
    RUN,
    RUN,
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 16, 44, 46, 64, 120]), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 4), st.just(0)),
    st.tuples(st.just("join"), st.integers(0, 3), st.integers(0, 2)),
)
WANTED = (TABLES, TABLES[:1], TABLES[1:], TABLES[::-1])
ALL = 40
"""More steps than anybody takes from one sleep to the next."""


def played(actions: Iterable[tuple[str, int, int]], *wanted: int, hosts: Sequence[int] = (0, 1, 2, 3)) -> World:
    """A world in which this has happened to contenders that want these entries of WANTED."""
    world = World()
    do: dict[str, Callable[[int, int], object]] = {
        "run": lambda who, steps: [world.contenders[who % len(world.contenders)].move() for _ in range(steps)],
        "wait": lambda seconds, _: world.wait(seconds),
        "kill": lambda who, _: world.contenders[who % len(world.contenders)].kill(),
        "join": lambda wants, host: world.join(f"host-{host}", WANTED[wants], beats=4),
    }
    try:
        for host, wants in zip(hosts, wanted, strict=False):
            do["join"](wants, host)
        for action, what, more in actions:
            do[action](what, more)
    except BaseException:
        world.kill_all()
        raise
    return world


def ended(world: World) -> World:
    """The same when all have come to an end, and one more that began after that."""
    try:
        world.end()
        last = world.join("another host", TABLES, beats=0)
        began = world.now
        world.end()
        assert last.got_it
        assert world.now - began <= EXPIRY + HEARTBEAT
    finally:
        world.kill_all()
    return world


@given(actions=st.lists(ACTIONS, max_size=40))
@settings(max_examples=effort(33, 1000))
def test_no_two_runs_believe_in_the_lock_on_a_table_and_later_ones_get_it(actions: list[tuple[str, int, int]]) -> None:
    ended(played(actions, 0, 3))


@given(steps=st.lists(RUN, max_size=60))
@example(steps=[("run", who % 2, 1) for who in range(60)])
@settings(max_examples=effort(17, 500))
def test_of_runs_that_start_at_the_same_time_one_gets_all_tables(steps: list[tuple[str, int, int]]) -> None:
    world = ended(played(steps, 0, 3, 0, 3))
    assert any(one.got_it for one in world.contenders[:-1])
    assert [path for path in world.files if "/runs/" in path] == []


@pytest.mark.parametrize("silent", [20, 46, 64])
def test_an_owner_that_pauses_at_any_step_and_a_successor_that_pauses_at_any_step(silent: int) -> None:
    for first, second in product(range(14), range(16)):
        ended(played([("run", 0, first), ("wait", silent, 0), ("run", 1, second), ("run", 0, ALL)], 1, 1))


@pytest.mark.parametrize("killed", [False, True])
def test_an_owner_that_wakes_up_while_a_successor_takes_over(killed: bool) -> None:
    """Also when the successor then dies, and one on its host sees that at once."""
    for judged, woken, more in product(range(14), range(4), (1, 2, 3, ALL)):
        actions = [("run", 0, ALL), ("wait", 64, 0), ("run", 1, judged), ("run", 0, woken), ("run", 1, more)]
        if killed:
            actions.append(("kill", 1, 0))
        ended(played([*actions, ("run", 2, ALL), ("run", 0, ALL)], 1, 1, 1, hosts=(0, 1, 1)))


def test_an_owner_whose_requests_take_long() -> None:
    for sent, answered in product(range(4), repeat=2):
        slow = [("wait", 16, 0), ("run", 0, sent), ("wait", 50, 0), ("run", 0, answered), ("wait", 20, 0)]
        ended(played([("run", 0, ALL), *slow, ("run", 1, ALL), ("run", 0, ALL)], 1, 1))


@pytest.mark.parametrize("dies", [False, True])
def test_a_contender_that_pauses_while_others_take_and_release_the_table(dies: bool) -> None:
    over = [("run", 0, ALL), *([("kill", 0, 0), ("wait", 64, 0)] if dies else through(0))]
    for looked in range(14):
        actions = [*over, ("run", 1, looked), ("run", 2, ALL), *through(2), ("run", 3, ALL), ("run", 1, ALL)]
        ended(played(actions, 1, 1, 1, 1))


def through(who: int) -> list[tuple[str, int, int]]:
    """All beats of a contender that holds a table, and its release."""
    return [("wait", 15, 0), ("run", who, ALL)] * 4
