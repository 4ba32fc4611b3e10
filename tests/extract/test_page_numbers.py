"""Lists by page: articles and small tables are whole and hold each row once, whatever pages, counts and `next` say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intercom.errors import RetriableApiError
from intercom.sandbox import LoggedRequest, Paging
from tests.support.rig import Rig

ARTICLES = "/articles"
ALWAYS = 10**6
SMALL = {"tags": "data", "segments": "segments", "admins": "admins", "teams": "teams"}


@pytest.fixture
def forty(make_rig: Callable[..., Rig]) -> Rig:
    """Four pages of ten articles, and small tables of twelve rows."""
    rig = make_rig(
        contacts=0, companies=0, conversations=0, articles=40, segments=12, admins=12, teams=12, history_days=9
    )
    rig.workspace.options.paging["articles"] = Paging(most=10)
    return rig


def page(number: int) -> Callable[[LoggedRequest], bool]:
    """Requests for one page of rows; the count alone is asked for with one row."""
    return lambda request: request.params.get("page", "1") == str(number) and request.params.get("per_page") != "1"


def serve(
    rig: Rig, path: str, key: str, rows: list[dict[str, Any]], *, where: Callable[[LoggedRequest], bool], **rest: Any
) -> None:
    """From now on the requests are answered with these rows."""
    body = {"type": "list", key: rows, **rest}
    rig.server.fail(path, status=200, body=body, times=ALWAYS, where=where)


@pytest.mark.parametrize("number", [1, 3])
def test_an_empty_page_of_articles_loses_and_removes_nothing(forty: Rig, number: int) -> None:
    for full_refresh in (False, True):
        forty.server.fail(ARTICLES, "shard_away", where=page(number))
        ingested, compacted = forty.sync(["articles"], full_refresh=full_refresh)["articles"]
        forty.check(["articles"])
        assert (ingested.notes, compacted.removed) == ((), 0)
        forty.workspace.travel(7200)


def test_the_count_of_articles_may_be_answered_wrongly_too(forty: Rig) -> None:
    forty.server.fail(ARTICLES, "shard_away", where=page(3))
    forty.server.fail(ARTICLES, "shard_away", where=lambda request: request.params["per_page"] == "1")
    forty.sync(["articles"])
    forty.check(["articles"])


def test_a_page_of_articles_that_stays_empty_is_reported_and_removes_nothing(forty: Rig) -> None:
    """Also when the first of the two last counts is wrong: only two that agree are believed."""
    forty.load(["articles"])
    forty.server.fail(ARTICLES, "shard_away", times=ALWAYS, where=page(2))
    forty.server.fail(ARTICLES, "shard_away", after=4, where=lambda request: request.params["per_page"] == "1")
    ingested, compacted = forty.sync(["articles"], full_refresh=True)["articles"]
    forty.check(["articles"])
    assert (ingested.complete, compacted.removed) == (False, 0)
    assert ingested.notes == ("articles: Intercom counts 40 rows, 30 were found in 3 reads",)


def test_articles_do_not_vouch_for_their_own_count(forty: Rig) -> None:
    forty.load(["articles"])
    rows = forty.workspace.rows("articles")[:5]
    serve(forty, ARTICLES, "data", rows, where=page(1), total_count=5, pages={"total_pages": 1})
    ingested, compacted = forty.sync(["articles"], full_refresh=True)["articles"]
    forty.check(["articles"])
    assert (ingested.complete, compacted.removed) == (False, 0)


@pytest.mark.parametrize("kind", ["shifted", "short"])
def test_articles_that_a_page_leaves_out_are_read_again(forty: Rig, kind: Any) -> None:
    forty.server.fail(ARTICLES, kind, every=4, where=page(2))
    ingested, _ = forty.sync(["articles"])["articles"]
    forty.check(["articles"])
    assert ingested.notes == ()


def test_articles_that_are_deleted_while_they_are_read_raise_no_alarm(forty: Rig) -> None:
    """One in each read, from the end of the list: the rows that are left are all found."""

    def delete(request: LoggedRequest) -> None:
        if request.path == ARTICLES and page(3)(request):
            oldest = min(forty.workspace.rows("articles"), key=lambda row: (row["updated_at"], row["id"]))
            forty.workspace.delete("articles", oldest["id"])

    forty.server.before_request(delete)
    ingested, _ = forty.sync(["articles"])["articles"]
    assert (ingested.complete, ingested.notes) == (True, ())
    assert ingested.watermark_after is not None
    held = set(forty.rows("articles").column("id").to_pylist())
    assert held >= {row["id"] for row in forty.workspace.rows("articles")}


def test_no_articles_are_believed_once_a_second_request_agrees(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(articles=0)
    ingested, _ = rig.sync(["articles"])["articles"]
    assert (rig.rows("articles").num_rows, ingested.notes) == (0, ())
    assert [request.params["per_page"] for request in rig.server.requests(ARTICLES)] == ["150", "1"]


def test_articles_whose_list_claims_a_million_pages_are_read_to_where_they_end(forty: Rig) -> None:
    rows = sorted(forty.workspace.rows("articles"), key=lambda row: (row["updated_at"], row["id"]), reverse=True)
    serve(forty, ARTICLES, "data", rows[:10], where=page(1), total_count=40, pages={"total_pages": 1_000_000})
    forty.sync(["articles"])
    forty.check(["articles"])
    assert len(forty.server.requests(ARTICLES)) < 140


def test_a_cursor_of_articles_that_goes_in_circles_is_the_end(forty: Rig) -> None:
    rows = forty.workspace.rows("articles")
    for cursor, part, following in ((None, rows[:20], "a"), ("a", rows[20:30], "b"), ("b", rows[30:], "a")):
        serve(
            forty,
            ARTICLES,
            "data",
            part,
            where=lambda request, cursor=cursor: (  # type: ignore[misc]
                request.params.get("starting_after") == cursor and request.params["per_page"] != "1"
            ),
            total_count=40,
            pages={"next": {"starting_after": following}},
        )
    forty.sync(["articles"])
    forty.check(["articles"])


@pytest.mark.parametrize("following", [{"page": 1}, {"page": 2}])
def test_pages_of_articles_that_repeat_for_ever_are_the_end_and_said_to_be_short(forty: Rig, following: Any) -> None:
    forty.workspace.options.paging["articles"] = Paging(most=10, totals=False)
    serve(
        forty,
        ARTICLES,
        "data",
        forty.workspace.rows("articles")[:10],
        where=lambda request: request.params["per_page"] != "1",
        pages={"next": following},
    )
    ingested, _ = forty.sync(["articles"])["articles"]
    assert (ingested.complete, ingested.watermark_after) == (False, None)
    assert ingested.notes == (
        "articles: rows beyond the 10 that were found may be missing: page 2 had the same rows and names a next page",
    )
    assert len(forty.server.requests(ARTICLES)) == 3


def test_pages_of_articles_that_alternate_for_ever_are_an_error_that_says_so(forty: Rig) -> None:
    forty.workspace.options.paging["articles"] = Paging(most=10, totals=False)
    rows = forty.workspace.rows("articles")
    for odd, part in ((True, rows[:10]), (False, rows[10:20])):
        serve(
            forty,
            ARTICLES,
            "data",
            part,
            where=lambda request, odd=odd: int(request.params["page"]) % 2 == odd and request.params["per_page"] != "1",  # type: ignore[misc]
            pages={"next": {"page": 2}},
        )
    with pytest.raises(RetriableApiError, match=r"articles: no progress up to page 7, request \w+"):
        forty.sync(["articles"])


@pytest.mark.parametrize(("table", "key"), SMALL.items())
def test_rows_of_small_tables_whose_pages_overlap_are_held_once(forty: Rig, table: str, key: str) -> None:
    rows = forty.workspace.rows(table)
    serve(forty, f"/{table}", key, rows[:8], where=page(1), pages={"next": {"page": 2}})
    serve(forty, f"/{table}", key, rows[5:], where=page(2), pages={"next": None})
    forty.sync([table])
    forty.check([table])


@pytest.mark.parametrize("form", ["object", "text"])
def test_a_small_table_whose_next_page_is_the_same_is_held_once(forty: Rig, form: str) -> None:
    following = {"page": 1} if form == "object" else "https://api.intercom.io/tags?per_page=50&page=1"
    serve(forty, "/tags", "data", forty.workspace.rows("tags"), where=page(1), pages={"next": following})
    forty.sync(["tags"])
    forty.check(["tags"])
    assert len(forty.server.requests("/tags")) == 1


@pytest.mark.parametrize("table", ["tags", "teams"])
def test_a_small_table_whose_next_goes_in_circles_ends(forty: Rig, table: str) -> None:
    rows = forty.workspace.rows(table)
    for number, following in ((1, 2), (2, 3), (3, 2)):
        part = rows[4 * number - 4 : 4 * number]
        serve(forty, f"/{table}", SMALL[table], part, where=page(number), pages={"next": {"page": following}})
    forty.sync([table])
    forty.check([table])
    assert len(forty.server.requests(f"/{table}")) == 3


def test_a_small_table_that_names_new_pages_for_ever_is_an_error_and_keeps_its_rows(forty: Rig) -> None:
    forty.load(["tags"])

    def name_another(request: LoggedRequest) -> None:
        if request.path == "/tags":
            number = int(request.params.get("page", "1"))
            serve(forty, "/tags", "data", rows, where=page(number), pages={"next": {"page": number + 1}})

    rows = forty.workspace.rows("tags")[:3]
    forty.server.before_request(name_another)
    with pytest.raises(RetriableApiError, match=r"tags: no progress up to page 6, request \w+"):
        forty.sync(["tags"])
    forty.check(["tags"])


def test_data_attributes_of_one_name_are_told_apart_by_id_and_the_last_read_stays(forty: Rig) -> None:
    live, archived = (
        {"model": "contact", "name": "tier", "label": "old", "archived": archived, "id": number}
        for number, archived in ((1, False), (2, True))
    )
    built_in = {"model": "contact", "name": "email", "label": "Email"}
    served = (([built_in, live], {"page": 2}), ([archived, live | {"label": "new"}, built_in], None))
    for number, (rows, following) in enumerate(served, 1):
        where = page(number)
        serve(
            forty,
            "/data_attributes",
            "data",
            rows,
            where=lambda request, where=where: where(request) and request.params["model"] == "contact",  # type: ignore[misc]
            pages={"next": following},
        )
    forty.sync(["data_attributes"])
    held = [row for row in forty.rows("data_attributes").to_pylist() if row["model"] == "contact"]
    assert sorted((row["name"], row["id"], row["label"]) for row in held if row["id"]) == [
        ("tier", 1, "new"),
        ("tier", 2, "old"),
    ]
    assert [row["name"] for row in held if not row["id"]] == ["email"]


def test_pages_have_the_size_that_the_table_states(rig: Rig) -> None:
    rig.per_page = 20
    rig.sync(["articles"])
    rig.check(["articles"])
    assert {request.params["per_page"] for request in rig.server.requests("/articles")} == {"20", "1"}  # 1: a count
