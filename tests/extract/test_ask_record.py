"""One record by its own address: an answer with another record is asked for again, and never believed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.errors import RetriableApiError
from intercom.extract.one_record import ask_record
from intercom.extract.pages import Page
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Table
from tests.support.rig import Rig

FOR_EVER = 100_000
ADDRESSED = {name: table for name, table in TABLES.items() if table.record_path}
every_table = pytest.mark.parametrize("table", ADDRESSED.values(), ids=ADDRESSED)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=5, companies=5, conversations=5, articles=5, further=5, history_days=20)


def ask(rig: Rig, table: Table, key: str) -> object:
    return ask_record(rig.client().for_table(table.name), table, key)


def keys(rig: Rig, table: Table) -> list[str]:
    return [record.key for record in rig.workspace.tables[table.name]]


@every_table
def test_another_record_is_asked_for_again(rig: Rig, table: Table) -> None:
    first, second = keys(rig, table)[:2]
    rig.server.fail(f"{table.record_path}{first}", "another", instead=lambda _: f"{table.record_path}{second}")
    answer = ask(rig, table, first)
    assert isinstance(answer, Page)
    assert [bytes(record["id"]).decode().strip('"') for record in answer.records] == [first]


@every_table
def test_another_record_for_ever_is_an_error_and_does_not_say_that_the_row_is_gone(rig: Rig, table: Table) -> None:
    first, second = keys(rig, table)[:2]
    swapped = {
        f"{table.record_path}{one}": f"{table.record_path}{other}" for one, other in ((first, second), (second, first))
    }
    rig.server.fail(None, "another", times=FOR_EVER, instead=swapped.__getitem__)
    with pytest.raises(RetriableApiError, match=f"table '{table.name}'.*another record.*nothing of it was taken"):
        ask(rig, table, first)


@every_table
def test_a_key_that_comes_as_a_number_is_the_same_key(rig: Rig, table: Table) -> None:
    rig.server.fail(f"{table.record_path}17", status=200, body={"type": "any", "id": 17})
    assert isinstance(ask(rig, table, "17"), Page)


def test_a_merged_contact_is_gone_whether_it_is_not_found_or_answers_with_the_other_one(rig: Rig) -> None:
    table = TABLES["contacts"]
    lead, user = keys(rig, table)[:2]
    rig.server.fail(f"/contacts/{lead}", "another", times=FOR_EVER, instead=lambda _: f"/contacts/{user}")
    assert ask(rig, table, lead) is None
    assert isinstance(ask(rig, table, user), Page)
    rig.server.clear_faults()
    rig.workspace.delete("contacts", lead)
    assert ask(rig, table, lead) is None


def test_a_conversation_is_never_taken_for_merged(rig: Rig) -> None:
    table = TABLES["conversations"]
    first, second = keys(rig, table)[:2]
    path = table.record_path
    rig.server.fail(f"{path}{first}", "another", times=FOR_EVER, instead=lambda _: f"{path}{second}")
    with pytest.raises(RetriableApiError):
        ask(rig, table, first)
