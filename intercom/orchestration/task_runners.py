"""Where large tables are merged: on threads of the run's own process, or on a Dask or Ray cluster.

Reading stays in the run's process: Intercom's rate limit bounds it, and one process has one limiter. Merging is sooner
done on more machines, if its pieces are large: a cluster is made, or connected to, for the first such piece.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from importlib.util import find_spec
from threading import Lock
from typing import Any, Self

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from pydantic import Field, PositiveInt, model_validator

from intercom.config.redaction import one_line
from intercom.errors import ClusterError, ConfigurationError
from intercom.orchestration.settings import EnvironmentSettings

_RUNNER, _ADDRESS, _WORKERS = "INTERCOM_TASK_RUNNER", "INTERCOM_TASK_RUNNER_ADDRESS", "INTERCOM_TASK_RUNNER_WORKERS"

Submit = Callable[[Task[..., Any], Mapping[str, Any]], PrefectFuture[Any]]
"""Submits a task with these parameters."""


class RunnerKind(StrEnum):
    """What runs the merge tasks."""

    THREADS = "threads"
    DASK = "dask"
    RAY = "ray"


class RunnerSettings(EnvironmentSettings):
    """The kind of cluster, and the address of one that runs already; without it one of so many workers is made here.

    `read` also raises ConfigurationError for variables that contradict each other, or a kind that is not installed.
    """

    task_runner: RunnerKind = Field(default=RunnerKind.THREADS, description=f"Use one of: {', '.join(RunnerKind)}.")
    task_runner_address: str | None = Field(default=None, description="Give the address of the cluster's scheduler.")
    task_runner_workers: PositiveInt | None = Field(default=None, description="Give a number of processes from 1 on.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kind = self.task_runner
        if kind is RunnerKind.THREADS and (self.task_runner_address or self.task_runner_workers):
            raise ConfigurationError(f"{_ADDRESS} and {_WORKERS} are for {_RUNNER}=dask or ray. Set it, or unset them.")
        if self.task_runner_address and self.task_runner_workers:
            raise ConfigurationError(f"{_WORKERS} is for a cluster made on this machine, {_ADDRESS} for another one.")
        if kind is not RunnerKind.THREADS and find_spec(f"prefect_{kind}") is None:
            raise ConfigurationError(
                f"{_RUNNER} is {kind}, which is not installed here: install the package with the extra [{kind}], "
                "also on the cluster's workers."
            )
        return self

    def check_lake(self, url: str) -> None:
        """ConfigurationError for a lake that other processes cannot see."""
        if self.task_runner is not RunnerKind.THREADS and url.startswith("memory:"):
            raise ConfigurationError(
                f"The lake {url} is in one process's memory, and {_RUNNER}={self.task_runner} uses others."
            )

    def make(self) -> TaskRunner[Any]:
        """A runner that is not started. Its package is imported here, since it takes seconds."""
        runner: TaskRunner[Any]
        if self.task_runner is RunnerKind.DASK:
            from prefect_dask.task_runners import DaskTaskRunner

            # A merge uses several threads itself, and memory for each. Whoever reaches a scheduler can run code in it.
            local = {
                "n_workers": self._processes,
                "threads_per_worker": 1,
                "host": "127.0.0.1",
                "dashboard_address": None,
            }
            runner = DaskTaskRunner(
                address=self.task_runner_address, cluster_kwargs=None if self.task_runner_address else local
            )
        else:
            from prefect_ray.task_runners import RayTaskRunner

            local = {"num_cpus": self._processes, "include_dashboard": False}
            runner = RayTaskRunner(
                address=self.task_runner_address, init_kwargs=None if self.task_runner_address else local
            )
        return runner

    @property
    def _processes(self) -> int:
        return self.task_runner_workers or os.cpu_count() or 1


class _Cluster:
    """One started runner for all tables that need it at the same time; it ends with the last of them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._runner: TaskRunner[Any] | None = None

    @contextmanager
    def use(self, settings: RunnerSettings) -> Iterator[Submit]:
        if settings.task_runner is RunnerKind.THREADS:
            yield lambda task, parameters: task.submit(**parameters)
            return
        with self._lock:
            runner = self._runner = self._runner or _started(settings)
            self._users += 1
        try:
            yield lambda task, parameters: runner.submit(task, dict(parameters))
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._runner = None
                    runner.__exit__(None, None, None)


def _started(settings: RunnerSettings) -> TaskRunner[Any]:
    try:
        runner = settings.make()
        runner.__enter__()
        if settings.task_runner is RunnerKind.DASK:
            _ = runner.client  # type: ignore[attr-defined]  # it connects now, and not for two threads at once
    except Exception as error:
        where = f"at {settings.task_runner_address}" if settings.task_runner_address else "on this machine"
        reason = one_line(error)
        raise ClusterError(
            f"The {settings.task_runner} cluster {where} cannot be used ({reason}). Check {_ADDRESS} and the cluster."
        ) from error
    return runner


_CLUSTER = _Cluster()


def submitting(settings: RunnerSettings) -> AbstractContextManager[Submit]:
    """A function that submits tasks while the block lasts; ClusterError when the cluster cannot be made or reached.

    A function, since Prefect sends the globals of a task along, and the cluster itself cannot travel.
    """
    return _CLUSTER.use(settings)
