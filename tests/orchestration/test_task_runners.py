"""Where large merges run: what the environment may say, and that a task takes nothing along that cannot travel."""

from __future__ import annotations

from collections.abc import Callable

import cloudpickle
import pytest

from intercom.errors import ConfigurationError
from intercom.orchestration.task_runners import RunnerKind, RunnerSettings
from intercom.orchestration.tasks import merge_months, merge_table, sync_table


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets variables by what comes after INTERCOM_TASK_RUNNER; the others are not set."""

    def set_variables(values: dict[str, str]) -> None:
        for name in ("", "_ADDRESS", "_WORKERS"):
            monkeypatch.delenv(f"INTERCOM_TASK_RUNNER{name}", raising=False)
        for name, value in values.items():
            monkeypatch.setenv(f"INTERCOM_TASK_RUNNER{name}", value)

    return set_variables


@pytest.mark.parametrize(
    ("variables", "kind", "address", "workers"),
    [
        ({}, RunnerKind.THREADS, None, None),
        ({"": " threads ", "_ADDRESS": "", "_WORKERS": " "}, RunnerKind.THREADS, None, None),
        ({"": "dask", "_ADDRESS": " tcp://cluster:8786"}, RunnerKind.DASK, "tcp://cluster:8786", None),
        ({"": "dask", "_WORKERS": "2"}, RunnerKind.DASK, None, 2),
    ],
)
def test_what_the_variables_say(
    environment: Callable[..., None], variables: dict[str, str], kind: RunnerKind, address: str | None, workers: int
) -> None:
    environment(variables)
    settings = RunnerSettings.read()
    assert (settings.task_runner, settings.task_runner_address, settings.task_runner_workers) == (
        kind,
        address,
        workers,
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"": "daskk"}, "INTERCOM_TASK_RUNNER is 'daskk'. Use one of: threads, dask, ray."),
        ({"_ADDRESS": "tcp://cluster:8786"}, "are for INTERCOM_TASK_RUNNER=dask or ray"),
        ({"": "dask", "_ADDRESS": "tcp://cluster:8786", "_WORKERS": "2"}, "is for a cluster made on this machine"),
        ({"": "dask", "_WORKERS": "0"}, "INTERCOM_TASK_RUNNER_WORKERS is '0'. Give a number of processes from 1 on."),
        (
            {"": "rey", "_WORKERS": "two"},
            "INTERCOM_TASK_RUNNER is 'rey'. Use one of: threads, dask, ray. "
            "INTERCOM_TASK_RUNNER_WORKERS is 'two'. Give a number of processes from 1 on.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    environment: Callable[..., None], variables: dict[str, str], said: str
) -> None:
    environment(variables)
    with pytest.raises(ConfigurationError) as caught:
        RunnerSettings.read()
    assert said in str(caught.value)


def test_an_extra_that_is_missing_is_named(environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    environment({"": "dask"})
    monkeypatch.setattr("intercom.orchestration.task_runners.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"with the extra \[dask\]"):
        RunnerSettings.read()


def test_a_lake_in_memory_is_for_threads() -> None:
    RunnerSettings(task_runner=RunnerKind.THREADS).check_lake("memory://lake")
    RunnerSettings(task_runner=RunnerKind.DASK).check_lake("s3://bucket/lake")
    with pytest.raises(ConfigurationError, match="in one process's memory"):
        RunnerSettings(task_runner=RunnerKind.DASK).check_lake("memory://lake")


@pytest.mark.parametrize("task", [sync_table, merge_table, merge_months], ids=lambda task: task.name)
def test_tasks_travel(task: object) -> None:
    """A cluster gets a task by value, with the globals that it uses."""
    assert cloudpickle.loads(cloudpickle.dumps(task)).name
