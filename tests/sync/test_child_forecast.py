"""What a run is foretold to ask of child and derived tables, held against the run that follows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.extract.read_forecast import Range
from tests.support.foretold import foretell, held_against_the_run
from tests.support.rig import Rig, in_both_formats

PARTS, NOTES = "conversation_parts", "contact_notes"
DAY = 86_400
NOTHING = dict.fromkeys(("contacts", "companies", "conversations", "articles", "tags"), 0)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(**{**NOTHING, "conversations": 90, "conversation_parts": 300, "history_days": 32})


def touch(rig: Rig, table: str, number: int) -> None:
    """Change some records of a table, each a second after the other."""
    for row in rig.workspace.rows(table)[:number]:
        rig.workspace.travel(1)
        rig.workspace.update(table, row["id"], **{"title" if table == "conversations" else "name": "new"})
    rig.workspace.travel(5)  # a parent that changes in the second in which a run begins is asked for again


def test_a_first_load_asks_once_for_each_parent(rig: Rig) -> None:
    (conversations,) = foretell(rig, ["conversations"]).tables
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert found.asked == Range.exactly(90)
    assert found.requests == conversations.requests + Range.exactly(90)
    assert found.parent == "conversations"


@in_both_formats
def test_parents_that_the_lake_knows_unchanged_are_not_counted(rig: Rig) -> None:
    touch(rig, "conversations", 30)
    rig.load([PARTS])
    rig.workspace.travel(300)
    touch(rig, "conversations", 12)
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert found.asked == Range.exactly(12)  # 18 more are of the lookback


def test_many_parents_of_the_lookback_are_counted_by_one_request(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "conversations": 200, "conversation_parts": 200, "history_days": 32})
    touch(rig, "conversations", 180)  # more than a page
    rig.load([PARTS])
    rig.workspace.travel(300)
    touch(rig, "conversations", 25)
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert found.asked == Range.exactly(25)


def test_another_day_of_few_changes_and_a_full_refresh_are_foretold(rig: Rig) -> None:
    rig.load([PARTS])
    rig.workspace.travel(DAY)
    touch(rig, "conversations", 5)
    assert held_against_the_run(rig, [PARTS])[PARTS].asked == Range.exactly(5)
    rig.workspace.travel(60)
    assert held_against_the_run(rig, [PARTS], full_refresh=True)[PARTS].asked == Range.exactly(90)


def test_rows_of_few_parents_are_those_that_their_records_count(rig: Rig) -> None:
    rig.load([PARTS])
    rig.workspace.travel(DAY)
    counting = [row for row in rig.workspace.rows("conversations") if row["statistics"]][:6]
    for row in counting:
        rig.workspace.update("conversations", row["id"], title="new")
    rig.workspace.travel(5)
    parts = rig.workspace.children[PARTS]
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert found.rows == Range.exactly(sum(len(parts.of(row["id"])) for row in counting))
    assert found.rows.least > 0


def test_nothing_changed_takes_no_request_for_children(rig: Rig) -> None:
    rig.load([PARTS])
    rig.workspace.travel(3 * DAY)
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert (found.asked, found.rows) == (Range.exactly(0), Range.exactly(0))


def test_the_first_of_600_conversations_tell_how_many_parts_all_have(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "conversations": 600, "conversation_parts": 1_800})
    found = held_against_the_run(rig, [PARTS])[PARTS]
    assert found.asked == Range.exactly(600)
    assert found.requests.exact
    assert found.rows.most is not None
    assert found.rows.most < 2 * found.rows.least
    rig.workspace.travel(7_200)
    touch(rig, "conversations", 200)
    assert held_against_the_run(rig, [PARTS])[PARTS].asked == Range.exactly(200)  # more than a page


def test_notes_are_as_many_as_the_lake_has_for_each_contact(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "contacts": 60, "contact_notes": 150})
    first = held_against_the_run(rig, ["contacts", NOTES])[NOTES]
    assert first.asked == Range.exactly(60)
    assert first.rows == Range(0, None)
    assert "known only when it is read" in first.why
    again = held_against_the_run(rig, [NOTES], full_refresh=True)[NOTES]
    assert again.rows == Range(120, 188)
    rig.workspace.travel(DAY)
    touch(rig, "contacts", 7)
    assert held_against_the_run(rig, [NOTES])[NOTES].asked == Range.exactly(7)


def test_companies_that_may_have_changed_lie_between_bounds(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "companies": 40, "company_segments": 60})
    held_against_the_run(rig, ["company_segments"])
    touch(rig, "companies", 4)
    found = held_against_the_run(rig, ["company_segments"])["company_segments"]
    assert found.asked is not None
    assert found.asked.least == 0
    assert "which companies have changed" in found.why


def test_newsfeeds_are_asked_for_each_time(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**NOTHING, newsfeeds=4, news_items=9, newsfeed_items=12)
    for _ in range(2):
        assert held_against_the_run(rig, ["newsfeed_items"])["newsfeed_items"].asked == Range.exactly(4)


def test_children_on_several_pages_lie_between_bounds(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**NOTHING, newsfeeds=2, news_items=9, newsfeed_items=120)
    names = ["newsfeeds", "newsfeed_items"]
    first = held_against_the_run(rig, names)["newsfeed_items"]
    assert first.requests.most is None
    assert "several pages" in first.why
    assert held_against_the_run(rig, names)["newsfeed_items"].requests.most is not None


def test_a_permission_that_only_children_lack_is_found(rig: Rig) -> None:
    for row in rig.workspace.rows("conversations"):
        rig.server.fail(f"/conversations/{row['id']}", status=403, times=9)
    (parts,) = foretell(rig, [PARTS]).tables
    assert "without the permission 'read conversations'" in str(parts.skipped)


def test_derived_tables_take_no_request_and_name_what_they_are_made_of(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "contacts": 20, "tags": 4})
    names = ["contacts", "contact_tags", "contact_companies"]
    for _ in range(2):
        found = held_against_the_run(rig, names)
        assert [found[name].parent for name in names] == ["", "contacts", "contacts"]
        rig.workspace.travel(7_200)
        touch(rig, "contacts", 3)


def test_a_derived_table_follows_the_lake_or_is_skipped_where_its_parent_cannot_be_read(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(**{**NOTHING, "tickets": 4})
    rig.server.fail("/tickets/search", status=403, times=99)
    tickets, parts = foretell(rig, ["tickets", "ticket_parts"]).tables
    assert str(tickets.skipped).startswith("skipped: ")
    assert str(parts.skipped).startswith("skipped: ticket_parts is made from tickets, of which the lake")
    rig.server.clear_faults()
    rig.sync(["tickets"])
    rig.server.fail("/tickets/search", status=403, times=99)
    tickets, parts = foretell(rig, ["tickets", "ticket_parts"]).tables
    assert not tickets.is_read
    assert parts.is_read
    assert parts.notes == ("is made from tickets as the lake has it; this run would not bring it up to date",)


def cut(number: int, total: int) -> dict[str, object]:
    data = [{"type": "tag", "id": f"{key}", "url": f"/tags/{key}"} for key in range(10)]
    url = f"/contacts/{number}/tags"
    return {"type": "list", "data": data, "url": url, "total_count": total, "has_more": True}


def test_lists_that_are_refilled_are_counted_on_the_first_page(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(**{**NOTHING, "contacts": 20, "tags": 80})
    whole = {"type": "list", "data": [], "url": "/x", "total_count": 0, "has_more": False}
    for number, row in enumerate(rig.workspace.rows("contacts")):
        more = number in (3, 8)
        tags = cut(row["id"], 75 if number == 8 else 12) if more else whole
        rig.workspace.update("contacts", row["id"], touch=False, tags=tags, companies=whole)
    without = foretell(rig, ["contacts"]).tables[0].requests
    found = held_against_the_run(rig, ["contacts", "contact_tags"], refill_lists=True)["contacts"]
    assert found.requests == without + Range.exactly(1 + 2)


def test_many_lists_that_are_refilled_lie_between_bounds_of_the_sample_or_of_the_lake(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(**{**NOTHING, "contacts": 120, "tags": 20})
    rig.per_page = 30
    whole = {"type": "list", "data": [], "url": "/x", "total_count": 0, "has_more": False}
    for number, row in enumerate(rig.workspace.rows("contacts")):
        tags = whole if number % 4 else cut(row["id"], 12)
        rig.workspace.update("contacts", row["id"], touch=False, tags=tags, companies=whole)
    by_sample = foretell(rig, ["contacts"], refill_lists=True).tables[0]
    assert not by_sample.requests.exact
    assert "30 contacts" in by_sample.why
    rig.sync(["contacts", "contact_tags", "contact_companies"])
    by_lake = held_against_the_run(rig, ["contacts"], full_refresh=True, refill_lists=True)["contacts"]
    assert "as in the lake" in by_lake.why
    assert (by_lake.requests.most or 0) - by_lake.requests.least < (by_sample.requests.most or 0)
