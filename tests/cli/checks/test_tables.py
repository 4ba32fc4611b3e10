"""Each table's line: rows, permissions, and tables that a run would leave out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection, Table
from tests.support.checked import Check
from tests.support.rig import BY_DEFAULT, Rig


def test_one_request_asks_for_one_record_of_each_table(rig: Rig, checked: Check) -> None:
    found = checked()
    assert found.status == 0
    assert found["contacts"]["facts"] == {"rows": 20}
    assert found["token"]["facts"] == {"workspace": "sbx7k2qd", "name": "Sandbox", "region": "us"}
    sent = [request.path for request in rig.server.requests()]
    assert sent[0] == "/me"
    wanted = [TABLES[name].list_path or TABLES[name].path for name in BY_DEFAULT for _ in TABLES[name].requests]
    assert sorted(sent[1:]) == sorted(wanted)


def test_only_the_named_tables_are_tried(rig: Rig, checked: Check) -> None:
    found = checked(tables="tags, teams")
    assert [name for name in found.states() if name in TABLES] == ["tags", "teams"]
    assert len(rig.server.requests()) == 3


def test_an_open_scroll_stays_undisturbed(rig: Rig, checked: Check) -> None:
    rig.workspace.options.scroll_page_size = 3
    api, path = rig.client().for_table("companies"), TABLES["companies"].path
    token = json.loads(bytes(api.get(path).fields["scroll_param"]))
    assert checked().status == 0
    assert len(json.loads(bytes(api.get(path, {"scroll_param": token}, once=True).fields["data"]))) == 3


ASKED = [table for table in TABLES.values() if table.parent is None]


@pytest.mark.parametrize("table", ASKED, ids=lambda table: table.name)
def test_a_table_that_the_token_may_not_read_is_told_with_its_permission(
    table: Table, rig: Rig, checked: Check
) -> None:
    rig.server.fail(table.list_path or table.path, status=403, times=9)
    found = checked(tables=table.name)
    assert (found.status, found.failed()) == (1, [table.name])
    finding = found[table.name]
    assert finding["detail"] == f"403 forbidden: the token may not read {table.name}"
    scope = table.scope[0].upper() + table.scope[1:]
    assert finding["cure"] == f'Grant "{scope}" in the Developer Hub, or leave the table out.'


def test_an_optional_table_that_the_token_may_not_read_is_a_note_unless_it_was_named(
    rig: Rig, checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: TABLES[name] for name in ("tags", "teams")}
    few["teams"] = replace(few["teams"], selection=Selection.ALL, optional=True)
    monkeypatch.setattr("intercom.tables.selection.TABLES", few)
    rig.server.fail("/teams", status=403, times=9)
    found = checked(tables="all")
    assert (found.status, found["teams"]["status"]) == (0, "note")
    assert found["teams"]["detail"] == "the token may not read it without the permission 'read admins' (403 forbidden)"
    assert found["teams"]["cure"] == "Runs skip this table unless it is named, and succeed."
    assert checked(tables="default,teams").failed() == ["teams"]


def test_the_children_of_one_record_are_asked_for_too(rig: Rig, checked: Check) -> None:
    """A token may read conversations, and not a single one."""
    assert checked(tables="conversation_parts")["conversation_parts"]["detail"] == "may be read"
    _me, _search, one = rig.server.requests()
    rig.server.fail(one.path, status=403, times=9)
    found = checked(tables="conversation_parts")
    assert found.failed() == ["conversation_parts"]
    assert found["conversation_parts"]["cure"].startswith('Grant "Read conversations" in the Developer Hub')


def test_a_table_that_is_made_of_another_one_is_not_asked_for(rig: Rig, checked: Check) -> None:
    found = checked(tables="contact_tags")
    assert found["contact_tags"]["detail"] == "is made from contacts, without a request"
    assert (found.status, found["contacts"]["status"]) == (0, "ok")  # which it brings
    assert len(rig.server.requests()) == 2  # one to say whose the token is, and one for contacts


def test_other_faults_of_a_table(rig: Rig, checked: Check) -> None:
    body = {"type": "error.list", "errors": [{"code": "parameter_invalid", "message": "No."}]}
    rig.server.fail("/tags", status=400, body=body)
    rig.server.fail("/teams", status=503, times=9)
    rig.server.fail("/admins", status=401, times=9)
    found = checked(tables="tags,teams,admins")
    assert (found.status, found.failed()) == (1, ["tags", "admins", "teams"])
    assert found["tags"]["detail"].startswith("400 parameter_invalid: ")
    assert found["teams"]["detail"].startswith("no usable answer: status 503")
    assert found["admins"]["detail"] == "401 unauthorized: the token may not read admins"
