"""The scroll over companies, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace

PATH = "/companies/scroll"


@pytest.fixture
def companies(workspace: Workspace) -> set[str]:
    workspace.options.scroll_page_size = 2
    return {workspace.create("companies")["id"] for _ in range(5)}


def scroll(api: requests.Session, token: str | None = None) -> requests.Response:
    return api.get(PATH, params={} if token is None else {"scroll_param": token})


def start(api: requests.Session) -> tuple[str, list[str]]:
    page = scroll(api).json()
    return page["scroll_param"], ids(page)


def ids(page: dict[str, Any]) -> list[str]:
    return [company["id"] for company in page["data"]]


def rest(api: requests.Session, token: str) -> list[str]:
    """Read on to the empty page."""
    read: list[str] = []
    while page := ids(scroll(api, token).json()):
        read += page
    return read


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


def test_every_company_comes_once_under_one_token(seeded: SandboxServer, seeded_api: requests.Session) -> None:
    page = scroll(seeded_api).json()
    token, read, sizes = page["scroll_param"], ids(page), [len(page["data"])]
    while page["data"]:
        page = scroll(seeded_api, token).json()
        assert page["scroll_param"] == token
        assert page["pages"] is None
        assert page["total_count"] is None
        sizes.append(len(page["data"]))
        read += ids(page)
    assert sizes == [100, 100, 30, 0]
    assert sorted(read) == sorted(row["id"] for row in seeded.workspace.rows("companies"))


def test_a_page_that_is_full_by_chance_is_not_the_end(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.scroll_page_size = 1
    workspace.create("companies")
    token, first = start(api)
    assert len(first) == 1
    assert scroll(api, token).json()["data"] == []


def test_after_the_empty_page_the_token_is_dead(api: requests.Session, companies: set[str]) -> None:
    token, first = start(api)
    assert {*first, *rest(api, token)} == companies
    answer = scroll(api, token)
    assert code(answer) == (404, "not_found")
    assert answer.json()["errors"][0]["message"] == "scroll parameter not found"
    assert scroll(api).status_code == 200


def test_without_companies_there_is_a_token_and_then_404(api: requests.Session) -> None:
    token, first = start(api)
    assert first == []
    assert code(scroll(api, token)) == (404, "not_found")


def test_an_unknown_token_is_not_found_and_harms_nothing(api: requests.Session, companies: set[str]) -> None:
    token, first = start(api)
    assert code(scroll(api, "00000000-0000-4000-8000-000000000000")) == (404, "not_found")
    assert {*first, *rest(api, token)} == companies


def test_a_second_scroll_is_refused_while_one_is_open(api: requests.Session, companies: set[str]) -> None:
    token, first = start(api)
    answer = scroll(api)
    assert code(answer) == (400, "scroll_exists")
    assert answer.json()["errors"][0]["message"] == "scroll already exists for this workspace"
    assert {*first, *rest(api, token)} == companies


def test_the_token_expires_a_minute_after_its_last_use(
    api: requests.Session, workspace: Workspace, companies: set[str]
) -> None:
    token, _ = start(api)
    workspace.travel(55)
    assert scroll(api, token).status_code == 200
    workspace.travel(55)
    assert scroll(api, token).status_code == 200
    workspace.travel(61)
    assert code(scroll(api, token)) == (404, "not_found")


def test_an_expired_scroll_makes_room_for_the_next(
    api: requests.Session, workspace: Workspace, companies: set[str]
) -> None:
    old, _ = start(api)
    workspace.travel(61)
    new, first = start(api)
    assert new != old
    assert {*first, *rest(api, new)} == companies


def test_the_time_to_live_can_be_set(api: requests.Session, workspace: Workspace, companies: set[str]) -> None:
    workspace.options.scroll_ttl_seconds = 5
    token, _ = start(api)
    workspace.travel(6)
    assert code(scroll(api, token)) == (404, "not_found")


def test_an_internal_error_kills_the_scroll(api: requests.Session, server: SandboxServer, companies: set[str]) -> None:
    server.fail(PATH, "status", status=500, after=1)
    token, _ = start(api)
    broken = scroll(api, token)
    assert code(broken) == (500, "server_error")
    assert "restart the scroll" in broken.json()["errors"][0]["message"]
    assert code(scroll(api, token)) == (404, "not_found")
    token, first = start(api)
    assert {*first, *rest(api, token)} == companies


def test_a_lost_answer_that_was_executed_loses_its_page(
    api: requests.Session, server: SandboxServer, companies: set[str]
) -> None:
    server.fail(PATH, "status", status=502, after=1, executed=True)
    token, first = start(api)
    assert scroll(api, token).status_code == 502
    assert len({*first, *rest(api, token)}) == 3


def test_a_lost_answer_that_was_not_executed_loses_nothing(
    api: requests.Session, server: SandboxServer, companies: set[str]
) -> None:
    server.fail(PATH, "status", status=502, after=1)
    token, first = start(api)
    assert scroll(api, token).status_code == 502
    assert {*first, *rest(api, token)} == companies


def test_changes_in_mid_scroll_do_not_shift_the_walk(
    api: requests.Session, workspace: Workspace, companies: set[str]
) -> None:
    token, first = start(api)
    workspace.delete("companies", first[0])
    gone = next(iter(companies - set(first)))
    workspace.delete("companies", gone)
    for company in sorted(companies - {*first, gone}):
        workspace.update("companies", company)
    assert sorted(rest(api, token)) == sorted(companies - {*first, gone})


def test_the_walk_is_in_no_useful_order(seeded_api: requests.Session, seeded: SandboxServer) -> None:
    seeded.workspace.travel(61)
    page = scroll(seeded_api).json()
    for field in ("id", "created_at", "updated_at"):
        values = [company[field] for company in page["data"]]
        assert values not in (sorted(values), sorted(values, reverse=True))
