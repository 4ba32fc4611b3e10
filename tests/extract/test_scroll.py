"""Companies are read whole although pages of the scroll are lost, empty or repeated, and scrolls end too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from intercom.errors import RetriableApiError
from intercom.sandbox import LoggedRequest
from tests.support.rig import Rig

SCROLL, LIST = "/companies/scroll", "/companies"
ALWAYS = 10**6


@pytest.fixture
def sixty(make_rig: Callable[..., Rig]) -> Rig:
    """Six pages of ten companies, all of one month."""
    rig = make_rig(contacts=0, companies=60, conversations=0, articles=0, segments=0, now=1_792_000_000, history_days=9)
    rig.workspace.options.scroll_page_size = 10
    return rig


def empty_page(rig: Rig, *, after: int, times: int = 1) -> None:
    """Empty pages of a scroll that does not move on by them."""
    body = {"type": "list", "data": [], "pages": None, "total_count": None}
    rig.server.fail(SCROLL, status=200, body=body, after=after, times=times)


def scrolls(rig: Rig) -> int:
    return len([request for request in rig.server.requests(SCROLL) if "scroll_param" not in request.params])


def no_users(rig: Rig, companies: int) -> None:
    for row in rig.workspace.rows("companies")[:companies]:
        rig.workspace.update("companies", row["id"], touch=False, user_count=0)


@pytest.mark.parametrize("moves_on", [True, False])
def test_an_empty_page_in_the_middle_loses_and_removes_nothing(make_rig: Callable[..., Rig], moves_on: bool) -> None:
    rig = make_rig(contacts=0, companies=600, conversations=0, articles=0, history_days=20)

    def let_a_page_be_empty() -> None:
        if moves_on:
            rig.server.fail(SCROLL, "shard_away", after=2)
        else:
            empty_page(rig, after=2)

    let_a_page_be_empty()
    ingested, _ = rig.sync(["companies"])["companies"]
    rig.check(["companies"])
    assert (rig.rows("companies").num_rows, ingested.complete, ingested.notes) == (600, True, ())
    rig.workspace.travel(7200)
    let_a_page_be_empty()
    _, compacted = rig.sync(["companies"], full_refresh=True)["companies"]
    rig.check(["companies"])
    assert (rig.rows("companies").num_rows, compacted.removed) == (600, 0)


def test_an_empty_page_in_the_middle_loses_no_company_that_the_list_leaves_out(sixty: Rig) -> None:
    """The list's count is a floor that says nothing here: the rows after the empty page do."""
    no_users(sixty, 60)
    sixty.server.fail(SCROLL, "shard_away", after=2)
    sixty.sync(["companies"])
    sixty.check(["companies"])
    assert scrolls(sixty) == 2


def test_a_first_page_that_is_empty_is_no_empty_workspace(sixty: Rig) -> None:
    sixty.load(["companies"])
    sixty.server.fail(SCROLL, "shard_away")
    sixty.sync(["companies"], full_refresh=True)
    sixty.check(["companies"])


def test_two_empty_pages_are_an_end_only_where_the_list_counts_no_more(sixty: Rig) -> None:
    empty_page(sixty, after=2, times=2)
    ingested, _ = sixty.sync(["companies"])["companies"]
    sixty.check(["companies"])
    assert ingested.notes == ()
    assert sixty.waited == [3, 5, 10, 20, 30]  # the scroll that did not end is still open


def test_a_scroll_that_stays_short_of_the_list_is_reported_and_removes_nothing(sixty: Rig) -> None:
    sixty.load(["companies"])
    before = sixty.store.kept.copy()
    sixty.workspace.travel(7200)
    sixty.server.fail(SCROLL, "short", every=4, times=ALWAYS)
    ingested, compacted = sixty.sync(["companies"], full_refresh=True)["companies"]
    sixty.check(["companies"])
    assert compacted.removed == 0
    assert not ingested.complete
    assert "48 were found in 2 reads" in ingested.notes[0]
    assert {mark.value for mark in sixty.store.kept.values()} == {mark.value for mark in before.values()}


def test_a_company_twice_and_another_not_is_short(sixty: Rig) -> None:
    for row in sixty.workspace.rows("companies"):
        sixty.workspace.update("companies", row["id"], touch=False, user_count=1)
    sixty.server.fail(SCROLL, "shifted", after=1)
    sixty.sync(["companies"])
    sixty.check(["companies"])
    assert scrolls(sixty) == 2


def test_a_list_that_counts_too_many_is_asked_twice_more_and_then_believed(sixty: Rig) -> None:
    """Companies that are deleted while they are read: the count before was right then."""
    sixty.server.fail(LIST, status=200, body={"type": "list", "data": [], "total_count": 70})
    ingested, _ = sixty.sync(["companies"])["companies"]
    assert (ingested.complete, ingested.notes, scrolls(sixty)) == (True, (), 1)
    assert len(sixty.server.requests(LIST)) == 3


@pytest.mark.parametrize("status", [403, 404])
def test_a_token_without_the_list_still_reads_companies(sixty: Rig, status: int) -> None:
    sixty.server.fail(LIST, status=status, times=ALWAYS)
    ingested, _ = sixty.sync(["companies"])["companies"]
    sixty.check(["companies"])
    assert ingested.notes == ()


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 502}, {"kind": "reset"}])
def test_an_empty_page_followed_by_an_error_is_no_end(sixty: Rig, fault: dict[str, Any]) -> None:
    sixty.server.fail(SCROLL, "shard_away", after=2)
    sixty.server.fail(SCROLL, after=3, **fault)
    sixty.sync(["companies"])
    sixty.check(["companies"])


@pytest.mark.parametrize("executed", [True, False])
def test_a_scroll_that_loses_one_page_in_twenty_ends(sixty: Rig, executed: bool) -> None:
    sixty.workspace.options.scroll_page_size = 1
    for nth in range(19, 1_000, 20):
        sixty.server.fail(SCROLL, status=502, after=nth, executed=executed)
    ingested, _ = sixty.sync(["companies"])["companies"]
    sixty.check(["companies"])
    assert ingested.complete
    assert scrolls(sixty) <= 3


def test_the_same_page_lost_by_every_scroll_is_an_error(sixty: Rig) -> None:
    asked = 0

    def third(request: LoggedRequest) -> bool:
        nonlocal asked
        asked = asked + 1 if "scroll_param" in request.params else 0
        return asked == 2

    sixty.server.fail(SCROLL, status=502, times=ALWAYS, executed=True, where=third)
    with pytest.raises(RetriableApiError, match="no other one had") as error:
        sixty.sync(["companies"])
    assert "watermark has not moved" in str(error.value)
    assert sixty.store.kept == {}
    assert scrolls(sixty) == 5


def test_a_scroll_that_repeats_a_page_for_ever_is_an_error_that_says_so(sixty: Rig) -> None:
    page = {"type": "list", "data": sixty.workspace.rows("companies")[:10], "scroll_param": "same"}
    sixty.server.fail(SCROLL, status=200, body=page, times=40)
    with pytest.raises(RetriableApiError, match=r"companies: no progress up to page 6, request \w+"):
        sixty.sync(["companies"])
    assert len(sixty.server.requests(SCROLL)) == 6
    assert sixty.store.kept == {}


@pytest.mark.parametrize("code", [None, "bad_request", "parameter_invalid"])
def test_another_open_scroll_is_known_by_its_message_too(sixty: Rig, code: str | None) -> None:
    said = {"message": "Scroll already exists for this workspace"} | ({} if code is None else {"code": code})
    body = {"type": "error.list", "request_id": "r1", "errors": [said]}
    sixty.server.fail(SCROLL, status=400, times=2, body=body)
    sixty.sync(["companies"])
    sixty.check(["companies"])
    assert sixty.waited == [3, 5]
