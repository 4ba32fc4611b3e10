"""The dbt project of deployments/dbt, built by dbt over a lake of real runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from intercom.cli.app import main
from intercom.sandbox import SandboxServer, Workspace
from tests.conftest import NOW
from tests.deployments.scripts import ROOT
from tests.support.rig import BY_DEFAULT, Rig
from tests.support.truth import Row, read_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROJECT = ROOT / "deployments" / "dbt"
SWITCHES = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
"""The variables of the project, each named like the table whose models it switches on."""
COPIED = [*BY_DEFAULT, *SWITCHES]
COMMANDS = "import sys, json; from dbt.cli.main import dbtRunner\n" + (
    "sys.exit(any([not dbtRunner().invoke(command).success for command in json.loads(sys.argv[1])]))"
)


@pytest.fixture(scope="session")
def dbt_python() -> Path:
    """The interpreter of an environment with the versions of requirements.txt, made once for them.

    It lies in this environment's folder: dbt and Prefect do not agree about versions, so they cannot share one.
    """
    wanted = PROJECT / "requirements.txt"
    folder = Path(sys.prefix) / f"dbt-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    done = folder / ".done"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers that run tests side by side would make it at the same time
        if not done.exists():
            venv.create(folder, clear=True, symlinks=True)
            pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check"]
            # Only what dbt imports is compiled, when it does.
            install = ["install", "--quiet", "--no-compile", "-r", wanted]
            subprocess.run([*pip, *install], check=True, capture_output=True, text=True)
            done.touch()
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Project:
    """A copy of the project with the sources of a lake."""

    folder: Path
    python: Path

    def run(self, *commands: list[str]) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "PYTHON"))}
        return subprocess.run(
            [self.python, "-c", COMMANDS, json.dumps(commands)],
            cwd=self.folder, env=environ | {"NO_COLOR": "1"}, capture_output=True, text=True, timeout=280,
        )  # fmt: skip

    def results(self, file: str = "run_results.json") -> dict[str, str]:
        """The status of each node."""
        found = json.loads((self.folder / "target" / file).read_text())["results"]
        return {result["unique_id"]: result["status"] for result in found}

    def rows(self, model: str) -> list[dict[str, Any]]:
        with duckdb.connect(self.folder / "intercom.duckdb", read_only=True) as session:
            relation = session.table(model)
            return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def project(folder: Path, python: Path, lake: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb", "sources.yml"))
    assert main(["ddl", "dbt", "--connection", "acme", "--lake", str(lake)]) == 0
    (folder / "models" / "sources.yml").write_text(capsys.readouterr().out, encoding="utf-8")
    return Project(folder, python)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Workspace]]:
    root = tmp_path_factory.mktemp("copied") / "lake"
    workspace = Workspace.seeded(
        now=NOW, history_days=40, contacts=30, companies=12, conversations=25, articles=4,
        conversation_parts=150,
    )  # fmt: skip
    talked = workspace.create("conversations", source={"type": "email", "author": {"type": "user", "id": "u"}})
    for part_type, author, body in (
        ("note", "admin", "Who knows this?"), ("comment", "bot", "Hello!"), ("comment", "admin", "Yes, it is."),
        ("comment", "admin", "And so on."), ("comment", "user", "Thanks."), ("close", "admin", None),
        ("close", "admin", "Bye."),
    ):  # fmt: skip
        workspace.travel(60)
        given = {"author": {"type": author, "id": "814"}, "body": body, "conversation_id": talked["id"]}
        workspace.create("conversation_parts", part_type=part_type, **given)
    with SandboxServer(workspace) as server:
        Rig(server, str(root)).sync(COPIED)
        yield root, workspace


def test_the_project_is_built_without_a_warning_and_its_models_say_what_the_workspace_has(
    copied: tuple[Path, Workspace], dbt_python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, workspace = copied
    built = project(tmp_path / "dbt", dbt_python, lake, capsys)
    done = built.run(["build", "--vars", json.dumps(dict.fromkeys(SWITCHES, True))])
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout + done.stderr
    statuses = built.results()
    assert set(statuses.values()) == {"success", "pass"}, statuses
    for table in COPIED:
        assert f"source_not_null_intercom_{table}__ingested_at" in str(statuses)

    conversations = workspace.rows("conversations")
    days = built.rows("conversations_by_day")
    assert sum(day["conversations"] for day in days) == len(conversations)
    assert sum(day["closed"] for day in days) == sum(row["state"] == "closed" for row in conversations)

    companies = {row["id"]: row for row in workspace.rows("companies")}
    members = {
        contact["id"]: [companies[one["id"]] for one in contact["companies"]["data"] if one["id"] in companies]
        for contact in workspace.rows("contacts")
    }
    assert {row["id"]: (row["companies"], row["company_names"]) for row in built.rows("contacts_with_companies")} == {
        id: (len(of), ", ".join(sorted(one["name"] for one in of)) or None) for id, of in members.items()
    }

    assert {
        row["part_id"]: (row["conversation_id"], row["seconds"], row["reply"]) for row in built.rows("response_times")
    } == replies(conversations, read_lake(str(lake), "acme", "conversation_parts").to_pylist())


def replies(conversations: list[Row], parts: list[Row]) -> dict[str, tuple[str, int, int]]:
    """By part: the conversation, the seconds since the first message that waited for it, and which reply it is."""
    found = {}
    for conversation in conversations:
        source, begun = conversation["source"], datetime.fromtimestamp(conversation["created_at"], UTC)
        messages = [(begun, "", source["author"]["type"])] + [
            (part["created_at"], part["id"], part["author_type"])
            for part in parts
            if part["conversation_id"] == conversation["id"]
            and part["body"] is not None
            and part["part_type"] != "note"
        ]
        waiting, number = None, 0
        for at, id, author in sorted(messages):
            if author == "admin" and waiting is not None:
                number += 1
                found[id] = (conversation["id"], int((at - waiting).total_seconds()), number)
                waiting = None
            elif author in ("user", "lead", "contact"):
                waiting = waiting or at
    # Of the conversation that the fixture wrote: neither the note nor the bot answered, nor did the second message.
    assert [(seconds, number) for id, seconds, number in found.values() if id == conversations[-1]["id"]] == [
        (180, 1),
        (120, 2),
    ]
    return found


def test_a_key_that_is_there_twice_fails_and_a_lake_of_today_is_fresh(
    copied: tuple[Path, Workspace], dbt_python: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(copied[0] / "data", tmp_path / "lake" / "data")
    tags = tmp_path / "lake" / "data" / "acme" / "tags"
    shutil.copy(tags / "data.parquet", tags / "again.parquet")
    broken = project(tmp_path / "dbt", dbt_python, tmp_path / "lake", capsys)
    done = broken.run(["test", "--select", "source:intercom.tags"], ["source", "freshness"])
    assert done.returncode == 1
    failed = [name.split(".")[2] for name, status in broken.results().items() if status == "fail"]
    assert failed == ["source_unique_intercom_tags_id"]
    assert set(broken.results("sources.json").values()) == {"pass"}  # copied just now
