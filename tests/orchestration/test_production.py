"""Deployed as in production: a Prefect server, a worker of a process pool, bootstrap.py, and prefect.yaml as it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.scripts import script
from tests.support.effort import effort
from tests.support.ports import free_port
from tests.support.postgres import PROGRAMS, Postgres
from tests.support.prefect_server import ROOT, WITHOUT_BLOCKS, Prefect, inherited, new_postgres
from tests.support.rig import Rig
from tests.support.signals import children_get_sigint
from tests.support.truth import assert_exact, read_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a busy machine takes minutes for what else takes one

CONNECTION = "default"  # of prefect.yaml
DEPLOYMENTS = {"sync", "sync-full", "reconcile", "compact", "verify"}
TABLES = ["contacts", "companies", "articles", "tags"]  # one of each way to read; of all nine, test_flow's runs are
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",  # no run comes by itself: it may be seven past just now
}


class Production:
    """A server with a worker at its pool; runs of the deployments."""

    def __init__(self, prefect: Prefect) -> None:
        self.prefect = prefect
        self.deployments: dict[str, dict[str, Any]] = {}

    def deploy(self) -> None:
        for command in (["deployments/bootstrap.py"], ["-m", "prefect", "--no-prompt", "deploy", "--all"]):
            done = self.prefect.run(*command, PWD=str(ROOT))
            assert done.returncode == 0, done.stdout + done.stderr
        self.find()

    def find(self) -> None:
        """Wait until the server has all deployments."""
        for _ in range(240):
            found = self.prefect.post("deployments/filter", {"sort": "NAME_ASC"})
            self.deployments = {deployment["name"]: deployment for deployment in found}
            if set(self.deployments) == DEPLOYMENTS:
                return
            time.sleep(0.5)
        raise AssertionError(f"there are only the deployments {sorted(self.deployments)}")

    def work_on(self, rig: Rig) -> None:
        """The deployments' connection, lake and tables become the rig's, as operators do it: a block, parameters."""
        self.prefect.save_connection(CONNECTION, rig)
        for deployment in self.deployments.values():
            parameters = deployment["parameters"] | {"lake": rig.lake_url, "tables": TABLES}
            self.prefect.patch(f"deployments/{deployment['id']}", {"parameters": parameters})

    def run(self, deployment: str, **parameters: Any) -> str:
        """The id of a new run, as the UI's button makes it."""
        path = f"deployments/{self.deployments[deployment]['id']}/create_flow_run"
        return str(self.prefect.post(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"])

    def scheduled(self, deployment: str) -> dict[str, Any]:
        """The next run by the deployment's schedule, made by the server, and due now rather than when it would be."""
        key, begin = self.deployments[deployment]["id"], datetime.now(UTC)
        asked = {"start_time": begin.isoformat(), "end_time": (begin + timedelta(days=8)).isoformat()}
        self.prefect.post(f"deployments/{key}/schedule", asked | {"min_runs": 1, "max_runs": 1})
        known = {"deployments": {"id": {"any_": [key]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        made = [run for run in self.prefect.post("flow_runs/filter", known) if run["auto_scheduled"]]
        run = min(made, key=lambda run: str(run["expected_start_time"]))  # of several schedules
        self.prefect.post(f"flow_runs/{run['id']}/set_state", {"state": {"type": "SCHEDULED", "name": "Scheduled"}})
        return dict(run)

    def retry(self, flow_run: str) -> None:
        """What the UI sends for its Retry button."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        self.prefect.post(f"flow_runs/{flow_run}/set_state", {"state": state, "force": True})

    def wait_until(self, flow_run: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The run when that holds for it; AssertionError when it ends without, or takes more than four minutes."""
        for _ in range(800):
            run: dict[str, Any] = self.prefect.get(f"flow_runs/{flow_run}")
            if reached(run):
                return run
            if run["state_type"] in ENDS:
                break
            time.sleep(0.3)
        raise AssertionError(f"{run['name']} is {run['state']}:\n" + "\n".join(self.log(flow_run)))

    def ended(self, flow_run: str) -> dict[str, Any]:
        return self.wait_until(flow_run, lambda run: run["state_type"] in ENDS)

    def log(self, flow_run: str) -> list[str]:
        lines = self.prefect.post("logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run]}}, "limit": 200})
        return [line["message"] for line in lines]


if not PROGRAMS and os.environ.get("POSTGRESQL_TESTS") == "required":
    raise pytest.UsageError("POSTGRESQL_TESTS=required, but there is none: install Debian's package `postgresql`.")


DATABASES = ["sqlite", "postgresql"] if PROGRAMS else ["sqlite"]
on_any_database = pytest.mark.parametrize("production", effort(DATABASES[-1:], DATABASES), indirect=True)
"""On PostgreSQL where there is one; the other tests run on SQLite. `make soak` takes both."""


@pytest.fixture(scope="module", params=DATABASES)
def production(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prefect_database: Path
) -> Iterator[Production]:
    with ExitStack() as stack:
        settings, database = {**SETTINGS, **WITHOUT_BLOCKS}, None
        if request.param == "sqlite":
            database = prefect_database
        else:
            settings["PREFECT_API_DATABASE_CONNECTION_URL"] = stack.enter_context(Postgres(new_postgres())).url
        prefect = Prefect(tmp_path_factory.mktemp(request.param), database, **settings)
        prefect.start()
        stack.callback(prefect.stop)
        production = Production(prefect)
        production.deploy()
        log = stack.enter_context((prefect.home / "worker.log").open("wb"))
        with children_get_sigint():  # what its own handler of SIGTERM sends
            worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "local-process"],
                env={**inherited(), **prefect.environment}, cwd=prefect.home, stdout=log, stderr=log,
            )  # fmt: skip
        stack.callback(end, worker)
        yield production


def end(worker: subprocess.Popen[bytes]) -> None:
    """How Prefect's worker ends is not under test: on a busy machine a minute has not been enough for it."""
    worker.terminate()
    try:
        worker.wait(60)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def check(rig: Rig, tables: Any = TABLES) -> None:
    for table in tables:
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, CONNECTION, table), table)


def window_of(request: Any) -> str | None:
    """The query of a request for a page of a window of contacts, None for every other request."""
    if request.path != "/contacts/search" or request.body["pagination"]["per_page"] == 1:
        return None
    query = request.body["query"]
    return json.dumps(query) if query["operator"] != "OR" and "created_at" in json.dumps(query) else None


def windows_read(rig: Rig) -> set[str]:
    return {window for request in rig.server.requests() if (window := window_of(request))}


class LostWindow:
    """One window of a search fails for good, when all pages of the others have been asked for."""

    def __init__(self, rig: Rig) -> None:
        self.query: str | None = None
        self._rig, self._lock = rig, threading.Lock()
        rig.server.before_request(self._spoil)

    def _spoil(self, request: Any) -> None:
        window = window_of(request)
        with self._lock:
            self.query = self.query or window
        if window is None or window != self.query:
            return
        asked = -1
        while asked != len(self._rig.server.log):
            asked = len(self._rig.server.log)
            time.sleep(1)
        self._rig.server.fail("/contacts/search", kind="status", status=422, times=1000)


@on_any_database
def test_a_failed_run_is_retried_from_the_ui_and_reads_only_what_is_missing(
    production: Production, make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(contacts=7_000, server={"rate_limit": 10_000})  # so many are split into windows
    production.work_on(rig)
    lost = LostWindow(rig)
    run = production.run("sync")
    failed = production.ended(run)
    assert failed["state_type"] == "FAILED"
    assert "contacts failed: " in failed["state"]["message"]
    assert "1 of 4 tables failed" in failed["state"]["message"]
    assert "tags: reading the whole table" in production.log(run)
    check(rig, [table for table in TABLES if table != "contacts"])
    assert {lost.query} < windows_read(rig)

    rig.server.clear_hooks()
    rig.server.clear_faults()
    rig.server.clear_log()
    production.retry(run)
    again = production.ended(run)
    assert again["run_count"] == 2
    assert again["state_type"] == "COMPLETED", again["state"]
    assert {request.path for request in rig.server.log} == {"/me", "/contacts/search"}
    assert windows_read(rig) == {lost.query}
    check(rig)


@pytest.mark.parametrize("production", effort(["sqlite"], DATABASES), indirect=True)
def test_a_run_that_overlaps_waits_or_is_cancelled_as_configured(production: Production, rig: Rig) -> None:
    production.work_on(rig)
    at_work, go_on = threading.Event(), threading.Event()

    def hold(request: Any) -> None:
        if request.path == "/tags" and not at_work.is_set():
            at_work.set()
            go_on.wait(600)

    rig.server.before_request(hold)
    first = production.run("sync")
    assert at_work.wait(240)

    next_hour = production.ended(production.scheduled("sync")["id"])
    assert next_hour["state_type"] == "CANCELLED"
    assert "concurrency limit" in next_hour["state"]["message"]

    gone = rig.workspace.rows("contacts")[0]["id"]
    rig.workspace.delete("contacts", gone)
    weekly = production.scheduled("reconcile")
    waits = [weekly["id"], production.run("compact")]
    for run in waits:
        production.wait_until(run, lambda run: any("Waiting for limit" in line for line in production.log(run["id"])))
    second_weekly = production.run("reconcile", tables=["teams"])
    production.wait_until(second_weekly, lambda run: run["state_name"] == "AwaitingConcurrencySlot")
    assert production.prefect.get(f"flow_runs/{first}")["state_type"] == "RUNNING"

    go_on.set()
    for run in (first, *waits, second_weekly):
        end = production.ended(run)
        assert end["state_type"] == "COMPLETED", "\n".join(
            [end["name"], str(end["state"]["message"]), *production.log(run)]
        )
    check(rig)
    assert gone not in read_lake(rig.lake_url, CONNECTION, "contacts").column("id").to_pylist()


@pytest.mark.parametrize("production", ["sqlite"], indirect=True)
def test_without_a_worker_one_command_serves_the_deployments(
    production: Production, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = production.prefect
    refused = prefect.run("deployments/serve.py")
    assert refused.returncode == 2
    assert "work pool 'local-process'" in refused.stderr
    for deployment in production.deployments.values():
        prefect.delete(f"deployments/{deployment['id']}")
    port = str(free_port())
    settings = {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_RUNNER_SERVER_PORT": port}
    with children_get_sigint():
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "deployments/serve.py")],
            env={**inherited(), **prefect.environment, **settings, "PREFECT_RUNNER_SERVER_ENABLE": "true"},
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        production.find()
        production.work_on(rig)
        end = production.ended(production.run("sync", tables=["tags", "teams"]))
        assert end["state_type"] == "COMPLETED", end["state"]
        monkeypatch.setenv("PREFECT_RUNNER_SERVER_PORT", port)
        (tmp_path / "cmdline").write_bytes(b"python\0deployments/serve.py\0")
        assert script("health").main(tmp_path / "cmdline") == 0
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Interrupted. Schedules are paused" in output
    assert "Traceback" not in output
    check(rig, ["tags", "teams"])
    production.find()
    assert all(deployment["paused"] for deployment in production.deployments.values())
