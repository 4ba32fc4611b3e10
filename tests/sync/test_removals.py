"""What a full refresh, or a small list, may remove from a table: only what another question confirms."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.tables.catalogue import TABLES
from tests.conftest import NOW
from tests.support import rig as rigs
from tests.support.rig import Rig, in_four_months, is_page

PATHS = {
    "contacts": "/contacts/search",
    "conversations": "/conversations/search",
    "companies": "/companies/scroll",
    "articles": "/articles",
}
LISTS = {name: table.path for name, table in TABLES.items() if name in ("tags", "segments", "admins", "teams")}
DAY = 86_400
ALWAYS = 100_000


def ids(rig: Rig, table: str = "contacts") -> list[str]:
    return sorted(rig.rows(table).column("id").to_pylist())


def delete(rig: Rig, table: str, rows: int) -> None:
    for row in rig.workspace.rows(table)[:rows]:
        rig.workspace.delete(table, row["id"])


def serve_only(rig: Rig, rows: int, table: str = "contacts") -> None:
    """Every search claims, consistently, to have so many rows and no other."""
    body = {"type": "list", TABLES[table].records_at[0]: rig.workspace.rows(table)[:rows], "total_count": rows}
    rig.server.fail(PATHS[table], status=200, body=body, times=ALWAYS)


def leave_out(rig: Rig, rows: int) -> None:
    """Searches of contacts give all but so many of the rows that they count, however they are asked."""
    everything = rig.workspace.rows("contacts")
    body = {"type": "list", "data": everything[rows:], "total_count": len(everything), "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=ALWAYS, where=is_page)


# -- single wrong answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", PATHS)
@pytest.mark.parametrize("after", [0, 1])
def test_an_answer_that_is_empty_once_empties_no_table(rig: Rig, table: str, after: int) -> None:
    rig.load([table])
    fault = rig.server.fail(PATHS[table], "shard_away", after=after)
    _, compacted = rig.sync([table], full_refresh=True)[table]
    assert fault.hits == 1
    assert compacted.removed == 0
    rig.check([table])


@pytest.mark.parametrize("table", LISTS)
@pytest.mark.parametrize("kind", ["shard_away", "short"])
def test_a_list_that_lacks_rows_once_removes_none(rig: Rig, table: str, kind: Any) -> None:
    rig.load([table])
    fault = rig.server.fail(LISTS[table], kind, every=2)
    _, compacted = rig.sync([table])[table]
    assert fault.hits == 1
    assert compacted.removed == 0
    rig.check([table])


def test_a_list_may_get_empty_once_a_second_answer_says_the_same(rig: Rig) -> None:
    rig.load(["tags"])
    delete(rig, "tags", 12)
    rig.server.clear_log()
    _, compacted = rig.sync(["tags"])["tags"]
    assert compacted.removed == 12
    assert len(rig.server.requests("/tags")) == 2
    rig.check(["tags"])


# -- a shortfall that stays ------------------------------------------------------------------------------------------


def test_rows_that_a_short_read_lacks_are_kept_when_their_own_address_has_them(make_rig: Callable[..., Rig]) -> None:
    """893 of 900 are served, however they are asked for; the seven are there, and one of them has changed."""
    rig = make_rig(contacts=900)
    rig.load(["contacts"])
    rig.workspace.update("contacts", rig.workspace.rows("contacts")[3]["id"], name="changed")
    leave_out(rig, 7)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    assert "counts 900 rows, 893 were found" in ingested.notes[0]
    rig.check(["contacts"])


def test_of_rows_that_a_short_read_lacks_those_go_that_their_own_address_does_not_have(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(contacts=400)
    rig.load(["contacts"])
    delete(rig, "contacts", 2)
    leave_out(rig, 3)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 2
    assert ingested.notes
    rig.check(["contacts"])


def test_too_many_rows_to_be_asked_for_are_all_kept(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=2_300)
    rig.load(["contacts"])
    delete(rig, "contacts", 210)
    leave_out(rig, 20)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    assert len(ids(rig)) == 2_300
    assert any("nothing was removed" in note and "230 of 2,300 rows" in note for note in ingested.notes)
    rig.server.clear_faults()
    rig.sync(["contacts"], full_refresh=True)
    rig.check(["contacts"])


def test_a_404_says_nothing_where_records_have_no_address(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=400)
    rig.load(["contacts"])
    leave_out(rig, 3)
    for row in rig.workspace.rows("contacts"):
        rig.server.fail(f"/contacts/{row['id']}", status=404, times=ALWAYS)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    assert any("no address of their own" in note for note in ingested.notes)
    rig.server.clear_faults()
    rig.check(["contacts"])


def test_rows_of_a_table_whose_records_have_no_address_are_not_asked_for(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rigs, "TABLES", {**TABLES, "contacts": replace(TABLES["contacts"], record_path="")})
    rig = make_rig(contacts=400)
    rig.sync(["contacts"])
    leave_out(rig, 3)
    rig.server.clear_log()
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    assert any("no address of their own" in note for note in ingested.notes)
    assert {request.path for request in rig.server.log} == {"/me", "/contacts/search"}
    rig.server.clear_faults()
    rig.check(["contacts"])


def test_a_conversation_asked_for_by_its_address_is_the_row_that_search_gives(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=160)
    rig.sync(["conversations"])
    everything = rig.workspace.rows("conversations")
    body = {"conversations": everything[1:], "total_count": 160, "pages": None}
    rig.server.fail("/conversations/search", status=200, body=body, times=ALWAYS, where=is_page)
    _, compacted = rig.sync(["conversations"], full_refresh=True)["conversations"]
    assert compacted.removed == 0
    assert rig.server.requests(f"/conversations/{everything[0]['id']}") != []
    rig.check(["conversations"])


def test_companies_that_two_scrolls_lack_are_asked_for(rig: Rig) -> None:
    rig.load(["companies"])
    delete(rig, "companies", 3)
    rig.server.clear_log()
    _, compacted = rig.sync(["companies"], full_refresh=True)["companies"]
    assert compacted.removed == 3
    asked = [request for request in rig.server.requests() if request.path.startswith("/companies/") and request.status]
    assert sum(request.status == 404 and request.path != "/companies/scroll" for request in asked) == 3
    rig.check(["companies"])


# -- a large part of a table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", PATHS)
def test_a_large_part_of_a_table_goes_only_when_somebody_has_said_so(make_rig: Callable[..., Rig], table: str) -> None:
    rig = make_rig(**{table: 150})
    rig.load([table])
    rig.workspace.travel(7_200)
    delete(rig, table, 60)
    rig.workspace.update(table, rig.workspace.rows(table)[0]["id"], updated_at=NOW + 7_000)
    ingested, compacted = rig.sync([table], full_refresh=True)[table]
    assert compacted.removed == 0
    assert ingested.refused is not None
    assert "60 of 150 rows (40 %)" in ingested.refused
    assert "--allow-mass-removal" in ingested.refused
    assert len(ids(rig, table)) == 150
    assert ingested.watermark_after == NOW + 7_000  # all that was read is merged
    later, _ = rig.sync([table])[table]
    assert later.refused is None
    allowed, compacted = rig.sync([table], full_refresh=True, allow_mass_removal=True)[table]
    assert allowed.refused is None
    assert compacted.removed == 60
    rig.check([table])


@in_four_months
def test_ten_of_ten_for_ever_removes_nothing_without_a_word(rig: Rig) -> None:
    rig.load(["contacts"])
    serve_only(rig, 10)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 0
    assert ingested.refused is not None
    assert "290 of 300 rows" in ingested.refused
    rig.server.clear_faults()
    rig.check(["contacts"])


def test_a_run_that_was_refused_is_refused_again_when_it_is_retried(rig: Rig) -> None:
    rig.load(["contacts"])
    delete(rig, "contacts", 200)
    for _ in range(2):
        ingested, compacted = rig.sync(["contacts"], full_refresh=True, run_id="again")["contacts"]
        assert ingested.refused is not None
        assert compacted.removed == 0


def test_in_a_small_table_a_second_read_alone_decides(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=100)
    rig.load(["contacts"])
    delete(rig, "contacts", 70)
    rig.server.clear_log()
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert ingested.refused is None
    assert compacted.removed == 70
    assert sum(is_page(request) for request in rig.server.requests("/contacts/search")) == 2
    rig.check(["contacts"])


def test_a_fifth_of_a_table_goes_after_one_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=150)
    rig.load(["contacts"])
    delete(rig, "contacts", 30)
    rig.server.clear_log()
    _, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert compacted.removed == 30
    assert sum(is_page(request) for request in rig.server.requests("/contacts/search")) == 1
    rig.check(["contacts"])


def test_rows_that_a_backfill_has_copied_are_rows_like_all_others(make_rig: Callable[..., Rig]) -> None:
    """They are older than the history: a full refresh reads from where the backfill began, and removes what is gone."""
    rig = make_rig(contacts=200)
    rows = rig.workspace.rows("contacts")
    for row in rows[:120]:
        rig.workspace.update("contacts", row["id"], updated_at=NOW - 60 * DAY)
    for row in rows[120:]:
        rig.workspace.update("contacts", row["id"], updated_at=NOW - 2 * DAY)
    rig.sync(["contacts"], history_from=NOW - 30 * DAY)
    rig.sync(["contacts"], history_from=NOW - 90 * DAY, until=NOW - 30 * DAY)
    rig.check(["contacts"])
    delete(rig, "contacts", 10)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert ingested.refused is None
    assert compacted.removed == 10
    rig.check(["contacts"])


def test_rows_that_wait_to_be_merged_are_known_too(make_rig: Callable[..., Rig]) -> None:
    from intercom.compaction.policy import CompactionMode

    rig = make_rig(contacts=200)
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    delete(rig, "contacts", 100)
    ingested, _ = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert ingested.refused is not None
    assert len(ids(rig)) == 200


# -- reads from the beginning that make a table whole again ---------------------------------------------------------


@in_four_months
@pytest.mark.parametrize("fault", ["a file is gone", "a file is not ours"])
def test_a_repair_that_finds_far_less_than_the_lake_had_is_doubted(rig: Rig, fault: str) -> None:
    rig.load(["contacts"])
    months = sorted((rig.lake_folder / "data/acme/contacts").iterdir(), key=lambda one: one.name)
    if fault == "a file is gone":
        (months[0] / "data.parquet").unlink()
    else:
        shutil.copyfile(months[1] / "data.parquet", months[0] / "data.parquet")
    serve_only(rig, 10)
    ingested, compacted = rig.sync(["contacts"])["contacts"]
    assert not ingested.complete
    assert ingested.watermark_after is None
    assert any("found 10 rows, where the lake's record has 300" in note for note in ingested.notes)
    assert compacted.removed == 0
    rig.server.clear_faults()
    later, _ = rig.sync(["contacts"])["contacts"]
    assert later.complete
    rig.check(["contacts"])


@in_four_months
def test_a_refused_full_refresh_drops_no_file_that_is_not_ours(rig: Rig) -> None:
    rig.load(["contacts"])
    first, *_, last = sorted((rig.lake_folder / "data/acme/contacts").glob("*/data.parquet"))
    shutil.copyfile(last, first)
    theirs = pq.read_metadata(first).num_rows
    serve_only(rig, 10)
    ingested, compacted = rig.sync(["contacts"], full_refresh=True)["contacts"]
    assert ingested.refused is not None
    assert compacted.removed == 0
    assert pq.read_metadata(first).num_rows >= theirs
    rig.server.clear_faults()
    rig.sync(["contacts"])
    rig.check(["contacts"])
