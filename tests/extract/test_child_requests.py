"""A list that is another parent's is asked for again, and no row of it is taken, where it tells whose it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.errors import RetriableApiError
from intercom.extract.child_requests import ChildRequests
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from tests.support.rig import Rig

FOR_EVER = 100_000
PARTS, NOTES = "conversation_parts", "contact_notes"
named = pytest.mark.parametrize("table", [TABLES[PARTS], TABLES[NOTES]], ids=[PARTS, NOTES])


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    sizes = {"companies": 0, "articles": 0, "tags": 0, "contacts": 6, "conversations": 6}
    return make_rig(**sizes, conversation_parts=30, contact_notes=30, history_days=20)


def two_parents(rig: Rig, table: Table) -> tuple[str, str]:
    """Two parents with children."""
    assert table.parent is not None
    parents = [one.key for one in rig.workspace.tables[table.parent.table.name]]
    first, second, *_ = [key for key in parents if own(rig, table, key)]
    return first, second


def own(rig: Rig, table: Table, parent: str) -> set[str]:
    return {record.key for record in rig.workspace.children[table.name].of(parent)}


def mixed_up(rig: Rig, table: Table, *, times: int) -> tuple[str, str]:
    """A parent whose address answers with the list of the second one."""
    first, second = two_parents(rig, table)
    rig.server.fail(address(table, first), "another", times=times, instead=lambda _: address(table, second))
    return first, second


def address(table: Table, parent: str) -> str:
    return table.path.replace("{key}", parent)


def ids(rig: Rig, table: Table, parent: str) -> set[str]:
    return {row["id"] for row in rig.rows(table.name).to_pylist() if row[table.parent_column] == parent}


@named
def test_another_parents_list_is_asked_for_again(rig: Rig, table: Table) -> None:
    mixed_up(rig, table, times=3)
    ingested, _ = rig.sync([table.name])[table.name]
    assert ingested.complete
    rig.check([table.name])


@named
def test_a_parent_that_is_answered_with_anothers_list_for_ever_is_owed_and_keeps_its_rows(
    rig: Rig, table: Table
) -> None:
    rig.load([table.name])
    first, second = mixed_up(rig, table, times=FOR_EVER)
    before = ids(rig, table, first)
    rig.workspace.travel(7_200)
    for parent in (first, second):
        rig.workspace.create(table.name, **{table.parent_column: parent})
    ingested, _ = rig.sync([table.name], full_refresh=True)[table.name]
    assert any("no usable answer" in note for note in ingested.notes)
    assert ids(rig, table, first) == before
    assert ids(rig, table, second) == own(rig, table, second)
    rig.server.clear_faults()
    rig.sync([table.name])
    rig.check([table.name])


@named
def test_the_error_says_what_was_wrong_with_the_answer_and_what_to_do(rig: Rig, table: Table) -> None:
    first, _ = mixed_up(rig, table, times=FOR_EVER)
    requests = ChildRequests(table, rig.client().for_table(table.name))
    with pytest.raises(RetriableApiError) as raised:
        requests.children(first, once=False)
    told = str(raised.value)
    for part in (f"table {table.name!r}", "'acme'", "belongs to another one", f"request {raised.value.request_id}",
                 "nothing of it was taken", "Run the flow again", "watermark has not moved"):  # fmt: skip
        assert part in told


def test_notes_that_name_a_contact_which_was_merged_into_theirs_are_theirs(rig: Rig) -> None:
    table = TABLES[NOTES]
    contact = rig.workspace.create("contacts")["id"]
    lead = rig.workspace.create("contacts")["id"]
    for _ in range(2):
        rig.workspace.create(NOTES, contact_id=contact, contact={"type": "contact", "id": lead})
    requests = ChildRequests(table, rig.client().for_table(NOTES))
    with pytest.raises(RetriableApiError):
        requests.children(contact, once=True)
    rig.workspace.delete("contacts", lead)
    again = ChildRequests(table, rig.client().for_table(NOTES))
    assert len(again.children(contact, once=True).records) == 2


def test_a_list_in_which_any_child_names_the_parent_is_its_own(rig: Rig) -> None:
    table = TABLES[NOTES]
    contact, other = (rig.workspace.create("contacts")["id"] for _ in range(2))
    rig.workspace.create(NOTES, contact_id=contact, contact={"type": "contact", "id": other})
    rig.workspace.create(NOTES, contact_id=contact)
    requests = ChildRequests(table, rig.client().for_table(NOTES))
    assert len(requests.children(contact, once=True).records) == 2


@pytest.mark.parametrize("contact", [None, {}, "gone", {"id": None}, [1]])
def test_notes_that_name_nobody_are_taken(rig: Rig, contact: object) -> None:
    key = rig.workspace.create("contacts")["id"]
    rig.workspace.create(NOTES, contact_id=key, contact=contact)
    requests = ChildRequests(TABLES[NOTES], rig.client().for_table(NOTES))
    assert len(requests.children(key, once=True).records) == 1


def test_a_key_that_comes_as_a_number_is_the_same_key(rig: Rig) -> None:
    table = TABLES[PARTS]
    body = {"id": 17, "conversation_parts": {"conversation_parts": [{"id": "1"}], "total_count": 1}}
    rig.server.fail("/conversations/17", status=200, body=body)
    requests = ChildRequests(table, rig.client().for_table(PARTS))
    assert len(requests.children("17", once=True).records) == 1
