"""A process that is told to end: after that no other request leaves, whatever the reading is at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import identify
from intercom.errors import AbandonedError
from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.orchestration import job as jobs
from intercom.orchestration.job import Clients, Job, holding_tables
from intercom.sync.ingest import ingest_table
from intercom.sync.run import Run, RunRequest
from intercom.tables.catalogue import TABLES
from tests.support.rig import CONNECTION, Rig

AT_ONCE = 4


@pytest.fixture
def client(rig: Rig) -> IntercomClient:
    made = rig.client()
    return IntercomClient(made.connection, RateLimiter(most_in_flight=AT_ONCE), policy=RetryPolicy(read_seconds=5))


def read(rig: Rig, client: IntercomClient, table: str, limits: ReadLimits = DEFAULT_LIMITS) -> None:
    run = Run(
        run_id="run",
        connection=CONNECTION,
        started_at=datetime.now(UTC),
        run_start=identify(client).server_time,
        workspace=None,
        limits=limits,
    )
    entry = TABLES[table]
    ingest_table(entry, client.for_table(table, entry.scope), rig.lake_table(table), rig.store, run)


def stop_at(rig: Rig, client: IntercomClient, number: int, chosen: Callable[[Any], bool]) -> None:
    """When so many requests of a kind have arrived; the log begins anew then."""
    seen: list[Any] = []

    def note(request: Any) -> None:
        if chosen(request):
            seen.append(request)
            if len(seen) == number:
                client.stop()
                rig.server.clear_log()

    rig.server.before_request(note)


def counts(request: Any) -> bool:
    return request.body is not None and request.body["pagination"]["per_page"] == 1


def test_a_search_that_is_being_counted_ends_at_once(make_rig: Callable[..., Rig]) -> None:
    """A single day of contacts, which is counted by the ends of their ids."""
    rig = make_rig(contacts=1200, companies=10, conversations=0, one_day=True)
    client = IntercomClient(rig.client().connection, RateLimiter(most_in_flight=AT_ONCE))
    stop_at(rig, client, 4, counts)
    with pytest.raises(AbandonedError, match="watermark has not moved"):
        read(rig, client, "contacts", ReadLimits(smallest_slice=300))
    assert len(rig.server.requests()) < AT_ONCE
    assert rig.store.kept == {}


@pytest.mark.parametrize("table", ["contacts", "conversations", "companies", "articles"])
def test_no_reader_asks_for_another_page(table: str, rig: Rig, client: IntercomClient) -> None:
    stop_at(rig, client, 1, lambda request: request.path.startswith(TABLES[table].path))
    with pytest.raises(AbandonedError):
        read(rig, client, table)
    assert rig.server.requests() == []


@pytest.mark.parametrize("table", TABLES)
def test_a_table_whose_turn_comes_afterwards_is_not_begun(table: str, rig: Rig, client: IntercomClient) -> None:
    client.stop()
    with pytest.raises(AbandonedError):
        client.for_table(table).get(TABLES[table].path)
    assert rig.server.log == []


def test_a_request_that_has_failed_is_not_tried_again(rig: Rig, client: IntercomClient) -> None:
    rig.server.fail("/tags", times=5)
    stop_at(rig, client, 1, lambda request: request.path == "/tags")
    begun = time.monotonic()
    with pytest.raises(AbandonedError):
        client.for_table("tags").get("/tags")
    assert rig.server.requests() == []
    assert time.monotonic() - begun < 0.4  # not even the pause


def test_stopping_one_table_leaves_the_others(rig: Rig, client: IntercomClient) -> None:
    tags, teams = client.for_table("tags"), client.for_table("teams")
    tags.stopped.set()
    teams.get("/teams")
    with pytest.raises(AbandonedError):
        tags.get("/tags")


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("waits_for", ["an answer", "the quota"])
def test_threads_that_wait_for_the_limiter_end(urgent: bool, waits_for: str) -> None:
    limiter = RateLimiter(cap=1 if waits_for == "the quota" else None, most_in_flight=1)
    held = [limiter.acquire()]
    if urgent and waits_for == "an answer":
        held.append(limiter.acquire(urgent=True))  # one more than the others
    stopped, ended = threading.Event(), []

    def wait() -> None:
        with pytest.raises(AbandonedError):
            limiter.acquire(urgent=urgent, stopped=stopped.is_set)
        ended.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert ended == []
    stopped.set()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 5
    for permit in held:
        limiter.lost(permit)
    if waits_for == "an answer":
        limiter.lost(limiter.acquire())  # nothing was taken by those that gave up


def test_a_signal_anywhere_in_a_run_stops_what_was_submitted(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal reaches the flow's own thread, which may be about to submit the next table."""
    monkeypatch.setattr(jobs, "CLIENTS", Clients(load_block=lambda _name: None))
    file = str(rig.connections_file(tmp_path, rig.server.token))
    job = Job("run", CONNECTION, rig.lake_url, ("tags",), connections_file=file, request=RunRequest())
    tags = job.client().for_table("tags")

    def submit() -> None:
        with holding_tables(job):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit()
    rig.server.clear_log()
    for table in (tags, job.client().for_table("teams")):  # begun after the end of the run
        with pytest.raises(AbandonedError):
            table.get("/tags")
    assert rig.server.log == []
