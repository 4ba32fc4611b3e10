"""The form from which a run is started, as people see it, and what the server refuses of it."""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from playwright.sync_api import expect

from intercom.tables.catalogue import TABLES
from intercom.tables.selection import GROUPS
from tests.support.browser import Browser, browser
from tests.support.prefect_server import ROOT, Prefect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ui(prefect: Prefect) -> Iterator[Browser]:
    with browser(prefect) as ui:
        yield ui


@pytest.fixture(scope="module")
def deployments(prefect: Prefect) -> Iterator[dict[str, dict[str, Any]]]:
    """Those of `prefect.yaml` by flow, `sync` and `compact`; there is no worker, so no run of theirs begins."""
    with suppress(urllib.error.HTTPError):  # of a test before
        prefect.post("work_pools/", {"name": "local-process", "type": "process"})
    done = prefect.run("-m", "prefect", "--no-prompt", "deploy", "--name", "sync", "--name", "compact", PWD=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    made = {name: prefect.get(f"deployments/name/intercom-{name}/{name}") for name in ("sync", "compact")}
    yield made
    for deployment in made.values():
        prefect.delete(f"deployments/{deployment['id']}")
    prefect.delete("work_pools/local-process")


def runs_of(prefect: Prefect, deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that people started: not those of a schedule."""
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_DESC"}
    return [run for run in prefect.post("flow_runs/filter", wanted) if not run["auto_scheduled"]]


FIELDS = {
    "sync": [
        "storage_options",
        "table_format",
        "connections_file",
        "columns",
        "refill_lists",
        "plain_text",
        "allow_mass_removal",
        "compact",
    ],
    "compact": ["storage_options", "table_format"],
}
"""In the group `advanced`."""


@pytest.mark.parametrize("flow", FIELDS)
def test_every_parameter_has_its_label_and_its_text(
    ui: Browser, deployments: dict[str, dict[str, Any]], flow: str
) -> None:
    ui.open_run_form(deployments[flow]["id"])
    schema = deployments[flow]["parameter_openapi_schema"]
    (group,) = schema["definitions"].values()
    assert list(group["properties"]) == FIELDS[flow]
    shown = len(schema["properties"]) + len(group["properties"])
    expect(ui.page.get_by_text(re.compile(r"^\w+ \(Optional\)$"))).to_have_count(shown)
    for name, described in {**schema["properties"], **group["properties"]}.items():
        expect(ui.page.get_by_text(f"{name} (Optional)", exact=True)).to_be_visible()
        expect(ui.page.get_by_text(" ".join(described["description"].split()), exact=True)).to_be_visible()


def test_what_is_chosen_in_the_form_is_what_the_run_gets(
    prefect: Prefect, ui: Browser, deployments: dict[str, dict[str, Any]]
) -> None:
    ui.open_run_form(deployments["sync"]["id"])
    assert ui.choose_tables("tags", "contacts") == [*GROUPS, *TABLES]
    ui.field("full_refresh").click()
    ui.page.get_by_role("tab", name="date").first.click()
    ui.page.get_by_role("button", name="Pick a date").click()
    ui.page.get_by_role("gridcell").filter(has_text="17").click()
    ui.page.keyboard.press("Escape")
    ui.page.get_by_role("tab", name="text").first.click()
    ui.page.get_by_role("tabpanel").get_by_role("textbox").fill("secret/lake")
    ui.field("compact").click()
    ui.page.get_by_role("option", name="never").click()
    submit(ui)
    (run,) = runs_of(prefect, deployments["sync"])
    assert sorted(run["parameters"]["tables"]) == ["contacts", "tags"]
    assert run["parameters"]["full_refresh"] is True
    assert date.fromisoformat(run["parameters"]["start_date"]).day == 17
    assert run["parameters"]["end_date"] is None
    assert run["parameters"]["advanced"].items() >= {"storage_options": "secret/lake", "compact": "never"}.items()


def submit(ui: Browser) -> None:
    """As a person does: once more, if nothing happens, since the form takes no click while it draws itself anew."""
    started = ui.page.get_by_text("scheduled to start now")
    expect(started).to_have_count(0)  # of a run before
    for seconds in (20, 60):
        ui.page.get_by_role("button", name="Submit").click()
        with suppress(AssertionError):
            expect(started).to_be_visible(timeout=seconds * 1_000)
            return
    expect(started).to_be_visible()


def test_the_limit_of_the_history_is_taken_away_with_two_clicks(
    prefect: Prefect, ui: Browser, deployments: dict[str, dict[str, Any]]
) -> None:
    """The tab fills in the only word that it takes."""
    ui.open_run_form(deployments["sync"]["id"])
    ui.page.get_by_role("tab", name="all", exact=True).click()
    # Submitted before the tab has filled it in, the form has no word there, and stays.
    expect(ui.page.get_by_role("tabpanel", name="all", exact=True).get_by_role("textbox")).to_have_value("all")
    submit(ui)
    run = runs_of(prefect, deployments["sync"])[0]
    assert (run["parameters"]["start_date"], run["parameters"]["end_date"]) == ("all", None)


@pytest.mark.parametrize(
    ("flow", "parameters"),
    [
        ("sync", {"tables": ["contacs"]}),
        ("sync", {"tables": "contacts"}),
        ("sync", {"start_date": "yesterday"}),
        ("sync", {"start_date": "All"}),
        ("sync", {"end_date": "all"}),
        ("sync", {"end_date": "2026-02-30"}),
        ("sync", {"connection": ""}),
        ("sync", {"lake": ""}),
        ("sync", {"full_refresh": "perhaps"}),
        ("sync", {"advanced": {"compact": "sometimes"}}),
        ("sync", {"advanced": {"compacted": "always"}}),
        ("sync", {"advanced": {"connections_file": ""}}),
        ("sync", {"advanced": {"storage_options": ["profile"]}}),
        ("sync", {"advanced": {"storage_options": {"key": "AKIA", "secret": "s"}}}),
        ("compact", {"advanced": {"table_format": "csv"}}),
        ("compact", {"advanced": {"compact": "always"}}),
    ],
)
def test_a_run_with_a_bad_value_is_refused(
    prefect: Prefect, deployments: dict[str, dict[str, Any]], flow: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        prefect.post(f"deployments/{deployments[flow]['id']}/create_flow_run", {"parameters": parameters})
    assert refused.value.code in (409, 422)


def test_values_as_a_deployments_yaml_has_them_are_taken(
    prefect: Prefect, deployments: dict[str, dict[str, Any]]
) -> None:
    parameters = {
        "tables": ["contacts"],
        "start_date": "2026-01-31",
        "advanced": {"compact": "always", "storage_options": {"profile": "lake"}},
    }
    run = prefect.post(f"deployments/{deployments['sync']['id']}/create_flow_run", {"parameters": parameters})
    assert run["parameters"].items() >= parameters.items()
