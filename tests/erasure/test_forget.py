"""A contact that is erased from a lake: nowhere in its bytes, for nobody else, and never back by a later run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.cli.commands.forget import forget
from intercom.compaction.policy import CompactionMode
from intercom.erasure.forget import Erasure, ForgottenIn
from intercom.errors import LakeError
from intercom.lake.forgotten import forgotten_path
from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.normalise.protect import FORGOTTEN
from intercom.sandbox.records import Record
from tests.support.fuses import Fuse, FusedLake, Killed, fused_commits
from tests.support.needles import MARK, files_with_needles, needle, plant
from tests.support.rig import CONNECTION, Rig, in_both_formats

TABLES = ("contacts", "conversations", "contact_notes", "contact_tags", "conversation_contacts", "conversation_parts")
MAIL, PHONE = needle("mail"), f"+44{MARK}1"


@pytest.fixture
def contact(rig: Rig) -> str:
    """The id of a contact with notes, tags and a conversation of its own, all with needles; its id is one, too."""
    workspace = rig.workspace
    first = workspace.rows("contacts")[0]
    key = f"{MARK}{first['id']}"[:24]
    person = {"id": key, "email": MAIL, "phone": PHONE, "external_id": needle("external"), "name": needle("name")}
    workspace.tables["contacts"].put(Record.of_body(key, json.dumps({**first, **person}).encode()))
    author = {"type": "user", "id": key, "name": needle("author"), "email": MAIL}
    put(rig, "conversations", 0, {"source.author": author, "source.body": needle("body"), "title": needle("title")})
    listed = {"type": "contact.list", "contacts": [{"type": "contact", "id": key, "external_id": needle("external")}]}
    put(rig, "conversations", 0, {"contacts": {**listed, "contacts": [*listed["contacts"], {"id": "somebody"}]}})
    put(rig, "conversation_parts", 0, {"author": author, "body": needle("part"), "attachments": [{"name": MAIL}]})
    return key


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=8, conversations=4, conversation_parts=6, contact_notes=8, tags=2, history_days=32)


def put(rig: Rig, table: str, place: int, values: dict[str, Any]) -> None:
    record = list(rig.workspace.tables[table])[place]
    rig.workspace.tables[table].put(
        Record.of_body(record.key, json.dumps(plant(json.loads(record.body), values)).encode())
    )


def erase(rig: Rig, contact: str, lake: Lake | None = None, **options: Any) -> dict[str, ForgottenIn]:
    lake = lake or rig.lake()
    tables = {name: rig.lake_table(name, lake) for name in TABLES}
    with TableLocks(lake, CONNECTION, TABLES, "forget"):
        erasure = Erasure(lake, CONNECTION, tables, contact, **options)
        return {one.table: one for one in (erasure.run() if options.get("write", True) else erasure.preview())}


def others(rig: Rig) -> dict[str, list[dict[str, Any]]]:
    """Rows of the lake that are not about the contact."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in TABLES:
        rows = rig.rows(table)
        assert isinstance(rows, pa.Table)
        about = [row for row in rows.to_pylist() if MARK not in str(row).lower() and FORGOTTEN not in str(row)]
        found[table] = sorted(about, key=str)
    return found


@in_both_formats
def test_a_contact_is_nowhere_after_it_was_forgotten_and_no_run_brings_it_back(rig: Rig, contact: str) -> None:
    odd = b'{"updated_at":1,"email":"%b"}' % MAIL.encode()
    rig.workspace.tables["contacts"].put(Record("odd", 1_793_000_000, 1_793_000_000, odd))
    rig.sync(TABLES)  # one record is rejected
    rig.workspace.update("contacts", contact, name=needle("another name"))
    rig.sync(TABLES, when=CompactionMode.NEVER)  # rows wait
    before = others(rig)
    assert len(files_with_needles(rig.lake_folder)) > 4
    looked = erase(rig, contact, write=False)
    assert len(files_with_needles(rig.lake_folder)) > 4
    done = erase(rig, contact)
    assert files_with_needles(rig.lake_folder) == []
    assert (done["contacts"].removed, done["conversations"].masked, done["conversation_parts"].masked) == (1, 1, 1)
    assert done["contacts"].rejected == looked["contacts"].rejected == 1
    assert looked["conversations"].masked == 1
    assert done["conversation_contacts"].removed == 1
    assert others(rig) == before
    row = next(row for row in rig.rows("conversations").to_pylist() if row["source_body"] == FORGOTTEN)
    assert (row["source_author_email"], row["source_author_name"], row["title"]) == (FORGOTTEN,) * 3
    assert json.loads(row["contacts"])["contacts"] == [{"id": "somebody"}]
    rig.workspace.update("contacts", contact, name=needle("yet another"))
    put(rig, "conversations", 1, {"source.author": {"type": "user", "id": contact, "name": needle("again")}})
    for options in ({}, {"full_refresh": True}, {"reconciles": True}):
        results = rig.sync(TABLES, run_id=f"after {options}", **options)
        assert [path for path in files_with_needles(rig.lake_folder) if "_rejected" not in path] == []
        assert all(ingested.complete for ingested, _ in results.values())
        assert rig.rows("contacts").num_rows == len(before["contacts"])
    assert MARK not in json.dumps(rig.lake().read_json(forgotten_path(CONNECTION)))


@in_both_formats
def test_a_kill_at_any_step_is_repaired_by_forgetting_again(rig: Rig, contact: str) -> None:
    put(rig, "conversations", 1, {"custom_attributes": {"asked_by": MAIL}})  # known by the contact's own row alone
    rig.sync(TABLES)
    before, steps = others(rig), 0
    for burns_at in range(1, 400, 3):
        fuse = Fuse(burns_at)
        try:
            with fused_commits(fuse):
                erase(rig, contact, FusedLake(rig.lake_url, fuse))
            break
        except Killed:
            steps += 1
            if steps == 3:  # a sync in between brings nothing back
                rig.sync(TABLES)
    assert steps > 5
    assert files_with_needles(rig.lake_folder) == []
    assert others(rig) == before
    rig.sync(TABLES)
    assert files_with_needles(rig.lake_folder) == []


def test_a_damaged_list_of_forgotten_people_stops_a_run_before_it_reads(rig: Rig, contact: str) -> None:
    rig.load(["contacts"])
    tables = {"contacts": rig.lake_table("contacts")}
    Erasure(rig.lake(), CONNECTION, tables, contact).run()
    Path(rig.lake_url, forgotten_path(CONNECTION)).write_text('{"format": 2}')
    with pytest.raises(LakeError, match="would come back"):
        rig.sync(["contacts"])
    assert files_with_needles(rig.lake_folder) == []


def test_the_command_says_what_it_would_do_and_does_it_when_told(
    rig: Rig, contact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.load(TABLES)
    assert forget(contact=contact, connection=CONNECTION, lake=rig.lake_url) == 0
    said = capsys.readouterr().out
    assert "Nothing was written" in said
    assert "cannot be undone" in said
    assert files_with_needles(rig.lake_folder) != []
    assert forget(contact=contact, connection=CONNECTION, lake=rig.lake_url, yes=True, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["done"]
    assert {one["table"]: one["removed"] for one in told["tables"]}["contacts"] == 1
    assert files_with_needles(rig.lake_folder) == []
    assert forget(contact="nobody", connection="other", lake=rig.lake_url) == 2
    assert "no table of connection 'other'" in capsys.readouterr().err
