"""What the page on security says: permissions, what leaves the machine, what is asked of Intercom."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

from intercom.tables.catalogue import TABLES
from tests.deployments.scripts import ROOT
from tests.support.prefect_server import AS_INSTALLED

PAGE = (ROOT / "deployments/docs/security.md").read_text()

_WATCH = """
import json, os, sys

def _note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        where = arguments[1] if event == "socket.connect" else arguments[0]
        with open(os.environ["WATCHED"], "a") as file:
            file.write(json.dumps([event, str(where[0] if isinstance(where, tuple) else where)]) + "\\n")

sys.addaudithook(_note)
"""
"""Run by each Python process that begins, also Prefect's server: it writes down whom they talk to."""


def test_the_page_names_the_permission_of_each_table() -> None:
    scopes: dict[str, list[str]] = {}
    for table in TABLES.values():
        if table.made_of is None:
            scopes.setdefault(table.scope, []).append(f"`{table.name}`")
    rows = [f"| {', '.join(names)} | *{scope}* |" for scope, names in scopes.items()]
    assert [line for line in PAGE.splitlines() if line.startswith("| `") and line.endswith("* |")] == rows


def test_a_whole_run_talks_to_nobody_but_loopback(tmp_path: Path, prefect_database: Path) -> None:
    """The demo with Prefect's temporary server; telemetry would show by the name that it looks up."""
    (tmp_path / "sitecustomize.py").write_text(_WATCH)
    (tmp_path / "prefect").mkdir()
    shutil.copy(prefect_database, tmp_path / "prefect")
    watched = tmp_path / "watched"
    kept = {name: value for name, value in os.environ.items() if name not in ("DO_NOT_TRACK", "PREFECT_API_URL")}
    environ = {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(AS_INSTALLED), str(ROOT)]),
        "WATCHED": str(watched),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    command = [
        sys.executable,
        str(ROOT / "flows/sync.py"),
        "--demo",
        "--lake",
        str(tmp_path / "lake"),
        "--tables",
        "tags",
    ]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = {tuple(json.loads(line)) for line in watched.read_text().splitlines()}
    assert ("socket.connect", "127.0.0.1") in seen
    assert {where for _, where in seen if not _is_here(where)} == set()


def _is_here(where: str) -> bool:
    """Whether a host is this machine: loopback, its name, or a socket in the file system."""
    if where == "localhost" or where.startswith(("/", "\0")):
        return True
    try:
        return ip_address(where.strip("b'")).is_loopback
    except ValueError:
        return False
