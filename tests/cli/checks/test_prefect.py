"""Lines about Prefect: its API, its version, and what deployments need of it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from intercom.orchestration.server.provision import WORK_POOL
from tests.support.checked import Check, PlayedPrefect, whole_text
from tests.support.ports import free_port
from tests.support.prefect_server import Prefect
from tests.support.rig import Rig


def test_an_api_that_is_not_configured_is_no_fault(checked: Check) -> None:
    found = checked(tables="tags")
    assert found["prefect"]["facts"] == {"url": None}
    assert "temporary server" in found["prefect"]["detail"]
    assert "not read" in found["prefect"]["detail"]


def test_an_api_that_is_not_configured_with_no_temporary_one_allowed(checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (2, ["prefect"])


def test_an_api_where_nobody_listens_and_the_rest_is_tried_all_the_same(checked: Check, monkeypatch: Any) -> None:
    url = f"http://user:very-secret@127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["prefect"])
    assert "nobody listens there" in found["prefect"]["detail"]
    assert "from the environment" in found["prefect"]["detail"]
    assert "block of the connection could not be looked for" in found["prefect"]["cure"]
    assert "very-secret" not in str(found.told)
    assert found["connection"]["detail"].startswith("acme, from connections.yml")


def test_an_api_that_answers_and_what_is_not_set_up(played: PlayedPrefect, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_very_secret")
    found = checked(tables="tags")
    assert (found.status, found["prefect"]["facts"]["version"]) == (0, version("prefect"))
    assert found["deployments"]["status"] == "note"
    missing = ["block type intercom-connection", f"work pool {WORK_POOL}", "limit intercom-sync-acme"]
    assert found["deployments"]["facts"]["missing"] == missing
    assert {key for _, key in played.asked} == {"Bearer pnu_very_secret"}
    assert "very_secret" not in str(found.told)
    played.answers |= {
        "/api/block_types/slug/intercom-connection": {},
        f"/api/work_pools/{WORK_POOL}": {},
        "/api/v2/concurrency_limits/intercom-sync-acme": {},
    }
    assert checked(tables="tags")["deployments"]["status"] == "ok"


@pytest.mark.parametrize(
    ("theirs", "state", "status"), [("2.20.0", "fail", 1), ("3.0.1", "warn", 0), ("3.999.0", "ok", 0)]
)
def test_a_server_of_another_version(
    theirs: str, state: str, status: int, played: PlayedPrefect, checked: Check
) -> None:
    played.answers["/api/admin/version"] = theirs
    found = checked(tables="tags")
    assert (found.status, found["prefect"]["status"]) == (status, state)
    assert f"version {theirs}, and {version('prefect')} here" in found["prefect"]["detail"]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"{}", "PREFECT_API_KEY"),
        (500, b"{}", "status 500"),
        (503, b"{}", "status 503"),
        (None, b"<html>", "ends with /api"),
        (404, b"{}", "ends with /api"),
    ],
)
def test_something_else_than_an_api(
    status: int | None, body: bytes, told: str, played: PlayedPrefect, checked: Check, monkeypatch: Any
) -> None:
    monkeypatch.setattr("intercom.orchestration.server.plain_api._PAUSE_SECONDS", 0.01)
    played.status, played.answers["/api/health"] = status, body
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (1, ["prefect"])
    assert told in whole_text(found["prefect"])


@pytest.mark.slow
def test_a_real_server_with_a_block(
    rig: Rig, here: Path, prefect: Prefect, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "connections.yml").unlink()
    monkeypatch.setenv("PREFECT_API_URL", prefect.api)
    prefect.save_connection("checked-one", rig)
    found = checked(connection="checked_one")
    assert found.status == 0, found.told
    assert found["connection"]["detail"].startswith("checked_one, from block intercom-connection/checked-one")
    assert found["prefect"]["facts"]["version"] == version("prefect")
    assert "limit intercom-sync-checked-one" in found["deployments"]["facts"]["missing"]
    prefect.post("v2/concurrency_limits/", {"name": "intercom-sync-checked-one", "limit": 1})
    missing = checked(connection="checked_one", tables="tags")["deployments"]["facts"]["missing"]
    assert "limit intercom-sync-checked-one" not in missing
    assert "block type intercom-connection" not in missing
    assert checked(connection="checked-two").failed() == ["connection"]
