"""Credentials, version, headers and unknown paths."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [(None, "missing_authorization"), ("Bearer wrong", "token_not_found"), ("Basic c2FuZGJveA==", "unauthorized")],
)
def test_without_a_valid_token_the_answer_is_401_and_has_no_rate_headers(
    api: requests.Session, authorization: str | None, code: str
) -> None:
    # requests takes a null header as "do not send"
    answer = api.get("/me", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["type"] == "error.list"
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert not any(name in answer.headers for name in RATE_HEADERS)


def test_authenticated_answers_have_rate_headers(api: requests.Session) -> None:
    answer = api.get("/me")
    assert all(name in answer.headers for name in RATE_HEADERS)


@pytest.mark.parametrize("version", [None, "2.11", "Unstable"])
def test_a_request_without_version_2_14_is_refused(api: requests.Session, version: str | None) -> None:
    answer = api.get("/tags", headers={"Intercom-Version": version})
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert error["code"] == "parameter_invalid"
    assert "Intercom-Version" in error["message"]


def test_the_date_header_is_the_workspace_clock(api: requests.Session, workspace: Workspace) -> None:
    workspace.travel_to(1_600_000_000)
    served = parsedate_to_datetime(api.get("/tags").headers["Date"]).timestamp()
    assert 0 <= served - 1_600_000_000 <= 5
    workspace.travel(86_400)
    assert parsedate_to_datetime(api.get("/tags").headers["Date"]).timestamp() >= served + 86_400


def test_error_bodies_name_the_request_id_of_the_header(api: requests.Session) -> None:
    first, second = api.get("/nothing"), api.get("/nothing")
    assert first.json()["request_id"] == first.headers["X-Request-Id"]
    assert first.json()["request_id"] != second.json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/companies/search"), ("GET", "/contacts/search"), ("DELETE", "/tags")],
)
def test_paths_and_methods_that_do_not_exist_answer_404(api: requests.Session, method: str, path: str) -> None:
    answer = api.request(method, path, json={})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "not_found")


def test_answers_are_gzipped_only_when_that_is_accepted(seeded_api: requests.Session) -> None:
    packed = seeded_api.get("/articles", headers={"Accept-Encoding": "gzip"})
    plain = seeded_api.get("/articles", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) == len(plain.content)


def test_compression_can_be_switched_off(serve: Callable[..., requests.Session]) -> None:
    api = serve(Workspace.seeded(contacts=0, companies=0, conversations=0), compress=False)
    assert "Content-Encoding" not in api.get("/articles").headers


def test_a_connection_serves_many_requests(server: SandboxServer) -> None:
    address = urlsplit(server.base_url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=10)) as connection:
        connection.connect()
        socket = connection.sock
        for _ in range(3):
            connection.request("GET", "/tags")
            assert connection.getresponse().read()
            assert connection.sock is socket


def test_a_connection_is_closed_when_the_client_asks_for_it(server: SandboxServer) -> None:
    address = urlsplit(server.base_url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=10)) as connection:
        connection.request("GET", "/tags", headers={"Connection": "close"})
        answer = connection.getresponse()
        assert answer.status == 401
        assert answer.read()
        assert connection.sock is None or connection.sock.recv(1) == b""


def test_headers_are_read_however_they_are_spelled(server: SandboxServer) -> None:
    address = urlsplit(server.base_url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=10)) as connection:
        headers = {"authorization": f"Bearer {server.token}", "INTERCOM-VERSION": "2.14", "accept": "*/*"}
        connection.request("GET", "/tags", headers=headers)
        assert connection.getresponse().status == 200
    assert server.requests("/tags")[0].headers["Intercom-Version"] == "2.14"


def test_a_body_larger_than_the_socket_takes_at_once_arrives_whole(serve: Callable[..., requests.Session]) -> None:
    workspace = Workspace.seeded(contacts=0, companies=0, conversations=0, articles=0)
    workspace.create("tags", id="1", name="x" * 30_000_000)
    tags = serve(workspace, compress=False).get("/tags").json()["data"]
    assert sum(len(tag["name"]) for tag in tags) > 30_000_000


def test_an_accept_header_without_json_is_refused(api: requests.Session) -> None:
    assert api.get("/tags", headers={"Accept": "text/html"}).status_code == 406


def test_a_search_without_json_content_type_is_refused(api: requests.Session) -> None:
    assert api.post("/contacts/search", data="{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_body_that_is_no_json_object_is_a_bad_request(api: requests.Session) -> None:
    answer = api.post("/contacts/search", data="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "bad_request")


def test_me_tells_timezone_region_and_app(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.timezone = "Asia/Kolkata"
    workspace.options.region = "EU"
    workspace.options.app_id = "abc12345"
    app = api.get("/me").json()["app"]
    assert (app["timezone"], app["region"], app["id_code"]) == ("Asia/Kolkata", "EU", "abc12345")


def test_me_can_refuse(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.me_status = 403
    answer = api.get("/me")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "forbidden")


def test_the_log_has_each_request_but_not_the_token(api: requests.Session, server: SandboxServer) -> None:
    api.get("/tags?a=1")
    api.post("/contacts/search", json={"query": 1})
    get, post = server.requests()
    assert (get.method, get.path, get.params, get.body, get.status) == ("GET", "/tags", {"a": "1"}, None, 200)
    assert (post.number, post.path, post.body, post.status) == (2, "/contacts/search", {"query": 1}, 400)
    assert get.time < post.time
    assert server.token not in str(get.headers)
    assert server.requests("/tags") == [get]
    server.clear_log()
    assert server.log == []


def test_latency_delays_each_answer(serve: Callable[..., requests.Session], workspace: Workspace) -> None:
    api = serve(workspace, latency_seconds=0.05)
    assert api.get("/tags").elapsed.total_seconds() >= 0.05
