"""deployments/serve.py says what prefect.yaml says; that it runs is seen in test_production.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.deployments.scripts import ROOT, script

ENTRIES = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry["name"]))
def test_a_served_deployment_is_that_of_prefect_yaml(entry: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    served = script("serve").served(entry)
    told = served.model_dump(mode="json", include={"name", "description", "tags", "parameters", "entrypoint"})
    assert {name: sorted(value) if name == "tags" else value for name, value in told.items()} == {
        name: sorted(entry[name]) if name == "tags" else entry[name]
        for name in told  # type: ignore[call-overload]
    }
    assert {"limit": served.concurrency_limit, "collision_strategy": served.concurrency_options.collision_strategy} == (
        entry["concurrency_limit"]
    )
    schedules = [
        {"slug": one.slug, "cron": one.schedule.cron, "timezone": one.schedule.timezone, "active": one.active}
        | ({"parameters": one.parameters} if one.parameters else {})
        for one in served.schedules
    ]
    assert schedules == entry["schedules"]
    assert served.enforce_parameter_schema is True
    assert served.work_pool_name is None


def test_without_a_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(SystemExit, match="prefect server start"):
        script("serve").main()
    assert Path.cwd() == tmp_path
