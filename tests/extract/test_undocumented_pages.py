"""Lists whose paging nobody documents: whole, or said to be short, in whatever way the server treats page numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import cast

import pytest

from intercom.errors import LakeError
from intercom.extract.extraction import Extraction, Resumable
from intercom.extract.page_numbers import read_page_numbers
from intercom.extract.pages import Page
from intercom.sandbox import LoggedRequest, Paging
from intercom.tables.catalogue import TABLES
from tests.support.declarations import declared, declared_as
from tests.support.rig import Rig

ROWS = 45
kinds = pytest.mark.parametrize("table", ["news_items", "collections"])
"""One that merges, one that is replaced."""


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=0, companies=0, conversations=0, articles=0, further=ROWS, history_days=9)


def asked(rig: Rig, table: str) -> list[LoggedRequest]:
    return rig.server.requests(TABLES[table].path)


HONOURED = {
    f"{size}, next {form}{told}": Paging(per_page=20, most=most, following=form, totals=totals)  # type: ignore[arg-type]
    for size, most in (("pages of 20", 20), ("25 at most", 25), ("pages as asked for", 150))
    for form in ("object", "string", "absent", "null")
    for totals, told in ((True, ""), (False, ", no totals"))
    if totals or form != "null" or most == 150  # where every page says that it is the last, there is nothing to find
}
OTHERS = {
    "25 at most, more refused": Paging(most=25, over_most="refuse"),
    "no size taken": Paging(per_page=20, refused=("per_page",)),
    "no size taken, no totals": Paging(per_page=20, refused=("per_page",), totals=False, following="absent"),
    "nothing beside the records": Paging(per_page=20, most=20, pages=False, totals=False),
    "no parameter taken, all served": Paging(per_page=None, refused=("per_page", "page"), pages=False, totals=False),
    "page ignored, all served": Paging(per_page=None, honoured=False, totals=False, following="absent"),
    "page ignored, all served, nothing else": Paging(per_page=None, honoured=False, totals=False, pages=False),
    "page ignored, all served and counted": Paging(per_page=None, honoured=False),
    "page ignored, all counted, a next one named": Paging(per_page=None, honoured=False, following="always"),
}


@pytest.mark.parametrize("paging", [*HONOURED.values(), *OTHERS.values()], ids=[*HONOURED, *OTHERS])
def test_a_list_is_whole_and_nothing_is_noted(rig: Rig, paging: Paging) -> None:
    rig.workspace.options.paging["newsfeeds"] = paging
    ingested, _ = rig.sync(["newsfeeds"])["newsfeeds"]
    rig.check(["newsfeeds"])
    assert (ingested.complete, ingested.notes) == (True, ())
    assert len(asked(rig, "newsfeeds")) <= 7


@pytest.mark.parametrize("counts", [True, False])
def test_a_list_that_does_not_count_itself_has_no_total_to_show(rig: Rig, counts: bool) -> None:
    table, pages, expected = TABLES["newsfeeds"], list[object](), list[int]()
    rig.workspace.options.paging[table.name] = Paging(totals=counts)
    with closing(rig.client()) as client:
        api = client.for_table(table.name, table.scope)
        read_page_numbers(Extraction(api, table, 0, pages.append, expected.append, cast(Resumable, None)))
    assert sum(len(page.records) for page in pages if isinstance(page, Page)) == ROWS
    assert expected == ([ROWS] if counts else [])


@kinds
@pytest.mark.parametrize("table_of_before", [True, False], ids=["later", "first load"])
@pytest.mark.parametrize(
    ("paging", "note"),
    [
        (Paging(per_page=20, most=20, honoured=False), f"Intercom counts {ROWS} rows, 20 were found in 3 reads"),
        (
            Paging(per_page=20, most=20, honoured=False, pages=False),
            f"Intercom counts {ROWS} rows, 20 were found in 3 reads; page 2 had the same rows as the one before it",
        ),
        (
            Paging(per_page=20, most=20, honoured=False, totals=False),
            "rows beyond the 20 that were found may be missing: page 2 had the same rows and names a next page",
        ),
        (
            Paging(per_page=20, refused=("page",), pages=False),
            f"Intercom counts {ROWS} rows, 20 were found in 3 reads",
        ),
    ],
    ids=["counted, pages named", "counted", "a next one named", "page refused"],
)
def test_a_list_that_ends_at_its_first_page_is_said_to_be_short_and_removes_nothing(
    rig: Rig, table: str, table_of_before: bool, paging: Paging, note: str
) -> None:
    if table_of_before:
        rig.sync([table])
        rig.workspace.travel(7200)
    rig.workspace.options.paging[table] = paging
    ingested, compacted = rig.sync([table])[table]
    assert not ingested.complete
    assert ingested.notes[0].startswith(f"{table}: {note}")
    assert (rig.rows(table).num_rows, compacted.removed) == (ROWS if table_of_before else 20, 0)
    assert ingested.watermark_after == ingested.watermark_before
    rig.workspace.options.paging.clear()
    ingested, _ = rig.sync([table])[table]
    rig.check([table])
    assert (ingested.complete, ingested.notes) == (True, ())


def test_a_short_list_is_no_reason_to_write_a_table_with_other_columns(rig: Rig) -> None:
    fewer = declared_as(TABLES["collections"].schema, without="icon order")
    with declared(collections=fewer):
        rig.sync(["collections"])
    before = {path: (rig.lake_folder / path).read_bytes() for path in rig.lake().list("data")}
    rig.workspace.options.paging["collections"] = Paging(per_page=20, most=20, honoured=False)
    with pytest.raises(LakeError, match=r"collections has to be written again.*the read is short \(.*20 were found"):
        rig.sync(["collections"])
    assert {path: (rig.lake_folder / path).read_bytes() for path in rig.lake().list("data")} == before
    rig.workspace.options.paging.clear()
    rig.sync(["collections"])
    rig.check(["collections"])


@kinds
def test_a_row_that_is_deleted_goes_once_a_whole_list_lacks_it(rig: Rig, table: str) -> None:
    rig.load([table])
    rig.workspace.travel(7200)
    rig.workspace.delete(table, rig.workspace.rows(table)[3]["id"])
    rig.workspace.options.paging[table] = Paging(per_page=None, honoured=False, totals=False, following="absent")
    ingested, compacted = rig.sync([table], full_refresh=True)[table]
    rig.check([table])
    assert (ingested.notes, compacted.removed) == ((), 1)


def test_calls_are_asked_for_25_at_a_time_and_their_times_are_read_in_both_forms(rig: Rig) -> None:
    times = {type(row["created_at"]) for row in rig.workspace.rows("calls")}
    assert times == {int, str}
    rig.sync(["calls"])
    rig.check(["calls"])
    assert {request.params["per_page"] for request in asked(rig, "calls")} == {"25", "1"}
    assert rig.rows("calls").column("created_at").null_count == 0
    assert rig.rows("calls").column("updated_at").null_count == 0
