"""A change that search shows late: lost where the lookback is shorter than the lag, found where it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.config.lookback import parse_lookback
from tests.support.effort import effort
from tests.support.foretold import foretell
from tests.support.rig import Rig

HOUR = 3_600
LAG = 2 * HOUR
CHILD = "conversation_parts"
TABLES = ("contacts", "conversations", "tickets", CHILD)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A loaded lake, and a search that shows changes two hours after they were made."""
    rig = make_rig(contacts=12, conversations=8, tickets=8, conversation_parts=20, companies=0, articles=0)
    rig.load(TABLES)
    rig.workspace.travel(5 * HOUR)
    return rig


def edit(rig: Rig, number: int) -> str:
    """Change a row of each table, and give the last one's new text."""
    text = f"change {number}"
    for table in ("contacts", "tickets"):
        rig.workspace.update(table, rig.workspace.rows(table)[number]["id"], name=text)
    rig.workspace.create(CHILD, conversation_id=rig.workspace.rows("conversations")[number]["id"], body=text)
    return text


def overtaken(rig: Rig) -> None:
    """A change that is not seen yet when a run reads a later one, which moves the watermark past it."""
    rig.workspace.lag_search(LAG)
    edit(rig, 1)
    rig.workspace.travel(1.5 * HOUR)
    rig.workspace.lag_search(0)
    edit(rig, 2)
    rig.workspace.travel(1)
    rig.sync(TABLES)
    rig.workspace.travel(LAG)


def stale(rig: Rig) -> list[str]:
    """The tables that are not what the workspace has."""
    found = []
    for table in TABLES:
        try:
            rig.check([table])
        except AssertionError:
            found.append(table)
    return found


def test_a_change_that_search_shows_after_more_than_an_hour_is_lost_until_all_is_read_again(rig: Rig) -> None:
    overtaken(rig)
    rig.sync(TABLES)
    assert stale(rig) == list(TABLES)
    rig.sync(TABLES, full_refresh=True)
    rig.check(TABLES)


@pytest.mark.parametrize("text", ["2h", "1h,contacts=3h,conversations=1d,tickets=2h,conversation_parts=2d"])
def test_a_lookback_as_long_as_the_lag_finds_it(rig: Rig, text: str) -> None:
    overtaken(rig)
    rig.sync(TABLES, lookback=parse_lookback(text))
    rig.check(TABLES)


def test_a_lookback_is_of_the_tables_that_it_names(rig: Rig) -> None:
    overtaken(rig)
    rig.sync(TABLES, lookback=parse_lookback("tickets=2h"))
    assert stale(rig) == [table for table in TABLES if table != "tickets"]


@pytest.mark.parametrize("lag", effort([2, 20], range(1, 25)))
def test_a_run_each_night_that_looks_back_two_days_finds_what_the_hourly_ones_have_lost(rig: Rig, lag: int) -> None:
    """Whatever the hour, for any lag up to a day."""
    rig.workspace.lag_search(lag * HOUR)
    for number in range(effort(3, 8)):
        edit(rig, number)
        rig.workspace.travel(5 * HOUR)
        rig.sync(TABLES)
    for _night in range(2):
        rig.workspace.travel(24 * HOUR)
        rig.sync(TABLES, lookback=parse_lookback("2d"))
    rig.check(TABLES)


def test_a_lookback_costs_the_rows_that_plan_says_and_children_of_changed_parents_only(rig: Rig) -> None:
    for number in range(4):
        edit(rig, number)
        rig.workspace.travel(1.5 * HOUR)
    rig.sync(TABLES)
    rig.workspace.travel(HOUR)
    lookback = parse_lookback("10h")
    found = {one.table: one for one in foretell(rig, list(TABLES), lookback=lookback).tables}
    told = "rows and requests with this lookback: 4 and 2; with the usual one of an hour: 1 and 2"
    assert found["tickets"].notes == (told,)
    read = rig.sync(TABLES, lookback=lookback)
    assert (read["tickets"][0].rows, found["tickets"].rows.least) == (4, 4)
    assert found[CHILD].asked is not None
    assert found[CHILD].asked.most == 0
    assert read[CHILD][0].rows == 0  # all four conversations are read again, and none of them has changed since
