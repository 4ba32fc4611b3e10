"""prefect.yaml as Prefect takes it, and the examples for other pools as their workers take them."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule

from tests.deployments.scripts import ROOT
from tests.support.markdown import DOCS, blocks, section

DEPLOYMENTS = {entry["name"]: entry for entry in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
EXAMPLES = sorted((ROOT / "deployments/examples").glob("*.yaml"))
IN_CONTAINERS = [path for path in EXAMPLES if path.stem in ("docker", "ecs", "kubernetes")]
WORKER_TYPES = {"cloud": "process", "git-clone": "process"}
"""Of examples that are not named after it."""


def worker_types() -> dict[str, Any]:
    """The job template of every official worker type, as Prefect's server knows them without their packages."""
    known = files("prefect.server.api.collections_data.views") / "aggregate-worker-metadata.json"
    types = [entry for collection in json.loads(known.read_text()).values() for entry in collection.items()]
    return {name: entry["default_base_job_configuration"] for name, entry in types}


def check_job_variables(worker_type: str, given: dict[str, Any]) -> None:
    """ValidationError or AssertionError for what a worker of this type would not understand."""
    schema = worker_types()[worker_type]["variables"]
    assert set(given) <= set(schema["properties"]), f"unknown to {worker_type} workers"
    jsonschema.validate(given, schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_have_job_variables_that_their_workers_know(example: Path) -> None:
    work_pool = yaml.safe_load(example.read_text())["work_pool"]
    assert work_pool["name"] == ("local-process" if example.stem == "git-clone" else example.stem)
    if example.stem != "managed":  # whose schema is Prefect Cloud's
        check_job_variables(WORKER_TYPES.get(example.stem, example.stem), work_pool["job_variables"])


def test_there_is_an_example_for_each_place() -> None:
    assert {path.stem for path in EXAMPLES} == {"cloud", "docker", "ecs", "git-clone", "kubernetes", "managed"}


@pytest.mark.parametrize("example", IN_CONTAINERS, ids=lambda path: path.stem)
def test_examples_run_where_the_image_has_the_project(example: Path) -> None:
    example_pull = yaml.safe_load(example.read_text())["pull"]
    (folder,) = [step["prefect.deployments.steps.set_working_directory"]["directory"] for step in example_pull]
    assert f"WORKDIR {folder}\n" in (ROOT / "deployments/Dockerfile").read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_have_parameters_and_flows_that_there_are(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the comment, too: the entrypoint of the deployment `compact`."""
    monkeypatch.chdir(ROOT)
    entry = yaml.safe_load(example.read_text())
    flow = load_flow_from_entrypoint(entry.get("entrypoint", "flows/sync.py:sync"))
    assert flow.name == "intercom-sync"
    jsonschema.validate(DEPLOYMENTS["sync"]["parameters"] | entry["parameters"], flow.parameters.model_dump())
    if "entrypoint" in entry:
        (compact,) = re.findall(r"; (\S+) for `compact`", example.read_text())
        assert load_flow_from_entrypoint(compact).name == "intercom-compact"


def test_a_managed_machine_installs_this_version() -> None:
    variables = yaml.safe_load((ROOT / "deployments/examples/managed.yaml").read_text())["work_pool"]["job_variables"]
    assert set(variables) == {"pip_packages", "env"}  # as Prefect's documentation names them
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    released = settings["tool"]["hatch"]["version"]["fallback-version"]
    (package,) = map(Requirement, variables["pip_packages"])
    assert (package.name, str(package.specifier)) == (settings["project"]["name"], f"=={released}")


@pytest.mark.parametrize(
    ("worker_type", "wrong"),
    [("docker", {"img": "x"}), ("kubernetes", {"finished_job_ttl": "1h"}), ("ecs", {"env": {"A": 1}})],
)
def test_a_wrong_job_variable_is_seen(worker_type: str, wrong: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, jsonschema.ValidationError)):
        check_job_variables(worker_type, wrong)


def test_the_default_pool_is_one_of_local_processes() -> None:
    for entry in DEPLOYMENTS.values():
        assert entry["work_pool"]["name"] == "local-process"
        check_job_variables("process", entry["work_pool"]["job_variables"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parameters_of_deployments_and_schedules_are_the_flows(name: str) -> None:
    """As the API checks them when a run is created, by the schema that is stored with the deployment."""
    entry = DEPLOYMENTS[name]
    flow = load_flow_from_entrypoint(str(ROOT / entry["entrypoint"]))
    for schedule in entry["schedules"]:
        parameters = entry["parameters"] | schedule.get("parameters", {})
        assert set(parameters) <= set(inspect.signature(flow.fn).parameters)
        jsonschema.validate(parameters, flow.parameters.model_dump())


def test_the_example_of_further_tables_has_parameters_that_there_are() -> None:
    defined = (ROOT / "prefect.yaml").read_text(encoding="utf-8").split("# Minutes differ")[0]
    page = (DOCS / "how-to" / "schedule.md").read_text(encoding="utf-8")
    [block] = blocks(section(page, "Further tables"), "yaml")
    sync, full = yaml.safe_load(defined + block.text)["deployments"]
    flow = load_flow_from_entrypoint(str(ROOT / DEPLOYMENTS["sync"]["entrypoint"]))
    [schedule] = full["schedules"]
    Schedule(**schedule)
    for parameters in (sync["parameters"], DEPLOYMENTS[full["name"]]["parameters"] | schedule["parameters"]):
        jsonschema.validate(parameters, flow.parameters.model_dump())
    assert schedule["cron"] not in [one["cron"] for entry in DEPLOYMENTS.values() for one in entry["schedules"]]


def test_schedules_are_in_utc_at_minutes_of_their_own() -> None:
    schedules = [schedule for entry in DEPLOYMENTS.values() for schedule in entry["schedules"]]
    assert {schedule["timezone"] for schedule in schedules} == {"UTC"}
    assert len({schedule["slug"] for schedule in schedules}) == len(schedules)
    minutes = [minute for schedule in schedules for minute in schedule["cron"].split()[0].split(",")]
    assert len(set(minutes)) == len(minutes)
    for schedule in schedules:
        Schedule(**schedule)  # which checks the cron expression


def test_one_run_of_each_deployment_at_a_time_and_no_full_refresh_is_lost() -> None:
    strategies = {name: entry["concurrency_limit"] for name, entry in DEPLOYMENTS.items()}
    assert {limit["limit"] for limit in strategies.values()} == {1}
    assert {name: limit["collision_strategy"] for name, limit in strategies.items()} == {
        "sync": "CANCEL_NEW",
        "sync-full": "ENQUEUE",
        "reconcile": "ENQUEUE",
        "compact": "CANCEL_NEW",
        "verify": "CANCEL_NEW",
    }
    assert DEPLOYMENTS["sync-full"]["parameters"]["full_refresh"] is True
    assert [schedule["cron"] for schedule in DEPLOYMENTS["reconcile"]["schedules"]] == ["27 2 * * 0"]
