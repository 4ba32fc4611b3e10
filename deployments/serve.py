"""Serve the deployments of prefect.yaml from this process, without a worker: ``python deployments/serve.py``.

It needs a Prefect server (PREFECT_API_URL), which keeps the schedules. Each run is a process of its own. Ctrl-C pauses
the schedules, since nothing serves them any more, and the next start resumes them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import yaml
from prefect import serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Schedule
from prefect.settings import get_current_settings
from prefect.utilities.templating import apply_values

ROOT: Final = Path(__file__).resolve().parents[1]
_FOR_WORKERS: Final = ("build", "push", "pull", "work_pool")


def served(entry: dict[str, Any]) -> RunnerDeployment:
    """The deployment for an entry of prefect.yaml, without the fields that only workers need."""
    options = {name: value for name, value in entry.items() if name not in _FOR_WORKERS}
    limit = options.pop("concurrency_limit", None)
    return RunnerDeployment.from_entrypoint(
        entrypoint=options.pop("entrypoint"),
        schedules=[Schedule(**schedule) for schedule in options.pop("schedules", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
        paused=False,  # the last Ctrl-C paused it
        **options,
    )


def leave_to_workers(deployment: RunnerDeployment) -> None:
    """SystemExit if the deployment is in a work pool: it would stay there, and its runs would fail on workers."""
    name = f"{deployment.flow_name}/{deployment.name}"
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_deployment_by_name(name).work_pool_name
        except ObjectNotFound:
            return
    if pool is not None:
        raise SystemExit(
            f"{name} is deployed to work pool {pool!r}, whose workers run it. To serve it from here, delete that "
            f"deployment (its runs stay): prefect deployment delete {name}. Nothing was changed."
        )


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    if get_current_settings().api.url is None:
        raise SystemExit(
            "PREFECT_API_URL is not set, so there is no Prefect server that keeps the schedules. Start one with "
            "`prefect server start`, set PREFECT_API_URL=http://127.0.0.1:4200/api, and run this again."
        )
    os.chdir(ROOT)
    os.environ["PWD"] = str(ROOT)  # prefect.yaml uses $PWD, which only a shell sets
    entries = apply_values(yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"], {})
    for entry in entries:
        for name, value in entry.get("work_pool", {}).get("job_variables", {}).get("env", {}).items():
            os.environ.setdefault(name, value)  # runs inherit it
    deployments = [served(entry) for entry in entries]
    for deployment in deployments:
        leave_to_workers(deployment)
    serve(*deployments)


if __name__ == "__main__":
    main()
