"""A reconcile reads everything and merges it: rows are removed that two answers say are gone, and no other."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from intercom.sync import vanished
from intercom.tables.catalogue import TABLES
from tests.support.rig import Rig, is_page, removing_and_marking

PATHS = {
    "contacts": "/contacts/search",
    "conversations": "/conversations/search",
    "companies": "/companies/scroll",
    "articles": "/articles",
}
ALWAYS = 100_000
MARKED = {"deleted": "mark"}


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A small workspace: what differs here does not depend on how many rows there are."""
    return make_rig(contacts=60, companies=12, conversations=12, articles=8, tags=2, segments=2, history_days=20)


@pytest.fixture
def few_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rows are asked for by their own address, in place of two hundred: more of them need a large table."""
    monkeypatch.setattr(vanished, "ASKED_ONE_BY_ONE", 20)
    monkeypatch.setattr(vanished, "KEPT_ASKED", 5)


def ids(rig: Rig, table: str = "contacts") -> list[str]:
    return sorted(rig.rows(table).column("id").to_pylist())


def delete(rig: Rig, table: str, rows: int) -> list[str]:
    """The ids of so many records, which are gone now."""
    gone = [row["id"] for row in rig.workspace.rows(table)[:rows]]
    for one in gone:
        rig.workspace.delete(table, one)
    return gone


def hide(rig: Rig, hidden: Collection[str]) -> None:
    """Searches for contacts neither give nor count these, which are there by their own address."""
    rows = [row for row in rig.workspace.rows("contacts") if row["id"] not in hidden]
    body = {"type": "list", "data": rows, "total_count": len(rows), "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS)


def asked_alone(rig: Rig, table: str = "contacts") -> list[str]:
    """Ids that were requested by their own address."""
    path = TABLES[table].record_path
    known = [request.path for request in rig.server.requests() if request.method == "GET"]
    return [one.removeprefix(path) for one in known if one.startswith(path) and not one.endswith(("search", "scroll"))]


# -- what is removed -------------------------------------------------------------------------------------------------


@removing_and_marking
def test_rows_that_are_gone_go_by_one_sweep_and_their_own_address(rig: Rig, marks: bool) -> None:
    rig.options = MARKED if marks else {}
    rig.sync(PATHS)
    before = rig.lake_table("contacts").published()
    gone = {table: delete(rig, table, 2) for table in PATHS}
    done = rig.reconcile(PATHS)
    assert {table: merged.removed for table, (_, merged) in done.items()} == dict.fromkeys(PATHS, 2)
    rig.check(PATHS)
    if marks:
        lake = rig.lake_table("contacts")
        assert sum(entry.rows for entry in lake.state().partitions.values()) == len(ids(rig)) + 2
    assert len(rig.lake_table("contacts").published()) == len(before)
    again = rig.reconcile(PATHS)
    assert {merged.removed for _, merged in again.values()} == {0}
    assert {merged.files for _, merged in again.values()} == {0}
    assert not set(gone["contacts"]) & set(ids(rig))


def test_what_search_never_showed_is_healed(rig: Rig) -> None:
    """A change far behind the lookback, which search shows hours later: no sync reads it."""
    rig.load(["contacts"])
    row = rig.workspace.rows("contacts")[0]
    rig.workspace.update("contacts", row["id"], touch=False, name="changed long ago", updated_at=row["updated_at"] + 1)
    rig.workspace.travel(7200)
    rig.sync(["contacts"])
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert (merged.changed, merged.removed) == (1, 0)
    assert ingested.watermark_after is not None
    rig.check(["contacts"])


def test_the_watermark_does_not_move_back_with_the_newest_row(rig: Rig) -> None:
    rig.load(["contacts"])
    newest = max(rig.workspace.rows("contacts"), key=lambda row: int(row["updated_at"]))
    rig.workspace.delete("contacts", newest["id"])
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert merged.removed == 1
    assert ingested.watermark_after == ingested.watermark_before


def test_a_merged_contact_goes_at_once(rig: Rig) -> None:
    """Its own address answers with the contact that it was merged into."""
    rig.load(["contacts"])
    losing, winning = rig.workspace.rows("contacts")[:2]
    rig.workspace.delete("contacts", losing["id"])
    rig.server.fail(f"/contacts/{losing['id']}", status=200, body=winning, times=ALWAYS)
    _, merged = rig.reconcile(["contacts"])["contacts"]
    assert merged.removed == 1
    rig.check(["contacts"])


def test_a_table_that_is_not_there_yet_is_read_as_by_a_sync(rig: Rig) -> None:
    rig.reconcile(["contacts", "tags"])
    rig.check(["contacts", "tags"])


# -- what stays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", PATHS)
@pytest.mark.parametrize("kind", ["short", "shifted"])
def test_a_list_that_forgets_rows_once_removes_none(rig: Rig, table: str, kind: Any) -> None:
    rig.load([table])
    rig.server.fail(PATHS[table], kind, where=None if table in ("companies", "articles") else is_page)
    _, merged = rig.reconcile([table])[table]
    assert merged.removed == 0
    rig.server.clear_faults()
    rig.check([table])


def test_a_row_that_no_search_shows_is_kept_and_asked_again_each_time(rig: Rig) -> None:
    rig.load(["contacts"])
    hidden = [row["id"] for row in rig.workspace.rows("contacts")[:3]]
    rig.workspace.update("contacts", hidden[0], name="changed since")
    hide(rig, hidden)
    for _ in range(3):
        rig.server.clear_log()
        ingested, merged = rig.reconcile(["contacts"])["contacts"]
        assert (ingested.kept, ingested.undecided, merged.removed) == (3, 0, 0)
        assert set(hidden) <= set(asked_alone(rig))
        assert any("by their own address" in hint for hint in ingested.hints)
    rig.server.clear_faults()
    rig.check(["contacts"])


@pytest.mark.parametrize("marks", [False, True], ids=["remove", "mark"])
def test_more_rows_than_are_asked_for_go_by_the_second_sweep(rig: Rig, few_asked: None, marks: bool) -> None:
    rig.options = MARKED if marks else {}
    rig.sync(["contacts"])
    delete(rig, "contacts", 30)
    rig.server.clear_log()
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert (ingested.undecided, merged.removed) == (30, 0)
    assert len(asked_alone(rig)) <= 1
    _, merged = rig.reconcile(["contacts"])["contacts"]
    assert merged.removed == 30
    assert len(asked_alone(rig)) <= 23
    rig.check(["contacts"])
    assert rig.lake_table("contacts").state().sweep is None


def test_an_index_that_hides_rows_for_hours_loses_none(rig: Rig, few_asked: None) -> None:
    """Two sweeps agree, and the sample of rows that are asked says that they are there."""
    rig.load(["contacts"])
    hide(rig, [row["id"] for row in rig.workspace.rows("contacts")[:30]])
    for _ in range(3):
        _, merged = rig.reconcile(["contacts"])["contacts"]
        assert merged.removed == 0
    rig.server.clear_faults()
    rig.check(["contacts"])


def test_a_row_that_a_sync_has_met_between_two_sweeps_is_not_missing_twice(rig: Rig, few_asked: None) -> None:
    rig.load(["contacts"])
    first = [row["id"] for row in rig.workspace.rows("contacts")[:30]]
    hide(rig, first)
    rig.reconcile(["contacts"])
    rig.server.clear_faults()
    rig.workspace.travel(7200)
    for one in first:
        rig.workspace.update("contacts", one, name="met")
    rig.sync(["contacts"])
    assert rig.lake_table("contacts").state().sweep is None
    for one in first:
        rig.workspace.delete("contacts", one)
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert (ingested.undecided, merged.removed) == (30, 0)


def test_a_sync_in_between_that_has_not_met_a_row_leaves_it_missing(rig: Rig, few_asked: None) -> None:
    rig.load(["contacts"])
    delete(rig, "contacts", 30)
    rig.reconcile(["contacts"])
    mark = rig.lake_table("contacts").state().sweep
    rig.workspace.create("contacts")
    rig.sync(["contacts"])
    assert rig.lake_table("contacts").state().sweep == mark
    _, merged = rig.reconcile(["contacts"])["contacts"]
    assert merged.removed == 30


def test_nothing_is_decided_by_an_incomplete_sweep(rig: Rig) -> None:
    rig.load(["contacts"])
    delete(rig, "contacts", 2)
    rig.workspace.create("contacts", name="new")
    rows = rig.workspace.rows("contacts")
    body = {"type": "list", "data": rows[10:], "total_count": len(rows), "pages": None}
    fault = rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS, where=is_page)
    before = rig.lake_table("contacts").state()
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert fault.hits
    assert not ingested.complete
    assert (merged.removed, merged.new, ingested.undecided) == (0, 1, 0)
    after = rig.lake_table("contacts").state()
    assert (after.sweep, after.watermark) == (None, before.watermark)
    rig.server.clear_faults()
    rig.reconcile(["contacts"])
    rig.check(["contacts"])


@pytest.mark.parametrize("status", [403, 500])
def test_a_row_whose_address_answers_with_an_error_stays(rig: Rig, status: int) -> None:
    rig.load(["contacts"])
    first, second = delete(rig, "contacts", 2)
    rig.server.fail(f"/contacts/{first}", status=status, times=ALWAYS)
    ingested, _ = rig.reconcile(["contacts"])["contacts"]
    assert first in ids(rig)
    assert ingested.undecided in (1, 2)
    rig.server.clear_faults()
    rig.reconcile(["contacts"])
    assert not {first, second} & set(ids(rig))
    rig.check(["contacts"])


@pytest.mark.parametrize("body", [{}, {"type": "contact", "id": None}, {"id": ""}])
def test_an_answer_that_is_no_record_says_nothing_of_a_row(rig: Rig, body: dict[str, Any]) -> None:
    rig.load(["contacts"])
    hidden = rig.workspace.rows("contacts")[0]["id"]
    hide(rig, [hidden])
    rig.server.fail(f"/contacts/{hidden}", status=200, body=body, times=ALWAYS)
    ingested, merged = rig.reconcile(["contacts"])["contacts"]
    assert (ingested.undecided, merged.removed) == (1, 0)
    assert hidden in ids(rig)


def test_a_404_says_nothing_where_rows_that_were_read_have_it_too(rig: Rig) -> None:
    rig.load(["contacts"])
    hidden = [row["id"] for row in rig.workspace.rows("contacts")[:3]]
    hide(rig, hidden)
    for row in rig.workspace.rows("contacts"):
        rig.server.fail(f"/contacts/{row['id']}", status=404, times=ALWAYS)
    for _ in range(2):
        ingested, merged = rig.reconcile(["contacts"])["contacts"]
        assert (merged.removed, ingested.undecided) == (0, 3)
    rig.server.clear_faults()
    rig.check(["contacts"])


def test_a_fifth_of_a_table_goes_only_with_permission(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=120, history_days=20)
    rig.load(["contacts"])
    delete(rig, "contacts", 30)
    for _ in range(2):
        ingested, merged = rig.reconcile(["contacts"])["contacts"]
        assert ingested.refused is not None
        assert "30 of 120 rows (25 %)" in ingested.refused
        assert "--allow-mass-removal" in ingested.refused
        assert merged.removed == 0
    assert len(ids(rig)) == 120
    ingested, merged = rig.reconcile(["contacts"], allow_mass_removal=True)["contacts"]
    assert (ingested.refused, merged.removed) == (None, 30)
    rig.check(["contacts"])


def test_a_row_that_comes_back_unchanged_is_alive_again(rig: Rig) -> None:
    rig.options = MARKED
    rig.sync(["contacts"])
    rig.workspace.travel(7200)
    row = rig.workspace.update("contacts", rig.workspace.rows("contacts")[0]["id"], name="just changed")
    rig.sync(["contacts"])
    rig.workspace.delete("contacts", row["id"])
    rig.reconcile(["contacts"])
    assert row["id"] not in ids(rig)
    rig.workspace.create("contacts", **row)
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_backfilled_rows_from_before_the_start_date_are_read_and_stay(rig: Rig) -> None:
    times = sorted(int(row["updated_at"]) for row in rig.workspace.rows("contacts"))
    middle = times[len(times) // 2] // 86_400 * 86_400
    rig.sync(["contacts"], history_from=middle)
    rig.sync(["contacts"], history_from=times[0] // 86_400 * 86_400, until=times[0] // 86_400 * 86_400 + 5 * 86_400)
    rows = ids(rig)
    _, merged = rig.reconcile(["contacts"])["contacts"]
    assert merged.removed == 0
    assert set(rows) <= set(ids(rig))
