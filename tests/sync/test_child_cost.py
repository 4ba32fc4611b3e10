"""What a run that asks for every record of a parent table says of its requests before it sends them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from intercom.lake.state import TableState
from intercom.sync.child_cost import child_costs
from intercom.sync.run import RunRequest, asked_range
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Parent, Selection, Strategy, Table
from tests.support.rig import Rig

CONTACTS, COMPANIES = TABLES["contacts"], TABLES["companies"]


def child(name: str, of: Table, selection: Selection = Selection.NAME) -> Table:
    """A table with one request for each record of another one, whose key it has in the column `name`."""
    return replace(
        TABLES["tags"], name=name, access=Access.CHILD, strategy=Strategy.REPLACE_CHILDREN, path=f"{of.path}/{{key}}/x",
        cursor_field=of.cursor_field, partition_field=None, parent=Parent(table=of, inherits={"name": "id"}),
        selection=selection,
    )  # fmt: skip


NOTES, LISTS = child("contact_notes", CONTACTS), child("contact_lists", CONTACTS)
OF_COMPANIES = child("company_notes", COMPANIES)


SYNC = RunRequest()


def told(
    rig: Rig, *tables: Table, request: RunRequest = SYNC, states: dict[str, TableState] | None = None
) -> list[str]:
    client = rig.client()
    client.for_table("workspace").get("/me")  # as a run does first; its answer tells the rate limit
    return list(child_costs(tables, client, request, lambda table: (states or {}).get(table.name)))


def test_the_first_run_tells_requests_and_time_at_the_allowed_rate(rig: Rig) -> None:
    rig.server.rate_limit = 166
    a_million = {"type": "list", "data": rig.workspace.rows("contacts")[:1], "total_count": 1_000_000, "pages": None}
    rig.server.fail("/contacts/search", kind="status", status=200, body=a_million, times=1)
    assert told(rig, CONTACTS, NOTES) == [
        "contact_notes: one request for each of 1,000,000 contacts, about 16 h 44 min at 166 requests per 10 s; later "
        "runs ask for changed contacts only"
    ]
    assert len(rig.server.requests("/contacts/search")) == 1


def test_tables_of_one_parent_share_its_count_and_the_time_is_summed_up(rig: Rig) -> None:
    rig.server.clear_log()
    *each, together = told(rig, NOTES, LISTS, OF_COMPANIES)
    assert [line.partition(":")[0] for line in each] == ["contact_notes", "contact_lists", "company_notes"]
    assert together == "These tables share the allowed requests: together less than a minute"
    assert len(rig.server.requests("/contacts/search")) == len(rig.server.requests("/companies")) == 1
    assert not rig.server.requests("/companies/scroll")


def test_a_run_that_goes_on_from_a_watermark_tells_nothing_and_asks_nothing(rig: Rig) -> None:
    rig.server.clear_log()
    rig.sync(["contacts"])
    state = rig.lake_table("contacts").state()
    assert state is not None
    rig.server.clear_log()
    assert told(rig, NOTES, states={"contact_notes": state}) == []
    assert rig.server.requests("/contacts/search") == []
    assert told(rig, NOTES, request=RunRequest(full_refresh=True), states={"contact_notes": state}) != []
    begin, until = asked_range(None, date(2026, 10, 1), full_refresh=False)
    backfill = told(rig, NOTES, request=RunRequest(history_from=begin, until=until), states={"contact_notes": state})
    assert "one request for each of up to " in backfill[0]


def test_a_table_of_a_group_is_told_of_only_if_it_takes_long(rig: Rig) -> None:
    parts = child("parts", CONTACTS, Selection.ALL)
    assert told(rig, parts) == []
    rig.server.rate_limit = 2
    assert "parts: one request for each of" in told(rig, parts)[0]


def test_a_parent_that_cannot_be_counted_is_left_to_the_run(rig: Rig) -> None:
    rig.server.fail("/contacts/search", status=403, times=9)
    assert told(rig, NOTES) == []
