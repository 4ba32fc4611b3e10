"""Lines about the token, the workspace that it belongs to, the clock and the rate limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intercom.config.connection import Region
from intercom.tables.catalogue import TABLES
from tests.support.checked import TOKEN, Check
from tests.support.ports import free_port
from tests.support.rig import Rig


def test_a_wrong_token_is_one_line_and_no_table_is_tried(rig: Rig, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setenv("INTERCOM_ACCESS_TOKEN", "another-token-that-nobody-knows")
    found = checked()
    assert (found.status, found.failed()) == (1, ["token"])
    assert found["token"]["facts"] == {"http_status": 401, "code": "token_not_found"}
    assert "Developer Hub" in found["token"]["cure"]
    assert list(found.states()) == ["connection", "token", "lake", "lock", "prefect"]
    assert [request.path for request in rig.server.requests()] == ["/me"]


def test_a_token_of_another_region_is_told_with_the_region_that_takes_it(
    rig: Rig, here: Path, make_rig: Callable[..., Rig], checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {Region.US: make_rig(server={"token": "us"}), Region.EU: rig, Region.AU: make_rig(server={"token": "au"})}
    monkeypatch.setattr(Region, "base_url", property(lambda region: hosts[region].server.base_url))
    (here / "connections.yml").unlink()
    found = checked(connection="default")
    assert (found.status, found.failed()) == (2, ["region"])
    assert "region us refuses the token, and region eu takes it" in found["region"]["detail"]
    assert "region: eu" in found["region"]["cure"]
    assert [request.path for request in rig.server.requests()] == ["/me"]
    monkeypatch.setenv("INTERCOM_REGION", "eu")
    assert checked(connection="default").status == 0


def test_a_workspace_that_names_another_region_is_a_warning(rig: Rig, checked: Check) -> None:
    rig.workspace.options.region = "EU"
    found = checked(tables="tags")
    assert (found.status, found["region"]["status"]) == (0, "warn")
    assert found["region"]["detail"] == "the connection says us, the workspace eu"


def test_a_token_that_may_not_say_whose_it_is_is_a_warning_and_tables_are_tried(rig: Rig, checked: Check) -> None:
    rig.workspace.options.me_status = 403
    found = checked(tables="tags")
    assert (found.status, found["token"]["status"], found["tags"]["status"]) == (0, "warn", "ok")
    assert "Read admins" in found["token"]["cure"]


@pytest.mark.parametrize(
    ("status", "code", "check_name", "exit_status"),
    [
        (403, "api_plan_restricted", "token", 1),
        (402, None, "token", 1),
        (404, "not_found", "intercom", 2),
        (302, None, "intercom", 2),
        (503, None, "intercom", 1),
    ],
)
def test_what_stands_in_the_way_of_all_tables_is_one_line(
    status: int, code: str | None, check_name: str, exit_status: int, rig: Rig, checked: Check
) -> None:
    body = {"type": "error.list", "errors": [{"code": code, "message": "No."}]} if code else ""
    rig.server.fail("/me", status=status, body=body, times=9)
    found = checked()
    assert (found.status, found.failed()) == (exit_status, [check_name])
    assert not TABLES.keys() & found.states().keys()
    assert found[check_name]["facts"]["http_status"] == status
    assert found[check_name]["cure"]


def test_a_host_that_cannot_be_reached(here: Path, checked: Check) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (here / "connections.yml").write_text(
        f"connections: {{intercom: [{{name: acme, access_token: {TOKEN}, base_url: '{url}'}}]}}"
    )
    found = checked()
    assert (found.status, found.failed()) == (1, ["intercom"])
    assert url in found["intercom"]["detail"]
    assert "connection refused: ConnectionError from NewConnectionError" in found["intercom"]["detail"]


def test_a_clock_that_is_wrong_is_a_warning(rig: Rig, checked: Check) -> None:
    rig.workspace.travel(400)
    found = checked(tables="tags")
    assert (found.status, found["clock"]["status"]) == (0, "warn")
    assert found["clock"]["facts"]["seconds_apart"] == pytest.approx(400, abs=5)
    assert "behind Intercom" in found["clock"]["detail"]
    rig.workspace.travel(-900)
    assert "ahead of Intercom" in checked(tables="tags")["clock"]["detail"]


def test_answers_without_a_time_are_a_warning(rig: Rig, checked: Check) -> None:
    rig.server.fail("/me", status=200, body={"app": {"id_code": "sbx7k2qd"}}, headers={"Date": "none"})
    found = checked(tables="tags")
    assert (found.status, found["clock"]["status"]) == (0, "warn")
    assert "no Date header" in found["clock"]["detail"]


def test_the_rate_limit_and_what_others_use_of_it(rig: Rig, here: Path, checked: Check) -> None:
    facts = checked(tables="tags")["rate limit"]["facts"]
    assert (facts["per_10s"], facts["cap"]) == (500, None)
    rig.workspace.travel(10)
    rig.server.other_usage(300)
    found = checked(tables="tags")
    assert (found.status, found["rate limit"]["status"]) == (0, "warn")
    assert found["rate limit"]["facts"]["used_by_others"] == 300
    text = (here / "connections.yml").read_text()
    (here / "connections.yml").write_text(f"{text}      requests_per_10s: 80\n")
    rig.workspace.travel(10)
    capped = checked(tables="tags")["rate limit"]
    assert (capped["status"], capped["facts"]["cap"]) == ("ok", 80)
    assert "others used none" in capped["detail"]
    assert "80 may be used" in capped["detail"]


def test_answers_without_a_rate_limit(rig: Rig, checked: Check) -> None:
    rig.server.rate_headers = False
    found = checked(tables="tags")["rate limit"]
    assert (found["status"], found["facts"]["per_10s"]) == ("note", None)
    assert "166 requests" in found["detail"]
