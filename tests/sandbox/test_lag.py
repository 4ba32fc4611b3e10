"""A search index that lags behind the records."""

from __future__ import annotations

import requests

from intercom.sandbox import Workspace


def names(api: requests.Session) -> list[str]:
    query = {"field": "created_at", "operator": ">", "value": 0}
    answer = api.post("/contacts/search", json={"query": query, "sort": {"field": "id", "order": "ascending"}}).json()
    assert answer["total_count"] == len(answer["data"])
    return [contact["name"] for contact in answer["data"]]


def test_a_search_that_lags_shows_new_changed_and_removed_records_later(
    api: requests.Session, workspace: Workspace
) -> None:
    for number, name in enumerate(("kept", "changed", "removed")):
        workspace.create("contacts", id=str(number), name=name)
    workspace.lag_search(600)
    workspace.update("contacts", "1", name="changed since")
    workspace.delete("contacts", "2")
    workspace.create("contacts", id="3", name="new")
    assert names(api) == ["kept", "changed", "removed"]
    assert api.get("/contacts/1").json()["name"] == "changed since"
    workspace.travel(590)
    assert names(api) == ["kept", "changed", "removed"]
    workspace.travel(11)
    assert names(api) == ["kept", "changed since", "new"]


def test_an_older_version_never_comes_after_a_newer_one(api: requests.Session, workspace: Workspace) -> None:
    workspace.create("contacts", id="1", name="first")
    workspace.lag_search(600)
    workspace.update("contacts", "1", name="second")
    workspace.lag_search(0)
    workspace.update("contacts", "1", name="third")
    workspace.create("contacts", id="2", name="other")
    assert names(api) == ["third", "other"]
    workspace.travel(601)
    assert names(api) == ["third", "other"]
