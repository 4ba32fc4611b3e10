"""What goes wrong between the client and the API in ways of its own; the rest has `test_fault_matrix`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.errors import PermissionDeniedError, RequestRejectedError, RetriableApiError
from intercom.sandbox import ABSENT, Paging
from tests.support.rig import Rig, is_page

SEARCH, SCROLL = "/contacts/search", "/companies/scroll"

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "empty": {"kind": "empty"},
    "truncated": {"kind": "truncated"},
    "wrong_shape": {"kind": "wrong_shape"},
    "reset": {"kind": "reset"},
}


@pytest.fixture
def big(make_rig: Callable[..., Rig]) -> Rig:
    """Several pages of each kind."""
    return make_rig(contacts=320, companies=310, conversations=60, articles=310, history_days=20)


@pytest.mark.parametrize("fault", ["500", "502", "truncated", "reset", "empty"])
def test_a_scroll_page_whose_answer_was_lost_is_not_skipped(big: Rig, fault: str) -> None:
    """The server moves on although the answer never arrives: only a new scroll has every company."""
    big.server.fail(SCROLL, times=1, after=2, executed=True, **FAULTS[fault])
    big.sync(["companies"])
    big.check(["companies"])


def test_a_scroll_that_expires_between_two_pages_is_started_again(big: Rig) -> None:
    pages = 0

    def expire(request: Any) -> None:
        nonlocal pages
        pages += request.path == SCROLL
        if pages == 3:
            pages += 1
            big.workspace.travel(61)

    big.server.before_request(expire)
    big.sync(["companies"])
    big.check(["companies"])
    starts = [request for request in big.server.requests(SCROLL) if "scroll_param" not in request.params]
    assert len(starts) == 2


def test_an_open_scroll_of_another_program_is_waited_for_and_asked_again(big: Rig) -> None:
    client = big.client()
    client.for_table("companies").get(SCROLL)
    client.close()
    big.sync(["companies"])
    big.check(["companies"])
    assert big.waited[:4] == [3, 5, 10, 20]


def test_a_scroll_that_never_becomes_free_is_an_error_that_says_so(big: Rig) -> None:
    body = {"type": "error.list", "request_id": "r1", "errors": [{"code": "scroll_exists", "message": "exists"}]}
    big.server.fail(SCROLL, kind="status", status=400, times=100, body=body)
    with pytest.raises(RetriableApiError, match="another scroll"):
        big.sync(["companies"])
    assert 60 < sum(big.waited) < 90


def test_a_workspace_without_companies_gives_an_empty_table(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(companies=0)
    rig.sync(["companies"])
    assert rig.rows("companies").num_rows == 0


@pytest.mark.parametrize("limit", [149, 20, 1])
def test_pages_that_are_too_heavy_are_asked_for_in_halves(make_rig: Callable[..., Rig], limit: int) -> None:
    rig = make_rig(contacts=60 if limit == 1 else 400)
    rig.workspace.options.heavy_above = {SEARCH: limit}
    rig.sync(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_fails_at_once_naming_scope_and_region(big: Rig, status: int) -> None:
    big.server.fail(SEARCH, kind="status", status=status, times=1)
    with pytest.raises(PermissionDeniedError, match="read and list users and companies") as error:
        big.sync(["contacts"])
    assert "region" in str(error.value)
    assert big.server.token not in repr(error.value)
    assert len(big.server.requests(SEARCH)) == 1


@pytest.mark.parametrize("status", [404, 422])
def test_a_rejected_request_fails_with_code_and_request_id(big: Rig, status: int) -> None:
    big.server.fail(SEARCH, kind="status", status=status, times=1)
    with pytest.raises(RequestRejectedError) as error:
        big.sync(["contacts"])
    assert error.value.request_id
    assert error.value.request_id in str(error.value)


def test_a_replace_table_keeps_its_rows_when_the_answer_is_broken(big: Rig) -> None:
    big.load(["tags", "data_attributes"])
    big.server.fail("/tags", times=100, **FAULTS["wrong_shape"])
    big.server.fail("/data_attributes", times=100, after=2, **FAULTS["500"])
    for table in ("tags", "data_attributes"):
        with pytest.raises(RetriableApiError):
            big.sync([table])
        rows = big.workspace.rows(table)
        assert big.rows(table).num_rows == len(rows)


def test_a_record_without_a_key_is_told_and_the_table_goes_on(big: Rig) -> None:
    contact = big.workspace.rows("contacts")[200]
    record = {name: value for name, value in contact.items() if name != "id"}
    body = {"type": "list", "data": [contact, record], "total_count": 2, "pages": None}
    big.server.fail(SEARCH, kind="status", status=200, body=body, times=1, where=is_page)
    ingested, _ = big.sync(["contacts"])["contacts"]
    assert any("1 record could not be a row (no usable key 'id'" in note for note in ingested.notes)
    big.check(["contacts"])


@pytest.mark.parametrize("form", ["object", "string", "null", "absent"])
@pytest.mark.parametrize("totals", [True, False])
def test_articles_are_whole_whatever_next_looks_like(big: Rig, form: Any, totals: bool) -> None:
    if form in ("null", "absent") and not totals:  # nothing tells of a second page, so there may be none
        for article in big.workspace.rows("articles")[150:]:
            big.workspace.delete("articles", article["id"])
    big.workspace.options.paging["articles"] = Paging(following=form, totals=totals)
    big.sync(["articles"])
    big.check(["articles"])


@pytest.mark.parametrize("over", ["clamp", "refuse"])
def test_articles_are_whole_where_pages_are_smaller_than_asked_for(big: Rig, over: Any) -> None:
    big.workspace.options.paging["articles"] = Paging(most=50, over_most=over)
    big.sync(["articles"])
    big.check(["articles"])


def test_an_article_edited_behind_the_reader_is_not_skipped(make_rig: Callable[..., Rig]) -> None:
    """It jumps to the first page, which was read, and pushes others behind the reader."""
    rig = make_rig(articles=320)
    moved = False

    def edit(request: Any) -> None:
        nonlocal moved
        if request.params.get("page") == "3" and not moved:
            moved = True
            last = min(rig.workspace.rows("articles"), key=lambda row: row["updated_at"])
            rig.workspace.update("articles", last["id"], title="jumped")

    rig.server.before_request(edit)
    rig.sync(["articles"])
    rig.check(["articles"])


@pytest.mark.parametrize("end", ["null", "absent", "no_cursor", "pages_null", "pages_absent"])
def test_a_search_ends_however_its_last_page_says_so(big: Rig, end: str) -> None:
    big.workspace.options.search_end = (end,)  # type: ignore[assignment]
    big.sync(["contacts"])
    big.check(["contacts"])


def test_empty_pages_in_the_middle_are_no_end(big: Rig) -> None:
    big.workspace.options.empty_page_every = 2
    big.sync(["contacts", "conversations"])
    big.check(["contacts", "conversations"])


def test_a_refused_sort_by_creation_falls_back(big: Rig) -> None:
    big.workspace.options.sortable_fields = {"updated_at", "id"}
    big.sync(["contacts", "conversations"])
    big.check(["contacts", "conversations"])


def test_a_null_admin_is_left_out(big: Rig) -> None:
    big.workspace.options.null_admin = True
    big.sync(["admins"])
    big.check(["admins"])


@pytest.mark.parametrize(("status", "code"), [(401, "token_unauthorized"), (403, None), (404, None)])
def test_a_token_that_may_not_identify_itself_still_reads_its_tables(big: Rig, status: int, code: str | None) -> None:
    big.workspace.options.me_status, big.workspace.options.me_code = status, code
    big.sync(["contacts"])
    big.check(["contacts"])


def test_a_row_without_times_is_kept_under_unknown(big: Rig) -> None:
    article = big.workspace.rows("articles")[0]
    big.workspace.update("articles", article["id"], touch=False, created_at=ABSENT)
    big.sync(["articles"])
    big.check(["articles"])
    assert any("created_month=unknown" in path for path in big.lake().list("data"))


def test_the_token_is_nowhere_in_the_lake(big: Rig) -> None:
    big.sync()
    for path in big.lake().list(""):
        file = big.lake_folder / path
        if file.suffix == ".parquet":
            content = f"{pq.read_table(file, partitioning=None).to_pylist()} {pq.read_metadata(file).metadata}"
        else:
            content = file.read_text()
        assert big.server.token not in content, path
