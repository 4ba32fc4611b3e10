"""Where the flows are found when nobody stands in the checkout: as modules, in a folder, in a clone of a repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.flows import Flow, load_flow_from_entrypoint

from tests.deployments.scripts import ROOT
from tests.support.prefect_server import Prefect, inherited
from tests.support.rig import Rig
from tests.support.truth import assert_exact, read_lake

CONNECTION = "elsewhere"  # of this file alone: the server is shared
SET_FOLDER = "prefect.deployments.steps.set_working_directory"
GIT_CLONE = "prefect.deployments.steps.git_clone"


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """The URL of a git repository with the checkout's flows."""
    folder = tmp_path / "theirs" / "intercom-lake.git"
    shutil.copytree(ROOT / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    person = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for command in (("init", "-q", "-b", "main"), ("add", "."), (*person, "commit", "-q", "-m", "Flows")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return f"file://{folder}"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", ["sync", "reconcile", "compact", "verify"])
def test_a_flow_is_found_by_its_module(elsewhere: Path, name: str) -> None:
    assert (
        load_flow_from_entrypoint(f"intercom.flows.{name}.{name}", use_placeholder_flow=False).name
        == f"intercom-{name}"
    )


@pytest.mark.parametrize("name", ["sync", "reconcile", "compact", "verify"])
@pytest.mark.parametrize("place", ["folder", "repository"])
def test_a_flow_is_loaded_from_a_folder_and_from_a_repository(
    elsewhere: Path, repository: str, place: str, name: str
) -> None:
    source = repository if place == "repository" else str(ROOT)
    loaded: Flow[..., Any] = flow.from_source(source=source, entrypoint=f"flows/{name}.py:{name}")
    assert loaded.name == f"intercom-{name}"
    assert loaded.validate_parameters({"connection": "acme"})["lake"] == "./lake"


@contextmanager
def worker(prefect: Prefect, pool: str, folder: Path) -> Iterator[None]:
    """A worker of a new process pool. It starts in its own folder, which has nothing."""
    made = prefect.run("-m", "prefect", "work-pool", "create", pool, "--type", "process", cwd=folder)
    assert made.returncode == 0, made.stdout + made.stderr
    environment = {**inherited(), **prefect.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool],
            env=environment, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def example(name: str, **parameters: Any) -> dict[str, Any]:
    """An example as a deployment of the same name, in the pool of this test."""
    entry = dict(yaml.safe_load((ROOT / f"deployments/examples/{name}.yaml").read_text()))
    return {
        **entry,
        "name": name,
        "parameters": {"connection": CONNECTION, "tables": ["tags"], **entry["parameters"], **parameters},
        "work_pool": {**entry["work_pool"], "name": CONNECTION},
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deployed_from_an_empty_folder_the_flows_run_on_a_worker_in_another(
    prefect: Prefect, rig: Rig, elsewhere: Path, repository: str, tmp_path: Path
) -> None:
    """By module, where nothing is pulled or the folder is set, and from a clone; their files are in no such folder."""
    cloud = example("cloud")
    assert cloud["parameters"]["lake"] == "./lake"
    cloud["work_pool"]["job_variables"]["working_dir"] = str(elsewhere)
    of_folder = {
        **cloud,
        "name": "folder",
        "pull": [{SET_FOLDER: {"directory": "{{ $PWD }}"}}],
        "parameters": {**cloud["parameters"], "lake": "./lake-of-folder"},
        "work_pool": {"name": CONNECTION},
    }
    clone = example("git-clone", lake=str(tmp_path / "lake-of-clone"))
    clone["pull"][0][GIT_CLONE]["repository"] = repository
    deployments = {"cloud": cloud, "folder": of_folder, "git-clone": clone}
    (elsewhere / "prefect.yaml").write_text(yaml.safe_dump({"name": "mine", "deployments": [cloud, of_folder]}))
    there = Path(repository.removeprefix("file://"))  # a checkout, since Prefect reads the flow's file to deploy it
    (there / "prefect.yaml").write_text(yaml.safe_dump({"name": "theirs", "deployments": [clone]}))

    prefect.save_connection(CONNECTION, rig)
    own = tmp_path / "worker"
    own.mkdir()
    with worker(prefect, CONNECTION, own):
        for folder in (elsewhere, there):
            done = prefect.run("-m", "prefect", "--no-prompt", "deploy", "--all", cwd=folder, PWD=str(folder))
            assert done.returncode == 0, done.stdout + done.stderr
        ids = {}
        for name in deployments:
            deployment = prefect.get(f"deployments/name/intercom-sync/{name}")
            new = prefect.post(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
            ids[name] = new["id"]
        for name, key in ids.items():
            assert prefect.state_of(key) == "COMPLETED", f"{name}: {(own / 'worker.log').read_text()}"
    for lake in (elsewhere / "lake", elsewhere / "lake-of-folder", tmp_path / "lake-of-clone"):
        assert_exact(rig.workspace.rows("tags"), read_lake(str(lake), CONNECTION, "tags"), "tags")
    assert {path.name for path in elsewhere.iterdir()} == {"prefect.yaml", "lake", "lake-of-folder"}


@pytest.mark.slow
def test_a_flow_from_a_repository_runs_in_the_process_that_loads_it(
    prefect: Prefect, rig: Rig, elsewhere: Path, repository: str
) -> None:
    prefect.save_connection(CONNECTION, rig)
    program = (
        "import sys; from prefect import flow\n"
        "sync = flow.from_source(source=sys.argv[1], entrypoint='flows/sync.py:sync')\n"
        f"sync(connection={CONNECTION!r}, tables=['tags'])"
    )
    done = prefect.run("-c", program, repository, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert_exact(rig.workspace.rows("tags"), read_lake(str(elsewhere / "lake"), CONNECTION, "tags"), "tags")


OF_THEIR_OWN = """
import sys
from contextlib import closing
from intercom import IntercomConnection, sync_flow
from prefect import flow

@flow
def nightly(connection):
    with closing(IntercomConnection.load(connection).get_client()) as client:
        answer = client.for_table("workspace", scope="read admins").get("/me")
    print(bytes(answer.fields["app"]).decode())
    sync_flow(connection=connection, tables=["tags"])

nightly(sys.argv[1])
"""


@pytest.mark.slow
def test_a_flow_of_ones_own_has_a_client_and_runs_the_flow(prefect: Prefect, rig: Rig, elsewhere: Path) -> None:
    """As the page on flows of one's own shows it."""
    prefect.save_connection(CONNECTION, rig)
    done = prefect.run("-c", OF_THEIR_OWN, CONNECTION, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert f'"{rig.workspace.options.app_id}"' in done.stdout
    assert_exact(rig.workspace.rows("tags"), read_lake(str(elsewhere / "lake"), CONNECTION, "tags"), "tags")
    assert rig.server.token.encode() not in prefect.stored()
