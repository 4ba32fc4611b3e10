"""Answers that are well formed and wrong: no row is lost, none is removed, and what stays doubtful is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from intercom.errors import PermissionDeniedError, RetriableApiError
from intercom.extract.date_comparison import SearchCheck
from intercom.sandbox import LoggedRequest
from tests.conftest import NOW
from tests.support.effort import SOAK, effort
from tests.support.rig import Rig, in_four_months, in_slices, is_of_everything, is_page

SEARCHED = ("contacts", "conversations")
PATHS = {
    "contacts": "/contacts/search",
    "conversations": "/conversations/search",
    "companies": "/companies/scroll",
    "articles": "/articles",
}
LISTS = {"tags": "/tags", "segments": "/segments", "admins": "/admins", "teams": "/teams"}
DAY = 86_400
ALWAYS = 100_000


small_pages = pytest.mark.parametrize("per_page", [10], ids=["small pages"])
"""Chains of many pages, without a workspace of many rows."""


def is_window(request: LoggedRequest) -> bool:
    """Whether a page of one window is asked for, not of the whole search."""
    return is_page(request) and not is_of_everything(request)


def ids(rig: Rig, table: str = "contacts") -> list[str]:
    return sorted(rig.rows(table).column("id").to_pylist())


def known(rig: Rig, table: str = "contacts") -> list[str]:
    return sorted(row["id"] for row in rig.workspace.rows(table))


# -- searches ---------------------------------------------------------------------------------------------------------


KINDS = ("shard_away", "short", "shifted")
SOME = [("shard_away", 0), ("shard_away", 6), ("short", 1), ("short", 13), ("shifted", 0), ("shifted", 6)]


@pytest.mark.parametrize(("kind", "after"), [(kind, n) for kind in KINDS for n in range(20)] if SOAK else SOME)
@small_pages
@in_slices
def test_one_wrong_page_of_a_window_loses_no_row(rig: Rig, kind: Any, after: int) -> None:
    fault = rig.server.fail("/contacts/search", kind, every=3, where=is_window, after=after)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert fault.hits == 1
    rig.check(["contacts"])
    assert ingested.notes == ()
    assert ingested.watermark_after is not None


@pytest.mark.parametrize("kind", ["shard_away", "short", "shifted"])
@small_pages
@in_slices
def test_a_full_refresh_with_one_wrong_page_removes_nothing(rig: Rig, kind: Any) -> None:
    rig.load(SEARCHED)
    for table in SEARCHED:
        rig.server.fail(PATHS[table], kind, every=3, where=is_window, after=4)
    results = rig.sync(SEARCHED, full_refresh=True)
    rig.check(SEARCHED)
    assert [results[table][1].removed for table in SEARCHED] == [0, 0]


def test_an_empty_first_page_of_one_window_of_many_contacts_loses_no_row(make_rig: Callable[..., Rig]) -> None:
    """With the sizes of slices as they are."""
    many = effort(8_000, 14_000)
    rig = make_rig(contacts=many)
    fault = rig.server.fail("/contacts/search", "shard_away", where=is_window)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert fault.hits == 1
    assert len(set(ids(rig))) == many
    assert ingested.notes == ()


@pytest.mark.parametrize("table", SEARCHED)
@pytest.mark.parametrize("times", [1, 2])
def test_a_first_load_does_not_believe_a_first_answer_that_is_empty(rig: Rig, table: str, times: int) -> None:
    rig.server.fail(PATHS[table], "shard_away", times=times)
    rig.sync([table])
    rig.check([table])


@pytest.mark.parametrize("table", SEARCHED)
def test_a_first_page_does_not_vouch_for_its_own_count(rig: Rig, table: str) -> None:
    fault = rig.server.fail(PATHS[table], "shard_away", where=is_page)
    ingested, _ = rig.sync([table])[table]
    assert fault.hits == 1
    assert ingested.notes == ()
    rig.check([table])


def test_ten_of_ten_is_not_believed_where_three_hundred_are_counted(rig: Rig) -> None:
    rig.load(["contacts"])
    ten = {"type": "list", "data": rig.workspace.rows("contacts")[:10], "total_count": 10, "pages": None}
    rig.server.fail("/contacts/search", status=200, body=ten, where=is_page)
    _, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    rig.check(["contacts"])


@small_pages
@pytest.mark.parametrize("kind", ["short", "shifted"])
def test_changes_that_are_read_newest_first_are_held_against_full_pages(rig: Rig, kind: Any) -> None:
    """Such a chain ends early, where no count tells: 28 of 40 changes would be lost without a word."""
    rig.load(["contacts"])
    rig.workspace.travel(3_000)
    for number, row in enumerate(rig.workspace.rows("contacts")[:40]):
        rig.workspace.update("contacts", row["id"], name=f"changed {number}")
    fault = rig.server.fail("/contacts/search", kind, every=3, where=is_page, after=1)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert fault.hits == 1
    rig.check(["contacts"])
    assert ingested.notes == ()


@pytest.mark.parametrize("kind", ["short", "shifted"])
def test_changes_on_one_page_that_reaches_back_beyond_the_window_are_held_against_their_count(
    rig: Rig, kind: Any
) -> None:
    """The page without a next one is the end of the search, also where the window ends on it: its count tells."""
    change_twice(rig)
    fault = rig.server.fail("/contacts/search", kind, every=3, where=is_page)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert fault.hits == 1
    rig.check(["contacts"])
    assert ingested.notes == ()


@pytest.mark.parametrize("of", ["newest", "oldest"])
def test_one_page_that_lacks_the_same_rows_in_every_read_is_told(rig: Rig, of: str) -> None:
    """The oldest rows reach back beyond the window, where each read ends; the newest do not."""
    change_twice(rig)
    rows = sorted(rig.workspace.rows("contacts"), key=lambda row: int(row["updated_at"]), reverse=of == "newest")
    some = sorted(rows[:3], key=lambda row: int(row["updated_at"]), reverse=True)
    body = {"type": "list", "data": some, "total_count": 13, "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS, where=is_page)
    marks = dict(rig.store.kept)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert not ingested.complete
    assert "3 were found in 3 reads" in ingested.notes[0]
    assert [mark.value for mark in rig.store.kept.values()] == [mark.value for mark in marks.values()]
    rig.server.clear_faults()
    rig.sync(["contacts"])
    rig.check(["contacts"])


def change_twice(rig: Rig) -> None:
    """Two batches of changes beyond the lookback, of which the first is synced: all of them fit on one page."""
    rig.sync(["contacts"])
    for hours in (2, 4):
        rig.workspace.travel(3_600 * hours)
        for number, row in enumerate(rig.workspace.rows("contacts")[:40]):
            rig.workspace.update("contacts", row["id"], name=f"changed {number}, {hours}")
        if hours == 2:
            rig.sync(["contacts"])


@small_pages
def test_changes_that_differ_from_read_to_read_are_told(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(3_000)
    for number, row in enumerate(rig.workspace.rows("contacts")[:40]):
        rig.workspace.update("contacts", row["id"], name=f"changed {number}")
    for every in (3, 4, 5):
        rig.server.fail("/contacts/search", "short", every=every, where=is_page, times=9)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert "were found in 3 reads" in ingested.notes[0]


def test_null_elements_are_no_missing_rows(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=12)
    body = {"type": "list", "data": [None, *rig.workspace.rows("contacts")], "total_count": 13, "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS, where=is_of_everything)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.watermark_after is not None
    assert ingested.notes == ()


def test_nothing_but_null_elements_is_no_answer(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=12)
    body = {"type": "list", "data": [None] * 12, "total_count": 12, "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS, where=is_of_everything)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.watermark_after is None
    assert "12 rows, 0 were found" in ingested.notes[0]


@in_four_months
@small_pages
@in_slices
def test_rows_that_change_and_go_while_windows_are_read_are_no_shortfall(rig: Rig) -> None:
    rows = rig.workspace.rows("contacts")
    asked: list[LoggedRequest] = []

    def busy(request: LoggedRequest) -> None:
        """One row in a hundred is deleted and one in twenty changes, spread over the pages."""
        if request.path == "/contacts/search" and is_window(request):
            asked.append(request)
            place = 10 * len(asked)
            if place < len(rows):
                rig.workspace.update("contacts", rows[place]["id"], name="changed meanwhile")
                rig.workspace.update("contacts", rows[place + 1]["id"], name="changed meanwhile")
            if len(asked) % 10 == 0 and place < len(rows):
                rig.workspace.delete("contacts", rows[place - 1]["id"])

    rig.server.before_request(busy)
    ingested, _ = rig.sync(["contacts"])["contacts"]
    rig.server.clear_hooks()
    assert len(asked) > 25
    assert ingested.notes == ()
    assert ingested.watermark_after is not None
    deleted = len(rows) - len(known(rig))
    assert deleted >= 2
    counts_after = [r for r in rig.server.requests("/contacts/search")[-deleted - 5 :] if not is_page(r)]
    assert len(counts_after) <= 2 * deleted
    rig.sync(["contacts"], full_refresh=True)
    rig.check(["contacts"])


@small_pages
def test_a_last_page_and_one_count_are_not_believed_together(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=45)
    rows = sorted(rig.workspace.rows("conversations"), key=lambda row: (row["created_at"], row["id"]))
    few = {"conversations": rows[40:42], "total_count": 42, "pages": None}  # three rows less than there are
    rig.server.fail("/conversations/search", status=200, body=few, where=is_page, after=4)
    asked = 0

    def deceive(request: LoggedRequest) -> None:
        """The count that is asked for after the pages."""
        nonlocal asked
        if request.path == "/conversations/search" and is_page(request):
            asked += 1
            if asked == 5:
                rig.server.fail("/conversations/search", status=200, body=few, where=lambda one: not is_page(one))

    rig.server.before_request(deceive)
    ingested, _ = rig.sync(["conversations"])["conversations"]
    rig.server.clear_hooks()
    rig.check(["conversations"])
    assert ingested.notes == ()


# -- chains that end early ------------------------------------------------------------------------------------------


@small_pages
@pytest.mark.parametrize("table", SEARCHED)
@pytest.mark.parametrize("rows", [(400, 20), (4, 2)])
def test_rows_that_an_importer_made_in_the_future_are_all_read(
    make_rig: Callable[..., Rig], table: str, rows: tuple[int, int]
) -> None:
    rig = make_rig(**{table: 0})
    imported, others = rows
    for number in range(imported):
        rig.workspace.create(table, created_at=1_893_456_000 + number, updated_at=1_700_000_000 + number)
    for _ in range(others):
        rig.workspace.create(table)
    for _ in range(2):
        rig.sync([table])
        assert len(set(ids(rig, table))) == imported + others
    _, compacted = rig.sync([table], full_refresh=True)[table]
    assert compacted.removed == 0
    rig.check([table])


def test_rows_of_nine_hours_ahead_are_read_on_full_pages(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=1)
    for number in range(400):
        rig.workspace.create("conversations", created_at=NOW + 9 * 3_600 + number, updated_at=NOW - DAY)
    rig.sync(["conversations"])
    rig.check(["conversations"])


@pytest.mark.slow
def test_one_in_seven_of_many_contacts_may_be_of_the_future(make_rig: Callable[..., Rig]) -> None:
    of_the_future = effort(600, 2_000)
    rig = make_rig(contacts=6 * of_the_future)
    for number in range(of_the_future):
        rig.workspace.create("contacts", created_at=NOW + DAY + number, updated_at=NOW - DAY)
    rig.sync(["contacts"])
    assert len(set(ids(rig))) == 7 * of_the_future


@small_pages
@in_slices
@pytest.mark.parametrize("table", SEARCHED)
def test_rows_of_the_future_are_read_in_windows_too(make_rig: Callable[..., Rig], table: str) -> None:
    rig = make_rig(**{table: 150})
    for number in range(50):
        rig.workspace.create(table, created_at=NOW + 9 * 3_600 + number, updated_at=NOW - 100 * DAY)
    rig.sync([table])
    rig.check([table])


@small_pages
def test_rows_made_while_a_chain_is_read_do_not_stand_in_for_those_of_the_future(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=45)
    for number in range(2):
        rig.workspace.create("conversations", created_at=1_893_456_000 + number, updated_at=NOW - DAY)
    pages = 0

    def move(request: LoggedRequest) -> None:
        nonlocal pages
        if request.path == "/conversations/search" and is_page(request):
            pages += 1
            if pages == 4:
                rig.workspace.travel(60)
                for row in rig.workspace.rows("conversations")[:4]:
                    rig.workspace.delete("conversations", row["id"])
                for _ in range(27):
                    rig.workspace.create("conversations")

    rig.server.before_request(move)
    rig.sync(["conversations"])
    rig.server.clear_hooks()
    rig.sync(["conversations"])
    assert set(known(rig, "conversations")) <= set(ids(rig, "conversations"))


@pytest.mark.parametrize("served", ["the same rows", "no rows"])
def test_a_search_that_names_new_cursors_for_ever_is_an_error(rig: Rig, served: str) -> None:
    asked = 0

    def serve(request: LoggedRequest) -> None:
        nonlocal asked
        if request.path == "/contacts/search" and is_page(request):
            asked += 1
            following = {"page": asked + 1, "starting_after": f"cursor {asked}"}
            data = rig.workspace.rows("contacts")[:3] if served == "the same rows" else []
            body = {"type": "list", "data": data, "total_count": 300, "pages": {"next": following}}
            rig.server.fail("/contacts/search", status=200, body=body, where=is_page)

    rig.server.before_request(serve)
    with pytest.raises(RetriableApiError, match="no progress"):
        rig.sync(["contacts"])
    assert asked < 20


# -- how search compares ----------------------------------------------------------------------------------------------


def test_conversations_are_exact_where_search_compares_days(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(timezone="America/Los_Angeles")
    rig.workspace.options.conversations_by_day = True
    first = rig.sync(["conversations"])["conversations"][0]
    assert "compares days" in first.notes[0]
    for hours in (1, 3, 7):
        rig.workspace.travel(hours * 3_600)
        for row in rig.workspace.rows("conversations")[hours::20]:
            rig.workspace.update("conversations", row["id"], title=f"after {hours}")
        later = rig.sync(["conversations"])["conversations"][0]
        rig.check(["conversations"])
        assert "compares days" in later.notes[0]


def test_contacts_are_exact_where_search_compares_seconds(rig: Rig) -> None:
    rig.workspace.options.contacts_by_second = True
    first = rig.sync(["contacts"])["contacts"][0]
    assert "compares seconds" in first.notes[0]
    rig.workspace.travel(3_600)
    rig.workspace.update("contacts", rig.workspace.rows("contacts")[0]["id"], name="changed")
    rig.sync(["contacts"])
    rig.check(["contacts"])


@small_pages
@in_slices
def test_windows_that_an_earlier_try_has_planned_in_seconds_are_planned_anew_in_days(rig: Rig) -> None:
    rig.server.fail("/conversations/search", status=401, where=is_window, after=6)
    with pytest.raises(PermissionDeniedError):
        rig.sync(["conversations"], run_id="again")
    rig.workspace.options.conversations_by_day = True
    ingested, _ = rig.sync(["conversations"], run_id="again")["conversations"]
    rig.check(["conversations"])
    assert "compares days" in ingested.notes[0]


def test_a_search_that_is_known_to_compare_days_is_not_trusted_again_without_a_look(rig: Rig) -> None:
    rig.workspace.options.conversations_by_day = True
    rig.sync(["conversations"])
    rig.workspace.travel(DAY)
    rig.workspace.update("conversations", rig.workspace.rows("conversations")[0]["id"], title="changed")
    newest = lambda request: '"<"' not in json.dumps(request.body) and not is_page(request)  # noqa: E731
    rig.server.fail("/conversations/search", "shard_away", where=newest)
    ingested, _ = rig.sync(["conversations"])["conversations"]
    rig.check(["conversations"])
    assert "compares days" in ingested.notes[0]


@pytest.mark.parametrize("table", SEARCHED)
def test_the_canary_costs_two_counts_a_day(rig: Rig, table: str) -> None:
    assert rig.sync([table])[table][0].notes == ()
    rig.server.clear_log()
    rig.sync([table])
    same_day = len(rig.server.requests(PATHS[table]))
    rig.workspace.travel(DAY)
    rig.server.clear_log()
    rig.sync([table])
    assert same_day < len(rig.server.requests(PATHS[table])) <= same_day + 2


def test_a_canary_that_meets_an_empty_answer_asks_again(rig: Rig) -> None:
    half = lambda request: not is_page(request) and '"AND"' in json.dumps(request.body)  # noqa: E731
    rig.server.fail("/conversations/search", "shard_away", times=2, where=half)
    assert rig.sync(["conversations"])["conversations"][0].notes == ()
    rig.check(["conversations"])


def test_what_the_canary_finds_is_kept_as_json() -> None:
    found = SearchCheck("2026-11-03", True, NOW)
    assert SearchCheck.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert SearchCheck.from_json(replace(found, by_day=False).to_json()) != found
