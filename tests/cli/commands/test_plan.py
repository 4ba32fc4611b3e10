"""The command `plan`: its options, exit statuses and output, and what it does without Prefect's server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from intercom.cli.app import main
from intercom.cli.commands import plan as module
from intercom.tables.catalogue import TABLES
from tests.support.ports import free_port
from tests.support.prefect_server import Prefect, inherited
from tests.support.rig import Rig


@pytest.fixture(autouse=True)
def no_prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Prefect API, whatever this process has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@contextmanager
def api_at(url: str) -> Iterator[None]:
    """This process's API, for Prefect and for those who read its settings without it."""
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: url}):
        patch.setenv("PREFECT_API_URL", url)
        yield


@pytest.fixture
def options(rig: Rig, tmp_path: Path) -> list[str]:
    file = rig.connections_file(tmp_path, rig.server.token)
    return ["--connection", "acme", "--connections-file", str(file), "--lake", rig.lake_url]


def shell(*arguments: str) -> int:
    """The command's exit status, as a shell has it."""
    return main(["plan", *arguments])


def test_a_plan_of_nine_tables_fits_80_columns(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(*options) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[1].split() == ["contacts", "everything:", "first", "load", "160", "7"]
    assert "No Prefect API is configured here" in out
    assert "Nothing was written" in out
    assert not rig.lake_folder.exists()


def test_json_is_one_object(rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rig.sync(["contacts", "tags"])
    assert shell(*options, "--json", "--tables", "contacts, tags") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["tables"]) == ["contacts", "tags"]
    assert found["tables"]["contacts"]["reason"] == "incremental"
    assert found["lake"] == rig.lake_url


def test_dates_and_a_full_refresh_are_those_of_a_sync(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.sync(["conversations"])
    days = ["--start-date", "2026-10-01", "--end-date", "2026-10-10"]
    assert shell(*options, "--tables", "conversations", *days) == 0
    assert "2026-10-01 to 2026-10-10" in capsys.readouterr().out
    assert shell(*options, "--tables", "conversations", "--full-refresh") == 0
    assert "everything: full refresh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--tables", ","], 2, "give at least one"),
        (["--tables", "contacs"], 2, "Did you mean 'contacts'?"),
        (["--connection", "nobody"], 2, "No connection 'nobody'"),
        (["--start-date", "2026-10-02", "--end-date", "2026-10-01"], 2, "lies before the start date"),
        (["--storage-options", "secret/lake"], 2, "no Prefect API is configured here"),
        (["--storage-options", '{"secret": "x1234567"}'], 2, "holds a secret"),
        (["--lake", "nosuch://lake"], 2, "nosuch"),
        (["--lake", "connections.yml"], 1, "Cannot read _state/lake.json"),
    ],
)
def test_mistakes_are_one_sentence_on_stderr(
    options: list[str], more: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = dict(zip(options[::2], options[1::2], strict=True)) | dict(zip(more[::2], more[1::2], strict=True))
    assert shell(*[word for option in given.items() for word in option]) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_wrong_token_is_told_once(rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rig.server.token = "another"
    assert shell(*options) == 1
    said = capsys.readouterr()
    assert said.err.count("401") == 1
    assert said.out == ""
    assert len(rig.server.requests()) == 1


def test_a_table_that_would_fail_makes_the_plan_fail(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rig.server.fail("/tags", status=403, body={"type": "error.list", "errors": [{"code": "forbidden"}]})
    assert shell(*options, "--tables", "tags,teams") == 1
    out = capsys.readouterr().out
    assert "tags would fail: " in out
    assert "teams  everything: first load" in out


def test_a_table_that_would_be_skipped_does_not_make_the_plan_fail_unless_it_is_named(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intercom.tables.selection.TABLES", {name: TABLES[name] for name in ("tags", "ticket_types")})
    rig.server.fail("/ticket_types", status=403, times=9)
    assert shell(*options, "--tables", "all") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "ticket_types skipped, see below" in out
    assert "ticket_types: skipped: the token may not read it without the permission 'read tickets'" in out
    assert shell(*options, "--tables", "tags,ticket_types") == 1
    assert "ticket_types would fail: " in capsys.readouterr().out


def test_a_derived_table_names_its_parent_and_fails_with_it(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(*options, "--tables", "contact_tags,conversation_parts") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "contact_tags made of contacts 0" in text
    assert "conversation_parts: one request for each of " in text
    assert "contacts is selected, too: contact_tags is made from its rows in the lake" in text
    rig.server.fail("/contacts/search", status=403, times=9)
    assert shell(*options, "--tables", "contact_tags") == 1
    assert "contact_tags would fail: contact_tags is made from contacts, of which" in " ".join(
        capsys.readouterr().out.split()
    )


def test_lists_that_would_be_refilled_are_told(
    rig: Rig, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(*options, "--tables", "contacts", "--refill-lists", "--json") == 0
    assert shell(*options, "--tables", "contacts", "--json") == 0
    more, _, fewer = capsys.readouterr().out.partition("\n}\n")
    with_them, without = (json.loads(text)["tables"]["contacts"]["requests"] for text in (more + "}", fewer))
    assert with_them["most"] > without["most"]


def test_a_server_of_prefects_that_is_away_is_told_and_not_waited_for(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PREFECT_SECONDS", 0.2)
    from intercom.orchestration.server.retry import TIMING

    monkeypatch.setattr(TIMING, "most", TIMING.most)
    with api_at(f"http://127.0.0.1:{free_port()}/api"):
        assert shell(*options, "--tables", "tags") == 0
    assert "goes by the lake's own watermarks" in " ".join(capsys.readouterr().out.split())


OWN_PROCESS = """
import sys
from intercom.cli.commands.plan import plan
import cyclopts
app = cyclopts.App(result_action="return_value")
app.default(plan)
print("before", sorted({"prefect", "pyarrow", "requests", "pydantic"} & set(sys.modules)))
status = app(sys.argv[1:])
print("prefect", "prefect" in sys.modules)
sys.exit(status)
"""


def test_no_server_starts_and_help_needs_no_imports(options: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", OWN_PROCESS, *options, "--tables", "tags"], capture_output=True, text=True, check=False,
        env={**inherited(), "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "before []" in done.stdout
    assert "prefect False" in done.stdout
    assert not list(home.rglob("*.db"))


@pytest.mark.slow
def test_blocks_of_a_server_count(rig: Rig, prefect: Prefect, capsys: pytest.CaptureFixture[str]) -> None:
    from intercom.orchestration.server.watermark_store import BlockWatermarks

    rig.connection = "planned"
    prefect.save_connection("planned", rig)
    rig.sync(["conversations"])
    (mark,) = rig.store.kept.values()
    assert mark.value is not None
    with api_at(prefect.api):
        BlockWatermarks().save(replace(mark, value=mark.value - 86_400))
        assert shell("--connection", "planned", "--lake", rig.lake_url, "--tables", "conversations", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert datetime.fromisoformat(found["tables"]["conversations"]["watermark"]).timestamp() == mark.value - 86_400
    assert found["remarks"] == ["Nothing was written, and no watermark has moved."]
