"""Commands, YAML and Python in the README and in the documentation are such as the package takes."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
import yaml
from cyclopts import App

from intercom.cli.app import _app
from intercom.config.lookup import read_connections_file
from tests.docs.parameters import flow_of
from tests.support.markdown import DOCS, ROOT, Block, blocks, commands, with_readmes

PAGES = [page for page in with_readmes() if "tests" not in page.parts[len(ROOT.parts) :]]
SHELLS = {"cd", "docker", "duckdb", "export", "intercom-lake", "make", "pip", "prefect", "python3", "dbt"}
"""Programs that the pages call."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def shell() -> App:
    return _app()


def test_each_command_is_one_that_there_is() -> None:
    lines = {line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))}
    assert len(lines) > 50
    for line in lines:
        for command in re.split(r"&&|\|", line):
            check(re.sub(r"^(\s*[A-Z_]+=\S+)+", "", command))


def check(command: str) -> None:
    """Options and their values are parsed as the shell's would be; nothing is run."""
    program, *words = shlex.split(re.split(r" [<>] ", command)[0])
    assert Path(program).name in SHELLS, command
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words if "=" not in word] in [[target] for target in targets], command
    elif Path(program).name == "intercom-lake":
        shell().parse_args(words, exit_on_error=False, print_error=False)


def test_the_install_brings_each_program_of_ours_that_pages_call() -> None:
    """pipx puts the programs of the package itself on the path, and those of Prefect only if it is told to."""
    ours = {entry.name for entry in distribution("intercom-lake").entry_points if entry.group == "console_scripts"}
    of_prefect = {entry.name for entry in distribution("prefect").entry_points if entry.group == "console_scripts"}
    assert "intercom-lake" in ours
    assert {"prefect"} == of_prefect & SHELLS - ours
    texts = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    installs = re.findall(r"`(pipx install [^`]*)`", texts)
    assert len(installs) >= 3
    assert all("--include-deps" in install for install in installs), installs


def test_each_option_that_a_text_names_is_one_of_its_command() -> None:
    """In code font, such as ``intercom-lake plan --full-refresh``."""
    texts = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    for text in re.findall(r"`intercom-lake ([a-z][^`\n]*)`", texts):
        name, *words = text.split()
        known = {option for argument in shell()[name].assemble_argument_collection() for option in argument.names}
        assert {word for word in words if word.startswith("--")} <= {*known, "--help"}, text


def test_python_compiles() -> None:
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "python"):
            compile(block.text, f"{named(page)}:{block.line}", "exec")


YAML = [(page, block) for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "yaml")]


@pytest.mark.parametrize(("page", "block"), YAML, ids=[f"{named(page)}:{block.line}" for page, block in YAML])
def test_yaml_is_connections_parameters_or_deployments(
    page: Path, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = block.text
    if text.startswith("connections:"):
        file = tmp_path / "connections.yml"
        file.write_text(text)
        for variable in re.findall(r"\$\{([A-Z_]+)\}", text):
            monkeypatch.setenv(variable, "0123456789abcdef0123")
        assert read_connections_file(file)
    elif text.startswith("parameters:"):
        jsonschema.validate(yaml.safe_load(text)["parameters"], flow_of("sync").parameters.model_dump())
    else:
        assert text.startswith("deployments:")  # tests/deployments/test_prefect_yaml.py


def test_each_variable_that_the_package_reads_is_on_the_page_of_them() -> None:
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    files = [file for name in ("intercom", "flows", "deployments/dbt") for file in (ROOT / name).rglob("*.*")]
    texts = " ".join(file.read_text(encoding="utf-8") for file in files if file.suffix in (".py", ".yml"))
    read = set(re.findall(r"\bINTERCOM_[A-Z]+(?:_[A-Z]+)*\b", texts))
    assert len(read) > 5
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
