"""Windows on the workspace's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

WINDOW_START = 1_750_000_000  # a multiple of ten seconds


@pytest.fixture
def server(workspace: Workspace) -> Iterator[SandboxServer]:
    with SandboxServer(workspace, rate_limit=3) as server:
        yield server


def remaining(answer: requests.Response) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


def test_the_headers_count_down_and_name_the_end_of_the_window(api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 2)
    answers = [api.get("/tags") for _ in range(3)]
    assert [remaining(answer) for answer in answers] == [2, 1, 0]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    assert {answer.headers["X-RateLimit-Reset"] for answer in answers} == {str(WINDOW_START + 10)}


def test_a_request_above_the_limit_answers_429_with_the_headers(api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 1)
    for _ in range(3):
        api.get("/tags")
    answer = api.get("/tags")
    assert answer.status_code == 429
    assert answer.json()["errors"] == [
        {"code": "rate_limit_exceeded", "message": "Exceeded rate limit of 3 in 10_seconds"}
    ]
    assert remaining(answer) == 0
    assert answer.headers["X-RateLimit-Reset"] == str(WINDOW_START + 10)


def test_the_next_window_starts_afresh(api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 1)
    for _ in range(4):
        api.get("/tags")
    workspace.travel_to(WINDOW_START + 10)
    assert remaining(api.get("/tags")) == 2


def test_other_apps_use_the_same_window(server: SandboxServer, api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 1)
    assert remaining(api.get("/tags")) == 2
    server.other_usage(2)
    assert api.get("/tags").status_code == 429


def test_the_limit_can_change_in_mid_run(server: SandboxServer, api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 1)
    api.get("/tags")
    server.rate_limit = 10
    answer = api.get("/tags")
    assert (answer.headers["X-RateLimit-Limit"], remaining(answer)) == ("10", 8)


def test_windows_tell_how_much_of_them_was_used(
    server: SandboxServer, api: requests.Session, workspace: Workspace
) -> None:
    assert server.requests_by_window() == []
    for offset, requests_sent in ((1, 2), (11, 5), (31, 1)):
        workspace.travel_to(WINDOW_START + offset)
        for _ in range(requests_sent):
            api.get("/tags")
    assert server.requests_by_window() == [2, 3, 0, 1]


def test_requests_without_credentials_cost_nothing(api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(WINDOW_START + 1)
    for _ in range(5):
        api.get("/tags", headers={"Authorization": "Bearer wrong"})
    assert remaining(api.get("/tags")) == 2


def test_a_429_leaves_the_scroll_where_it_was(
    server: SandboxServer, api: requests.Session, workspace: Workspace
) -> None:
    workspace.options.scroll_page_size = 1
    expected = {workspace.create("companies")["id"] for _ in range(2)}
    workspace.travel_to(WINDOW_START + 1)
    first = api.get("/companies/scroll").json()
    server.other_usage(10)
    assert api.get("/companies/scroll", params={"scroll_param": first["scroll_param"]}).status_code == 429
    workspace.travel_to(WINDOW_START + 11)
    second = api.get("/companies/scroll", params={"scroll_param": first["scroll_param"]}).json()
    assert {first["data"][0]["id"], second["data"][0]["id"]} == expected


def test_rate_headers_can_be_absent(serve: Callable[..., requests.Session], workspace: Workspace) -> None:
    api = serve(workspace, rate_limit=1, window_seconds=60.0, rate_headers=False)
    api.get("/tags")
    answer = api.get("/tags")
    assert answer.status_code == 429
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]
