"""Wrong options and settings: all are told at once, before Prefect is imported or a request leaves."""

from __future__ import annotations

import socket
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from intercom.cli.local_prefect import api_fault, home_fault, may_have_block
from intercom.cli.settings import faults
from intercom.orchestration.server.api_settings import ApiSettings
from tests.support.one_answer import answering
from tests.support.ports import free_port

NOWHERE = ApiSettings(url=None, place="", temporary=True)
OPTIONS = {
    "connection": "acme", "lake": "./lake", "tables": (), "storage_options": None, "connections_file": None,
    "full_refresh": False, "start_date": None, "end_date": None,
}  # fmt: skip


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine without Prefect's database and without settings, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return {"PREFECT_HOME": str(tmp_path / "home")}


def connections(*entries: str) -> str:
    lines = "".join(f"    - {{{entry}}}\n" for entry in entries)
    Path("connections.yml").write_text(f"connections:\n  intercom:\n{lines}", encoding="utf-8")
    return "connections.yml"


def found(environ: dict[str, str], **options: Any) -> list[str]:
    return faults({**OPTIONS, **options}, environ)


def test_nothing_is_wrong(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: t")
    assert found(environ) == []
    assert not Path("lake").exists()


def test_faults_of_all_kinds_are_told_together(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: 'a b', region: moon, requests_per_10s: 0, requests_in_flight: 99")
    Path("home").write_text("a file\n")
    told = "\n".join(
        found(environ, tables=["kontacts", "foo"], lake="nosuch://x", full_refresh=True, end_date=date(2026, 5, 1))
    )
    for part in (
        "no table 'foo'", "no table 'kontacts'. Did you mean 'contacts'?", "full refresh with an end date",
        "'nosuch://x' cannot", "access token contains",
        "unknown region 'moon'", "requests_per_10s must be", "requests_in_flight must be",
        "Prefect's home",
    ):  # fmt: skip
        assert told.count(part) == 1, part


def test_a_lake_that_cannot_be_made_is_told(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: t")
    Path("file").write_text("no folder\n")
    (told,) = found(environ, lake="./file/lake")
    assert told.endswith("file is no folder. Name another folder, or put one there.")


def test_a_missing_variable_is_told_with_its_place(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: '${ACME_TOKEN}'")
    (told,) = found(environ)
    assert "ACME_TOKEN is not set" in told
    assert found(environ | {"ACME_TOKEN": "t"}) == []


def test_the_demo_needs_no_connection_and_no_home(environ: dict[str, str]) -> None:
    Path("home").write_text("a file\n")
    assert faults(OPTIONS, environ, demo=True) == []


def test_a_connection_that_is_a_block_on_the_server_needs_no_entry(environ: dict[str, str]) -> None:
    with answering(200, '{"data": {"access_token": "t"}}') as url:
        assert found(environ | {"PREFECT_API_URL": url}) == []


def test_where_the_server_has_no_block_the_file_is_checked(environ: dict[str, str]) -> None:
    with answering(404, "{}", healthy=True) as url:
        asked = environ | {"PREFECT_API_URL": url}
        assert "No connection 'acme'" in found(asked)[0]
        connections("name: acme, access_token: '${ACME_TOKEN}'")
        (told,) = found(asked)
        assert "ACME_TOKEN" in told
        assert found(asked | {"ACME_TOKEN": "t"}) == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(401, "{}", "refuses (status 401)"), (404, "{}", "not as Prefect does"), (200, "a page", "not as Prefect does")],
)
def test_a_server_that_refuses_or_is_none_of_prefects_is_told(
    environ: dict[str, str], status: int, body: str, said: str
) -> None:
    connections("name: acme, access_token: t")
    with answering(status, body) as url:
        (told,) = found(environ | {"PREFECT_API_URL": url})
    assert said in told


def test_a_server_in_trouble_leaves_the_answer_to_the_run(environ: dict[str, str]) -> None:
    with answering(500, "{}") as url:
        assert found(environ | {"PREFECT_API_URL": url}) == []


def database(home: Path, *names: str) -> None:
    home.mkdir()
    with sqlite3.connect(home / "prefect.db") as made:
        made.execute("CREATE TABLE block_type (id TEXT, slug TEXT)")
        made.execute("CREATE TABLE block_document (block_type_id TEXT, name TEXT)")
        made.executemany("INSERT INTO block_type VALUES (?, ?)", [("1", "intercom-connection"), ("2", "secret")])
        made.executemany("INSERT INTO block_document VALUES (?, ?)", [("1", name) for name in names])
        made.execute("INSERT INTO block_document VALUES ('2', 'other')")
    made.close()


def test_the_local_database_tells_whether_a_block_is_there(environ: dict[str, str], tmp_path: Path) -> None:
    assert not may_have_block("acme", NOWHERE, environ)
    database(tmp_path / "home", "acme")
    assert may_have_block("acme", NOWHERE, environ)
    assert not may_have_block("other", NOWHERE, environ)
    (tmp_path / "home" / "prefect.db").write_bytes(b"no database")
    assert may_have_block("other", NOWHERE, environ)  # in doubt


def test_a_database_elsewhere_may_have_the_block(environ: dict[str, str]) -> None:
    elsewhere = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://x/y"}
    assert not may_have_block("acme", NOWHERE, environ)
    assert may_have_block("acme", NOWHERE, environ | elsewhere)


def test_a_profile_names_a_server_that_does_not_listen(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: t")
    Path("home").mkdir()
    Path("home/profiles.toml").write_text(
        f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:{free_port()}/api"\n'
    )
    (told,) = found(environ)
    assert "No Prefect server answers" in told
    assert "profile 'mine'" in told


def test_a_file_of_settings_that_prefect_cannot_read_is_told(environ: dict[str, str]) -> None:
    connections("name: acme, access_token: t")
    Path("prefect.toml").write_text("[api\n")
    (told,) = found(environ)
    assert "prefect.toml is not TOML" in told


def test_a_server_that_does_not_listen_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"http://user:secret@127.0.0.1:{port}/api"
        assert api_fault(url, "the environment", {}) is None
    told = api_fault(url, "the environment", {})
    assert told is not None
    assert f"127.0.0.1:{port}" in told
    assert "secret" not in told
    assert api_fault(url, "the environment", {"HTTP_PROXY": "http://proxy:3128"}) is None
    assert "not a URL" in str(api_fault("127.0.0.1:4200", "the environment", {}))


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    home = {"PREFECT_HOME": str(tmp_path / "new" / "home")}
    assert home_fault(home) is None
    assert list((tmp_path / "new" / "home").iterdir()) == []
    (tmp_path / "file").write_text("")
    told = home_fault({"PREFECT_HOME": str(tmp_path / "file")})
    assert told is not None
    assert "PREFECT_HOME" in told
