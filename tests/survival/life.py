"""One lake from its first load on: what befalls it is drawn from one seed, and after each event it is looked at."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Strategy
from tests.support.changes import change
from tests.support.faulty_s3 import S3Faults
from tests.support.nursery import Ended, Nursery
from tests.support.rig import BY_DEFAULT, CONNECTION, Rig
from tests.support.runs import Order
from tests.survival.judge import check_keys, check_truth
from tests.survival.places import Copies, OnDisk, Place, files_below, filled, put_files, restore

GROUPS = [
    ["contacts", "contact_tags"],
    ["conversations", "conversation_parts", "conversation_tags"],
    ["companies"],
    ["articles"],
    ["tags", "segments", "admins", "teams", "data_attributes"],
]
"""Tables that go together, because some are made or read by way of others."""
EVERY = [name for group in GROUPS for name in group]
assert {*BY_DEFAULT} < {*EVERY}
QUICK_LOCKS = (0.5, 2.0, 0.1)
LONGEST_RUN = 1200.0
_RUNS = count(1)


class LifeFailedError(AssertionError):
    """A run that should have ended well has not, or the lake is wrong."""


@dataclass
class Faulty:
    """Options for a lake behind a proxy that spoils requests."""

    faults: S3Faults
    storage: dict[str, Any]


@dataclass
class Life:
    """A workspace, its lake, and what has happened to them; `seed` and the moments of kills decide what will.

    `tally` counts events, checks and rows; `history` has a line for each event.
    """

    rig: Rig
    place: Place
    nursery: Nursery
    watermarks: Path
    log: Path
    moments: random.Random
    tally: Counter[str]
    faulty: Faulty | None = None
    groups: Sequence[list[str]] = tuple(GROUPS)
    history: list[str] = field(default_factory=list)
    _copies: list[tuple[Copies, Copies]] = field(default_factory=list)
    _must_be_full: bool = False
    _foreign: bool = False
    _whole: float = 3.0
    _slice: int | None = None

    def live(self, cycles: int, going_on: Callable[[], bool]) -> None:
        """Some events, then a clean run that makes the lake exact, again and again. Raises what is found wrong."""
        self.watermarks.mkdir(parents=True)
        self._slice = self.moments.choice((None, None, 3, 24))
        for cycle in range(cycles):
            for _ in range(self.moments.choice((1, 1, 2, 3))):
                if not going_on():
                    return
                self._one_event()
            if not going_on():
                return
            if self.moments.random() < 0.6:
                self._change()
            self._delete_some()
            self._clean_run(self._all if self._must_be_full or cycle == cycles - 1 else self._some())
            if not self._copies or self.moments.random() < 0.4:
                self._take_copy()

    # -- events -------------------------------------------------------------------------------------------------

    def _one_event(self) -> None:
        weights: dict[Callable[[], None], float] = {
            self._kills: 12,
            self._freeze: 2.5,
            self._two_hosts: 1.5,
            self._restored: 2.5 if self._copies else 0,
            self._full_disk: 2,
            self._spoilt_requests: 5 if self.faulty else 0,
            self._deferred: 0.7,
        }
        (event,) = self.moments.choices(list(weights), list(weights.values()))
        event()

    def _kills(self) -> None:
        for _ in range(self.moments.choice((2, 3, 4, 5, 6))):
            self._maybe_change()
            order = self._befallen(signal.SIGKILL)
            run = self.nursery.start(order)
            self._maybe_change_in(0.3)
            ended = self.nursery.wait(run)
            self._tell("kill", order, ended)
            self.tally["kills"] += ended.killed
            self.tally["runs that ended before their kill"] += not ended.killed
            self._look(*order.tables)
            if ended.killed and self.moments.random() < 0.2:
                again = replace(order, at_step=None, seconds=LONGEST_RUN)
                self._tell("the same run again", again, self._ended_well(self.nursery.do(again), again))
                self.tally["tries of a killed run"] += 1
                self._look(*order.tables)

    def _freeze(self) -> None:
        self._maybe_change()
        order = self._befallen(signal.SIGSTOP)
        first = self.nursery.start(replace(order, seconds=LONGEST_RUN))
        if order.at_step is None:
            time.sleep(order.seconds or 0)
            self.nursery.send(first, signal.SIGSTOP)
        if not self.nursery.stopped(first):
            self._tell("freeze", order, self._ended_well(self.nursery.wait(first), order))
            return
        self.tally["freezes"] += 1
        self._tell("frozen", order)
        self._look(*order.tables)
        self._maybe_change()
        how = self.moments.random()
        if how < 0.7:
            self._clean_run(self._some(), beside=True)
            self.nursery.go_on(first)
        elif how < 0.85:
            other = self._order()
            second = self.nursery.start(other)
            time.sleep(self.moments.uniform(0, 1.5 * self._whole))
            self.nursery.go_on(first)
            self._tell("beside a frozen run that goes on", other, self.nursery.wait(second))
            self._look(*other.tables)
        else:
            self._clean_run(self._some(), beside=True)
            self.nursery.send(first, signal.SIGKILL)
            self.tally["kills"] += 1
        ended = self.nursery.wait(first)
        self._tell("the frozen run goes on" if how < 0.85 else "the frozen run is killed", order, ended)
        self.tally["frozen runs that went on: " + ("ended well" if ended.well else "overtaken")] += how < 0.85
        self._look(*order.tables)

    def _two_hosts(self) -> None:
        self._maybe_change()
        orders = [self._order(host="host-a", clock=0.0), self._order(host="host-b", clock=self._odd_clock())]
        self._foreign = True
        runs = []
        for order in orders:
            runs.append(self.nursery.start(order))
            time.sleep(self.moments.uniform(0, 0.7 * self._whole) * self.moments.choice((0, 1)))
        self._maybe_change_in(0.5)
        ended = [self.nursery.wait(run) for run in runs]
        for order, end in zip(orders, ended, strict=True):
            self._tell("two hosts", order, end)
        self.tally["two hosts at once"] += 1
        self.tally["two hosts, both well"] += all(end.well for end in ended)
        self._look(*orders[0].tables, *orders[1].tables)

    def _restored(self) -> None:
        lake, watermarks = self.moments.choice(self._copies)
        table = self.moments.choice(self._all)
        same_times = self.moments.random() < 0.5
        kinds: dict[str, Callable[[], None]] = {
            "whole lake": lambda: restore(self.place, lake, "", with_times=same_times),
            "a table's folder": lambda: restore(
                self.place, lake, f"data/{CONNECTION}/{table}/", with_times=same_times
            ),
            "_state": lambda: restore(self.place, lake, "_state/", with_times=same_times),
            "_state of a table": lambda: restore(
                self.place, lake, f"_state/{CONNECTION}/{table}.json", with_times=same_times
            ),
            "watermarks": lambda: self._put_watermarks(watermarks),
            "whole lake and watermarks": lambda: (
                restore(self.place, lake, "", with_times=same_times), self._put_watermarks(watermarks)
            )[0],
            "data": lambda: restore(self.place, lake, "data/", with_times=same_times),
            "lost: a table's folder": lambda: self.place.remove(f"data/{CONNECTION}/{table}/"),
            "lost: _state": lambda: self.place.remove("_state/"),
            "lost: _staging": lambda: self.place.remove("_staging/"),
            "lost: watermarks": lambda: self._put_watermarks({}),
            "lost: whole lake": lambda: self.place.remove(""),
        }  # fmt: skip
        kind = self.moments.choice(list(kinds))
        if self.moments.random() < 0.5:
            self._change()
        kinds[kind]()
        self.tally[kind if kind.startswith("lost") else f"restored: {kind}"] += 1
        self.history.append(f"restored or lost: {kind} ({table}), times kept: {same_times}")
        self._look()

    def _full_disk(self) -> None:
        self._maybe_change()
        room = int(2 ** self.moments.uniform(7, 18))
        if self.moments.random() < 0.5:
            order = self._order(file_bytes=room)
            ended = self.nursery.do(order)
            kind = "files that cannot grow"
        else:
            order = self._order()
            with filled(self.place.disk, room):
                ended = self.nursery.do(order)
            kind = "full disk"
        self._tell(f"{kind}, {room} bytes", order, ended)
        if ended.killed:
            raise LifeFailedError(f"{kind}: the run did not end")
        self.tally[kind] += 1
        self.tally["runs that a disk has ended"] += not ended.well
        self._look(*order.tables)

    def _spoilt_requests(self) -> None:
        assert self.faulty is not None
        self._maybe_change()
        rate, seed = self.moments.choice((0.02, 0.05, 0.1, 0.25)), self.moments.randrange(1 << 30)
        order = self._order(storage=self.faulty.storage)
        before = sum(self.faulty.faults.counts.values())
        self.faulty.faults.begin(rate, seed)
        try:
            ended = self.nursery.do(order)
        finally:
            self.faulty.faults.end()
        self._tell(f"spoilt requests, {rate:.0%}", order, ended)
        if ended.killed:
            raise LifeFailedError("spoilt requests: the run did not end")
        self.tally["runs with spoilt requests"] += 1
        self.tally["spoilt requests"] += sum(self.faulty.faults.counts.values()) - before
        self.tally["runs that spoilt requests have ended"] += not ended.well
        self._look(*order.tables)

    def _deferred(self) -> None:
        self._maybe_change()
        order = self._order(compact="never")
        self._tell("merged later", order, self._ended_well(self.nursery.do(order), order))
        self.tally["runs that merge later"] += 1
        self._look(*order.tables)

    # -- clean runs, and looks at the lake ----------------------------------------------------------------------

    def _clean_run(self, tables: list[str], *, beside: bool = False) -> None:
        """A run that nothing befalls; `beside` a frozen one, whose unfinished files are still there."""
        whole = {"full_refresh": True} if self._must_be_full else self._maybe_whole(0.15)
        order = self._order(tables=tables, **whole)
        ended = self._ended_well(self.nursery.do(order), order)
        self._tell("clean", order, ended)
        self._whole = ended.seconds
        self.tally["clean runs"] += 1
        self.tally["tables compared"] += len(tables)
        self.tally["rows compared"] += check_truth(self.rig, self.place, tables)
        self._must_be_full = False
        for table in tables:
            if left := list(self.place.copy(f"_staging/{CONNECTION}/{table}/")):
                raise LifeFailedError(f"a clean run has left staged files: {left[:3]}")
        swept = isinstance(self.place, OnDisk) and not beside and not self._foreign
        if swept and (left := list(self.place.copy("_tmp"))):
            raise LifeFailedError(f"a clean run has left unfinished files: {left[:3]}")

    def _look(self, *tables: str) -> None:
        """Look at tables that may have changed, as a plain reader."""
        self.tally["rows looked at"] += check_keys(self.place, dict.fromkeys(tables or self._all))
        self.tally["looks"] += 1

    def _ended_well(self, ended: Ended, order: Order) -> Ended:
        if not ended.well:
            self._tell("!", order, ended)
            raise LifeFailedError(f"{order.run_id}: {'did not end' if ended.killed else ended.error}")
        return ended

    # -- orders -------------------------------------------------------------------------------------------------

    def _order(self, **given: Any) -> Order:
        host, clock = None, 0.0
        if self.moments.random() < 0.1:
            host, clock, self._foreign = "host-c", self._odd_clock(), True
        return Order(**{
            "run_id": f"run-{next(_RUNS)}",
            "connection": CONNECTION,
            "base_url": self.rig.server.base_url,
            "token": self.rig.server.token,
            "lake": self.place.url,
            "watermarks": str(self.watermarks),
            "tables": self._some(),
            "storage": self.place.storage,
            "seconds": LONGEST_RUN,
            "table_format": self.place.table_format.value,
            "marks": self.place.marks,
            "smallest_slice": self._slice,
            "threads": self.moments.choice((1, 4)),
            "locks": QUICK_LOCKS,
            "host": host,
            "clock": clock,
            "scratch": str(self.place.disk),
            "log": str(self.log),
            **given,
        })  # fmt: skip

    @property
    def _all(self) -> list[str]:
        return [name for group in self.groups for name in group]

    def _some(self) -> list[str]:
        """Tables of a run: all of them, or some groups; S3 takes its time."""
        if self.moments.random() < (0.4 if isinstance(self.place, OnDisk) else 0.25):
            return self._all
        chosen = self.moments.sample(range(len(self.groups)), min(len(self.groups), self.moments.choice((1, 2))))
        return [name for number in sorted(chosen) for name in self.groups[number]]

    def _befallen(self, what: signal.Signals) -> Order:
        """A run to which this happens at a random moment, or at a random step."""
        whole = self._maybe_whole(0.2)
        step, moment = int(2 ** self.moments.uniform(0, 7.5)), self.moments.uniform(0, 1.1 * self._whole)
        if self.moments.random() < 0.6:
            return self._order(at_step=step, at_step_signal=int(what), **whole)
        return self._order(seconds=moment, **whole)

    def _maybe_whole(self, chance: float) -> dict[str, bool]:
        """Perhaps let a run read everything: a full refresh, or a reconcile."""
        if self.moments.random() >= chance:
            return {}
        return {self.moments.choice(("full_refresh", "reconciles")): True}

    def _odd_clock(self) -> float:
        return self.moments.choice((0.0, -7200.0, 5400.0, -90000.0))

    # -- the workspace, and copies ------------------------------------------------------------------------------

    def _maybe_change(self) -> None:
        if self.moments.random() < 0.8:
            self._change()

    def _maybe_change_in(self, chance: float) -> None:
        """Perhaps change the workspace while a run reads it."""
        if self.moments.random() < chance:
            time.sleep(self.moments.uniform(0, 0.5 * self._whole))
            self._change()

    def _change(self) -> None:
        """Changes that the next run's lookback may reach, or not."""
        workspace = self.rig.workspace
        workspace.travel(self.moments.choice((60, 600, 5_000, 7_200, 90_000)))
        for name in self._all:
            if self.moments.random() < 0.5:
                change(workspace, TABLES[name], self.moments)
        workspace.travel(1)

    def _delete_some(self) -> None:
        """Delete a record that only a full refresh misses; a copy of before would bring it back for good."""
        if self.moments.random() < 0.12:
            merged = [name for name in self._all if TABLES[name].strategy is Strategy.MERGE]
            table = self.moments.choice(merged)
            record = self.moments.choice([record.key for record in self.rig.workspace.tables[table]])
            self.rig.workspace.delete(table, record)
            self._copies.clear()
            self._must_be_full = True

    def _take_copy(self) -> None:
        if len(self._copies) > 3:
            self._copies.pop(0)
        self._copies.append((self.place.copy(""), files_below(self.watermarks)))

    def _put_watermarks(self, copies: Copies) -> None:
        shutil.rmtree(self.watermarks)
        self.watermarks.mkdir()
        put_files(self.watermarks, copies, with_times=False)

    def _tell(self, what: str, order: Order, ended: Ended | None = None) -> None:
        told = {
            "full": order.full_refresh,
            "reconciles": order.reconciles,
            "at step": order.at_step,
            "host": order.host,
            "clock": order.clock,
            "threads": order.threads,
            "tables": "" if order.tables == self._all else " ".join(order.tables),
        }
        after = f" after {order.seconds:.3f} s" if order.seconds not in (None, LONGEST_RUN) else ""
        how = "" if ended is None else " -> killed" if ended.killed else f" -> {ended.error or 'well'}"
        some = ", ".join(f"{name} {value}" for name, value in told.items() if value)
        self.history.append(f"{what}: {order.run_id} ({some}){after}{how}")
