"""Articles by page number, and the tables that come whole."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from intercom.sandbox import Paging, SandboxServer, Workspace


def add(workspace: Workspace, *times: int) -> None:
    for at in times:
        workspace.create("articles", id=str(at), updated_at=at)


def ids(page: dict[str, Any]) -> list[str]:
    return [article["id"] for article in page["data"]]


def test_articles_come_newest_first_25_per_page(seeded: SandboxServer, seeded_api: requests.Session) -> None:
    first, second = (seeded_api.get("/articles", params={"page": page}).json() for page in (1, 2))
    rows = sorted(seeded.workspace.rows("articles"), key=lambda row: (row["updated_at"], row["id"]), reverse=True)
    assert ids(first) + ids(second) == [row["id"] for row in rows]
    assert len(ids(first)) == 25
    assert first["total_count"] == 40
    assert first["pages"] == {
        "type": "pages",
        "page": 1,
        "per_page": 25,
        "total_pages": 2,
        "next": {"page": 2, "per_page": 25, "starting_after": None},
    }
    assert second["pages"]["next"] is None
    assert ids(seeded_api.get("/articles?page=3").json()) == []


def test_article_pages_shift_when_an_article_goes_or_changes(api: requests.Session, workspace: Workspace) -> None:
    add(workspace, 11, 12, 13, 14)
    assert ids(api.get("/articles?page=1&per_page=2").json()) == ["14", "13"]
    workspace.delete("articles", "14")
    assert ids(api.get("/articles?page=2&per_page=2").json()) == ["11"]  # 12 has moved to page 1: lost
    workspace.update("articles", "11")
    assert ids(api.get("/articles?page=2&per_page=2").json()) == ["12"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("object", {"page": 2, "per_page": 1, "starting_after": None}),
        ("string", "https://api.intercom.io/articles?per_page=1&page=2"),
        ("null", None),
    ],
)
def test_the_next_page_of_articles_is_told_in_several_ways(
    api: requests.Session, workspace: Workspace, form: Any, expected: Any
) -> None:
    workspace.options.paging["articles"] = Paging(following=form)
    add(workspace, 11, 12)
    assert api.get("/articles?per_page=1").json()["pages"]["next"] == expected
    assert api.get("/articles?per_page=1&page=2").json()["pages"]["next"] is None


def test_the_next_page_of_articles_can_be_absent(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.paging["articles"] = Paging(following="absent")
    add(workspace, 11, 12)
    assert "next" not in api.get("/articles?per_page=1").json()["pages"]


def test_totals_of_articles_can_be_absent(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.paging["articles"] = Paging(totals=False)
    answer = api.get("/articles").json()
    assert "total_pages" not in answer["pages"]
    assert "total_count" not in answer


def test_too_large_pages_of_articles_are_cut_or_refused(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.paging["articles"] = Paging(most=50)
    answer = api.get("/articles?per_page=150")
    assert answer.json()["pages"]["per_page"] == 50
    workspace.options.paging["articles"] = Paging(most=50, over_most="refuse")
    answer = api.get("/articles?per_page=150")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parameter_invalid")
    assert api.get("/articles?per_page=50").status_code == 200


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=0", "per_page=-1"])
def test_page_numbers_must_be_positive(api: requests.Session, query: str) -> None:
    assert api.get(f"/articles?{query}").status_code == 400


def test_heavy_pages_of_articles_answer_502(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.heavy_above["/articles"] = 50
    assert api.get("/articles?per_page=51").status_code == 502
    assert api.get("/articles?per_page=50").status_code == 200


@pytest.mark.parametrize(
    ("path", "key", "table"),
    [
        ("/tags", "data", "tags"),
        ("/segments?include_count=true", "segments", "segments"),
        ("/admins", "admins", "admins"),
        ("/teams", "teams", "teams"),
        ("/data_attributes", "data", "data_attributes"),
    ],
)
def test_small_tables_come_whole(
    seeded: SandboxServer, seeded_api: requests.Session, path: str, key: str, table: str
) -> None:
    rows = seeded.workspace.rows(table)
    assert rows
    assert seeded_api.get(path).json()[key] == rows


@pytest.mark.parametrize(
    ("path", "key"), [("/tags", "data"), ("/segments", "segments"), ("/admins", "admins"), ("/teams", "teams")]
)
def test_an_empty_table_is_an_empty_list(api: requests.Session, path: str, key: str) -> None:
    assert api.get(path).json()[key] == []


def test_segments_have_a_count_only_when_asked(seeded_api: requests.Session) -> None:
    assert all("count" not in segment for segment in seeded_api.get("/segments").json()["segments"])
    assert all("count" in segment for segment in seeded_api.get("/segments?include_count=true").json()["segments"])


def test_the_list_of_admins_can_have_a_null(api: requests.Session, workspace: Workspace) -> None:
    workspace.options.null_admin = True
    admins = [workspace.create("admins"), workspace.create("admins")]
    assert api.get("/admins").json()["admins"] == [admins[0], None, admins[1]]
    assert workspace.rows("admins") == admins


def attributes(api: requests.Session, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/data_attributes", params=params).json()["data"]
    return found


def test_data_attributes_are_listed_by_model(seeded: SandboxServer, seeded_api: requests.Session) -> None:
    models = [attributes(seeded_api, model=model) for model in ("contact", "company", "conversation")]
    assert [row for rows in models for row in rows if row["model"] != "contact"]
    assert sum(len(rows) for rows in models) == len(seeded.workspace.rows("data_attributes"))
    assert {row["model"] for row in models[1]} == {"company"}
    assert seeded_api.get("/data_attributes?model=ticket").status_code == 400


def test_names_of_data_attributes_are_not_unique(seeded_api: requests.Session) -> None:
    names = [row["name"] for row in attributes(seeded_api)]
    assert names.count("name") == 2
    assert names.count("seats") == 2


def test_built_in_attributes_have_no_id_and_no_times(seeded_api: requests.Session) -> None:
    rows = attributes(seeded_api)
    own = {"id", "created_at", "updated_at", "admin_id"}
    assert all(own.isdisjoint(row) for row in rows if not row["custom"])
    assert all(own <= row.keys() and isinstance(row["id"], int) for row in rows if row["custom"])


def test_archived_attributes_come_only_when_asked_and_may_share_a_name(seeded_api: requests.Session) -> None:
    live = attributes(seeded_api, model="contact")
    every = attributes(seeded_api, model="contact", include_archived="true")
    assert not any(row["archived"] for row in live)
    assert [row["archived"] for row in every if row["name"] == "plan_tier"] == [False, True]
