"""Where large merges run: what the environment may say, and that a task takes nothing along that cannot travel."""

from __future__ import annotations

import cloudpickle
import pytest

from intercom.errors import ConfigurationError
from intercom.orchestration.task_runners import RunnerKind, RunnerSettings
from intercom.orchestration.tasks import merge_months, merge_table, sync_table


def test_threads_if_nothing_is_said() -> None:
    assert RunnerSettings.from_environ({}) == RunnerSettings(RunnerKind.THREADS)
    assert RunnerSettings.from_environ({"INTERCOM_TASK_RUNNER": " threads "}) == RunnerSettings(RunnerKind.THREADS)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"": "daskk"}, "'daskk'. Use one of: threads, dask, ray"),
        ({"_ADDRESS": "tcp://cluster:8786"}, "are for INTERCOM_TASK_RUNNER=dask or ray"),
        ({"": "dask", "_ADDRESS": "tcp://cluster:8786", "_WORKERS": "2"}, "is for a cluster made on this machine"),
        ({"": "dask", "_WORKERS": "0"}, "'0'. Give a number of processes from 1 on"),
        ({"": "ray", "_WORKERS": "two"}, "'two'. Give a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunnerSettings.from_environ({f"INTERCOM_TASK_RUNNER{name}": value for name, value in environ.items()})
    assert said in str(caught.value)


def test_an_extra_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'intercom-lake\[dask\]'"):
        RunnerSettings.from_environ({"INTERCOM_TASK_RUNNER": "dask"}, find_package=lambda _name: None)


def test_a_lake_in_memory_is_for_threads() -> None:
    RunnerSettings(RunnerKind.THREADS).check_lake("memory://lake")
    RunnerSettings(RunnerKind.DASK).check_lake("s3://bucket/lake")
    with pytest.raises(ConfigurationError, match="in one process's memory"):
        RunnerSettings(RunnerKind.DASK).check_lake("memory://lake")


@pytest.mark.parametrize("task", [sync_table, merge_table, merge_months], ids=lambda task: task.name)
def test_tasks_travel(task: object) -> None:
    """A cluster gets a task by value, with the globals that it uses."""
    assert cloudpickle.loads(cloudpickle.dumps(task)).name
