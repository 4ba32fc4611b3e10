"""Records that belong to others: parts in their conversation, lists below a contact or a company."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from intercom.sandbox import SandboxServer, Workspace


@pytest.fixture
def seeded() -> Workspace:
    return Workspace.seeded(conversations=4, conversation_parts=20, contacts=6, companies=2, articles=0, further=3)


@pytest.fixture
def workspace(seeded: Workspace) -> Workspace:
    return seeded


def get(api: requests.Session, path: str, **params: Any) -> dict[str, Any]:
    answer = api.get(path, params=params)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def test_a_conversation_says_how_many_parts_it_has_and_only_its_own_answer_has_them(
    api: requests.Session, workspace: Workspace
) -> None:
    rows = workspace.rows("conversations")
    assert not any("conversation_parts" in row for row in rows)
    counts = [row["statistics"]["count_conversation_parts"] for row in rows if row["statistics"]]
    assert sum(len(workspace.children["conversation_parts"].of(row["id"])) for row in rows) == 20
    for row in rows:
        served = get(api, f"/conversations/{row['id']}")["conversation_parts"]
        assert served["total_count"] == len(served["conversation_parts"])
        assert not any("conversation_id" in part for part in served["conversation_parts"])
        if row["statistics"]:
            assert served["total_count"] in counts


def test_only_the_newest_500_parts_are_served(api: requests.Session, workspace: Workspace) -> None:
    conversation = workspace.create("conversations", statistics={"count_conversation_parts": 0})["id"]
    for number in range(502):
        workspace.create("conversation_parts", conversation_id=conversation, created_at=1000 + number)
    served = get(api, f"/conversations/{conversation}")
    parts = served["conversation_parts"]["conversation_parts"]
    assert [part["created_at"] for part in parts] == list(range(1002, 1502))
    assert served["conversation_parts"]["total_count"] == served["statistics"]["count_conversation_parts"] == 502
    workspace.options.children_counted = "served"
    assert get(api, f"/conversations/{conversation}")["conversation_parts"]["total_count"] == 500


def test_bodies_come_without_tags_if_that_is_asked_for(api: requests.Session, workspace: Workspace) -> None:
    part = workspace.create("conversation_parts", body="<p>Hello <b>you</b></p>")
    parent = workspace.children["conversation_parts"].parent(part["id"])
    for params, body in (({}, part["body"]), ({"display_as": "plaintext"}, "Hello you")):
        served = get(api, f"/conversations/{parent}", **params)["conversation_parts"]["conversation_parts"]
        assert next(one["body"] for one in served if one["id"] == part["id"]) == body


def test_a_changed_or_removed_child_changes_its_parent(workspace: Workspace) -> None:
    part = next(iter(workspace.tables["conversation_parts"])).key
    parent = workspace.children["conversation_parts"].parent(part)
    for change in (lambda: workspace.update("conversation_parts", part, redacted=True), None):
        workspace.travel(100)
        change() if change else workspace.delete("conversation_parts", part)
        assert workspace.now() - (workspace.tables["conversations"][parent].updated_at or 0) < 50


def test_notes_come_in_pages(api: requests.Session, workspace: Workspace) -> None:
    contact = workspace.create("contacts")["id"]
    for _ in range(5):
        workspace.create("contact_notes", contact_id=contact)
    page = get(api, f"/contacts/{contact}/notes", per_page=2)
    assert (len(page["data"]), page["total_count"]) == (2, 5)
    assert f"/contacts/{contact}/notes?per_page=2&page=2" in page["pages"]["next"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/conversations/1", "not_found"),
        ("/contacts/1/notes", "not_found"),
        ("/contacts/1/segments", "not_found"),
        ("/contacts/1/subscriptions", "not_found"),
        ("/companies/1/segments", "company_not_found"),
    ],
)
def test_what_belongs_to_a_record_that_is_gone_is_not_found(api: requests.Session, path: str, code: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, code)


def test_what_belongs_to_a_record_goes_with_it(workspace: Workspace, server: SandboxServer) -> None:
    del server
    company = workspace.children["company_segments"].parent(next(iter(workspace.tables["company_segments"])).key)
    workspace.delete("companies", company)
    assert workspace.children["company_segments"].of(company) == []
