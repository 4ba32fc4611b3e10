"""Failures on demand, and hooks that change the workspace in mid-read."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from intercom.sandbox import LoggedRequest, SandboxServer, Workspace


def test_a_fault_hits_its_path_after_some_matches_and_some_times(api: requests.Session, server: SandboxServer) -> None:
    fault = server.fail("/tags", status=503, times=2, after=1)
    statuses = [api.get(path).status_code for path in ("/teams", "/tags", "/tags", "/admins", "/tags", "/tags")]
    assert statuses == [200, 200, 503, 200, 503, 200]
    assert fault.hits == 2


def test_a_fault_without_a_path_hits_any_request(api: requests.Session, server: SandboxServer) -> None:
    server.fail(status=500, times=2)
    assert [api.get(path).status_code for path in ("/tags", "/admins", "/teams")] == [500, 500, 200]


def test_faults_of_one_path_come_one_after_the_other(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", status=500)
    server.fail("/tags", status=503)
    assert [api.get("/tags").status_code for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "parameter_invalid"),
        (401, "unauthorized"),
        (402, "api_plan_restricted"),
        (403, "forbidden"),
        (404, "not_found"),
        (408, "request_timeout"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
        (503, "service_unavailable"),
    ],
)
def test_a_status_fault_has_the_documented_error_body(
    api: requests.Session, server: SandboxServer, status: int, code: str
) -> None:
    server.fail("/tags", "status", status=status)
    answer = api.get("/tags")
    assert answer.status_code == status
    assert answer.json()["type"] == "error.list"
    assert answer.json()["errors"][0]["code"] == code
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_status_fault_can_have_its_own_body_and_headers(api: requests.Session, server: SandboxServer) -> None:
    body = {"type": "error.list", "errors": [{"code": "too_many_requests", "message": "busy"}]}
    server.fail("/tags", status=429, body=body, headers={"Retry-After": "3", "X-RateLimit-Remaining": "0"})
    answer = api.get("/tags")
    assert (answer.status_code, answer.json()) == (429, body)
    assert (answer.headers["Retry-After"], answer.headers["X-RateLimit-Remaining"]) == ("3", "0")


def test_html_of_a_proxy_has_no_rate_headers(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", "html", status=504)
    answer = api.get("/tags")
    assert answer.status_code == 504
    assert answer.text.startswith("<html>")
    assert "X-RateLimit-Limit" not in answer.headers


@pytest.mark.parametrize("executed", [False, True])
@pytest.mark.parametrize("kind", ["empty", "truncated_json", "not_json"])
def test_some_bodies_with_status_200_are_no_json(
    api: requests.Session, server: SandboxServer, kind: Any, executed: bool
) -> None:
    server.fail("/tags", kind, executed=executed)
    answer = api.get("/tags")
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("executed", [False, True])
def test_a_truncated_answer_breaks_off(api: requests.Session, server: SandboxServer, executed: bool) -> None:
    server.fail("/tags", "truncated", executed=executed)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.get("/tags")
    assert api.get("/tags").status_code == 200


def test_a_reset_connection_gives_no_answer(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", "reset")
    with pytest.raises(requests.exceptions.ConnectionError):
        api.get("/tags")
    assert server.requests("/tags")[0].status is None
    assert api.get("/tags").status_code == 200


def test_a_reset_after_execution_has_done_its_work(
    api: requests.Session, server: SandboxServer, workspace: Workspace
) -> None:
    workspace.create("companies")
    server.fail("/companies/scroll", "reset", executed=True)
    with pytest.raises(requests.exceptions.ConnectionError):
        api.get("/companies/scroll")
    assert api.get("/companies/scroll").json()["errors"][0]["code"] == "scroll_exists"


def test_a_delayed_answer_is_the_right_one(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", "delay", seconds=0.1)
    before = time.monotonic()
    assert api.get("/tags").json()["data"] == []
    assert time.monotonic() - before >= 0.1


def test_a_redirect_names_another_host(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", "redirect")
    answer = api.get("/tags", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://elsewhere.invalid/tags")
    server.fail("/tags", "redirect", headers={"Location": "http://127.0.0.2:9/"})
    assert api.get("/tags", allow_redirects=False).headers["Location"] == "http://127.0.0.2:9/"


def test_an_answer_can_lack_its_records(api: requests.Session, server: SandboxServer) -> None:
    server.fail("/tags", "wrong_shape")
    server.fail("/tags", "wrong_shape", body=[1, 2])
    assert "data" not in api.get("/tags").json()
    assert api.get("/tags").json() == [1, 2]


def test_an_unknown_kind_of_fault_is_refused_at_once(server: SandboxServer) -> None:
    kind: Any = "explode"
    with pytest.raises(ValueError, match="truncated_json"):
        server.fail("/tags", kind)


def test_faults_wait_while_the_rate_limit_refuses(api: requests.Session, server: SandboxServer) -> None:
    fault = server.fail("/tags", status=503)
    server.rate_limit = 0
    assert api.get("/tags").status_code == 429
    assert fault.hits == 0


def test_a_hook_changes_records_before_the_request_is_executed(
    api: requests.Session, server: SandboxServer, workspace: Workspace
) -> None:
    seen: list[str] = []

    def change(request: LoggedRequest) -> None:
        seen.append(request.path)
        workspace.create("tags", name=f"tag {len(seen)}")

    server.before_request(change)
    assert [tag["name"] for tag in api.get("/tags").json()["data"]] == ["tag 1"]
    assert len(api.get("/tags").json()["data"]) == 2
    server.clear_hooks()
    assert len(api.get("/tags").json()["data"]) == 2
    assert seen == ["/tags", "/tags"]


def test_a_hook_may_itself_ask_the_server(api: requests.Session, server: SandboxServer) -> None:
    def ask(request: LoggedRequest) -> None:
        if request.path == "/tags":
            assert requests.get(f"{server.base_url}/me", timeout=5).status_code == 401

    server.before_request(ask)
    assert api.get("/tags").status_code == 200
