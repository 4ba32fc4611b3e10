"""The dbt project of deployments/dbt, built by dbt over a lake of real runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
import venv
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
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
WITH_ALL = ["--vars", json.dumps(dict.fromkeys(SWITCHES, True))]
COPIED = [*BY_DEFAULT, *SWITCHES]
COMMANDS = """
import json, os, sys
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    command, printed = json.loads(line)
    for stream in (1, 2):
        os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    success = dbtRunner().invoke(command).success
    DuckDBConnectionManager.close_all_connections()  # its file is locked until then
    sys.stdout.flush()
    print(json.dumps(success), file=answers, flush=True)
"""
"""dbt is imported once, and a project parsed once: three of four seconds of CPU that a command takes."""


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
    """A copy of the project with the sources of a lake, and a process of dbt in it."""

    folder: Path
    dbt: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def of(cls, lake: Path, folder: Path, python: Path) -> Iterator[Project]:
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb", "sources.yml"))
        sources = StringIO()
        with redirect_stdout(sources):
            assert main(["ddl", "dbt", "--connection", "acme", "--lake", str(lake)]) == 0
        (folder / "models" / "sources.yml").write_text(sources.getvalue(), encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "PYTHON"))}
        with subprocess.Popen(
            [python, "-c", COMMANDS], cwd=folder, env=environ | {"NO_COLOR": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as dbt:  # fmt: skip
            yield cls(folder, dbt)

    def run(self, *command: str) -> tuple[bool, str]:
        """Whether a command of dbt has succeeded, and what it has printed."""
        assert self.dbt.stdin is not None
        assert self.dbt.stdout is not None
        printed = self.folder.with_name(f"printed-{uuid.uuid4()}")
        print(json.dumps([command, str(printed)]), file=self.dbt.stdin, flush=True)
        answer = self.dbt.stdout.readline()
        text = printed.read_text(encoding="utf-8")
        assert answer, text
        return bool(json.loads(answer)), text

    def results(self, file: str = "run_results.json") -> dict[str, str]:
        """The status of each node."""
        found = json.loads((self.folder / "target" / file).read_text())["results"]
        return {result["unique_id"]: result["status"] for result in found}

    def rows(self, model: str) -> list[dict[str, Any]]:
        with duckdb.connect(self.folder / "intercom.duckdb", read_only=True) as session:
            relation = session.table(model)
            return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


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


@pytest.fixture(scope="module")
def project(
    copied: tuple[Path, Workspace], dbt_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    with Project.of(copied[0], tmp_path_factory.mktemp("dbt") / "project", dbt_python) as one:
        yield one


def test_the_project_is_built_without_a_warning_and_its_models_say_what_the_workspace_has(
    copied: tuple[Path, Workspace], project: Project
) -> None:
    lake, workspace = copied
    built, printed = project.run("build", *WITH_ALL)
    assert built, printed
    assert "[WARNING]" not in printed
    statuses = project.results()
    assert set(statuses.values()) == {"success", "pass"}, statuses
    for table in COPIED:
        assert f"source_not_null_intercom_{table}__ingested_at" in str(statuses)

    conversations = workspace.rows("conversations")
    days = project.rows("conversations_by_day")
    assert sum(day["conversations"] for day in days) == len(conversations)
    assert sum(day["closed"] for day in days) == sum(row["state"] == "closed" for row in conversations)

    companies = {row["id"]: row for row in workspace.rows("companies")}
    members = {
        contact["id"]: [companies[one["id"]] for one in contact["companies"]["data"] if one["id"] in companies]
        for contact in workspace.rows("contacts")
    }
    assert {row["id"]: (row["companies"], row["company_names"]) for row in project.rows("contacts_with_companies")} == {
        id: (len(of), ", ".join(sorted(one["name"] for one in of)) or None) for id, of in members.items()
    }

    assert {
        row["part_id"]: (row["conversation_id"], row["seconds"], row["reply"]) for row in project.rows("response_times")
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
    copied: tuple[Path, Workspace], project: Project
) -> None:
    tags = copied[0] / "data" / "acme" / "tags"
    again = shutil.copy(tags / "data.parquet", tags / "again.parquet")
    tested, printed = project.run("test", "--select", "source:intercom.tags", *WITH_ALL)
    again.unlink()
    assert not tested, printed
    failed = [name.split(".")[2] for name, status in project.results().items() if status == "fail"]
    assert failed == ["source_unique_intercom_tags_id"]
    fresh, printed = project.run("source", "freshness")
    assert fresh, printed
    assert set(project.results("sources.json").values()) == {"pass"}  # copied just now
