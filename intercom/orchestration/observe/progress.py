"""Tells Prefect and the log how far tables are: an artifact for each table that takes longer, and a line a minute.

A call of Prefect's API takes tens of milliseconds, and much longer when its server is in trouble. One thread makes all
calls, so that reading never waits for them. No failure here fails the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext

from intercom.api.rate_limit.limiter import RateUsage
from intercom.config.connection import connection_slug
from intercom.config.redaction import one_line
from intercom.sync.board import BOARD, Tracked
from intercom.sync.progress import Snapshot, TableProgress
from intercom.sync.progress_text import LOGGER, described

log = logging.getLogger(LOGGER)

_LOG_SECONDS = 60.0
_ARTIFACT_SECONDS = 5.0
_FIRST_ARTIFACT_SECONDS = 10.0
"""What is read sooner has no artifact: nobody could look at it in time, and an hourly run would make one a table."""
_TICK_SECONDS = 1.0
_LAST_CALLS_SECONDS = 5.0
"""How long the end of a run waits for the last calls."""


class Artifacts(Protocol):
    """Where progress is shown: an artifact by key, then changes to it. Percent goes from 0 to 100."""

    def create(self, key: str, percent: float, description: str) -> UUID: ...
    def update(self, artifact: UUID, percent: float, description: str) -> None: ...


class PrefectArtifacts:
    """Progress artifacts of the run whose context the caller is in."""

    def create(self, key: str, percent: float, description: str) -> UUID:
        """A new artifact; the newest of a key is the one that Prefect's pages show."""
        created = create_progress_artifact(percent, key=key, description=description)
        assert isinstance(created, UUID)  # a coroutine only on an event loop
        return created

    def update(self, artifact: UUID, percent: float, description: str) -> None:
        """New values for an artifact."""
        update_progress_artifact(artifact, percent, description=description)


@dataclass(slots=True, eq=False)
class _Followed:
    """A table, and what is due of it when. In `context` Prefect's calls and log lines belong to the right task run."""

    tracked: Tracked
    context: Context
    shown: bool
    line_due: float
    artifact_due: float
    artifact: UUID | None = None
    over: bool = False


class Reporter:
    """One thread, alive only while there is something to tell. `clock` is in seconds."""

    def __init__(self, artifacts: Artifacts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._artifacts = artifacts
        self._clock = clock
        self._followed: list[_Followed] = []
        self._made: dict[str, dict[UUID, str]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._news = False
        self._complained = False

    @contextmanager
    def follow(self, tracked: Tracked, *, shown: bool) -> Iterator[None]:
        """Tell of a table while the block lasts, and then how it ended; only if `shown`, by an artifact too."""
        now = self._clock()
        followed = _Followed(tracked, copy_context(), shown, now + _LOG_SECONDS, now + _FIRST_ARTIFACT_SECONDS)
        with self._changed:
            self._followed.append(followed)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="intercom-progress", daemon=True)
                self._thread.start()
            self._wake()
        try:
            yield
        finally:
            with self._changed:
                followed.over = True
                self._wake()

    def flush(self, run_id: str, seconds: float) -> bool:
        """Wait, up to so many seconds, until all is told of a run's tables, which are over; False if time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: all(one.tracked.run_id != run_id for one in self._followed), seconds)

    def made_for(self, run_id: str) -> dict[UUID, str]:
        """The artifacts of a run that is over, with their keys; it is asked for once."""
        with self._changed:
            return self._made.pop(run_id, {})

    def _tick(self) -> None:
        with self._changed:
            followed = list(self._followed)
        for one in followed:
            over = one.over  # first: what is told last must hold the table's end
            self._tell(one, over)
            if over:
                with self._changed:
                    self._followed.remove(one)
                    self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self._tick()
            with self._changed:
                if not self._followed:
                    self._thread = None
                    return
                self._changed.wait_for(lambda: self._news, _TICK_SECONDS)
                self._news = False

    def _wake(self) -> None:
        self._news = True
        self._changed.notify_all()

    def _tell(self, one: _Followed, over: bool) -> None:
        now, snapshot, usage = self._clock(), one.tracked.progress.snapshot(), one.tracked.usage()
        if now >= one.line_due and not snapshot.over:
            one.line_due = now + _LOG_SECONDS
            one.context.run(log.info, "%s: %s", snapshot.table, described(snapshot, usage))
        if one.shown and (now >= one.artifact_due or (over and one.artifact)):
            one.artifact_due = now + _ARTIFACT_SECONDS
            try:
                one.context.run(self._show, one, snapshot, usage)
            except Exception as error:  # whatever it is: progress is no reason to stop
                if not self._complained:
                    one.context.run(log.info, "Prefect does not take progress artifacts: %s", one_line(error))
                self._complained = True

    def _show(self, one: _Followed, snapshot: Snapshot, usage: RateUsage) -> None:
        description = f"`{one.tracked.connection}` {snapshot.table}: {described(snapshot, usage)}"
        percent = snapshot.percent
        if percent is None:
            percent = 0.0
            if snapshot.pages and not snapshot.over:
                description += "; Intercom does not say how many there are, so this stays at 0 % until all are read"
        if one.artifact is None:
            key = _key(one.tracked)
            one.artifact = self._artifacts.create(key, percent, description)
            with self._changed:
                self._made.setdefault(one.tracked.run_id, {})[one.artifact] = key
        else:
            self._artifacts.update(one.artifact, percent, description)


REPORTER = Reporter(PrefectArtifacts())
"""The reporter of this process, for all runs in it."""


@contextmanager
def report_progress(
    run_id: str, connection: str, table: str, usage: Callable[[], RateUsage]
) -> Iterator[TableProgress]:
    """Counters for reading a table, shown in the terminal, in Prefect and in the log while the block lasts.

    Outside of a Prefect run there is nothing that an artifact could belong to.
    """
    progress = TableProgress(table)
    tracked = Tracked(run_id, connection, progress, usage)
    BOARD.add(tracked)
    in_run = TaskRunContext.get() is not None or FlowRunContext.get() is not None
    with REPORTER.follow(tracked, shown=in_run):
        try:
            yield progress
        except BaseException:
            progress.fail()
            raise
        progress.finish()


def end_reports(run_id: str, *, wait: bool = True) -> None:
    """The run is over: send what is still to be shown, for some seconds if `wait`, and free the terminal."""
    if wait:
        REPORTER.flush(run_id, _LAST_CALLS_SECONDS)
    BOARD.close(run_id)


def progress_artifacts(run_id: str) -> dict[UUID, str]:
    """The progress artifacts that this process has made for a run that is over, with their keys; asked for once."""
    return REPORTER.made_for(run_id)


def _key(tracked: Tracked) -> str:
    """Prefect allows lowercase letters, digits and dashes."""
    table = tracked.progress.table.replace("_", "-")
    return f"intercom-{connection_slug(tracked.connection)}-{table}-progress"
