"""Answers that are well formed and wrong, on demand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace, raw

SEARCH, SCROLL = "/conversations/search", "/companies/scroll"
LISTS = {
    "/articles": "data",
    "/tags": "data",
    "/segments": "segments",
    "/admins": "admins",
    "/teams": "teams",
    "/companies": "data",
}


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """Six records of each table but those that change another table's record with each of theirs."""
    workspace.options.scroll_page_size = 2
    for table in workspace.tables.keys() - workspace.children.keys():
        for number in range(6):
            if table != "data_attributes":
                workspace.create(table, **({"user_count": 1} if table == "companies" else {"updated_at": 10 + number}))
    return workspace


def search(api: requests.Session, cursor: str | None = None, above: int = 0) -> dict[str, Any]:
    body = {
        "query": {"field": "updated_at", "operator": ">", "value": above},
        "sort": {"field": "updated_at", "order": "ascending"},
        "pagination": {"per_page": 4, "starting_after": cursor},
    }
    answer = api.post(SEARCH, json=body)
    assert answer.status_code == 200
    page: dict[str, Any] = answer.json()
    return page


def found(page: dict[str, Any]) -> list[int]:
    return [row["updated_at"] for row in page["conversations"]]


def test_a_shard_that_is_away_makes_an_empty_search(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    server.fail(SEARCH, "shard_away")
    page = search(api)
    assert (page["conversations"], page["total_count"]) == ([], 0)
    assert page["pages"] == {"type": "pages", "page": 1, "per_page": 4, "total_pages": 0}
    assert (len(search(api)["conversations"]), search(api)["total_count"]) == (4, 6)


@pytest.mark.parametrize(("path", "key"), LISTS.items())
def test_a_shard_that_is_away_makes_an_empty_list(
    api: requests.Session, server: SandboxServer, filled: Workspace, path: str, key: str
) -> None:
    server.fail(path, "shard_away", times=10**6)
    for _ in range(3):
        page = api.get(path).json()
        assert page[key] == []
        assert page.get("total_count", 0) == 0
        assert not (page.get("pages") or {}).get("next")


def test_an_empty_page_of_the_scroll_has_taken_its_companies_along(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    server.fail(SCROLL, "shard_away", after=1)
    page = api.get(SCROLL).json()
    token, sizes = page["scroll_param"], [len(page["data"])]
    for _ in range(3):
        page = api.get(SCROLL, params={"scroll_param": token}).json()
        assert page["scroll_param"] == token
        sizes.append(len(page["data"]))
    assert sizes == [2, 0, 2, 0]


def test_a_short_page_keeps_its_count_and_its_next(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    server.fail(SEARCH, "short", every=2, times=2)
    first = search(api)
    second = search(api, first["pages"]["next"]["starting_after"])
    assert (found(first), found(second)) == ([10, 12], [14])
    assert first["total_count"] == second["total_count"] == 6
    assert found(search(api)) == [10, 11, 12, 13]


def test_a_shifted_page_has_one_record_twice_and_another_not(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    server.fail(SEARCH, "shifted")
    page = search(api)
    assert (found(page), page["total_count"]) == ([10, 10, 11, 12], 6)


def test_a_fault_can_hit_one_query_or_one_page_alone(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    server.fail(SEARCH, "shard_away", times=10**6, where=lambda request: request.body["query"]["value"] == 12)
    server.fail(
        SEARCH, "shifted", times=10**6, where=lambda request: bool(request.body["pagination"].get("starting_after"))
    )
    server.fail("/articles", "shard_away", times=10**6, where=lambda request: request.params.get("page") == "2")
    first = search(api)
    assert (found(first), found(search(api, above=12)), found(search(api, above=13))) == (
        [10, 11, 12, 13],
        [],
        [14, 15],
    )
    assert found(search(api, first["pages"]["next"]["starting_after"])) == [14, 14]
    sizes = [len(api.get("/articles", params={"page": page, "per_page": 3}).json()["data"]) for page in (1, 2)]
    assert sizes == [3, 0]


def test_requests_that_a_fault_does_not_concern_are_not_counted(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    fault = server.fail("/articles", status=503, after=1, where=lambda request: request.params["page"] == "2")
    statuses = [api.get("/articles", params={"page": page}).status_code for page in (1, 2, 1, 2, 1)]
    assert statuses == [200, 200, 200, 503, 200]
    assert fault.hits == 1


def test_a_refusal_stays_one(api: requests.Session, server: SandboxServer) -> None:
    server.fail(SCROLL, "shard_away")
    answer = api.get(SCROLL, params={"scroll_param": "unknown"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "not_found")


@pytest.mark.parametrize("kind", ["shard_away", "short", "shifted"])
def test_what_is_left_of_a_wrong_answer_is_served_byte_for_byte(
    api: requests.Session, server: SandboxServer, workspace: Workspace, kind: Any
) -> None:
    for text in ("1.10", "9007199254740993", "2.50"):
        workspace.create("companies", user_count=1, monthly_spend=raw(text))
    right = api.get("/companies?per_page=3").json()["data"]
    server.fail("/companies", kind, every=3)
    answer = api.get("/companies?per_page=3")
    spent = re.findall(r'"monthly_spend":([^,}]*)', answer.text)
    assert len(right) == 3
    assert (
        spent
        == {
            "shard_away": [],
            "short": ["1.10", "9007199254740993"],
            "shifted": ["1.10", "1.10", "9007199254740993"],
        }[kind]
    )


def test_another_answer_is_that_of_another_path(
    api: requests.Session, server: SandboxServer, filled: Workspace
) -> None:
    first, second = [row["id"] for row in filled.rows("articles")[:2]]
    fault = server.fail(f"/articles/{first}", "another", times=2, instead=lambda _: f"/articles/{second}")
    assert api.get(f"/articles/{first}").json()["id"] == second
    server.clear_faults()
    assert fault.wrong == 1
    assert api.get(f"/articles/{first}").json()["id"] == first
