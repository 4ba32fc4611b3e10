"""Faults of the connection, and further wrong answers."""

from __future__ import annotations

import socket
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

SEARCH = "/conversations/search"


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """Seven conversations and seven articles."""
    for number in range(7):
        for table in ("conversations", "articles"):
            workspace.create(table, updated_at=10 + number)
    return workspace


def search(api: requests.Session, cursor: str | None = None) -> dict[str, Any]:
    body = {
        "query": {"field": "updated_at", "operator": ">", "value": 0},
        "sort": {"field": "updated_at", "order": "ascending"},
        "pagination": {"per_page": 3, "starting_after": cursor},
    }
    page: dict[str, Any] = api.post(SEARCH, json=body).json()
    return page


def found(page: dict[str, Any]) -> list[int]:
    return [row["updated_at"] for row in page["conversations"]]


def after(page: dict[str, Any]) -> str:
    return str(page["pages"]["next"]["starting_after"])


@pytest.mark.usefixtures("filled")
def test_a_hollow_page_has_no_records_and_goes_on(api: requests.Session, server: SandboxServer) -> None:
    server.fail(SEARCH, "hollow")
    page = search(api)
    assert (found(page), page["total_count"]) == ([], 7)
    assert found(search(api, after(page))) == [13, 14, 15]


@pytest.mark.usefixtures("filled")
def test_a_page_of_before_comes_once_more(api: requests.Session, server: SandboxServer) -> None:
    fault = server.fail(SEARCH, "again", after=1)
    first = search(api)
    assert search(api, after(first)) == first
    assert fault.wrong == 1


@pytest.mark.usefixtures("filled")
def test_a_page_names_itself_as_the_next_one(api: requests.Session, server: SandboxServer) -> None:
    cursor = after(search(api))
    fault = server.fail(SEARCH, "same_next", times=2)
    search(api)
    assert fault.wrong == 0  # the first page has no cursor of its own
    assert after(search(api, cursor)) == cursor
    server.fail("/articles", "same_next")
    assert api.get("/articles", params={"page": 2, "per_page": 3}).json()["pages"]["next"]["page"] == 2


@pytest.mark.usefixtures("filled")
def test_a_link_names_its_own_page(api: requests.Session, server: SandboxServer, workspace: Workspace) -> None:
    for _ in range(7):
        workspace.create("collections")
    server.fail("/help_center/collections", "same_next")
    answer = api.get("/help_center/collections", params={"page": 2, "per_page": 3}).json()
    assert "page=2" in answer["pages"]["next"]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("kind", "count"), [("fewer", 3), ("more", 13)])
def test_a_count_is_another_one(api: requests.Session, server: SandboxServer, kind: Any, count: int) -> None:
    server.fail(SEARCH, kind)
    page = search(api)
    assert (page["total_count"], found(page)) == (count, [10, 11, 12])


@pytest.mark.usefixtures("filled")
def test_a_connection_is_reset_in_the_middle_of_a_body(api: requests.Session, server: SandboxServer) -> None:
    server.fail(SEARCH, "reset_body")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="reset by peer"):
        search(api)
    assert found(search(api)) == [10, 11, 12]


def test_a_body_drips(api: requests.Session, server: SandboxServer) -> None:
    right = api.get("/teams").json()
    server.fail("/teams", "drip", seconds=0.0001)
    assert api.get("/teams").json() == right


def test_a_closed_port_refuses_and_may_be_opened_again(api: requests.Session, server: SandboxServer) -> None:
    address = server.base_url
    server.refuse()
    with pytest.raises(requests.exceptions.ConnectionError):
        api.get("/tags")
    port = urlsplit(address).port
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # meanwhile nobody else gets it
    server.accept()
    assert server.base_url == address
    assert api.get("/tags").status_code == 200


def test_the_date_may_be_ahead(api: requests.Session, server: SandboxServer, workspace: Workspace) -> None:
    server.date_ahead_seconds = 3_600
    told = parsedate_to_datetime(api.get("/tags").headers["Date"]).timestamp()
    assert told == pytest.approx(workspace.now() + 3_600, abs=30)
