"""`init` writes files from which a sync and a deployment work, and keeps what is there."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from intercom.cli.app import main
from intercom.cli.commands.init import CONNECTIONS
from intercom.config.lookup import read_connections_file
from tests.support.markdown import DOCS, ROOT


def test_the_files_are_those_of_the_project_for_an_installed_package(tmp_path: Path) -> None:
    assert main(["init", "--folder", str(tmp_path / "mine")]) == 0
    connections = read_connections_file(tmp_path / "mine/connections.yml", {"INTERCOM_ACCESS_TOKEN": "t"})
    assert list(connections) == ["my_intercom"]
    text = (tmp_path / "mine/prefect.yaml").read_text(encoding="utf-8")
    ours = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    theirs = yaml.safe_load(text)["deployments"]
    for here, there in zip([deepcopy(one) for one in ours], [deepcopy(one) for one in theirs], strict=True):
        name = here["entrypoint"].partition(":")[2]
        assert there["entrypoint"] == f"intercom.flows.{name}.{name}"
        assert there["parameters"]["connection"] == "my_intercom"
        for entry in (here, there):
            del entry["entrypoint"], entry["parameters"]["connection"]
        assert there == here
    assert "deployments/" not in text  # of the project's folder, which the user does not have


def test_each_option_that_is_commented_out_may_be_used_as_it_stands(tmp_path: Path) -> None:
    lines = [re.sub(r"^( +)# (?=[ \w]+:)", r"\1", line) for line in CONNECTIONS.splitlines()]
    (tmp_path / "connections.yml").write_text("\n".join(lines), encoding="utf-8")
    environment = {"INTERCOM_ACCESS_TOKEN": "t", "INTERCOM_HASH_KEY": "0123456789abcdef" * 4}
    found = read_connections_file(tmp_path / "connections.yml", environment)["my_intercom"]
    assert found.base_url == "http://127.0.0.1:8080"
    assert (found.requests_per_10s, found.requests_in_flight) == (80, 8)
    assert found.settings.marks_deleted
    assert [table for table, _ in found.settings.rules] == ["contacts"]
    assert found.hash_key is not None


def test_the_examples_are_all_that_pages_name_where_they_name_it(tmp_path: Path) -> None:
    assert main(["init", "--folder", str(tmp_path), "--examples"]) == 0
    tracked = {
        path
        for name in ("automations", "dbt", "examples")
        for path in (ROOT / "deployments" / name).rglob("*")
        if path.is_file() and path.name != "README.md" and not path.is_relative_to(ROOT / "deployments/dbt/target")
    }
    made_by_dbt = {path for path in tracked if path.suffix in (".duckdb", ".log") or path.name == "sources.yml"}
    there = {path.relative_to(tmp_path) for path in (tmp_path / "deployments").rglob("*") if path.is_file()}
    assert there == {path.relative_to(ROOT) for path in tracked - made_by_dbt}
    assert len(there) > 15
    for path in there:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes()
    pages = " ".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    named = {name.rstrip("/") for name in re.findall(r"`deployments/((?:dbt|examples|automations)[\w/.-]*)`", pages)}
    assert len(named) > 5
    assert [name for name in sorted(named) if not (tmp_path / "deployments" / name).exists()] == []


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "connections.yml").write_text("mine\n")
    assert main(["init", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "connections.yml").read_text() == "mine\n"
    assert (tmp_path / "prefect.yaml").is_file()
    told = capsys.readouterr().out
    assert "stays as it is" in told
    assert f"cd {tmp_path}" in told
    assert "my_intercom" not in told  # the file may have other names


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "connections.yml").mkdir()
    assert main(["init", "--folder", str(tmp_path)]) == 0  # taken by something else: it stays
    (tmp_path / "file").write_text("")
    assert main(["init", "--folder", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be written" in capsys.readouterr().err
