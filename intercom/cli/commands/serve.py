"""The command `serve`: the deployments of a prefect.yaml, served from one process, without a worker.

It needs a Prefect server (PREFECT_API_URL), which keeps the schedules. Each run is a process of its own. Ctrl-C pauses
the schedules, since nothing serves them any more, and the next start resumes them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from intercom.cli.endings import COMPLETED, FAILED, WRONG_SETTINGS, InterruptedCommand, ending_cleanly
from intercom.config.redaction import named
from intercom.errors import ConfigurationError, IntercomLakeError

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

_AFTER: Final = "Schedules are paused until the next start, and the next run repairs what this one has left."
_CUT_SHORT: Final = (
    "It is not sure that all schedules are paused: look at the deployments in Prefect's UI. The next run repairs what "
    "this one has left."
)
_GRACE_SECONDS: Final = 20.0
"""To pause the schedules, a request for each, and for runs to end; Kubernetes waits 30 s until it kills."""
_FOR_WORKERS: Final = ("build", "push", "pull", "work_pool")


def serve(
    *,
    file: Annotated[
        Path, Parameter(help="The file with the deployments; runs start in its folder.", metavar="FILE")
    ] = Path("prefect.yaml"),
) -> int:
    """Serve the deployments of prefect.yaml from this process until Ctrl-C, which pauses their schedules."""
    has_paused = Event()
    try:
        with ending_cleanly(lambda: _AFTER if has_paused.is_set() else _CUT_SHORT, _GRACE_SECONDS):
            _serve(file, has_paused)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return FAILED
    except InterruptedCommand as ended:
        return ended.status
    return COMPLETED


def _serve(file: Path, has_paused: Event) -> None:
    """Serve until a signal comes; `has_paused` is set when Prefect has paused all schedules after it."""
    from contextlib import closing

    from prefect import serve as serve_deployments
    from prefect.settings import get_current_settings

    from intercom.orchestration.server.api_settings import read_api_settings
    from intercom.orchestration.server.plain_api import PlainApi

    if get_current_settings().api.url is None:
        raise ConfigurationError(
            "PREFECT_API_URL is not set, so there is no Prefect server that keeps the schedules. Start one with "
            "`prefect server start`, set PREFECT_API_URL=http://127.0.0.1:4200/api, and run this again."
        )
    with closing(PlainApi(read_api_settings(os.environ, Path()))) as api:
        api.check_health()
    entries = _entries(file)
    for entry in entries:
        for name, value in entry.get("work_pool", {}).get("job_variables", {}).get("env", {}).items():
            os.environ.setdefault(name, value)  # runs inherit it
    deployments = [_served_from(file, entry) for entry in entries]
    for deployment in deployments:
        _leave_to_workers(deployment)
    with noting_the_end(has_paused):
        serve_deployments(*deployments)


@contextmanager
def noting_the_end(has_paused: Event) -> Iterator[None]:
    """Set the event when the block ends as Prefect's serving does once it has paused all: by itself, or by a signal."""
    try:
        yield
    except KeyboardInterrupt:
        has_paused.set()
        raise
    has_paused.set()


def _entries(file: Path) -> list[dict[str, Any]]:
    """The deployments of a file as Prefect reads them; the process goes to the file's folder, as a worker would."""
    import yaml
    from prefect.utilities.templating import apply_values

    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}. Write one with `intercom-lake init`, or name it: --file.")
    folder = file.resolve().parent
    os.chdir(folder)
    os.environ["PWD"] = str(folder)  # prefect.yaml uses $PWD, which only a shell sets
    try:
        found = yaml.safe_load((folder / file.name).read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {' '.join(str(error).split())}. Correct it.") from None
    entries = found.get("deployments") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigurationError(f"{file} has no list `deployments` with entries. `intercom-lake init` writes one.")
    applied: list[dict[str, Any]] = apply_values(entries, {})
    return applied


def _served_from(file: Path, entry: dict[str, Any]) -> RunnerDeployment:
    """The deployment for an entry; ConfigurationError, which names it, for one that cannot be made."""
    try:
        return served(entry)
    except Exception as error:  # Prefect's and Pydantic's, and those of the flow's own module
        name = entry.get("name", "without a name")
        raise ConfigurationError(f"{file}: deployment {name} cannot be made: {named(error)}. Correct it.") from None


def served(entry: dict[str, Any]) -> RunnerDeployment:
    """The deployment for an entry of prefect.yaml, without the fields that only workers need."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule

    options = {name: value for name, value in entry.items() if name not in _FOR_WORKERS}
    limit = options.pop("concurrency_limit", None)
    return RunnerDeployment.from_entrypoint(
        entrypoint=options.pop("entrypoint"),
        schedules=[Schedule(**schedule) for schedule in options.pop("schedules", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
        paused=False,  # the last Ctrl-C paused it
        **options,
    )


def _leave_to_workers(deployment: RunnerDeployment) -> None:
    """Raise if the deployment is in a work pool: it would stay there, and its runs would fail on workers."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    name = f"{deployment.flow_name}/{deployment.name}"
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_deployment_by_name(name).work_pool_name
        except ObjectNotFound:
            return
    if pool is not None:
        raise ConfigurationError(
            f"{name} is deployed to work pool {pool!r}, whose workers run it. To serve it from here, delete that "
            f"deployment (its runs stay): prefect deployment delete {name}. Nothing was changed."
        )
