"""Tries one cell of the fault matrix: a run over one table while a fault happens, then one without it.

The workspace and the lake before the fault are made once for each table, and the lake is copied for each cell. Waiting
moves the workspace's clock, so that a quarter of an hour of 429s takes no time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Final

from intercom.api.retry import RetryPolicy
from intercom.config.lookback import Lookback
from intercom.errors import IntercomLakeError
from intercom.sandbox import LoggedRequest, SandboxServer, Workspace
from intercom.sandbox.children import CHILDREN
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Strategy, Table
from tests.support.fault_matrix import WAYS, Fault, Outcome, Requests, Way
from tests.support.rig import MemoryWatermarks, Rig

NOW: Final = 1_793_707_200
PER_PAGE: Final = 4
HOUR: Final = 3_600
QUICK: Final = RetryPolicy(read_seconds=0.5, answer_seconds=0.5)
"""Bounds for answers that hang or drip; all other waiting is of the workspace's clock."""
PATIENT: Final = RetryPolicy(read_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix."""

    table: str
    way: Way
    fault: Fault
    full_refresh: bool

    def __str__(self) -> str:
        return f"{self.table}, {self.way}, {self.fault.name}, {'full refresh' if self.full_refresh else 'increment'}"


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a cell: the outcome, what the run has said, and what must not be (`wrong`)."""

    outcome: Outcome
    said: str
    wrong: str | None = None


def ways_of(table: str) -> tuple[Way, ...]:
    """The ways of reading of a table; none for a derived one."""
    return WAYS[TABLES[table].access]


class Bench:
    """A table whose lake has a first load, and whose workspace has changed since; cells are tried on copies."""

    def __init__(self, folder: Path, table: str, *, full_refresh: bool) -> None:
        self.table, self.full_refresh = TABLES[table], full_refresh
        self._folder = folder
        self._workspace = Workspace.seeded(
            now=NOW, history_days=32, further=9, timezone="Asia/Kolkata", contacts=14, companies=13, conversations=13,
            articles=13, tags=9, segments=8,
        )  # fmt: skip
        self._workspace.options.scroll_page_size = PER_PAGE
        self._workspace.options.log.per_page = PER_PAGE
        self._server = SandboxServer(self._workspace, compress=False).start()
        self._number = 0
        first = self._rig(folder / "before")
        first.sync([table], run_id="before")
        first.check([table])
        self._before = dict(first.store.kept)
        self._workspace.travel(3 * HOUR)
        self._change()

    def close(self) -> None:
        self._server.clear_faults()
        self._server.stop()

    def attempt(self, cell: Cell) -> Tried:
        """The run with the fault, and the next one without it."""
        self._number += 1
        lake = self._folder / f"lake-{self._number}"
        shutil.copytree(self._folder / "before", lake)
        rig = self._rig(lake, quick=cell.fault.answers.get("kind") in ("delay", "drip"))
        rig.store = MemoryWatermarks(self._before)
        before = _Seen.of(rig, self.table)
        try:
            with self._happening(cell, rig) as hit:
                said = self._run(rig, f"run-{self._number}", reconciles=cell.fault.reconciles)
                occurred = hit()
            after = _Seen.of(rig, self.table)
            outcome, wrong = self._judged(rig, cell.way, before, after, said) if occurred else (Outcome.NEVER, None)
            rig.policy = PATIENT
            return Tried(outcome, said.text, wrong or self._next(rig, said, outcome))
        finally:
            self._server.clear_faults()
            shutil.rmtree(lake)

    def _rig(self, lake: Path, *, quick: bool = False) -> Rig:
        return Rig(self._server, str(lake), per_page=PER_PAGE, policy=QUICK if quick else PATIENT)

    def _run(self, rig: Rig, run_id: str, *, reconciles: bool = False, full: bool | None = None) -> _Said:
        name, full = self.table.name, self.full_refresh if full is None else full
        kind = {"reconciles": True} if reconciles else {"full_refresh": full, "lookback": Lookback(0)}
        try:
            read, _ = rig.sync([name], run_id=run_id, allow_mass_removal=full, **kind)[name]
        except IntercomLakeError as error:
            return _Said(run_id, error=error)
        return _Said(run_id, notes=read.notes, complete=read.complete)

    def _judged(self, rig: Rig, way: Way, before: _Seen, after: _Seen, said: _Said) -> tuple[Outcome, str | None]:
        if said.error is not None:
            return Outcome.ERROR, self._fault_of_error(rig, said.error) or _moved(before, after)
        exact = self._is_exact(rig)
        if exact and said.complete:
            return Outcome.EXACT, None
        if any("owed" in note or "no usable answer" in note for note in said.notes):
            return Outcome.OWED, self._lost_rows(before, after)
        if said.complete:
            missed = Outcome.MISSED if way is Way.CHILDREN else Outcome.LATER
            return missed, self._lost_rows(before, after)
        moved = None if before.watermarks == after.watermarks else "the watermark has moved, though the read was short"
        return Outcome.WARNED, moved or self._lost_rows(before, after)

    def _fault_of_error(self, rig: Rig, error: IntercomLakeError) -> str | None:
        """What an error's message lacks of what it must say; or what it must not say."""
        text = str(error)
        lacks = [
            what
            for what, pattern in {
                "the table": rf"\b{self.table.name}\b",
                "a cure": r"[Rr]un |Put |Grant |Check |check |Ask|Retry",
                "what became of the watermark": r"watermark|[Nn]othing was changed|keeps all",
            }.items()
            if not re.search(pattern, text)
        ]
        if rig.server.token in text:
            return f"the token is in the message: {text}"
        return f"the message lacks {', '.join(lacks)}: {text}" if lacks else None

    def _lost_rows(self, before: _Seen, after: _Seen) -> str | None:
        lost = before.keys & self._present() - after.keys
        return f"{len(lost)} rows were removed that the workspace has" if lost else None

    def _present(self) -> set[str]:
        return {str(row.get("id")) for row in self._workspace.rows(self.table.name)}

    def _next(self, rig: Rig, said: _Said, outcome: Outcome) -> str | None:
        """What is wrong after the next run: the same one again every second time, if it has failed.

        It has no lookback, which could make up for a watermark that has moved too far.
        """
        self._workspace.travel(60)
        run_id = said.run_id if outcome is Outcome.ERROR and self._number % 2 else f"{said.run_id}-next"
        if run_id != said.run_id:
            self._touch()
            self._workspace.travel(1)
        after = self._run(rig, run_id, full=self.full_refresh or outcome is Outcome.MISSED)
        if after.error is not None:
            return f"the next run has failed: {after.error}"
        try:
            rig.check([self.table.name])
        except AssertionError as error:
            return f"the next run was not exact: {error}"
        return None

    def _is_exact(self, rig: Rig) -> bool:
        try:
            rig.check([self.table.name])
        except AssertionError:
            return False
        return True

    # -- changes of the workspace ---------------------------------------------------------------------------------

    def _change(self) -> None:
        """Most rows change, some are new; some are gone where this run removes them."""
        table, workspace = self.table, self._workspace
        keys = [record.key for record in workspace.tables[table.name]]
        if table.access is Access.TIME_LOG:
            for _ in range(10):
                workspace.create(table.name)
                workspace.travel(1)
            return
        for key in keys[: len(keys) * 3 // 4]:
            workspace.update(table.name, key, changed_by_test=1)
            workspace.travel(1)
        for _ in range(2):
            workspace.create(table.name, **self._parent())
        if self.full_refresh or table.strategy is not Strategy.MERGE:
            workspace.delete(table.name, keys[-1])
        workspace.travel(1)

    def _touch(self) -> None:
        """One more change, which the next run has to find."""
        if self.table.access is Access.TIME_LOG:
            self._workspace.create(self.table.name)
            return
        key = next(iter(self._workspace.tables[self.table.name].keys))
        self._workspace.update(self.table.name, key, changed_by_test=self._number)

    def _parent(self) -> dict[str, Any]:
        if self.table.access is not Access.CHILD:
            return {}
        relation = CHILDREN[self.table.name]
        return {relation.member: next(iter(self._workspace.tables[relation.table].keys))}

    # -- faults ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _happening(self, cell: Cell, rig: Rig) -> Iterator[Callable[[], bool]]:
        """While the block runs the fault happens; gives whether it has."""
        fault, server = cell.fault, self._server
        concerns = _requests_of(self.table, cell.way, fault.requests)
        trick = _TRICKS.get(fault.trick)
        count = _Count()
        where = (
            concerns if fault.trick != "further pages" else lambda request: concerns(request) and _is_further(request)
        )
        armed = None
        if fault.answers:
            after = 0 if cell.way is Way.LIST else fault.after  # a list is one answer
            instead = _another(self._workspace, self.table, cell.way) if fault.answers["kind"] == "another" else None
            armed = server.fail(None, after=after, times=fault.times, where=where, instead=instead, **fault.answers)
        try:
            if trick is not None:
                trick(self, rig, concerns, count)
            yield lambda: count.happened or (armed is not None and armed.wrong > 0)
        finally:
            server.clear_faults()
            server.clear_hooks()
            server.rate_headers = True
            server.date_ahead_seconds = 0.0
            if count.closed:
                server.accept()
                count.closed = False


@dataclass
class _Count:
    """What a trick has done so far."""

    requests: int = 0
    happened: bool = False
    closed: bool = False


@dataclass(frozen=True)
class _Said:
    """How a run has ended."""

    run_id: str
    error: IntercomLakeError | None = None
    notes: tuple[str, ...] = ()
    complete: bool = False

    @property
    def text(self) -> str:
        return f"{type(self.error).__name__}: {self.error}" if self.error else "; ".join(self.notes)


@dataclass(frozen=True)
class _Seen:
    """A table in the lake, and its watermarks: in its record and outside of the lake."""

    keys: set[str]
    rows: list[dict[str, Any]] = field(repr=False)
    watermarks: tuple[Any, ...]

    @classmethod
    def of(cls, rig: Rig, table: Table) -> _Seen:
        rows = rig.rows(table.name).to_pylist()
        state = rig.lake_table(table.name).state()
        kept = {place: mark.value for place, mark in rig.store.kept.items()}
        mark = None if state is None else state.watermark
        return cls({str(row.get("id")) for row in rows}, rows, (mark, kept))


def _moved(before: _Seen, after: _Seen) -> str | None:
    if before.watermarks != after.watermarks:
        return "the run has failed, and the watermark has moved"
    return None if before.rows == after.rows else "the run has failed, and the table has changed"


def _requests_of(table: Table, way: Way, which: Requests) -> Callable[[LoggedRequest], bool]:
    """Whether a request is one of the table's: of its pages, or of its counts, too, or of its single records."""
    listed, pages = table.listed, which == "pages"
    if which == "records":
        single = re.compile(re.escape(table.record_path) + "(?!scroll$)[^/]+")
        return lambda request: single.fullmatch(request.path) is not None and request.method == "GET"
    if way is Way.CHILDREN:
        path = re.compile(re.escape(table.path).replace(re.escape("{key}"), "[^/]+"))
        return lambda request: path.fullmatch(request.path) is not None and request.method == "GET"
    paths = {listed.path} if pages else {listed.path, listed.list_path}

    def concerns(request: LoggedRequest) -> bool:
        if request.path not in paths:
            return False
        return not pages or request.body is None or request.body["pagination"]["per_page"] > 1

    return concerns


def _another(workspace: Workspace, table: Table, way: Way) -> Callable[[str], str]:
    """The path of the next record for that of each: of the table, or of a parent that has children."""
    if way is Way.CHILDREN:
        before, _, after = table.path.partition("{key}")
        children = workspace.children[table.name]
        keys = [one.key for one in workspace.tables[CHILDREN[table.name].table] if children.of(one.key)]
    else:
        before, after = table.record_path, ""
        keys = [one.key for one in workspace.tables[table.name]]

    def instead(path: str) -> str:
        key = path.removeprefix(before).removesuffix(after)
        place = keys.index(key) + 1 if key in keys else 0
        return f"{before}{keys[place % len(keys)]}{after}"

    return instead


def _is_further(request: LoggedRequest) -> bool:
    """Whether a request is for a page after the first."""
    if request.body is not None:
        return request.body["pagination"].get("starting_after") is not None
    return request.params.get("page", "1") != "1" or "scroll_param" in request.params


Trick = Callable[[Bench, Rig, Callable[[LoggedRequest], bool], _Count], None]


def _no_rate_headers(bench: Bench, rig: Rig, concerns: Callable[[LoggedRequest], bool], count: _Count) -> None:
    rig.server.rate_headers = False


def _clock(seconds: float) -> Trick:
    def trick(bench: Bench, rig: Rig, concerns: Callable[[LoggedRequest], bool], count: _Count) -> None:
        rig.server.date_ahead_seconds = seconds
        count.happened = True

    return trick


def _refused(*, for_ever: bool) -> Trick:
    """The port is closed at the second request, and opened again after some tries."""

    def trick(bench: Bench, rig: Rig, concerns: Callable[[LoggedRequest], bool], count: _Count) -> None:
        is_closed = Event()

        def close(request: LoggedRequest) -> None:
            if not concerns(request) or count.happened:
                return
            count.requests += 1
            if count.requests == 2 or bench.table.access is Access.LIST:
                count.happened = count.closed = True
                rig.server.refuse()
                is_closed.set()

        rig.server.before_request(close)
        if for_ever:
            return
        sleep, slept = rig.sleep, iter(range(1_000))

        def wake(seconds: float) -> None:
            if count.closed and next(slept) >= 2:
                is_closed.wait()  # the connections are closed before the port is
                count.closed = False
                rig.server.accept()
            sleep(seconds)

        rig.sleep = wake  # type: ignore[method-assign]

    return trick


def _scroll_stolen(bench: Bench, rig: Rig, concerns: Callable[[LoggedRequest], bool], count: _Count) -> None:
    """Before the second page the scroll is gone, and another program has opened one."""
    workspace = rig.workspace

    def steal(request: LoggedRequest) -> None:
        if concerns(request) and "scroll_param" in request.params and not count.happened:
            count.happened = True
            with workspace.lock:
                workspace.scroll.kill()
                workspace.scroll.page(workspace.tables["companies"], None, now=workspace.time(), ttl=60, size=4)

    rig.server.before_request(steal)


def _scroll_expired(bench: Bench, rig: Rig, concerns: Callable[[LoggedRequest], bool], count: _Count) -> None:
    def expire(request: LoggedRequest) -> None:
        if concerns(request) and "scroll_param" in request.params and not count.happened:
            count.happened = True
            rig.workspace.travel(61)

    rig.server.before_request(expire)


_TRICKS: Final[dict[str, Trick]] = {
    "no rate headers": _no_rate_headers,
    "clock ahead": _clock(HOUR),
    "clock behind": _clock(-HOUR),
    "refused for a while": _refused(for_ever=False),
    "refused": _refused(for_ever=True),
    "scroll stolen": _scroll_stolen,
    "scroll expired": _scroll_expired,
}
