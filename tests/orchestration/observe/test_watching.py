"""What people see of runs in Prefect: logs, artifacts, assets, events, an alert; and a server that takes none of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from intercom.sandbox import SandboxServer, Workspace
from tests.conftest import NOW
from tests.support.prefect_server import ROOT, Prefect
from tests.support.relay import relayed, serving
from tests.support.rig import Rig
from tests.support.truth import assert_exact, read_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first test starts a server and five processes

CONNECTION = "my_acme"
TABLES = ("contacts", "tags", "data_attributes")
OVERVIEW = "intercom-my-acme"
OPTION = "auto_mkdir"
"""A storage option that changes nothing, to be looked for."""


@dataclass
class Watched:
    """A server that has seen two runs: of the second, contacts failed; and what its automation has sent."""

    prefect: Prefect
    rig: Rig
    runs: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, str]] = field(default_factory=list)

    def artifacts(self, key: str) -> list[str]:
        """All versions of an artifact, the newest first."""
        found = self.prefect.post("artifacts/filter", {"sort": "CREATED_DESC", "limit": 200})
        return [str(artifact["data"]) for artifact in found if artifact["key"] == key]

    def events(self, name: str, count: int) -> list[dict[str, Any]]:
        """The runs' events of a name, the oldest first, once there are so many: they are stored some time later."""
        runs = [f"prefect.flow-run.{run['id']}" for run in self.runs]
        wanted = {"filter": {"event": {"name": [name]}, "related": {"id": runs}, "order": "ASC"}, "limit": 50}
        found: list[dict[str, Any]] = []
        for _ in range(120):
            found = self.prefect.post("events/filter", wanted)["events"]
            if len(found) >= count:
                break
            time.sleep(0.5)
        return found


def sync(prefect: Prefect, rig: Rig, *options: str, **environment: str) -> Any:
    """`python flows/sync.py` for the rig; its connection is a block."""
    return prefect.run(
        "flows/sync.py", "--connection", CONNECTION, "--lake", rig.lake_url, "--tables", ",".join(TABLES),
        "--storage-options", json.dumps({OPTION: True}), *options, **environment,
    )  # fmt: skip


@contextmanager
def inbox(received: list[dict[str, str]]) -> Iterator[str]:
    """Where notifications go."""

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with serving(Inbox) as url:
        yield url


def notification_block(prefect: Prefect, url: str) -> str:
    """A saved block that posts to the address, as ``<type>/<name>``."""
    program = (
        "import sys; from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook\n"
        "webhook = Webhook(name='inbox', url=sys.argv[1], json_data={'subject': '{{subject}}', 'body': '{{body}}'})\n"
        "webhook.save('inbox')"
    )
    saved = prefect.run("-c", program, url)
    assert saved.returncode == 0, saved.stderr
    return "custom-webhook/inbox"


def create_automations(prefect: Prefect, block: str) -> None:
    """Those of bootstrap, but for a wait of seconds instead of hours."""
    created = prefect.run("deployments/bootstrap.py", "--notify", block)
    assert created.returncode == 0, created.stdout + created.stderr
    program = (
        "from datetime import timedelta; from prefect.client.orchestration import get_client\n"
        "from prefect.events.schemas.automations import AutomationCore\n"
        "with get_client(sync_client=True) as client:\n"
        "    (made,) = client.read_automations_by_name('intercom-table-not-synced')\n"
        "    made.trigger.within = timedelta(seconds=10)\n"
        "    values = made.model_dump(exclude={'owner_resource'})\n"
        "    client.update_automation(made.id, AutomationCore.model_validate(values))\n"
    )
    changed = prefect.run("-c", program)
    assert changed.returncode == 0, changed.stderr


@pytest.fixture(scope="module")
def watched(prefect: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    lake = tmp_path_factory.mktemp("a lake")
    with SandboxServer(Workspace.seeded(now=NOW, history_days=80)) as server:
        seen = Watched(prefect, Rig(server, str(lake), CONNECTION))
        prefect.forget_connections()
        with inbox(seen.alerts) as url:
            prefect.save_connection(CONNECTION.replace("_", "-"), seen.rig)
            create_automations(prefect, notification_block(prefect, url))
            first = sync(prefect, seen.rig, INTERCOM_ASSET_OWNERS="data team, ann@example.com")
            assert first.returncode == 0, first.stderr
            seen.runs.append(prefect.newest_run())
            server.workspace.travel(60)
            server.workspace.create("tags")
            server.fail("/contacts/search", kind="status", status=403, times=100)
            second = sync(prefect, seen.rig, PREFECT_LOGGING_EXTRA_LOGGERS="intercom")
            assert second.returncode == 1
            seen.runs.append(prefect.newest_run())
            server.clear_faults()
            yield seen


def rows(markdown: str) -> list[list[str]]:
    """Cells of a markdown table, with its heading."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_names_say_connection_and_table(watched: Watched) -> None:
    assert [run["name"] for run in watched.runs] == [f"sync {CONNECTION}"] * 2
    of_all = [f"prepare {CONNECTION}", *(f"sync {CONNECTION} {table}" for table in TABLES)]
    # Tables that are replaced are not merged, and of contacts nothing is read in the second run.
    for run, merges in zip(watched.runs, ([f"merge {CONNECTION} contacts"], []), strict=True):
        assert sorted(watched.prefect.tasks_named("", run["id"])) == sorted([*of_all, *merges])


@pytest.mark.parametrize("run", [0, 1], ids=["without settings", "with extra loggers"])
def test_the_log_of_a_run_has_each_line_once_at_the_task_it_is_about(watched: Watched, run: int) -> None:
    wanted = {"logs": {"flow_run_id": {"any_": [watched.runs[run]["id"]]}}, "limit": 200}
    lines = watched.prefect.post("logs/filter", wanted)
    begun = [line for line in lines if line["message"] == "tags: reading the whole table"]
    assert len(begun) == 1
    assert begun[0]["name"] == "intercom.sync.ingest"
    task = watched.prefect.get(f"task_runs/{begun[0]['task_run_id']}")
    assert task["name"] == f"sync {CONNECTION} tags"


def test_the_summary_of_a_run_shows_bytes_and_its_share_of_the_allowance(watched: Watched) -> None:
    failed, complete = (version.partition("### Latest run: sync, ")[2] for version in watched.artifacts(OVERVIEW))
    shown: dict[str, dict[str, str]] = {}
    for heading, *tables in (rows(part) for part in complete.split("\n\n") if part.startswith("| table")):
        for row in tables:
            shown.setdefault(row[0], {}).update(zip(heading, row, strict=True))
    assert list(shown) == list(TABLES)
    assert shown["tags"]["in table"] == str(len(read_lake(watched.rig.lake_url, CONNECTION, "tags")) - 1)
    assert re.fullmatch(r"[\d.,]+\s(B|kB|MB)", shown["contacts"]["received"])
    requests = sum(int(row["requests"]) for row in shown.values())
    assert re.search(rf"\n{requests} requests in [\d.]+ s: [\w ]+ % of the [\d,]+ per 10 s that are allowed;", complete)
    assert [table for table, row in shown.items() if "watermark after (UTC)" in row] == ["contacts"]
    assert "- contacts failed: " in failed
    assert "without tables that failed" in failed


def test_the_overview_shows_every_table_of_the_connection_and_the_latest_error(watched: Watched) -> None:
    newest, oldest = (rows(version.partition("###")[0]) for version in watched.artifacts(OVERVIEW))
    assert newest[0] == ["table", "up to date as of", "rows", "last run", "last error"]
    assert [row[0] for row in newest[1:]] == [row[0] for row in oldest[1:]] == list(TABLES)
    contacts, before = newest[1], oldest[1]
    assert contacts[1:3] == before[1:3] == [before[1], str(len(watched.rig.workspace.rows("contacts")))]
    assert watched.runs[1]["id"] in contacts[3]
    assert contacts[3].endswith(" failed")
    assert contacts[4]
    assert watched.runs[0]["id"] in before[3]
    assert f"- contacts, {contacts[3].removesuffix(' failed')}: " in watched.artifacts(OVERVIEW)[0]


def test_each_table_has_a_history_with_a_version_for_each_run_that_changed_it(watched: Watched) -> None:
    assert len(watched.artifacts("intercom-my-acme-data-attributes")) == 1
    newest, oldest = (text.split("\n\n")[1:] for text in watched.artifacts("intercom-my-acme-tags"))
    assert len(newest) == len(oldest) == 2
    for table, before in zip(newest, oldest, strict=True):
        assert rows(table)[2:] == rows(before)[1:]
        for row, run in zip(rows(table)[1:], reversed(watched.runs), strict=True):
            assert run["id"] in row[0]  # a link to the run
    contacts = watched.artifacts("intercom-my-acme-contacts")[0]
    assert [row[2] for row in rows(contacts.split("\n\n")[1])[1:]] == [
        "failed",
        str(len(watched.rig.workspace.rows("contacts"))),
    ]
    assert "- contacts failed: " in contacts


def test_a_table_that_is_committed_is_an_event(watched: Watched) -> None:
    events = watched.events("intercom-lake.table.synced", 5)
    assert sorted(event["resource"]["prefect.resource.id"] for event in events) == sorted(
        f"intercom-lake.table.{CONNECTION}.{table}" for table in (*TABLES, "tags", "data_attributes")
    )
    first, second = (event for event in events if event["resource"]["intercom-lake.table"] == "tags")
    tags = len(watched.rig.workspace.rows("tags"))
    assert (first["payload"]["rows"], first["payload"]["new"]) == (tags - 1, tags - 1)
    assert (second["payload"]["rows"], second["payload"]["new"]) == (tags, 1)
    for event, run in ((first, watched.runs[0]), (second, watched.runs[1])):
        assert event["payload"]["run_id"] == run["id"]
        assert event["payload"]["lake"] == f"file://{watched.rig.lake_url}"
        assert f"prefect.flow-run.{run['id']}" in [related["prefect.resource.id"] for related in event["related"]]
    contacts = next(event for event in events if event["resource"]["intercom-lake.table"] == "contacts")
    assert contacts["payload"]["watermark"].endswith("+00:00")


def test_a_table_that_is_committed_is_an_asset_made_of_what_intercom_has(watched: Watched) -> None:
    events = watched.events("prefect.asset.materialization.succeeded", 5)
    made = [event for event in events if event["resource"]["prefect.resource.name"] == f"{CONNECTION} contacts"]
    assert len(events) == 5
    assert len(made) == 1  # the second run failed on it
    lake = watched.rig.lake_url.replace(" ", "~20")
    assert made[0]["resource"]["prefect.resource.id"] == f"file://{lake}/data/{CONNECTION}/contacts"
    assert made[0]["payload"]["rows"] == len(watched.rig.workspace.rows("contacts"))
    assert [one["prefect.resource.id"] for one in made[0]["related"] if one["prefect.resource.role"] == "asset"] == [
        f"intercom://{CONNECTION}/contacts"
    ]
    assert not watched.events("prefect.asset.materialization.failed", 0)


def test_an_asset_is_described_and_has_the_owners_that_the_environment_names(watched: Watched) -> None:
    events = watched.events("prefect.asset.materialization.succeeded", 5)
    first, second = (
        event["resource"] for event in events if event["resource"]["prefect.resource.name"].endswith(" tags")
    )
    assert first["prefect.asset.description"] == (
        f"Copy of Intercom's tags of connection {CONNECTION}: replaced as a whole by each run. "
        f"Parquet files in file://{watched.rig.lake_url}/data/{CONNECTION}/tags"
    )
    assert json.loads(first["prefect.asset.owners"]) == ["data team", "ann@example.com"]
    assert "prefect.asset.owners" not in second  # the run whose environment named none leaves those that Prefect knows
    contacts = next(
        event["resource"] for event in events if event["resource"]["prefect.resource.name"].endswith(" contacts")
    )
    assert "one row per id, with the newest updated_at." in contacts["prefect.asset.description"]


def alert_of(watched: Watched, subject: str) -> dict[str, str]:
    """The notification, which comes some time later."""
    for _ in range(120):
        if any(alert["subject"] == subject for alert in watched.alerts):
            break
        time.sleep(0.5)
    (alert,) = (alert for alert in watched.alerts if alert["subject"] == subject)
    return alert


def test_a_table_that_is_not_synced_in_time_is_an_alert(watched: Watched) -> None:
    """The automation of bootstrap, on a server that has to match its trigger with our events."""
    alert = alert_of(watched, f"Intercom: {CONNECTION} contacts has not been synced for three hours")
    assert f"Last sync of {CONNECTION} contacts: 20" in alert["body"]
    assert f"Run: {watched.runs[0]['id']}" in alert["body"]
    assert f"Lake: file://{watched.rig.lake_url}" in alert["body"]


def test_a_run_that_failed_is_one_alert_that_says_why(watched: Watched) -> None:
    alert = alert_of(watched, f"Intercom: run sync {CONNECTION} is Failed")
    assert "1 of 3 tables failed:" in alert["body"]
    assert "contacts failed: " in alert["body"]
    assert watched.runs[1]["id"] in alert["body"]


def test_no_secret_and_no_storage_option_is_shown(watched: Watched) -> None:
    watched.events("intercom-lake.table.synced", 5)
    assert watched.rig.server.token.encode() not in watched.prefect.stored()
    artifacts = watched.prefect.post("artifacts/filter", {"limit": 200})
    events = watched.prefect.post("events/filter", {"filter": {}, "limit": 50})
    assert OPTION not in json.dumps([artifacts, events])


def test_a_server_that_takes_neither_artifacts_nor_events_gets_a_warning_and_the_run_is_fine(watched: Watched) -> None:
    prefect, rig = watched.prefect, watched.rig
    rig.workspace.travel(60)
    rig.workspace.create("tags")
    with relayed(prefect, lambda _method, path: 500 if path.startswith("/artifacts") else None) as api:
        result = sync(prefect, rig, PREFECT_API_URL=api)
    assert result.returncode == 0, result.stderr
    for table in TABLES:
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, CONNECTION, table), table)
    run = prefect.newest_run()
    assert run["id"] not in [earlier["id"] for earlier in watched.runs]
    assert (run["state_type"], run["state"]["message"]) == ("COMPLETED", "3 tables are in the lake")
    assert (result.stdout + result.stderr).count("Prefect does not show all that this run did") == 1
    # Prefect's own thread of events logs a traceback when an event meets it just after it has given up.
    assert f'File "{ROOT}/intercom' not in result.stderr
