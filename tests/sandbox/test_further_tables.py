"""Tables beyond the default ones: where they are served, and how lists by page number can answer."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from intercom.sandbox import FURTHER, SandboxServer, Workspace
from intercom.sandbox.listing import Paging
from tests.sandbox.conftest import NOW, Api

LISTS = {
    "away_status_reasons": "/away_status_reasons",
    "ticket_types": "/ticket_types",
    "ticket_states": "/ticket_states",
    "subscription_types": "/subscription_types",
}
PAGED = {
    "collections": "/help_center/collections",
    "help_centers": "/help_center/help_centers",
    "internal_articles": "/internal_articles",
    "news_items": "/news/news_items",
    "newsfeeds": "/news/newsfeeds",
    "calls": "/calls",
}


@pytest.fixture(scope="module")
def full() -> Any:
    workspace = Workspace.seeded(now=NOW, contacts=3, companies=0, conversations=3, articles=0, further=30)
    with SandboxServer(workspace) as server, Api(server) as api:
        yield workspace, api


@pytest.mark.parametrize("table", LISTS)
def test_a_list_has_the_whole_table(full: tuple[Workspace, requests.Session], table: str) -> None:
    workspace, api = full
    rows = workspace.rows(table)
    assert len(rows) == 30
    assert api.get(LISTS[table]).json() == {"type": "list", "data": rows}


@pytest.mark.parametrize("table", PAGED)
def test_pages_have_the_whole_table_once(full: tuple[Workspace, requests.Session], table: str) -> None:
    workspace, api = full
    pages = [api.get(PAGED[table], params={"page": number}).json() for number in range(1, 4)]
    size = len(pages[0]["data"])
    found = [row for page in pages[: -(-30 // size)] for row in page["data"]]
    assert sorted(row["id"] for row in found) == sorted(row["id"] for row in workspace.rows(table))
    told = set(pages[0]) - {"data", "type"}
    assert told == (set() if table == "help_centers" else {"pages", "total_count"})


def test_collections_come_newest_first(full: tuple[Workspace, requests.Session]) -> None:
    times = [row["updated_at"] for row in full[1].get("/help_center/collections").json()["data"]]
    assert times == sorted(times, reverse=True)


def test_more_than_25_calls_a_page_are_refused(full: tuple[Workspace, requests.Session]) -> None:
    assert full[1].get("/calls?per_page=26").status_code == 400
    assert len(full[1].get("/calls?per_page=25").json()["data"]) == 25


def test_tickets_are_searched_by_the_second_and_have_their_parts(api: requests.Session, workspace: Workspace) -> None:
    for at in (10, 11, 12):
        workspace.create("tickets", id=str(at), updated_at=at)
    query = {"field": "updated_at", "operator": ">", "value": 10}
    answer = api.post("/tickets/search", json={"query": query, "sort": {"field": "updated_at", "order": "asc"}}).json()
    assert (answer["type"], answer["total_count"]) == ("ticket.list", 2)
    assert answer["tickets"] == workspace.rows("tickets")[1:]
    parts = answer["tickets"][0]["ticket_parts"]
    assert parts["total_count"] == len(parts["ticket_parts"])
    by_state = {"field": "state", "operator": "=", "value": "resolved"}
    assert api.post("/tickets/search", json={"query": by_state}).status_code == 200


@pytest.mark.parametrize(
    ("table", "code"), [("tickets", "ticket_not_found"), ("news_items", "not_found"), ("calls", "not_found")]
)
def test_a_record_has_an_address_of_its_own_until_it_is_deleted(
    api: requests.Session, workspace: Workspace, table: str, code: str
) -> None:
    made = workspace.create(table)
    path = f"{PAGED.get(table, '/tickets')}/{made['id']}"
    assert api.get(path).json() == made
    workspace.delete(table, made["id"])
    assert (api.get(path).status_code, api.get(path).json()["errors"][0]["code"]) == (404, code)


def ids(api: requests.Session, **params: int) -> list[str]:
    return [row["id"] for row in api.get("/news/newsfeeds", params=params).json()["data"]]


@pytest.fixture
def five(workspace: Workspace) -> Workspace:
    for number in range(1, 6):
        workspace.create("newsfeeds", id=str(number))
    return workspace


def test_a_list_can_ignore_the_number_of_the_page(api: requests.Session, five: Workspace) -> None:
    five.options.paging["newsfeeds"] = Paging(per_page=2, most=2, honoured=False, following="always")
    assert ids(api, page=1) == ids(api, page=2, per_page=4) == ["1", "2"]
    assert api.get("/news/newsfeeds?page=7").json()["pages"]["next"]["page"] == 2
    five.options.paging["newsfeeds"] = Paging(per_page=None, honoured=False)
    assert ids(api) == ids(api, page=9, per_page=2) == ["1", "2", "3", "4", "5"]


def test_a_list_can_refuse_parameters(api: requests.Session, five: Workspace) -> None:
    five.options.paging["newsfeeds"] = Paging(per_page=2, refused=("per_page",))
    assert api.get("/news/newsfeeds?per_page=2").json()["errors"][0]["field"] == "per_page"
    assert ids(api, page=3) == ["5"]


def test_a_list_can_say_nothing_of_other_pages(api: requests.Session, five: Workspace) -> None:
    five.options.paging["newsfeeds"] = Paging(per_page=2, pages=False, totals=False)
    assert set(api.get("/news/newsfeeds").json()) == {"type", "data"}


@pytest.mark.parametrize("seed", [3, 4])
def test_further_tables_change_no_record_of_the_others(seed: int) -> None:
    # A conversation counts its parts.
    small = {"contacts": 20, "companies": 5, "conversations": 10, "articles": 5, "conversation_parts": 0}
    without, with_them = (Workspace.seeded(seed=seed, now=NOW, further=further, **small) for further in (0, 9))
    with_them.create("tickets")
    for table in set(without.tables) - set(FURTHER):
        assert without.rows(table) == with_them.rows(table)
    assert without.create("contacts") == with_them.create("contacts")
