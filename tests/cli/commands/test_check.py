"""`intercom-lake check`: each line as it is when all is well, and when it is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from intercom.cli.commands.check import check
from intercom.cli.commands.check_steps import POLICY
from intercom.cli.options import list_of_names
from intercom.config.connection import Region
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.process import Process
from intercom.orchestration.server.provision import WORK_POOL
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection, Table
from tests.conftest import BUCKET
from tests.support.ports import free_port
from tests.support.prefect_server import Prefect, inherited
from tests.support.rig import BY_DEFAULT, CONNECTION, Rig

TOKEN = "dG9rOmEtdG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ=="


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, and an environment without settings of Prefect, Intercom or a proxy."""
    for name in [name for name in os.environ if name.upper().startswith(("PREFECT_", "INTERCOM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setattr("intercom.cli.commands.check_steps.POLICY", replace(POLICY, base_seconds=0.01))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def rig(here: Path, make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A workspace whose clock is right, with a connection in ./connections.yml; its token is in the environment."""
    small = {"contacts": 20, "companies": 8, "conversations": 12, "articles": 6}
    rig = make_rig(server={"token": TOKEN, "rate_limit": 500}, now=time.time(), lake=str(here / "lake"), **small)
    rig.connections_file(here)
    monkeypatch.setenv("INTERCOM_ACCESS_TOKEN", TOKEN)
    return rig


class Checked:
    """One check as `--json` tells it: its exit status, and the findings by name."""

    def __init__(self, capsys: pytest.CaptureFixture[str], **options: Any) -> None:
        capsys.readouterr()
        options = {"connection": CONNECTION, **options}
        if isinstance(options.get("tables"), str):
            options["tables"] = list_of_names(options["tables"])
        self.status = check(**options, json=True)
        printed = capsys.readouterr()
        assert printed.err == ""
        assert TOKEN not in printed.out
        self.told = json.loads(printed.out)
        assert (self.told["ok"], self.told["exit_status"]) == (self.status == 0, self.status)
        self.findings: list[dict[str, Any]] = self.told["checks"]

    def __getitem__(self, name: str) -> dict[str, Any]:
        (found,) = [finding for finding in self.findings if finding["check"] == name]
        return found

    def states(self) -> dict[str, str]:
        return {finding["check"]: finding["status"] for finding in self.findings}

    def failed(self) -> list[str]:
        return [finding["check"] for finding in self.findings if finding["status"] == "fail"]


@pytest.fixture
def checked(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    return lambda **options: Checked(capsys, **options)


Check = Callable[..., Checked]


def whole_text(finding: dict[str, Any]) -> str:
    return f"{finding['detail']} {finding.get('cure', '')}"


# -- all is well ------------------------------------------------------------------------------------------------------


def test_a_line_for_each_check_within_80_columns_and_nothing_is_made(
    rig: Rig, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(connection=CONNECTION) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0].startswith("  ok    connection       acme, from connections.yml")
    assert [line for line in lines if len(line) > 80 and str(here) not in line] == []
    named = [line[8:23].strip() for line in lines[:-1] if line[2:6].strip()]
    assert named == ["connection", "token", "rate limit", *BY_DEFAULT, "lake", "lock", "prefect"]
    assert "".join(line[2:6] for line in lines[:-1]).split() == ["ok"] * len(named)
    assert lines[-1] == "All is well."
    assert [path.name for path in here.iterdir()] == ["connections.yml"]
    assert not (here.parent / "prefect").exists()


RUN_AND_TELL = """
import sys
from intercom.cli.commands.check import check
light = not {"intercom.api", "intercom.lake", "pyarrow", "prefect"} & sys.modules.keys()
status = check(connection=sys.argv[1], tables=("tags",))
print("imported before", not light, "prefect", "prefect" in sys.modules)
sys.exit(status)
"""


def test_prefect_is_never_imported_and_nothing_is_logged(rig: Rig, here: Path, played: PlayedPrefect) -> None:
    rig.workspace.options.region = "EU"  # of which a run logs a warning
    block(played, access_token=TOKEN, base_url=rig.server.base_url)
    result = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, CONNECTION], env={**inherited(), "PREFECT_API_URL": played.url},
        cwd=here, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert "from block intercom-connection/acme" in " ".join(result.stdout.split())
    assert result.stdout.splitlines()[-1] == "imported before False prefect False"


PATIENT = f"""
from dataclasses import replace
from intercom.cli.commands import check_steps
check_steps.POLICY = replace(check_steps.POLICY, read_seconds=300.0)
{RUN_AND_TELL}
"""


def test_ctrl_c_waits_for_no_request(rig: Rig, here: Path) -> None:
    rig.server.fail("/tags", "delay", seconds=60, times=9)
    command = [sys.executable, "-c", PATIENT, CONNECTION]
    with subprocess.Popen(
        command, env={**inherited(), "INTERCOM_ACCESS_TOKEN": TOKEN, "PREFECT_HOME": str(here)}, cwd=here,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        for _ in range(600):
            if rig.server.requests("/tags"):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) != 0  # the request is answered after a minute
        finally:
            process.kill()
    assert not (here / "lake").exists()


def test_one_request_asks_for_one_record_of_each_table(rig: Rig, checked: Check) -> None:
    found = checked()
    assert found.status == 0
    assert found["contacts"]["facts"] == {"rows": 20}
    assert found["token"]["facts"] == {"workspace": "sbx7k2qd", "name": "Sandbox", "region": "us"}
    sent = [request.path for request in rig.server.requests()]
    assert sent[0] == "/me"
    wanted = [TABLES[name].list_path or TABLES[name].path for name in BY_DEFAULT for _ in TABLES[name].requests]
    assert sorted(sent[1:]) == sorted(wanted)


def test_only_the_named_tables_are_tried(rig: Rig, checked: Check) -> None:
    found = checked(tables="tags, teams")
    assert [name for name in found.states() if name in TABLES] == ["tags", "teams"]
    assert len(rig.server.requests()) == 3


def test_an_open_scroll_stays_undisturbed(rig: Rig, checked: Check) -> None:
    rig.workspace.options.scroll_page_size = 3
    api, path = rig.client().for_table("companies"), TABLES["companies"].path
    token = json.loads(bytes(api.get(path).fields["scroll_param"]))
    assert checked().status == 0
    assert len(json.loads(bytes(api.get(path, {"scroll_param": token}, once=True).fields["data"]))) == 3


# -- connection and token ---------------------------------------------------------------------------------------------


def test_the_connection_of_the_environment(rig: Rig, here: Path, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setattr(Region, "base_url", property(lambda _: rig.server.base_url))
    (here / "connections.yml").unlink()
    found = checked(connection="default", tables="tags")
    assert (found.status, found["connection"]["detail"]) == (0, "default, from the environment (INTERCOM_ACCESS_TOKEN)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("connections: [", "not YAML"),
        ("connections: {intercom: [{name: other, access_token: x}]}", "'other'"),
        ("connections: {intercom: [{name: acme, access_token: '${NOT_SET}'}]}", "NOT_SET"),
        ("connections: {intercom: [{name: acme, access_token: x, region: mars}]}", "us, eu, au"),
    ],
)
def test_a_connection_that_cannot_be_is_a_wrong_setting_and_the_lake_is_tried_all_the_same(
    text: str, told: str, here: Path, checked: Check
) -> None:
    (here / "connections.yml").write_text(text)
    found = checked()
    assert (found.status, found.failed()) == (2, ["connection"])
    assert told in whole_text(found["connection"])
    assert found["connection"]["cure"]
    assert list(found.states()) == ["connection", "lake", "lock", "prefect"]


def test_all_wrong_settings_are_told_together(rig: Rig, here: Path, checked: Check) -> None:
    found = checked(connection="--", tables="kontacts,foo,tags", lake="nosuch://lake")
    assert (found.status, found.failed()) == (2, ["tables", "connection", "lake"])
    tables = found["tables"]
    assert tables["facts"] == {"unknown": {"kontacts": "contacts", "foo": None}}
    assert "'kontacts', 'foo'" in tables["detail"]
    assert "did you mean contacts?" in tables["cure"]
    assert "data_attributes" in tables["cure"]
    assert "nosuch" in found["lake"]["detail"]
    assert rig.server.requests() == []


def test_the_right_ones_of_the_tables_are_tried_beside_wrong_ones(checked: Check) -> None:
    found = checked(tables="kontacts,tags")
    assert (found.status, found.failed()) == (2, ["tables"])
    assert found["tags"]["status"] == "ok"


def test_a_wrong_token_is_one_line_and_no_table_is_tried(rig: Rig, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("INTERCOM_ACCESS_TOKEN", "another-token-that-nobody-knows")
    found = checked()
    assert (found.status, found.failed()) == (1, ["token"])
    assert found["token"]["facts"] == {"http_status": 401, "code": "token_not_found"}
    assert "Developer Hub" in found["token"]["cure"]
    assert list(found.states()) == ["connection", "token", "lake", "lock", "prefect"]
    assert [request.path for request in rig.server.requests()] == ["/me"]


def test_a_token_of_another_region_is_told_with_the_region_that_takes_it(
    rig: Rig, here: Path, make_rig: Callable[..., Rig], checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {Region.US: make_rig(server={"token": "us"}), Region.EU: rig, Region.AU: make_rig(server={"token": "au"})}
    monkeypatch.setattr(Region, "base_url", property(lambda region: hosts[region].server.base_url))
    (here / "connections.yml").unlink()
    found = checked(connection="default")
    assert (found.status, found.failed()) == (2, ["region"])
    assert "region us refuses the token, and region eu takes it" in found["region"]["detail"]
    assert "region: eu" in found["region"]["cure"]
    assert [request.path for request in rig.server.requests()] == ["/me"]
    monkeypatch.setenv("INTERCOM_REGION", "eu")
    assert checked(connection="default").status == 0


def test_a_workspace_that_names_another_region_is_a_warning(rig: Rig, checked: Check) -> None:
    rig.workspace.options.region = "EU"
    found = checked(tables="tags")
    assert (found.status, found["region"]["status"]) == (0, "warn")
    assert found["region"]["detail"] == "the connection says us, the workspace eu"


def test_a_token_that_may_not_say_whose_it_is_is_a_warning_and_tables_are_tried(rig: Rig, checked: Check) -> None:
    rig.workspace.options.me_status = 403
    found = checked(tables="tags")
    assert (found.status, found["token"]["status"], found["tags"]["status"]) == (0, "warn", "ok")
    assert "Read admins" in found["token"]["cure"]


@pytest.mark.parametrize(
    ("status", "code", "check_name", "exit_status"),
    [
        (403, "api_plan_restricted", "token", 1),
        (402, None, "token", 1),
        (404, "not_found", "intercom", 2),
        (302, None, "intercom", 2),
        (503, None, "intercom", 1),
    ],
)
def test_what_stands_in_the_way_of_all_tables_is_one_line(
    status: int, code: str | None, check_name: str, exit_status: int, rig: Rig, checked: Check
) -> None:
    body = {"type": "error.list", "errors": [{"code": code, "message": "No."}]} if code else ""
    rig.server.fail("/me", status=status, body=body, times=9)
    found = checked()
    assert (found.status, found.failed()) == (exit_status, [check_name])
    assert not TABLES.keys() & found.states().keys()
    assert found[check_name]["facts"]["http_status"] == status
    assert found[check_name]["cure"]


def test_a_host_that_cannot_be_reached(here: Path, checked: Check) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (here / "connections.yml").write_text(
        f"connections: {{intercom: [{{name: acme, access_token: {TOKEN}, base_url: '{url}'}}]}}"
    )
    found = checked()
    assert (found.status, found.failed()) == (1, ["intercom"])
    assert url in found["intercom"]["detail"]
    assert "NewConnectionError" in found["intercom"]["detail"]


def test_a_clock_that_is_wrong_is_a_warning(rig: Rig, checked: Check) -> None:
    rig.workspace.travel(400)
    found = checked(tables="tags")
    assert (found.status, found["clock"]["status"]) == (0, "warn")
    assert found["clock"]["facts"]["seconds_apart"] == pytest.approx(400, abs=5)
    assert "behind Intercom" in found["clock"]["detail"]
    rig.workspace.travel(-900)
    assert "ahead of Intercom" in checked(tables="tags")["clock"]["detail"]


def test_answers_without_a_time_are_a_warning(rig: Rig, checked: Check) -> None:
    rig.server.fail("/me", status=200, body={"app": {"id_code": "sbx7k2qd"}}, headers={"Date": "none"})
    found = checked(tables="tags")
    assert (found.status, found["clock"]["status"]) == (0, "warn")
    assert "no Date header" in found["clock"]["detail"]


# -- rate limit and tables --------------------------------------------------------------------------------------------


def test_the_rate_limit_and_what_others_use_of_it(rig: Rig, here: Path, checked: Check) -> None:
    facts = checked(tables="tags")["rate limit"]["facts"]
    assert (facts["per_10s"], facts["cap"]) == (500, None)
    rig.workspace.travel(10)
    rig.server.other_usage(300)
    found = checked(tables="tags")
    assert (found.status, found["rate limit"]["status"]) == (0, "warn")
    assert found["rate limit"]["facts"]["used_by_others"] == 300
    text = (here / "connections.yml").read_text()
    (here / "connections.yml").write_text(f"{text}      requests_per_10s: 80\n")
    rig.workspace.travel(10)
    capped = checked(tables="tags")["rate limit"]
    assert (capped["status"], capped["facts"]["cap"]) == ("ok", 80)
    assert "others used none" in capped["detail"]
    assert "80 may be used" in capped["detail"]


def test_answers_without_a_rate_limit(rig: Rig, checked: Check) -> None:
    rig.server.rate_headers = False
    found = checked(tables="tags")["rate limit"]
    assert (found["status"], found["facts"]["per_10s"]) == ("note", None)
    assert "166 requests" in found["detail"]


ASKED = [table for table in TABLES.values() if table.parent is None]


@pytest.mark.parametrize("table", ASKED, ids=lambda table: table.name)
def test_a_table_that_the_token_may_not_read_is_told_with_its_permission(
    table: Table, rig: Rig, checked: Check
) -> None:
    rig.server.fail(table.list_path or table.path, status=403, times=9)
    found = checked(tables=table.name)
    assert (found.status, found.failed()) == (1, [table.name])
    finding = found[table.name]
    assert finding["detail"] == f"403 forbidden: the token may not read {table.name}"
    scope = table.scope[0].upper() + table.scope[1:]
    assert finding["cure"] == f'Grant "{scope}" in the Developer Hub, or leave the table out.'


def test_an_optional_table_that_the_token_may_not_read_is_a_note_unless_it_was_named(
    rig: Rig, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: TABLES[name] for name in ("tags", "teams")}
    few["teams"] = replace(few["teams"], selection=Selection.ALL, optional=True)
    monkeypatch.setattr("intercom.tables.selection.TABLES", few)
    rig.server.fail("/teams", status=403, times=9)
    found = checked(tables="all")
    assert (found.status, found["teams"]["status"]) == (0, "note")
    assert found["teams"]["detail"] == "the token may not read it without the permission 'read admins' (403 forbidden)"
    assert found["teams"]["cure"] == "Runs leave it out unless it is named, and end well."
    assert checked(tables="default,teams").failed() == ["teams"]


def test_a_table_that_is_made_of_another_one_is_not_asked_for(rig: Rig, checked: Check) -> None:
    found = checked(tables="contact_tags")
    assert found["contact_tags"]["detail"] == "is made of contacts, without a request"
    assert (found.status, found["contacts"]["status"]) == (0, "ok")  # which it brings
    assert len(rig.server.requests()) == 2  # one to say whose the token is, and one for contacts


def test_other_faults_of_a_table(rig: Rig, checked: Check) -> None:
    body = {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": "No."}]}
    rig.server.fail("/tags", status=400, body=body)
    rig.server.fail("/teams", status=503, times=9)
    rig.server.fail("/admins", status=401, times=9)
    found = checked(tables="tags,teams,admins")
    assert (found.status, found.failed()) == (1, ["tags", "admins", "teams"])
    assert found["tags"]["detail"].startswith("400 parameter_invalid: ")
    assert found["teams"]["detail"].startswith("no usable answer: status 503")
    assert found["admins"]["detail"] == "401 unauthorized: the token may not read admins"


# -- the lake ---------------------------------------------------------------------------------------------------------


def test_a_lake_in_use_is_named_and_left_as_it_was(rig: Rig, checked: Check) -> None:
    rig.sync(["tags"])
    before = rig.lake().stamps("")
    found = checked()
    assert found.status == 0
    assert found["lake"]["facts"]["id"] == rig.lake().identity().id
    assert found["workspace"]["status"] == "ok"
    assert rig.lake().stamps("") == before


def test_a_lake_of_another_workspace_is_told(rig: Rig, checked: Check) -> None:
    rig.sync(["tags", "teams"])
    rig.workspace.options.app_id = "other123"
    found = checked()
    assert (found.status, found.failed()) == (2, ["workspace"])
    assert found["workspace"]["facts"] == {"lake": "sbx7k2qd", "token": "other123", "tables": ["tags", "teams"]}
    assert checked(tables="admins").status == 0


def test_a_lake_that_cannot_be_written(rig: Rig, here: Path, checked: Check) -> None:
    (here / "lake").write_text("a file in place of a folder")
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["lake"])
    assert found["lake"]["detail"].startswith("Cannot ")
    assert found["lake"]["cure"]
    assert found["tags"]["status"] == "ok"


def test_a_lake_that_is_damaged_or_of_a_later_version(rig: Rig, checked: Check) -> None:
    for text, told in ((b"{}", "is damaged"), (b'{"id": "x", "format": 99}', "format 99")):
        rig.lake().write_bytes("_state/lake.json", text)
        found = checked(tables="tags")
        assert (found.status, found.failed()) == (1, ["lake"])
        assert told in found["lake"]["detail"]


def test_a_lake_on_s3(rig: Rig, checked: Check, s3_storage: dict[str, Any]) -> None:
    options = json.dumps({"endpoint_url": s3_storage["endpoint_url"]})
    found = checked(tables="tags", lake=f"s3://{BUCKET}/some/lake", storage_options=options)
    assert found.status == 0
    assert "a changed file is not replaced" in found["lock"]["detail"]
    missing = checked(tables="tags", lake="s3://no-such-bucket-here/lake", storage_options=options)
    assert (missing.status, missing.failed()) == (1, ["lake"])
    assert "bucket" in missing["lake"]["cure"]


def test_a_store_without_locks_is_a_warning(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intercom.lake.object_store.create", lambda *_: True)
    found = checked(tables="tags", lake="memory://check-without-locks")
    assert (found.status, found["lock"]["status"]) == (0, "warn")
    assert "a second one replaced the first" in found["lock"]["detail"]
    assert "concurrency limit" in found["lock"]["cure"]


def test_secret_or_broken_storage_options_are_a_wrong_setting(checked: Check) -> None:
    for given, told in (
        ('{"secret": "very-secret-value"}', "holds a secret"),
        ("{", "no JSON object"),
        ("nosuch/block", "name no block"),
        ("secret/lake", "no Prefect API is configured"),
    ):
        found = checked(tables="tags", storage_options=given)
        assert (found.status, found.failed()) == (2, ["lake"]), given
        assert told in found["lake"]["detail"]
        assert "very-secret" not in str(found.told)


def test_a_run_that_holds_tables_is_told_and_is_no_fault(rig: Rig, checked: Check) -> None:
    with TableLocks(rig.lake(), CONNECTION, ["tags", "teams"], "run-9"):
        found = checked(tables="tags")
    assert (found.status, found["running"]["status"]) == (0, "note")
    assert found["running"]["facts"]["tables"] == ["tags", "teams"]
    assert "run run-9" in found["running"]["detail"]
    assert "at work" in found["running"]["detail"]
    assert "running" not in checked(tables="tags").states()


def test_the_lock_of_a_run_that_died_or_is_elsewhere(rig: Rig, checked: Check) -> None:
    here = Process.current()
    TableLocks(rig.lake(), CONNECTION, ["tags"], "dead", process=replace(here, started=1)).acquire()
    assert "has died" in checked(tables="tags")["running"]["detail"]
    shutil.rmtree(rig.lake_folder / "_locks")
    TableLocks(rig.lake(), CONNECTION, ["tags"], "away", process=replace(here, host="elsewhere")).acquire()
    assert "last sign of life" in checked(tables="tags")["running"]["detail"]


# -- Prefect ----------------------------------------------------------------------------------------------------------


class PlayedPrefect(ThreadingHTTPServer):
    """Answers some paths as Prefect's API does, 404 all others; `status` for all of them if it is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {"/api/health": True, "/api/admin/version": version("prefect")}
        self.status: int | None = None
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class _Handler(BaseHTTPRequestHandler):
    server: PlayedPrefect

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        there = path in self.server.answers
        answer = self.server.answers.get(path, {"detail": "Not Found"})
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(self.server.status or (200 if there else 404))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def played(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedPrefect]:
    with PlayedPrefect() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", server.url)
        yield server
        server.shutdown()
        thread.join()


def test_an_api_that_is_not_configured_is_no_fault(checked: Check) -> None:
    found = checked(tables="tags")
    assert found["prefect"]["facts"] == {"url": None}
    assert "temporary server" in found["prefect"]["detail"]
    assert "not looked at" in found["prefect"]["detail"]


def test_an_api_that_is_not_configured_with_no_temporary_one_allowed(checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (2, ["prefect"])


def test_an_api_where_nobody_listens_and_the_rest_is_tried_all_the_same(checked: Check, monkeypatch: Any) -> None:
    url = f"http://user:very-secret@127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["prefect"])
    assert "nobody listens there" in found["prefect"]["detail"]
    assert "from the environment" in found["prefect"]["detail"]
    assert "block of the connection could not be looked for" in found["prefect"]["cure"]
    assert "very-secret" not in str(found.told)
    assert found["connection"]["detail"].startswith("acme, from connections.yml")


def test_an_api_that_answers_and_what_is_not_set_up(played: PlayedPrefect, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_very_secret")
    found = checked(tables="tags")
    assert (found.status, found["prefect"]["facts"]["version"]) == (0, version("prefect"))
    assert found["deployments"]["status"] == "note"
    missing = ["block type intercom-connection", f"work pool {WORK_POOL}", "limit intercom-sync-acme"]
    assert found["deployments"]["facts"]["missing"] == missing
    assert {key for _, key in played.asked} == {"Bearer pnu_very_secret"}
    assert "very_secret" not in str(found.told)
    played.answers |= {
        "/api/block_types/slug/intercom-connection": {},
        f"/api/work_pools/{WORK_POOL}": {},
        "/api/v2/concurrency_limits/intercom-sync-acme": {},
    }
    assert checked(tables="tags")["deployments"]["status"] == "ok"


@pytest.mark.parametrize(
    ("theirs", "state", "status"), [("2.20.0", "fail", 1), ("3.0.1", "warn", 0), ("3.999.0", "ok", 0)]
)
def test_a_server_of_another_version(
    theirs: str, state: str, status: int, played: PlayedPrefect, checked: Check
) -> None:
    played.answers["/api/admin/version"] = theirs
    found = checked(tables="tags")
    assert (found.status, found["prefect"]["status"]) == (status, state)
    assert f"version {theirs}, and {version('prefect')} here" in found["prefect"]["detail"]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"{}", "PREFECT_API_KEY"),
        (500, b"{}", "status 500"),
        (503, b"{}", "status 503"),
        (None, b"<html>", "ends with /api"),
        (404, b"{}", "ends with /api"),
    ],
)
def test_something_else_than_an_api(
    status: int | None, body: bytes, told: str, played: PlayedPrefect, checked: Check, monkeypatch: Any
) -> None:
    monkeypatch.setattr("intercom.orchestration.server.plain_api._PAUSE_SECONDS", 0.01)
    played.status, played.answers["/api/health"] = status, body
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["prefect"])
    assert told in whole_text(found["prefect"])


def block(played: PlayedPrefect, **values: Any) -> None:
    played.answers["/api/block_types/slug/intercom-connection/block_documents/name/acme"] = {"data": values}


def test_a_block_counts_before_the_file(rig: Rig, here: Path, played: PlayedPrefect, checked: Check) -> None:
    (here / "connections.yml").write_text("this is not looked at: [")
    block(played, access_token=TOKEN, base_url=rig.server.base_url, region="us", requests_per_10s=80)
    found = checked(tables="tags")
    assert found.status == 0
    assert found["connection"]["detail"].startswith("acme, from block intercom-connection/acme")
    assert found["rate limit"]["facts"]["cap"] == 80


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "access_token"),
        ({"access_token": TOKEN, "requests_per_10s": "many"}, "requests_per_10s"),
        ({"access_token": TOKEN, "region": "mars"}, "us, eu, au"),
        ({"access_token": "two words"}, "no token has"),
        ({"access_token": TOKEN, "base_url": 5}, "base_url"),
    ],
)
def test_a_block_that_cannot_be(values: dict[str, Any], told: str, played: PlayedPrefect, checked: Check) -> None:
    block(played, **values)
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (2, ["connection"])
    assert told in whole_text(found["connection"])
    assert "block intercom-connection/acme" in found["connection"]["detail"]


def test_storage_options_of_a_block(played: PlayedPrefect, checked: Check, s3_storage: dict[str, Any]) -> None:
    name = "/api/block_types/slug/secret/block_documents/name/lake"
    played.answers[name] = {"data": {"value": {"endpoint_url": s3_storage["endpoint_url"]}}}
    found = checked(tables="tags", lake=f"s3://{BUCKET}/lake", storage_options="secret/lake")
    assert (found.status, found["lake"]["status"]) == (0, "ok")
    missing = checked(tables="tags", lake=f"s3://{BUCKET}/lake", storage_options="secret/other")
    assert (missing.status, missing.failed()) == (2, ["lake"])
    assert "has no such" in missing["lake"]["detail"]


@pytest.mark.slow
def test_a_real_server_with_a_block(
    rig: Rig, here: Path, prefect: Prefect, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "connections.yml").unlink()
    monkeypatch.setenv("PREFECT_API_URL", prefect.api)
    prefect.save_connection("checked-one", rig)
    found = checked(connection="checked_one")
    assert found.status == 0, found.told
    assert found["connection"]["detail"].startswith("checked_one, from block intercom-connection/checked-one")
    assert found["prefect"]["facts"]["version"] == version("prefect")
    assert "limit intercom-sync-checked-one" in found["deployments"]["facts"]["missing"]
    prefect.post("v2/concurrency_limits/", {"name": "intercom-sync-checked-one", "limit": 1})
    missing = checked(connection="checked_one", tables="tags")["deployments"]["facts"]["missing"]
    assert "limit intercom-sync-checked-one" not in missing
    assert "block type intercom-connection" not in missing
    assert checked(connection="checked-two").failed() == ["connection"]
