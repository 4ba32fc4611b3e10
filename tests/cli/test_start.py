"""What happens before a run's first request: options without Prefect, and the server that a run brings along."""

from __future__ import annotations

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
from tests.support.prefect_server import forking, inherited
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
    more = {"INTERCOM_ACCESS_TOKEN": rig.server.token, "PYTHONPATH": path}
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
        [sys.executable, "-c", LIVE_ON], env=forking(home), stdout=subprocess.PIPE, text=True, cwd=home
    ) as process:
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


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--help"], 0, "First day (UTC)"),
        (["--nosuch"], 2, "--nosuch"),
        (["--tables", ","], 2, "at least one name"),
        (["--start-date", "yesterday"], 2, "'yesterday' is neither a day"),
        (["--end-date", "all"], 2, "all"),
        (
            ["--tables", "contacs,foo"],
            2,
            "'contacs'. Did you mean 'contacts'? There is no table 'foo'.",
        ),
        (["--lake", "nosuch://lake"], 2, "nosuch"),
        ([], 2, "No connection 'default'"),
    ],
)
def test_mistakes_are_answered_before_prefect_is_imported(
    options: list[str], status: int, message: str, tmp_path: Path
) -> None:
    result = python("-c", RUN_AND_TELL, str(SYNC), *options, home=tmp_path)
    assert result.returncode == status
    assert message in result.stdout + result.stderr
    assert "prefect False server False" in result.stdout
    assert not (tmp_path / "prefect.db").exists()  # no server was started
    assert "Traceback" not in result.stderr
