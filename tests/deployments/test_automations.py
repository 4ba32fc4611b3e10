"""The automations of deployments/automations, as Prefect reads them, and that events of a run set one off."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import AutomationCore
from pydantic import TypeAdapter

from intercom.orchestration.observe.events import SYNCED
from intercom.tables.catalogue import TABLES
from tests.deployments.scripts import ROOT
from tests.docs.parameters import flow_of
from tests.support.prefect_server import Prefect
from tests.support.rig import Rig

AUTOMATIONS = sorted((ROOT / "deployments/automations").glob("*.yaml"))
NOTIFYING = [path for path in AUTOMATIONS if path.stem in ("failed", "not-synced")]
RUN_DBT = ROOT / "deployments/automations/run-dbt.yaml"
CONNECTION = "for-dbt"  # of this file alone: the server is shared


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", AUTOMATIONS, ids=lambda path: path.stem)
def test_prefect_takes_an_automation_with_a_placeholder_for_the_id(path: Path) -> None:
    automation = AutomationCore.model_validate(read(path))
    assert automation.enabled
    assert automation.description
    (action,) = automation.model_dump(mode="json")["actions"]
    ids = [value for key, value in action.items() if key in ("deployment_id", "block_document_id")]
    assert ids == ["00000000-0000-0000-0000-000000000000"]
    made_by = "intercom-lake bootstrap --notify" if path in NOTIFYING else f"--from-file {path.relative_to(ROOT)}"
    assert made_by in path.read_text(encoding="utf-8")


def test_failures_of_each_flow_are_told() -> None:
    """A verification that finds a difference fails, and so has to be told as well."""
    (failed,) = (path for path in AUTOMATIONS if path.stem == "failed")
    flows = {flow_of(path.stem).name for path in (ROOT / "flows").glob("*.py")}
    assert len(flows) == 4
    assert set(read(failed)["trigger"]["match_related"]["prefect.resource.name"]) == flows


def test_dbt_waits_for_the_events_of_tables_that_there_are() -> None:
    trigger = read(RUN_DBT)["trigger"]
    assert [one["expect"] for one in trigger["triggers"]] == [[SYNCED]] * len(trigger["triggers"])
    resources = [one["match"]["prefect.resource.id"] for one in trigger["triggers"]]
    assert all(re.fullmatch(rf"intercom-lake\.table\.default\.({'|'.join(TABLES)})", one) for one in resources)
    # As its comment says, the same trigger does in the prefect.yaml of the deployment that it runs.
    adapter: TypeAdapter[Any] = TypeAdapter(DeploymentTriggerTypes)
    of_deployment = adapter.validate_python({**trigger, "name": "after Intercom"})
    of_deployment.set_deployment_id(uuid4())
    assert of_deployment.as_automation().trigger == AutomationCore.model_validate(read(RUN_DBT)).trigger


DEPLOY = """
import sys
from prefect import flow
print(flow.from_source(sys.argv[1], "models.py:build").to_deployment("dbt").apply())
"""


@pytest.mark.slow
def test_dbt_runs_once_all_of_its_tables_are_synced(prefect: Prefect, rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("from prefect import flow\n\n\n@flow\ndef build() -> None: ...\n")
    applied = prefect.run("-c", DEPLOY, str(tmp_path))
    assert applied.returncode == 0, applied.stderr
    deployment = applied.stdout.split()[-1]
    text, ids = re.subn(r"deployment_id: [0-9-]{36}\n", f"deployment_id: {deployment}\n", RUN_DBT.read_text())
    text, connections = re.subn(r"\.default\.", f".{CONNECTION}.", text)
    assert (ids, connections) == (1, 2)
    file = tmp_path / "automation.yaml"
    file.write_text(text, encoding="utf-8")
    created = prefect.run("-m", "prefect", "automation", "create", "--from-file", str(file))
    assert created.returncode == 0, created.stdout + created.stderr
    prefect.save_connection(CONNECTION, rig)

    def runs() -> list[dict[str, Any]]:
        return list(prefect.post("flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}}))

    def sync(table: str) -> None:
        options = ("--connection", CONNECTION, "--lake", rig.lake_url, "--tables", table)
        done = prefect.run("flows/sync.py", *options)
        assert done.returncode == 0, done.stderr
        wanted = {
            "filter": {"event": {"name": [SYNCED]}, "resource": {"id": [f"intercom-lake.table.{CONNECTION}.{table}"]}}
        }
        for _ in range(120):
            if prefect.post("events/filter", wanted)["events"]:
                return
            time.sleep(0.5)
        raise AssertionError(f"the server has no event of {table}")

    sync("contacts")
    assert runs() == []
    sync("conversations")
    for _ in range(120):
        if runs():
            break
        time.sleep(0.5)
    (run,) = runs()
    assert run["created_by"]["type"] == "AUTOMATION"
    assert run["created_by"]["display_value"] == "intercom-run-dbt"
