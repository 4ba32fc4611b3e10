"""What the tasks of a run build from the names they are given."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from intercom.errors import LakeError
from intercom.lake.state import TableState
from intercom.orchestration import job
from intercom.orchestration.server.slots import SlotState
from intercom.sync.run import RunRequest
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import Action, ColumnRule, ColumnRules, CopySettings
from tests.support.rig import Rig


def no_block(_name: str) -> None:
    """Prefect has no block of that name."""


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "CLIENTS", job.Clients(no_block))


def test_a_connection_s_caps_reach_the_limiter(tmp_path: Path) -> None:
    file = tmp_path / "connections.yml"
    file.write_text(
        "connections:\n  intercom:\n"
        "    - {name: capped, access_token: secret, requests_per_10s: 40, requests_in_flight: 5}\n"
    )
    client = job.Clients(no_block).for_run("run", "capped", str(file))
    assert client.limiter.most_in_flight == 5
    assert client.for_table("contacts").most_in_flight == 5
    assert client.limiter.usage().limit == 40
    client.close()


def test_a_run_s_threads_share_a_client_and_runs_with_one_token_a_limiter(rig: Rig, tmp_path: Path) -> None:
    """The next run finds its connection anew, since its token may have changed; what the last one used still counts."""
    clients, file = job.Clients(no_block), str(rig.connections_file(tmp_path, rig.server.token))
    first = clients.for_run("first", "acme", file)
    assert clients.for_run("first", "acme", file) is first
    clients.close("first")
    second = clients.for_run("second", "acme", file)
    assert clients.for_run("first", "acme", file) is not first
    assert second.limiter is first.limiter
    rotated = str(rig.connections_file(tmp_path, "another-token"))
    assert clients.for_run("third", "acme", rotated).limiter is not first.limiter
    for run in ("first", "second", "third"):
        clients.close(run)


def test_a_run_with_rules_of_its_own_shows_no_text_of_an_error(rig: Rig, tmp_path: Path) -> None:
    file = str(rig.connections_file(tmp_path, rig.server.token))
    rules = CopySettings(rules=(("contacts", ColumnRules((ColumnRule(("email",), Action.MASK),))),))
    plain = job.Job("plain", "acme", str(tmp_path), ("tags",), connections_file=file)
    protecting = replace(plain, run_id="protecting", settings=rules)
    shown = [one.client().mask.clean("a@b.example is no email") for one in (plain, protecting)]
    assert shown == ["a@b.example is no email", ""]
    for one in (plain, protecting):
        job.CLIENTS.close(one.run_id)


def test_a_run_by_the_environments_token_beside_a_file_of_others_warns(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(rig.connections_file(tmp_path, rig.server.token))
    monkeypatch.setenv("INTERCOM_ACCESS_TOKEN", rig.server.token)
    for name, warnings in (("acme", 0), ("default", 1)):
        asked = job.Job(name, name, str(tmp_path), ("tags",), connections_file=file)
        with caplog.at_level("WARNING"):
            asked.client()
        assert len([line for line in caplog.messages if f"{file} is not used" in line]) == warnings
        job.CLIENTS.close(asked.run_id)


def test_another_process_asks_the_store_whether_the_tables_are_still_held(tmp_path: Path) -> None:
    asked = job.Job("run", "acme", str(tmp_path), ("tags",))
    with job.holding_tables(asked) as held:
        travelled = pickle.loads(pickle.dumps(held))
        held.lake_table("tags").still_ours()
        job._held.clear()  # as in a process that has not taken them
        travelled.lake_table("tags").still_ours()
    with pytest.raises(LakeError, match="lock on tags was lost"):
        travelled.lake_table("tags").still_ours()


def test_a_run_that_was_overtaken_writes_no_record(tmp_path: Path) -> None:
    with job.holding_tables(job.Job("run", "acme", str(tmp_path), ("tags",))) as held:
        lake_table = held.lake_table("tags")
        assert held.lock is not None
        job._held[held.lock.attempt].release()
        with pytest.raises(LakeError, match="lock on tags was lost"):
            lake_table.save(TableState("lake", "columns"))
    assert lake_table.state() is None


@pytest.mark.parametrize(
    ("hold", "asked"), [(SlotState.SLOT, True), (SlotState.LEFT_OVER, True), (SlotState.NONE, False)]
)
def test_scrolls_take_turns_wherever_runs_do_also_when_a_run_was_not_waited_for(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: SlotState, asked: bool
) -> None:
    """It may be at work, into another lake: Intercom allows both one scroll."""
    turns: list[str] = []

    def turn(workspace: str, _sleep: object) -> AbstractContextManager[SlotState]:
        turns.append(workspace)
        return nullcontext(SlotState.SLOT)

    monkeypatch.setattr(job, "sync_turn", lambda _connection, _idle: nullcontext(hold))
    monkeypatch.setattr(job, "scroll_turn", turn)
    file = rig.connections_file(tmp_path, rig.server.token)
    with job.holding_tables(
        job.Job("run", "acme", rig.lake_url, ("tags",), connections_file=str(file), request=RunRequest())
    ) as held:
        for table in ("companies", "contacts"):
            with held.turn(TABLES[table], lambda _seconds: None):
                pass
    assert turns == ([rig.workspace.options.app_id] if asked else [])


def test_a_run_begins_when_it_has_its_tables(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed while it waited for them is older than its start: else a full refresh would take it for deleted."""

    @contextmanager
    def after_hours(connection: str, idle: object) -> Iterator[SlotState]:
        rig.workspace.travel(6 * 3600)
        yield SlotState.SLOT

    monkeypatch.setattr(job, "sync_turn", after_hours)
    stages: list[str | None] = []
    monkeypatch.setattr(job.BOARD, "stage", stages.append)
    file = rig.connections_file(tmp_path, rig.server.token)
    asked_at, prepared = rig.workspace.now(), datetime.now(UTC)
    with job.holding_tables(
        job.Job("run", "acme", rig.lake_url, ("tags",), connections_file=str(file), request=RunRequest())
    ) as held:
        assert held.run is not None
        assert held.run.run_start >= asked_at + 6 * 3600
        assert held.run.started_at > prepared
    assert stages == [
        "Locking the tables of connection 'acme'",
        "Asking Intercom for its time",
        "Waiting for Prefect to start the tasks",
    ]
