"""Companies by page number, and records by their own address."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace


def ids(page: dict[str, Any]) -> list[str]:
    return [company["id"] for company in page["data"]]


def test_companies_come_15_per_page_and_are_counted(api: requests.Session, workspace: Workspace) -> None:
    made = [workspace.create("companies", user_count=1)["id"] for _ in range(17)]
    first, second = (api.get("/companies", params={"page": number}).json() for number in (1, 2))
    assert ids(first) + ids(second) == made
    assert len(ids(first)) == 15
    assert first["total_count"] == second["total_count"] == 17
    assert first["pages"] == {
        "type": "pages",
        "page": 1,
        "per_page": 15,
        "total_pages": 2,
        "next": "https://api.intercom.io/companies?per_page=15&page=2",
    }
    assert second["pages"]["next"] is None


def test_the_list_of_companies_leaves_out_those_without_users_and_the_scroll_does_not(
    api: requests.Session, workspace: Workspace
) -> None:
    used, unused = workspace.create("companies", user_count=1)["id"], workspace.create("companies", user_count=0)["id"]
    listed = api.get("/companies?per_page=60").json()
    assert (ids(listed), listed["total_count"]) == ([used], 1)
    assert set(ids(api.get("/companies/scroll").json())) == {used, unused}
    assert api.get(f"/companies/{unused}").json()["id"] == unused


def test_pages_of_companies_hold_60_at_most(api: requests.Session) -> None:
    assert api.get("/companies?per_page=60").status_code == 200
    answer = api.get("/companies?per_page=61")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")


@pytest.mark.parametrize("table", ["contacts", "companies"])
def test_a_record_has_an_address_of_its_own(seeded: SandboxServer, seeded_api: requests.Session, table: str) -> None:
    row = seeded.workspace.rows(table)[7]
    assert seeded_api.get(f"/{table}/{row['id']}").json() == row


@pytest.mark.parametrize(("table", "more"), [("conversations", "conversation_parts"), ("articles", "statistics")])
def test_some_fields_come_only_with_one_record(
    seeded: SandboxServer, seeded_api: requests.Session, table: str, more: str
) -> None:
    row = seeded.workspace.rows(table)[7]
    single = seeded_api.get(f"/{table}/{row['id']}").json()
    assert single.pop(more)["type"]
    assert more not in row
    assert single == row


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("contacts", "not_found"),
        ("companies", "company_not_found"),
        ("conversations", "not_found"),
        ("articles", "not_found"),
    ],
)
def test_the_address_of_a_deleted_record_answers_404(
    api: requests.Session, workspace: Workspace, table: str, code: str
) -> None:
    key = workspace.create(table)["id"]
    workspace.delete(table, key)
    answer = api.get(f"/{table}/{key}")
    assert (answer.status_code, answer.json()["type"]) == (404, "error.list")
    assert answer.json()["errors"][0]["code"] == code
