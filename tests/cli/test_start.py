"""What happens before a run's first request: options without Prefect, and the server that a run brings along."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from intercom.cli.temporary_server import TemporaryServer
from tests.support.prefect_server import WITHOUT_BLOCKS, forking, inherited
from tests.support.rig import Rig
from tests.support.truth import assert_exact, read_lake

ROOT = Path(__file__).parents[2]
SYNC = ROOT / "flows" / "sync.py"
pytestmark = pytest.mark.slow


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the caller's Prefect or Intercom settings, so no API is configured."""
    return {**inherited(), "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", **more}


def python(*command: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], env=environment(home, **more), cwd=home,
        stdin=subprocess.PIPE, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def answers(api: str) -> bool:
    try:
        urllib.request.urlopen(f"{api}/health", timeout=10).close()
    except urllib.error.URLError:
        return False
    return True


def gone(api: str) -> bool:
    """Whether nothing answers there any more, within half a minute."""
    for _ in range(120):
        if not answers(api):
            return True
        time.sleep(0.25)
    return False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Path:
    """One Prefect home for all tests, with a database: making one takes longer than all else."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(prefect_database, home)
    return home


WITH_A_DATABASE = {**WITHOUT_BLOCKS, "PREFECT_API_DATABASE_MIGRATE_ON_START": "false"}
"""Settings of a server that has one: to look for what is missing in it takes a second of CPU."""


RUN_AND_TELL = """
import os, sys
from intercom.cli.run import run_from_shell
code = None
try:
    code = run_from_shell(sys.argv[1], sys.argv[2:])
finally:
    print("prefect", "prefect" in sys.modules, "server", "prefect.server" in sys.modules)
    print("api", os.environ.get("PREFECT_API_URL"))
sys.exit(code)
"""


@pytest.fixture
def broken_collection(tmp_path: Path) -> Path:
    """A folder of the path with a collection of Prefect's that fails to be imported, which its server prints."""
    folder = tmp_path / "packages" / "broken-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[prefect.collections]\nbroken = there_is_no_such_module\n")
    return folder.parent


def test_a_run_brings_its_own_server_and_takes_it_along(rig: Rig, home: Path, broken_collection: Path) -> None:
    path = os.pathsep.join([inherited()["PYTHONPATH"], str(broken_collection)])
    rig.connections_file(home)
    options = ["--connection", "acme", "--lake", rig.lake_url, "--tables", "tags,articles"]
    more = {"INTERCOM_ACCESS_TOKEN": rig.server.token, "PYTHONPATH": path, **WITH_A_DATABASE}
    result = python("-c", RUN_AND_TELL, str(SYNC), *options, home=home, **more)
    assert result.returncode == 0, result.stderr
    for table in ("tags", "articles"):
        assert_exact(rig.workspace.rows(table), read_lake(rig.lake_url, "acme", table), table)
    told = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith(("prefect", "api")))
    assert told["prefect"] == "True server False"  # the run's own process never imports the server
    assert told["api"].startswith("http://127.0.0.1:")
    assert not answers(told["api"])
    # What the run left with Prefect is there for the next one, and for a server of the user's own.
    with sqlite3.connect(home / "prefect.db") as database:
        assert database.execute("SELECT name, state_type FROM flow_run").fetchall() == [("sync acme", "COMPLETED")]
        assert database.execute("SELECT key FROM artifact WHERE key = 'intercom-acme'").fetchall()
        assert database.execute("SELECT name FROM block_document WHERE name LIKE 'acme-articles-%'").fetchall()
    database.close()


LIVE_ON = """
import os, time
from intercom.cli.temporary_server import TemporaryServer
TemporaryServer().connect()
print(os.environ["PREFECT_API_URL"], flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed_run(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a server that answers, and the server's address."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVE_ON], env=forking(home, **WITH_A_DATABASE), stdout=subprocess.PIPE, text=True,
        cwd=home,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_killed_run_leaves_no_server(killed_run: tuple[subprocess.Popen[str], str]) -> None:
    process, api = killed_run
    assert answers(api)
    process.kill()
    assert gone(api)


@pytest.mark.parametrize("where", ["profile", "prefect.toml", "no temporary server"])
def test_prefects_own_settings_decide_whether_a_server_starts(where: str, tmp_path: Path) -> None:
    api = 'PREFECT_API_URL = "http://127.0.0.1:9/api"'
    text = {"profile": api, "prefect.toml": "", "no temporary server": "PREFECT_SERVER_EPHEMERAL_ENABLED = false"}
    (tmp_path / "profiles.toml").write_text(f'active = "mine"\n[profiles.mine]\n{text[where]}\n')
    if where == "prefect.toml":
        (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://127.0.0.1:9/api"\n')
    with subprocess.Popen(
        [sys.executable, "-m", "intercom.cli.temporary_server"], env=forking(tmp_path), cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        assert server.stdout.read() == b""  # ends by itself, while its standard input is open
    assert server.returncode == 0
    assert not (tmp_path / "prefect.db").exists()


def test_a_server_that_does_not_come_up_is_a_fault_and_one_that_is_not_wanted_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for program, fault in (("/bin/false", "no reason is known"), ("/bin/true", None)):
        server = TemporaryServer(python=program)
        assert not server.connect()
        assert server.fault() == fault
    assert "PREFECT_API_URL" not in os.environ


MISTAKES: list[tuple[list[str], int, str]] = [
    (["--help"], 0, "First day (UTC)"),
    (["--nosuch"], 2, "--nosuch"),
    (["--tables", ","], 2, "at least one name"),
    (["--start-date", "yesterday"], 2, "'yesterday' is neither a day"),
    (["--end-date", "all"], 2, "all"),
    (["--tables", "contacs,foo"], 2, "'contacs'. Did you mean 'contacts'? There is no table 'foo'."),
    (["--lake", "nosuch://lake"], 2, "nosuch"),
    ([], 2, "No connection 'default'"),
]
IN_FORKS = """
import json, os, sys
import intercom.cli.settings
from intercom.cli.run import run_from_shell
for number, options in enumerate(json.loads(sys.argv[2])):
    if os.fork() == 0:
        for stream in (1, 2):
            os.dup2(os.open(str(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        try:
            status = run_from_shell(sys.argv[1], options)
        except SystemExit as end:
            status = end.code
        print("prefect", "prefect" in sys.modules, "status", status, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, options
"""
"""What looks at options is imported once, and in a fork what an answer needs beside."""


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is printed for each of the mistakes, in a file with its number."""
    folder = tmp_path_factory.mktemp("answered")
    done = python("-c", IN_FORKS, str(SYNC), json.dumps([options for options, _, _ in MISTAKES]), home=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=[" ".join(given) or "none" for given, _, _ in MISTAKES])
def test_mistakes_are_answered_before_prefect_is_imported(number: int, answered: Path) -> None:
    _, status, message = MISTAKES[number]
    told = (answered / str(number)).read_text(encoding="utf-8")
    assert message in told
    assert told.endswith(f"prefect False status {status}\n")
    assert not (answered / "prefect.db").exists()  # no server was started
    assert "Traceback" not in told
