"""`python deployments/bootstrap.py` against a Prefect server: what it makes, what it leaves, what moves with it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from intercom.blocks import IntercomConnection, connection_of
from intercom.config.connections_file import _KEYS
from intercom.config.lookup import read_connections_file
from intercom.orchestration.server.automations import _without_ids
from intercom.orchestration.server.provision import LEASE_STORAGE
from intercom.tables.catalogue import TABLES
from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig
from tests.support.truth import assert_exact, read_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = "deployments/bootstrap.py"


@pytest.fixture(scope="module")
def prefect(own_prefect: Prefect) -> Prefect:
    """With nothing in it at first."""
    return own_prefect


@pytest.fixture(autouse=True)
def without_connections(prefect: Prefect) -> Iterator[None]:
    """For the next test, since this one's workspace is about to go."""
    yield
    prefect.forget_connections()


def bootstrap(prefect: Prefect, *options: str | Path, **environment: str) -> list[str]:
    """The lines of a run that succeeded, without the first, which names the server."""
    done = prefect.run(SCRIPT, *map(str, options), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


def refusal(prefect: Prefect, *options: str | Path, **environment: str) -> str:
    """What a run says that failed, in one line, having changed nothing."""
    before = everything(prefect)
    done = prefect.run(SCRIPT, *map(str, options), **environment)
    assert done.returncode == 2, done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert everything(prefect) == before
    return done.stderr


CHANGED = ("block_type", "block_schema", "block_document", "work_pool", "concurrency_limit_v2", "automation")
"""Tables of Prefect's database with all that it can change."""


def everything(prefect: Prefect) -> list[list[tuple[Any, ...]]]:
    """All rows, with the times of the latest changes."""
    with closing(sqlite3.connect(prefect.home / "prefect.db")) as database:
        return [database.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in CHANGED]


def connections(file: Path, *entries: str) -> Path:
    file.write_text("connections:\n  intercom:\n" + "".join(f"    - {{{entry}}}\n" for entry in entries))
    return file


def watermarks(prefect: Prefect, connection: str) -> dict[str, Any]:
    found = prefect.post("block_documents/filter", {"limit": 200})
    mine = [document for document in found if document["data"].get("connection") == connection]
    return {document["name"]: document["data"] for document in mine}


def sync(prefect: Prefect, rig: Rig, *tables: str) -> list[list[str]]:
    """The table that a run prints, by words."""
    done = prefect.run(
        "flows/sync.py", "--connection", CONNECTION, "--lake", rig.lake_url, "--tables", ",".join(tables)
    )
    assert done.returncode == 0, done.stderr
    for table in tables:
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, CONNECTION, table), table)
    return [line.split() for line in done.stdout.splitlines()]


def test_the_order_of_a_triggers_events_makes_no_other_automation() -> None:
    one, other = ({"id": key, "expect": events, "within": 1} for key, events in (("a", ["x", "y"]), ("b", ["y", "x"])))
    assert _without_ids({"trigger": one}) == _without_ids({"trigger": other})
    assert _without_ids({"trigger": one}) != _without_ids({"trigger": {**other, "within": 2}})


def test_all_is_made_once_and_a_second_time_changes_nothing(prefect: Prefect) -> None:
    made = bootstrap(prefect)
    # A server that is started where the package is installed finds the blocks of collections by itself.
    installed = entry_points(group="prefect.collections", name="intercom_lake")
    registered = "already there" if installed else "created"
    assert made == [
        f"block type intercom-connection: {registered}",
        f"block type intercom-watermark: {registered}",
        "work pool local-process: created",
        "limit intercom-sync-default: created",
        "note: this server keeps leases in memory. If it restarts while a run is working, it may cancel the "
        f"deployment's later runs until that one is cancelled. Start it with {LEASE_STORAGE}",
    ]
    before = everything(prefect)
    assert bootstrap(prefect) == [line.replace("created", "already there") for line in made]
    assert everything(prefect) == before
    assert "IntegrityError" not in (prefect.home / "server.log").read_text()  # what is there is not created once more
    kind = prefect.get("block_types/slug/intercom-connection")
    assert kind["logo_url"].startswith("https://")
    assert "Developer Hub" in str(prefect.post("block_schemas/filter", {"limit": 200}))
    assert prefect.get("work_pools/local-process")["base_job_template"]["variables"]["properties"]["env"]


def test_connections_of_a_file_are_saved_updated_and_used(prefect: Prefect, rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "connections.yml"
    entry = f'name: {CONNECTION}, access_token: "${{TOKEN}}", base_url: "{rig.server.base_url}"'
    away = 'name: "My EU", access_token: other, region: eu, base_url: "http://127.0.0.1:9"'
    connections(file, entry + ", requests_per_10s: 80", away)
    named = f"connection {CONNECTION} (block intercom-connection/{CONNECTION}): "
    first = bootstrap(prefect, "--connections-file", file, TOKEN="old")
    assert named + "created" in first
    assert "connection My EU (block intercom-connection/my-eu): created" in first
    assert {f"limit intercom-sync-{CONNECTION}: created", "limit intercom-sync-my-eu: created"} <= set(first)
    refused = next(line for line in first if f"whose token connection {CONNECTION} has" in line)
    assert refused.startswith("warning: ")
    assert "status 401" in refused
    assert any(line.startswith("note: connection my-eu was not tried") for line in first)
    assert not any("intercom-scroll" in line for line in first)
    prefect.forget_connections("my-eu")  # each run below would try it, for a second
    connections(file, entry + ", requests_per_10s: 80")
    assert named + "already there" in bootstrap(prefect, "--connections-file", file, TOKEN="old")
    connections(file, entry)
    second = bootstrap(prefect, "--connections-file", file, TOKEN=rig.server.token)
    assert named + "updated: access_token, requests_per_10s" in second
    assert f"limit intercom-sync-{CONNECTION}: already there" in second
    workspace = rig.workspace.options.app_id
    scrolls = f"limit intercom-scroll-{workspace}: "
    assert f"connection {CONNECTION}: Intercom takes its token, of workspace {workspace}" in second
    assert scrolls + "created" in second
    assert scrolls + "already there" in bootstrap(prefect)
    saved = prefect.get(f"block_types/slug/intercom-connection/block_documents/name/{CONNECTION}?include_secrets=true")
    assert saved["data"] == {"access_token": rig.server.token, "region": "us", "base_url": rig.server.base_url}
    assert not any(rig.server.token in line for line in first + second)
    sync(prefect, rig, "tags")


FULL = """\
connections:
  intercom:
    - name: protected
      access_token: {token}
      base_url: {url}
      requests_per_10s: 150
      requests_in_flight: 8
      deleted: mark
      hash_key: ${{HASH_KEY}}
      columns:
        contacts:
          exclude: [avatar, _extra.beta_score, [custom_attributes, first.name]]
          hash: [email]
          mask: [name, location_city]
"""


def test_a_block_has_all_that_its_entry_says(prefect: Prefect, rig: Rig, tmp_path: Path) -> None:
    """A block counts before the file: whatever it lacked would reach the lake as it is."""
    file = tmp_path / "connections.yml"
    file.write_text(FULL.format(token=rig.server.token, url=rig.server.base_url))
    secret = "0123456789abcdef" * 4
    written = read_connections_file(file, {"HASH_KEY": secret})["protected"]
    assert set(_KEYS) == {"name", *IntercomConnection.model_fields}  # one that is new is in the file above, too
    named = "connection protected (block intercom-connection/protected): "
    assert named + "created" in bootstrap(prefect, "--connections-file", file, HASH_KEY=secret)
    path = "block_types/slug/intercom-connection/block_documents/name/protected?include_secrets=true"
    block = IntercomConnection.model_validate(prefect.get(path)["data"])
    assert connection_of(block, "protected", "block") == written
    assert written.settings.rules
    assert named + "already there" in bootstrap(prefect, "--connections-file", file, HASH_KEY=secret)

    options = ("--connection", "protected", "--lake", rig.lake_url, "--tables", "contacts")
    done = prefect.run("flows/sync.py", *options)
    assert done.returncode == 0, done.stderr
    copied = TABLES["contacts"].configured(written.settings)
    rows = read_lake(rig.lake_url, "protected", copied).to_pylist()
    assert len(rows) == len(rig.workspace.rows("contacts"))
    assert {row["name"] for row in rows} <= {"[masked]", None}
    assert all(re.fullmatch("[0-9a-f]{64}", row["email"]) for row in rows if row["email"] is not None)
    assert not any("avatar" in row for row in rows)
    assert all("_deleted_at" in row for row in rows)

    weaker = re.sub(r"      columns:\n(.+\n)+", "", file.read_text())
    file.write_text(weaker)
    assert named + "updated: columns" in bootstrap(prefect, "--connections-file", file, HASH_KEY=secret)


def test_a_wrong_connections_file_changes_nothing(prefect: Prefect, tmp_path: Path) -> None:
    file = tmp_path / "connections.yml"
    connections(file, "name: one, access_token: token", 'name: two, access_token: "${NOBODY_SET_THIS}"')
    assert "NOBODY_SET_THIS is not set" in refusal(prefect, "--connections-file", file)
    connections(file, "name: my_one, access_token: token", "name: my-one, access_token: token")
    assert "'my_one' and 'my-one' are the same" in refusal(prefect, "--connections-file", file)


def test_a_server_that_is_not_there_is_told_in_a_sentence(prefect: Prefect) -> None:
    told = refusal(prefect, PREFECT_API_URL="http://me:hidden@127.0.0.1:9/api")
    assert "does not answer" in told
    assert "hidden" not in told
    told = refusal(prefect, PREFECT_API_URL=f"http://me:hidden@127.0.0.1:{prefect.port}/wrong")
    assert "404" in told
    assert "hidden" not in told
    assert "No Prefect server is configured" in refusal(prefect, PREFECT_API_URL="")


def save_as(prefect: Prefect, slug: str, name: str, fields: list[str], data: dict[str, Any]) -> None:
    """A document as another version of this package has saved it: with a schema of other fields."""
    kind = prefect.get(f"block_types/slug/{slug}")
    text: dict[str, Any] = {"type": "string"}
    schema = {
        "title": slug, "type": "object", "properties": dict.fromkeys(fields, text), "required": [],
        "block_type_slug": slug, "block_schema_references": {},
        "secret_fields": ["access_token"] if "access_token" in fields else [],
    }  # fmt: skip
    made = prefect.post("block_schemas/", {"fields": schema, "block_type_id": kind["id"], "capabilities": []})
    document = {"name": name, "data": data, "block_schema_id": made["id"], "block_type_id": kind["id"]}
    prefect.post("block_documents/", document)


def test_documents_of_older_and_of_newer_versions_are_read_and_get_the_present_form(prefect: Prefect, rig: Rig) -> None:
    bootstrap(prefect)
    url, token = rig.server.base_url, rig.server.token
    first = ["access_token", "region", "base_url", "requests_per_10s"]  # fields of the first version
    save_as(prefect, "intercom-connection", "old", first, {"access_token": token, "base_url": url})
    newer = {"access_token": token, "base_url": url, "of_a_later_version": "x"}
    save_as(prefect, "intercom-connection", "new", [*first, "of_a_later_version"], newer)
    names = ["connection", "table", "lake_id", "lake_url", "cursor_field"]
    lake = rig.lake().identity().id
    data = dict(zip(names, ["old", "articles", lake, rig.lake_url, "updated_at"], strict=True))
    save_as(prefect, "intercom-watermark", f"old-articles-{lake[:8]}", names, data)
    for connection in ("old", "new"):
        options = ("--connection", connection, "--lake", rig.lake_url, "--tables", "articles")
        assert prefect.run("flows/sync.py", *options).returncode == 0
        assert_exact(rig.workspace.rows("articles"), read_lake(rig.lake_url, connection, "articles"), "articles")
    lines = bootstrap(prefect)
    assert "block intercom-connection/old: updated to the form of this version" in lines
    for name, was in (("old", {"access_token": token, "base_url": url}), ("new", newer)):
        path = f"block_types/slug/intercom-connection/block_documents/name/{name}?include_secrets=true"
        document = prefect.get(path)
        assert document["data"] == was
        assert "requests_in_flight" in document["block_schema"]["fields"]["properties"]
    assert not [line for line in bootstrap(prefect) if "updated" in line]


def change(prefect: Prefect, slug: str, name: str, **values: Any) -> None:
    """What somebody does to a document by hand."""
    document = prefect.get(f"block_types/slug/{slug}/block_documents/name/{name}?include_secrets=true")
    data = {**document["data"], **values}
    prefect.patch(f"block_documents/{document['id']}", {"data": data, "merge_existing_data": False})


def test_a_damaged_watermark_is_passed_over_and_a_damaged_connection_is_named(prefect: Prefect, rig: Rig) -> None:
    prefect.save_connection(CONNECTION, rig)
    sync(prefect, rig, "articles")
    name = f"{CONNECTION}-articles-{rig.lake().identity().id[:8]}"
    good = watermarks(prefect, CONNECTION)[name]["value"]
    change(prefect, "intercom-watermark", name, value="")
    options = ("--connection", CONNECTION, "--lake", rig.lake_url, "--tables", "articles")
    done = prefect.run("flows/sync.py", *options)
    assert done.returncode == 0, done.stderr
    told = f"what the lake's own record says counts instead. block intercom-watermark/{name}, 'value': no time"
    assert told in done.stderr
    assert watermarks(prefect, CONNECTION)[name]["value"] == good

    change(prefect, "intercom-connection", CONNECTION, region="EU", requests_per_10s="many")
    rig.server.clear_log()
    done = prefect.run("flows/sync.py", *options)
    assert done.returncode == 2
    fault = f"block intercom-connection/{CONNECTION}: region: Input should be 'us', 'eu' or 'au'; requests_per_10s: "
    assert fault in done.stderr
    assert rig.server.token not in done.stdout + done.stderr
    assert not rig.server.log
    assert f"warning: runs over connection {CONNECTION} will fail: {fault}" in "\n".join(bootstrap(prefect))


def notifier(prefect: Prefect, name: str) -> str:
    """A notification block, given as bootstrap takes it."""
    program = (
        "import sys; from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook\n"
        "Webhook(name='inbox', url='http://127.0.0.1:9').save(sys.argv[1])"
    )
    saved = prefect.run("-c", program, name)
    assert saved.returncode == 0, saved.stderr
    return f"custom-webhook/{name}"


def automations(prefect: Prefect) -> dict[str, Any]:
    return {one["name"]: one for one in prefect.post("automations/filter", {"limit": 200})}


FAILED, NOT_SYNCED = "automation intercom-run-failed: ", "automation intercom-table-not-synced: "


def test_two_automations_are_made_once_and_updated_when_they_differ(prefect: Prefect) -> None:
    team, others = notifier(prefect, "team"), notifier(prefect, "others")
    assert bootstrap(prefect, "--notify", team)[-2:] == [FAILED + "created", NOT_SYNCED + "created"]
    before = everything(prefect)
    assert bootstrap(prefect, "--notify", team)[-2:] == [FAILED + "already there", NOT_SYNCED + "already there"]
    assert not [line for line in bootstrap(prefect) if "automation" in line]
    assert everything(prefect) == before
    made = automations(prefect)
    assert set(made) == {"intercom-run-failed", "intercom-table-not-synced"}
    assert made["intercom-table-not-synced"]["trigger"]["within"] == 3 * 3600

    off = made["intercom-run-failed"]
    prefect.patch(f"automations/{off['id']}", {"enabled": False})
    assert bootstrap(prefect, "--notify", others)[-2:] == [FAILED + "updated", NOT_SYNCED + "updated"]
    changed = automations(prefect)
    assert {name: one["id"] for name, one in changed.items()} == {name: one["id"] for name, one in made.items()}
    blocks = {one["actions"][0]["block_document_id"] for one in changed.values()}
    assert blocks == {prefect.get("block_types/slug/custom-webhook/block_documents/name/others")["id"]}
    assert not changed["intercom-run-failed"]["enabled"]
    assert changed["intercom-table-not-synced"]["enabled"]


@pytest.mark.parametrize(
    "reference", ["slack-webhook/nobody", "inbox", "custom-webhook/", "intercom-connection/quiet", "no-such-type/x"]
)
def test_a_block_that_cannot_notify_is_told_with_those_that_can(prefect: Prefect, rig: Rig, reference: str) -> None:
    prefect.save_connection("quiet", rig)
    there = {one["name"] for one in prefect.post("block_documents/filter", {"limit": 200})}
    if "known" not in there:
        notifier(prefect, "known")
    told = refusal(prefect, "--notify", reference)
    assert f"no notification block '{reference}'" in told
    assert "custom-webhook/known" in told
    assert "Nothing was changed" in told


def test_a_mistyped_option_is_told(prefect: Prefect) -> None:
    done = prefect.run(SCRIPT, "--notfiy", "custom-webhook/team")
    assert done.returncode == 2
    assert "--notfiy" in done.stderr
