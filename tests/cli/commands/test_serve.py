"""What is served is what prefect.yaml says; that it runs is seen in test_production.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from intercom.cli.app import main
from intercom.cli.commands.serve import noting_the_end, served
from intercom.orchestration.server.plain_api import PlainApi
from tests.deployments.scripts import ROOT
from tests.support.ports import free_port

ENTRIES = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@contextmanager
def told_of(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's API is at `url`, for Prefect and for those who read its settings without it."""
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings({PREFECT_API_URL: url}):
        yield


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry["name"]))
def test_a_served_deployment_is_that_of_prefect_yaml(entry: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = served(entry)
    told = made.model_dump(mode="json", include={"name", "description", "tags", "parameters", "entrypoint"})
    assert {name: sorted(value) if name == "tags" else value for name, value in told.items()} == {
        name: sorted(entry[name]) if name == "tags" else entry[name]
        for name in told  # type: ignore[call-overload]
    }
    assert {"limit": made.concurrency_limit, "collision_strategy": made.concurrency_options.collision_strategy} == (
        entry["concurrency_limit"]
    )
    schedules = [
        {"slug": one.slug, "cron": one.schedule.cron, "timezone": one.schedule.timezone, "active": one.active}
        | ({"parameters": one.parameters} if one.parameters else {})
        for one in made.schedules
    ]
    assert schedules == entry["schedules"]
    assert made.enforce_parameter_schema is True
    assert made.work_pool_name is None


@pytest.mark.parametrize(("ends_with", "all_paused"), [(None, True), (KeyboardInterrupt, True), (RuntimeError, False)])
def test_schedules_count_as_paused_only_when_prefect_has_come_so_far(
    ends_with: type[BaseException] | None, all_paused: bool
) -> None:
    has_paused = Event()
    with suppress(KeyboardInterrupt, RuntimeError), noting_the_end(has_paused):
        if ends_with is not None:
            raise ends_with
    assert has_paused.is_set() is all_paused


def test_without_a_server_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_API_URL: None}):
        assert main(["serve"]) == 2
    assert "prefect server start" in capsys.readouterr().err
    assert Path.cwd() == tmp_path


def test_without_a_file_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PlainApi, "check_health", lambda _: None)
    with told_of("http://127.0.0.1:9/api", monkeypatch):
        assert main(["serve"]) == 2
    assert "intercom-lake init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "prefect.yaml cannot be read: while parsing"),
        ("a: 1", "prefect.yaml has no list `deployments`"),
        ("deployments: []", "prefect.yaml has no list `deployments`"),
        ("deployments: [{name: mine}]", "deployment mine cannot be made: KeyError: 'entrypoint'"),
        ("deployments: [{name: mine, entrypoint: nowhere.py:f}]", "deployment mine cannot be made"),
    ],
)
def test_a_file_that_says_no_deployments_is_told_in_a_line(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PlainApi, "check_health", lambda _: None)
    Path("prefect.yaml").write_text(text)
    with told_of("http://127.0.0.1:9/api", monkeypatch):
        assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_a_server_that_does_not_answer_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with told_of(f"http://127.0.0.1:{free_port()}/api", monkeypatch):
        assert main(["serve"]) == 1
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert said.count("\n") == 1
