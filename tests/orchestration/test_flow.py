"""The flow as people run it: `python flows/sync.py` as a process, against a Prefect server and a sandbox."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intercom.orchestration.prepare import prepare_run
from intercom.orchestration.tasks import merge_months, merge_table, sync_table
from tests.conftest import BUCKET
from tests.support.prefect_server import ROOT, Prefect, inherited
from tests.support.rig import BY_DEFAULT, CONNECTION, Rig
from tests.support.signals import children_get_sigint
from tests.support.truth import assert_exact, read_lake

pytestmark = pytest.mark.slow


@pytest.fixture
def shell(prefect: Prefect, rig: Rig, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python flows/sync.py` for the rig's workspace and lake, the token in the environment."""
    file = rig.connections_file(tmp_path)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return prefect.run(
            "flows/sync.py", "--connection", CONNECTION, "--connections-file", str(file), "--lake", rig.lake_url,
            *options, INTERCOM_ACCESS_TOKEN=rig.server.token,
        )  # fmt: skip

    return run


def check(rig: Rig, tables: Any = BY_DEFAULT) -> None:
    for table in tables:
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, CONNECTION, table), table)


def oldest(query: dict[str, Any]) -> int:
    """The earliest second that a search asks for."""
    if query["operator"] in ("AND", "OR"):
        return min(oldest(part) for part in query["value"])
    return int(query["value"]) if query["operator"] == ">" else sys.maxsize


def test_two_runs_from_the_shell_are_exact(prefect: Prefect, rig: Rig, shell: Callable[..., Any]) -> None:
    first = shell()
    assert first.returncode == 0, first.stderr
    check(rig)
    rig.workspace.travel(60)
    for row in rig.workspace.rows("contacts")[::9]:
        rig.workspace.update("contacts", row["id"], name="changed")
    rig.workspace.create("conversations")
    rig.workspace.travel(1)
    seen = max(row["updated_at"] for row in rig.workspace.rows("conversations")[:-1])
    rig.server.clear_log()
    second = shell("--lookback", "1h,conversations=2d")
    assert second.returncode == 0, second.stderr
    check(rig)
    asked = [oldest(request.body["query"]) for request in rig.server.requests("/conversations/search") if request.body]
    assert seen - 2 * 86_400 - 60 <= min(asked) <= seen - 2 * 86_400
    printed = [line.split() for line in second.stdout.splitlines()]
    contacts = next(line for line in printed if line[:1] == ["contacts"])
    changed = len(rig.workspace.rows("contacts")[::9])
    assert contacts[3] == str(changed)  # table, rows read, new, changed
    for output in (first.stdout, first.stderr, second.stdout, second.stderr):
        assert rig.server.token not in output
    assert rig.server.token.encode() not in prefect.stored()


def test_quiet_prints_nothing_and_json_one_object(rig: Rig, shell: Callable[..., Any]) -> None:
    quiet = shell("--tables", "tags,teams", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    told = json.loads(shell("--tables", "tags,articles", "--json").stdout)
    assert told["state"] == "completed"
    articles, tags = told["tables"]
    assert (articles["table"], articles["new"]) == ("articles", len(rig.workspace.rows("articles")))
    assert (tags["table"], tags["unchanged"]) == ("tags", len(rig.workspace.rows("tags")))
    newest = datetime.fromtimestamp(max(row["updated_at"] for row in rig.workspace.rows("articles")), UTC)
    assert datetime.fromisoformat(articles["watermark_after"]) == newest
    rig.server.fail("/teams", kind="status", status=403, times=100)
    failed = shell("--tables", "tags,teams", "--json")
    assert failed.returncode == 1
    assert [(one["table"], one["error"] is None) for one in json.loads(failed.stdout)["tables"]] == [
        ("tags", True),
        ("teams", False),
    ]
    quiet = shell("--tables", "tags,teams", "--quiet")
    assert (quiet.returncode, quiet.stdout) == (1, "")
    assert quiet.stderr.count("teams failed") == 1


WITH_PROGRESS = """
import sys
import intercom.orchestration.observe.progress
from intercom.cli.run import run_from_shell
intercom.orchestration.observe.progress._FIRST_ARTIFACT_SECONDS = 0.0
raise SystemExit(run_from_shell("flows/sync.py", sys.argv[1:]))
"""


def artifacts_now(prefect: Prefect) -> dict[str, Any]:
    """Key -> data of the newest artifacts."""
    return {one["key"]: one["data"] for one in prefect.post("artifacts/latest/filter", {"limit": 200})}


def test_watermarks_are_blocks_and_the_overview_is_an_artifact(prefect: Prefect, rig: Rig, tmp_path: Path) -> None:
    """The progress of tables, which only longer reads have, stays until a run has ended well."""

    def sync() -> Any:
        return prefect.run(
            "-c", WITH_PROGRESS, "--connection", CONNECTION, "--connections-file", str(rig.connections_file(tmp_path)),
            "--lake", rig.lake_url, "--tables", "contacts,tags", INTERCOM_ACCESS_TOKEN=rig.server.token,
            INTERCOM_REPORT_URL="https://reports.example.com/{connection}.html",
        )  # fmt: skip

    rig.server.fail("/contacts/search", kind="status", status=403, times=100)
    assert sync().returncode == 1
    shown = artifacts_now(prefect)
    assert shown["intercom-acme-tags-progress"] == 100
    assert shown["intercom-acme-contacts-progress"] == 0
    assert "- contacts, " in shown["intercom-acme"]
    rig.server.clear_faults()
    result = sync()
    assert result.returncode == 0, result.stderr
    lake_id = rig.lake().identity().id
    documents = prefect.post("block_documents/filter", {"limit": 200})
    document = next(entry for entry in documents if entry["name"] == f"acme-contacts-{lake_id[:8]}")
    newest = max(row["updated_at"] for row in rig.workspace.rows("contacts"))
    assert document["data"]["lake_id"] == lake_id
    assert document["data"]["rows"] == len(rig.workspace.rows("contacts"))
    state = json.loads((rig.lake_folder / "_state" / CONNECTION / "contacts.json").read_text())
    assert document["data"]["value"] == state["watermark"]
    assert newest == rig.sync(["contacts"])["contacts"][0].watermark_before
    overview, run = artifacts_now(prefect)["intercom-acme"].split("### Latest run: sync, ")
    assert "| contacts |" in overview
    assert "- contacts, " in overview  # the error of the run before
    assert "| contacts |" in run
    assert run.endswith("[the report](https://reports.example.com/acme.html)")
    assert not [key for key in artifacts_now(prefect) if key.startswith("intercom-acme-") and "progress" in key]
    (failed, good) = (json.loads(file.read_text()) for file in sorted((rig.lake_folder / "_state/acme/runs").iterdir()))
    assert (failed["state"], good["state"]) == ("failed", "completed")
    assert good["run_id"] in run
    assert [one["rows"] for one in good["lake_tables"]] == [
        len(rig.workspace.rows(one)) for one in ("contacts", "tags")
    ]


def test_a_lake_on_s3_is_found_by_fsspecs_own_configuration(
    rig: Rig, shell: Callable[..., Any], s3_storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3_storage["endpoint_url"])
    lake = f"s3://{BUCKET}/from/the/shell"
    result = shell("--tables", "tags,articles", "--lake", lake)
    assert result.returncode == 0, result.stderr
    for table in ("tags", "articles"):
        assert_exact(rig.workspace.rows(table), read_lake(lake, CONNECTION, table, **s3_storage), table)


def test_a_block_has_the_options_of_the_lakes_store(
    prefect: Prefect, rig: Rig, shell: Callable[..., Any], s3_storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys come from nowhere else, and do not end up in the run's parameters, nor anywhere in clear."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keys = {"key": "test", "secret": "hidden-in-the-block", "endpoint_url": s3_storage["endpoint_url"]}
    prefect.save_storage_options("lake", keys)
    lake = f"s3://{BUCKET}/by/block"
    result = shell("--tables", "tags", "--lake", lake, "--storage-options", "secret/lake")
    assert result.returncode == 0, result.stderr
    assert_exact(rig.workspace.rows("tags"), read_lake(lake, CONNECTION, "tags", **{**s3_storage, **keys}), "tags")
    assert b"hidden-in-the-block" not in prefect.stored()
    assert "hidden-in-the-block" not in result.stdout + result.stderr


def test_of_two_runs_at_the_same_time_one_ends_at_once(rig: Rig, shell: Callable[..., Any]) -> None:
    second: list[subprocess.CompletedProcess[str]] = []

    def start_another(request: Any) -> None:
        if request.path == "/tags" and not second:
            second.append(shell("--tables", "teams,tags"))

    rig.server.before_request(start_another)
    first = shell("--tables", "tags", "--compact", "never")
    assert first.returncode == 0, first.stderr
    assert second[0].returncode == 1
    assert "already running since" in second[0].stderr
    assert "Traceback" not in second[0].stderr
    assert not rig.server.requests("/teams")  # it took no table of those that it could have had
    assert rig.lake().list("data") == {}  # the first one was told not to merge


def test_a_flow_of_its_own_merges_what_waits(prefect: Prefect, rig: Rig, shell: Callable[..., Any]) -> None:
    rig.workspace.create("tickets")
    assert shell("--tables", "tags,articles,tickets", "--compact", "never").returncode == 0
    asked = len(rig.server.log)
    result = prefect.run("flows/compact.py", "--connection", CONNECTION, "--lake", rig.lake_url)
    assert result.returncode == 0, result.stderr
    check(rig, ["tags", "articles", "tickets"])
    assert len(rig.server.log) == asked
    heading, *lines = [line.split() for line in result.stdout.split("\n\n")[0].strip().splitlines()]
    assert heading == ["table", "new", "changed", "in", "table", "seconds"]
    assert [line[0] for line in lines] == ["articles", "tags", "tickets"]  # not those that were never synced
    stray = prefect.run("flows/compact.py", "--connection", "acne", "--lake", rig.lake_url)
    assert stray.returncode == 2
    assert "acne" in stray.stderr


IN_PIECES = """
import sys
import intercom.orchestration.tasks
from intercom.cli.run import run_from_shell
intercom.orchestration.tasks._BYTES_OF_A_TASK = 1  # a task for every month
raise SystemExit(run_from_shell("flows/sync.py", sys.argv[1:]))
"""


@pytest.mark.parametrize("threads", [None, "2"])
def test_months_are_tasks_unless_these_could_wait_for_each_other(
    prefect: Prefect, rig: Rig, tmp_path: Path, threads: str | None
) -> None:
    result = prefect.run(
        "-c", IN_PIECES, "--connection", CONNECTION, "--connections-file", str(rig.connections_file(tmp_path)),
        "--lake", rig.lake_url, "--tables", "articles,contacts,conversations", INTERCOM_ACCESS_TOKEN=rig.server.token,
        **({"PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS": threads} if threads else {}),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    check(rig, ["articles", "contacts", "conversations"])
    merges = prefect.tasks_named("merge ", prefect.newest_run()["id"])
    assert (len(merges) > 3) is (threads is None)
    assert len(merges) >= 3


def test_tables_are_read_at_the_same_time(rig: Rig, shell: Callable[..., Any]) -> None:
    """Each of two requests is answered only when the other one has come: one after the other they never would be."""
    meeting = threading.Barrier(2)
    met: list[str] = []

    def wait_for_the_other(request: Any) -> None:
        if request.path in ("/tags", "/teams"):
            with suppress(threading.BrokenBarrierError):
                meeting.wait(60)
                met.append(request.path)

    rig.server.before_request(wait_for_the_other)
    assert shell("--tables", "tags,teams").returncode == 0
    assert sorted(met) == ["/tags", "/teams"]


def test_a_failing_table_fails_the_run_and_spares_the_others(
    prefect: Prefect, rig: Rig, shell: Callable[..., Any]
) -> None:
    rig.server.fail("/contacts/search", kind="status", status=403, times=100)
    result = shell("--tables", "contacts,articles,tags")
    assert result.returncode == 1
    check(rig, ["articles", "tags"])
    assert [line for line in result.stderr.splitlines() if line.startswith("contacts failed: ")]
    assert "1 of 3 tables failed" in result.stderr
    assert "Traceback" not in result.stderr
    failed = {"state": {"type": {"any_": ["FAILED"]}}}
    run = prefect.post("flow_runs/filter", {"flow_runs": failed, "sort": "START_TIME_DESC", "limit": 1})[0]
    assert run["name"] == f"sync {CONNECTION}"
    assert "contacts failed" in run["state"]["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_reading_and_commits_nothing(
    prefect: Prefect, make_rig: Callable[..., Rig], tmp_path: Path, number: signal.Signals
) -> None:
    rig = make_rig(contacts=4500, server={"latency_seconds": 0.5})
    file = rig.connections_file(tmp_path)
    started = threading.Event()

    def note(request: Any) -> None:
        if request.path == "/contacts/search" and len(rig.server.requests("/contacts/search")) == 3:
            started.set()

    rig.server.before_request(note)
    with children_get_sigint():
        process = subprocess.Popen(
            [sys.executable, "flows/sync.py", "--connection", CONNECTION, "--connections-file", str(file),
             "--lake", rig.lake_url, "--tables", "contacts"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**inherited(), **prefect.environment, "INTERCOM_ACCESS_TOKEN": rig.server.token},
        )  # fmt: skip
    assert started.wait(120)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    begin = "Interrupted" if number == signal.SIGINT else "Told to end"
    assert output.decode().splitlines()[-1] == f"{begin}. No table was brought up to date. Run again."
    assert output.count(b"Interrupted") + output.count(b"Told to end") == 1
    assert b"Traceback" not in output
    assert len(rig.server.requests("/contacts/search")) < 20  # of thirty
    assert rig.lake().list(f"_state/{CONNECTION}") == {}


def test_a_connection_block_comes_before_the_file(prefect: Prefect, rig: Rig, shell: Callable[..., Any]) -> None:
    prefect.save_connection("in-a-block", rig)
    result = prefect.run("flows/sync.py", "--connection", "in_a_block", "--lake", rig.lake_url, "--tables", "tags")
    assert result.returncode == 0, result.stderr
    assert read_lake(rig.lake_url, "in_a_block", "tags").num_rows == len(rig.workspace.rows("tags"))


def test_tasks_leave_retries_to_the_client() -> None:
    """Seven tries of a request inside three of a task would be twenty-one."""
    assert {task.retries for task in (prepare_run, sync_table, merge_table, merge_months)} == {0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--connection", "nobody"], "acme"),
        (["--start-date", "2026-05-02", "--end-date", "2026-05-01"], "before the start date"),
    ],
)
def test_bad_input_is_told_before_the_first_request(
    rig: Rig, shell: Callable[..., Any], options: list[str], message: str
) -> None:
    result = shell(*options)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert rig.server.log == []


def test_a_wrong_token_is_told_once_and_no_table_is_asked_for(
    prefect: Prefect, rig: Rig, shell: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "wrong").mkdir()
    file = str(rig.connections_file(tmp_path / "wrong", token="wrong"))
    assert "status 401" in json.loads(shell("--connections-file", file, "--json").stdout)["message"]
    rig.server.clear_log()
    result = shell("--connections-file", file)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("status 401") == 1
    assert [request.path for request in rig.server.log] == ["/me"]


def test_the_log_of_a_run_has_our_errors_as_sentences(prefect: Prefect, rig: Rig, tmp_path: Path) -> None:
    """Also where nothing but Prefect has set up logging, as on a worker."""
    options = {"connection": CONNECTION, "lake": rig.lake_url}
    options["advanced"] = {"connections_file": str(rig.connections_file(tmp_path, token="wrong"))}
    done = prefect.run("-c", f"from intercom.flows.sync import sync; sync(**{options!r}, return_state=True)")
    wanted = {"logs": {"flow_run_id": {"any_": [prefect.newest_run()["id"]]}}}
    for text in ("\n".join(line["message"] for line in prefect.post("logs/filter", wanted)), done.stderr):
        assert "status 401" in text
        assert "Traceback" not in text
