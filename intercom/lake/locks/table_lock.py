"""A lock on tables of a lake, so that two runs over one table never work at the same time.

Each attempt at a run has one heartbeat file. Each table has a generation file, which names the attempt that took the
table. A table is free if the runs of all its generations have ended. To take it, a run creates the next generation,
which only one run can do. Then it verifies, in this order: it writes its heartbeat, lists the generations, and reads
the heartbeats of the former owners again. A former owner that was only suspended writes its heartbeat first and then
lists the generations, at every beat. So at least one of the two runs sees the other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from threading import Event, RLock, Thread
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from intercom.errors import LakeError
from intercom.lake.locks.files import LockFiles, LockToken, heartbeat_path, lost
from intercom.lake.locks.liveness import LockTiming, OtherRuns, released
from intercom.lake.process import Process
from intercom.lake.storage import Lake

log = logging.getLogger(__name__)

_Heartbeat = Mapping[str, Any] | None


class TableLocks:
    """The tables of one connection that one attempt at a run holds: all or none.

    As a context manager it takes the tables, renews the lock in a thread, and releases it. LakeError if another run
    holds one of them. If the store does not support locks, nothing is taken, and `check` never fails.
    """

    def __init__(
        self,
        lake: Lake,
        connection: str,
        tables: Iterable[str],
        run_id: str,
        *,
        timing: LockTiming | None = None,
        process: Process | None = None,
    ) -> None:
        self.attempt = f"{run_id}.{uuid4().hex[:8]}"
        self._lake, self._files = lake, LockFiles(lake, connection)
        self._tables = sorted(set(tables))  # same order in all runs: of two that want the same, one gets it
        self._timing, self._process = timing or LockTiming(), process or Process.current()
        self._other_runs = OtherRuns(self._files, self._process, self._timing)
        self._heartbeat = {
            "run_id": run_id,
            "connection": connection,
            "since": datetime.now(UTC).isoformat(" ", "seconds"),
            "process": self._process.to_json(),
        }
        self._beats, self._beaten_at = 0, float("-inf")
        self._taken: dict[str, int] = {}
        self._held_until = float("-inf")
        self._lost: str | None = None
        self._beating = RLock()
        self._ended = Event()
        context = copy_context()  # the run's context, so that the thread logs to the run's log
        self._thread = Thread(target=context.run, args=(self._beat_on,), name=f"lock {self.attempt}", daemon=True)

    def __enter__(self) -> Self:
        self.acquire()
        if self._taken:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take all tables; if another live run holds one of them, take none and raise LakeError.

        The lock of a dead run on this host is taken over at once. Any other run is watched until its heartbeat changes
        or its lock expires.
        """
        if not self._lake.creates_exclusively():
            return
        try:
            self._beat()
            while not self._take():
                pass
        except BaseException:
            self.release()
            raise

    def check(self) -> None:
        """Raise LakeError if the lock is lost. Asks the store only if the last heartbeat is too long ago."""
        if self._taken and not self.held():
            self.renew()
        if self._lost is not None:
            raise LakeError(self._lost)

    def held(self) -> bool:
        """Whether no other run can have taken the tables yet, as far as is known without asking the store."""
        return self._lost is None and self._timing.clock() < self._held_until

    def renew(self) -> None:
        """Write the heartbeat, and find out whether another run has taken one of the tables."""
        with self._beating:
            if self._lost is not None:
                return
            overtaken = self._overtaken()
            if overtaken:
                self._give_up(overtaken)

    def release(self) -> None:
        """Release the lock: other runs may take the tables."""
        self._ended.set()
        with self._beating:
            if not self._beats or self._lost is not None:
                return
            self._lost = lost(self._tables, self.attempt, ": it was released")
            released(self.attempt)
            try:
                self._lake.delete([heartbeat_path(self.attempt)])
            except LakeError as error:
                log.warning("The lock of %s stays until it expires: %s", self.attempt, error)

    @property
    def token(self) -> LockToken:
        """What another process needs to check that a table is still held."""
        return LockToken(self.attempt, self._files.connection, dict(self._taken))

    def _take(self) -> bool:
        """Take the tables not taken yet, then verify all. False if another run interfered: the caller tries again."""
        found = self._files.generations(self._tables)
        owners = self._owners(found)
        ended = self._other_runs.await_end(owners, self._stay_alive)
        for table in self._tables:
            generation = max(found[table], default=0) + 1
            if table not in self._taken and not self._create(table, generation):
                return False
        for table in self._overtaken():
            self._lake.delete([self._files.path(table, self._taken.pop(table))])
        if len(self._taken) < len(self._tables) or any(self._revived(*run) for run in ended.items()):
            return False
        for heartbeat in ended.values():
            self._fence(heartbeat)
        outdated = [self._files.path(table, one) for table in self._tables for one in found[table]]
        own = {self._files.path(*taken) for taken in self._taken.items()}
        left = [heartbeat_path(attempt) for attempt, heartbeat in ended.items() if heartbeat is not None]
        self._lake.delete([path for path in outdated if path not in own] + left)
        return True

    def _fence(self, heartbeat: _Heartbeat) -> None:
        """Keep a former owner that was only suspended from publishing files that it had checked before."""
        owner = Process.from_json((heartbeat or {}).get("process") or {})
        if owner != self._process:
            self._lake.discard_scratch(owner)

    def _owners(self, found: Mapping[str, list[int]]) -> dict[str, str]:
        """Other attempt -> one table of which it has a generation. Damaged generations belong to no attempt."""
        places = [(table, one) for table in self._tables for one in found[table] if self._taken.get(table) != one]
        records = self._files.each(lambda place: self._files.read(self._files.path(*place)), places)
        owners: dict[str, str] = {}
        for (table, generation), record in zip(places, records, strict=True):
            attempt = str((record or {}).get("attempt", ""))
            if attempt == self.attempt:  # created by this attempt, but the answer was lost
                self._taken[table] = generation
            elif attempt:
                owners.setdefault(attempt, table)
        return owners

    def _create(self, table: str, generation: int) -> bool:
        record = {"attempt": self.attempt, "run_id": self._heartbeat["run_id"], "since": self._heartbeat["since"]}
        if not self._lake.create_json(self._files.path(table, generation), record):
            return False
        self._taken[table] = generation
        return True

    def _overtaken(self) -> dict[str, int]:
        """Write the heartbeat, and then find own tables whose greatest generation is not ours. Order matters."""
        started = self._timing.clock()
        self._beat()
        newest = self._files.generations(self._taken)
        overtaken = {table: max(newest[table], default=0) for table in self._taken}
        overtaken = {table: one for table, one in overtaken.items() if one != self._taken[table]}
        if not overtaken:
            self._held_until = started + self._timing.expiry - self._timing.heartbeat
        return overtaken

    def _revived(self, attempt: str, last: _Heartbeat) -> bool:
        return self._files.read(heartbeat_path(attempt)) != last

    def _give_up(self, overtaken: Mapping[str, int]) -> None:
        table, generation = next(iter(overtaken.items()))
        self._lost = lost(overtaken, self.attempt)  # set first, since the next read, of who took it, may fail
        taker = self._files.read(self._files.path(table, generation)) or {}
        self._lost = lost(overtaken, self.attempt, f": silent for too long, replaced by run {taker.get('run_id', '?')}")
        self._lake.delete([heartbeat_path(self.attempt)])

    def _stay_alive(self) -> None:
        if self._timing.clock() - self._beaten_at >= self._timing.heartbeat:
            self._beat()

    def _beat(self) -> None:
        self._beaten_at = self._timing.clock()
        self._beats += 1
        beat = {"renewed_at": datetime.now(UTC).isoformat(" ", "seconds"), "beats": self._beats}
        self._lake.write_json(heartbeat_path(self.attempt), self._heartbeat | beat)

    def _beat_on(self) -> None:
        """The thread's loop. A failed renewal is tried again after `margin` seconds; `check` does not rely on it."""
        pause, told = self._timing.heartbeat, False
        while not self._ended.wait(pause):
            try:
                self.renew()
                pause, told = self._timing.heartbeat, False
            except Exception as error:
                if not told:
                    log.warning("The lock of %s was not renewed, trying again: %s", self.attempt, error)
                pause, told = self._timing.margin, True
