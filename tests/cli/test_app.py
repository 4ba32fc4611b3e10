"""The command: each command has its help, and an option that is wrong is told with the way to the right ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from intercom.cli.app import main

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "sync", "reconcile", "compact", "check", "plan", "demo", "verify", "bootstrap", "serve", "report", "ddl", "forget",
    "sandbox", "init",
]  # fmt: skip
HEAVY = {"prefect", "pyarrow", "pydantic", "requests", "fsspec", "httpx", "rich.live"}
PROGRAM = """
import sys
from intercom.cli.app import main
try:
    main(sys.argv[1:])
finally:
    print("modules", *sys.modules)
"""


IN_FORKS = """
import os, sys
from intercom.cli.app import main
for command in sys.argv[1:]:
    if os.fork() == 0:
        os.dup2(os.open(command, os.O_WRONLY | os.O_CREAT), 1)
        status = main([*command.split()[1:], "--help"])
        print("modules", *sys.modules, flush=True)
        os._exit(status)
    assert os.wait()[1] == 0, command
"""
"""What the command itself imports is imported once, and in a fork what a help needs beside."""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is printed for each command, and which modules there are then."""
    folder = tmp_path_factory.mktemp("helps")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, "-c", IN_FORKS, "help", *(f"help {name}" for name in COMMANDS)],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("command", ["help", *(f"help {name}" for name in COMMANDS)])
def test_help_is_answered_without_what_takes_long_to_import(command: str, helps: Path) -> None:
    shown = (helps / command).read_text(encoding="utf-8")
    usage, _, modules = shown.partition("modules ")
    assert usage.startswith("Usage: intercom-lake")
    assert HEAVY & set(modules.split()) == set()
    assert max(map(len, usage.splitlines())) <= 80
    assert len(usage.splitlines()) <= 60


def test_a_reader_that_stops_early_gets_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "check", "--connection", "nosuch"],
            cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == ""


def test_the_list_of_commands_is_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = re.findall(r"^│ (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_an_option_that_is_given_twice_counts_as_given_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "--lake", "nosuch://a", "--lake", "nosuch://b", "--tables", "x", "--tables", "y"]) == 2
    told = capsys.readouterr().err
    assert "nosuch://b" in told
    assert "nosuch://a" not in told
    assert "no table 'y'" in told
    assert "no table 'x'" not in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["synk"], "sync"),
        (["sync", "--conection", "acme"], "Did you mean --connection?"),
        (["sync", "acme"], "acme"),
        (["ddl", "duckdb"], "--connection"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""
