"""What is installed elsewhere: the wheel holds the command, the flows and the files that users start from."""

from __future__ import annotations

import json
import shutil
import signal
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import chdir
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import duckdb
import pytest
import yaml

from intercom.cli.commands.init import _examples
from intercom.cli.demo import demo_connection
from intercom.compaction.compact import Compacted
from intercom.config.lookup import read_connections_file
from intercom.sync.ingested import Ingested
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Strategy
from tests.support.installed import COMMAND, ROOT, Environment, built, foreign_wheel
from tests.support.markdown import commands, section
from tests.support.ports import free_port
from tests.support.prefect_server import Prefect
from tests.support.rig import BY_DEFAULT, Rig
from tests.support.signals import children_get_sigint
from tests.support.truth import assert_exact, read_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FLOWS = (
    "from intercom.flows import compact, reconcile, sync, verify; "
    "print(sync.sync.name, reconcile.reconcile.name, compact.compact.name, verify.verify.name)"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout that a build may see, without caches, lakes or virtual environments."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("intercom", "flows", "deployments", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "pyproject.toml", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel of the checkout."""
    environment = Environment.made(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(wheel)
    return environment


def flows_of(environment: Environment, folder: Path) -> tuple[str, str]:
    """The flows' names, and where the package lies."""
    program = f"import intercom; print(intercom.__file__); {FLOWS}"
    done = environment.run("python", "-P", "-c", program, cwd=folder, **environment.forking)
    assert done.returncode == 0, done.stderr
    place, names = done.stdout.splitlines()
    return names, place


def test_flows_are_imported_from_a_wheel_of_the_checkout(installed: Environment, tmp_path: Path) -> None:
    names, place = flows_of(installed, tmp_path)
    assert names == "intercom-sync intercom-reconcile intercom-compact intercom-verify"
    assert Path(place).is_relative_to(installed.packages)


def test_a_wheel_has_the_flow_of_each_deployment(wheel: Path) -> None:
    definitions = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    flows = {f"intercom/bundled/{entry['entrypoint'].partition(':')[0]}" for entry in definitions}
    assert len(flows) > 1
    assert flows <= set(contents(wheel))


def test_a_wheel_has_the_files_that_the_package_reads(wheel: Path) -> None:
    there = contents(wheel).keys()
    assert {"intercom/report/page.html.j2", "intercom/report/page.css"} <= there
    assert {f"intercom/bundled/{path}" for path in _examples()} <= there


def test_a_wheel_of_the_sdist_is_that_of_the_checkout(wheel: Path, source: Path, tmp_path: Path) -> None:
    for name in ("sdist", "wheel"):
        (tmp_path / name).mkdir()
    with tarfile.open(built("sdist", source, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    of_sdist = built("wheel", unpacked, tmp_path / "wheel")
    assert of_sdist.name == wheel.name
    assert contents(of_sdist) == contents(wheel)


def contents(wheel: Path) -> dict[str, int]:
    """The checksums of its files."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def test_an_editable_install_imports_the_flows_of_the_checkout(source: Path, tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "venv")
    environment.pip("install", "--no-deps", "--no-index", "--no-build-isolation", "--quiet", "-e", str(source))
    flow = source / "flows" / "sync.py"
    (tmp_path / "empty").mkdir()
    before = flow.read_text(encoding="utf-8")
    try:
        flow.write_text(before.replace('name="intercom-sync"', 'name="edited-sync"'), encoding="utf-8")
        names, place = flows_of(environment, tmp_path / "empty")
    finally:
        flow.write_text(before, encoding="utf-8")
    assert names == "edited-sync intercom-reconcile intercom-compact intercom-verify"
    assert Path(place) == source / "intercom" / "__init__.py"
    assert environment.run("intercom-lake", "--version", cwd=tmp_path).stdout.strip() == "0.1.0"


BEGUN = """
import json, os, shutil, sys

def watch(event, given):
    if event == "sqlite3.connect" and str(given[0]).endswith("prefect.db") and not os.path.exists(given[0]):
        shutil.copyfile({database!r}, given[0])
    if event in ("socket.connect", "socket.getaddrinfo"):
        where = given[event == "socket.connect"]
        with open({watched!r}, "a") as file:
            file.write(json.dumps([event, str(where[0] if isinstance(where, tuple) else where)]) + "\\n")

sys.addaudithook(watch)
"""
"""Run by each Python process that begins from the environment, also by Prefect's server, which is a fork.

A new database of Prefect's server is a copy: making one takes most of the CPU of a demo, and `make demo` does. And it
writes down whom the processes talk to.
"""


WITH_THE_DATABASE = """
[server]
register_blocks_on_start = false
memoize_block_auto_registration = false
[server.database]
migrate_on_start = false
"""
"""Settings of Prefect's server that has a copy of a database: it looks for nothing that is missing there, which takes
two seconds of CPU."""


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Whom processes of `begun` have talked to: a line of JSON for each time."""
    return tmp_path / "watched"


@pytest.fixture
def begun(installed: Environment, prefect_database: Path, watched: Path) -> Iterator[Environment]:
    hook, line = (installed.packages / name for name in ("begun.py", "begun.pth"))
    hook.write_text(BEGUN.format(database=str(prefect_database), watched=str(watched)), encoding="utf-8")
    line.write_text("import begun\n")
    yield installed
    hook.unlink()
    line.unlink()


def is_here(where: str) -> bool:
    """Whether a host is this machine: loopback, its name, or a socket in the file system."""
    if where == "localhost" or where.startswith(("/", "\0")):
        return True
    try:
        return ip_address(where.strip("b'")).is_loopback
    except ValueError:
        return False


def test_the_installed_demo_needs_no_account_and_no_server_answers_the_readmes_query_and_may_run_again(
    begun: Environment, watched: Path, tmp_path: Path
) -> None:
    """A server that cannot be reached is configured in every way that Prefect knows: the demo has one of its own.

    It talks to nobody but this machine; telemetry would show by the name that it looks up. The command is a process
    that starts by itself, and must see to its own server before it imports Prefect; the server is a fork.
    """
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    (tmp_path / "prefect.toml").write_text(f'[api]\nurl = "{nowhere}"\n{WITH_THE_DATABASE}')
    (tmp_path / "home").mkdir()
    (tmp_path / "home/profiles.toml").write_text(
        f'active = "real"\n[profiles.real]\nPREFECT_API_URL = "{nowhere}"\nPREFECT_API_KEY = "a"\n'
    )
    (tmp_path / "system").mkdir()
    settings = {
        **begun.forking,
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": nowhere,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/home/real.db",
        "TMPDIR": str(tmp_path / "system"),
        "DO_NOT_TRACK": "",  # it is for the package to see to that
        "NO_COLOR": "1",
    }
    demo = begun.run("intercom-lake", "demo", cwd=tmp_path, **settings)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    seen = {tuple(json.loads(line)) for line in watched.read_text(encoding="utf-8").splitlines()}
    assert ("socket.connect", "127.0.0.1") in seen
    assert {where for _, where in seen if not is_here(where)} == set()
    counts = next(part for part in demo.stdout.split("\n\n") if part.startswith("table")).splitlines()
    assert max(map(len, counts)) <= 80
    lines = {line.split()[0]: line.split() for line in counts if line[:1].isalpha()}
    assert set(BY_DEFAULT) <= set(lines)
    assert lines["contacts"][2] != "0"
    assert demo.stdout.splitlines()[-3].startswith("The lake is in ./lake/demo: ")
    assert "intercom-lake ddl duckdb --lake ./lake/demo" in demo.stdout.splitlines()[-2]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["profiles.toml"]
    assert list((tmp_path / "system").glob("intercom-lake*")) == []
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["demo"]
    query = (ROOT / "README.md").read_text(encoding="utf-8").split('duckdb.sql("""')[1].split('"""')[0]
    rows = duckdb.sql(query.replace("lake/demo/data", f"{tmp_path}/lake/demo/data")).fetchall()
    assert len(rows) == 5
    views = begun.run(
        "intercom-lake", "ddl", "duckdb", "--lake", "lake/demo", "--connection", "demo", cwd=tmp_path, **settings
    )
    assert views.returncode == 0, views.stderr
    assert views.stdout.count("CREATE OR REPLACE VIEW") == 9
    with duckdb.connect() as session, chdir(tmp_path):
        session.execute(views.stdout)
    again = run_the_demo_again(tmp_path / "lake/demo")
    assert [name for name, (read, _) in again.items() if read.reason == "incremental"] == [
        name for name in BY_DEFAULT if TABLES[name].strategy is not Strategy.REPLACE
    ]
    assert {(done.new, done.changed, done.removed, done.files) for _, done in again.values()} == {(0, 0, 0, 0)}


def run_the_demo_again(lake: Path) -> dict[str, tuple[Ingested, Compacted]]:
    """What a second demo reads and merges: from a new sandbox, by a new Prefect server, which knows no watermark."""
    with demo_connection() as options:
        demo = read_connections_file(Path(options["connections_file"]))[options["connection"]]
        server: Any = SimpleNamespace(token=demo.access_token.get_secret_value(), base_url=demo.base_url)
        return Rig(server, str(lake), demo.name).sync()


def test_the_installed_command_does_the_readmes_steps_and_serves_a_deployment(
    installed: Environment, prefect: Prefect, rig: Rig, tmp_path: Path
) -> None:
    """In forks; the demo, above, is a process that starts by itself."""
    folder = tmp_path / "mine"
    assert installed.run("intercom-lake", "init", "--folder", str(folder), cwd=tmp_path).returncode == 0
    rig.connections_file(folder)
    settings = {**prefect.environment, **installed.forking, "INTERCOM_ACCESS_TOKEN": rig.server.token}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = [line for line in commands(section(readme, "Your own workspace")) if not line.startswith("export ")]
    assert [step.split()[1] for step in steps] == ["check", "plan", "sync"]
    for step in steps:
        program, *options = step.replace("my_intercom", rig.connection).split()
        assert program == "intercom-lake"
        done = installed.run(*COMMAND, *options, cwd=folder, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
    definitions = yaml.safe_load((folder / "prefect.yaml").read_text(encoding="utf-8"))
    deployment = definitions["deployments"][0] | {"name": "from-a-wheel"}  # of this test alone: the server is shared
    deployment["parameters"] |= {"connection": rig.connection, "tables": ["tags", "articles"]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [deployment]}), encoding="utf-8")
    with children_get_sigint():
        serving = installed.start(*COMMAND, "serve", cwd=folder, **settings, PREFECT_RUNNER_POLL_FREQUENCY="1")
    try:
        made = served(prefect, "intercom-sync/from-a-wheel")
        new = prefect.post(f"deployments/{made['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
        ended = prefect.state_of(new["id"])
    finally:
        serving.send_signal(signal.SIGINT)
        out, err = serving.communicate(timeout=60)
    assert ended == "COMPLETED", out + err
    assert serving.returncode == 130
    for table in ("tags", "articles"):
        assert_exact(rig.workspace.rows(table), read_lake(str(folder / "lake"), rig.connection, table), table)


def served(prefect: Prefect, name: str) -> Any:
    """The deployment, once it is on the server."""
    for _ in range(240):
        try:
            return prefect.get(f"deployments/name/{name}")
        except HTTPError:
            time.sleep(0.5)
    raise AssertionError(name)


# -- beside Intercom's SDK ---------------------------------------------------------------------------------------------


def test_beside_intercoms_sdk_the_command_says_what_to_do(wheel: Path, tmp_path: Path) -> None:
    """Whichever was installed first."""
    theirs = foreign_wheel(tmp_path)
    environment = Environment.made(tmp_path / "venv")
    for order in ([theirs, wheel], [theirs]):  # theirs before ours, and after it
        environment.install(*order)
        both = environment.run("intercom-lake", "--version", cwd=tmp_path)
        assert (both.returncode, both.stdout) == (2, "")
        (line,) = both.stderr.splitlines()
        assert "pip uninstall python-intercom" in line
    environment.pip("uninstall", "--yes", "--quiet", "python-intercom")
    left = environment.run("intercom-lake", "--version", cwd=tmp_path)
    assert (left.returncode, left.stdout) == (2, "")
    (line,) = left.stderr.splitlines()
    assert "intercom/__init__.py is gone" in line
    assert "Reinstall" in line
    environment.install(wheel)
    assert environment.run("intercom-lake", "--version", cwd=tmp_path).stdout.strip() == "0.1.0"
