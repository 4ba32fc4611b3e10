"""By which names a contact is found in other rows: also those that wait, that rules hash, or mean something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.erasure.forget import Erasure
from intercom.lake.locks.table_lock import TableLocks
from intercom.normalise.protect import FORGOTTEN
from intercom.sandbox.records import Record
from tests.support.needles import plant
from tests.support.rig import CONNECTION, Rig

TABLES = ("contacts", "conversations", "conversation_parts", "conversation_contacts")
KEYS = {"conversations": ["id"], "conversation_parts": ["conversation_id", "id"]}
MAIL = "ada@example.com"


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=6, conversations=4, conversation_parts=6, history_days=20)


def put(rig: Rig, table: str, key: str, values: dict[str, Any]) -> None:
    (record,) = [one for one in rig.workspace.tables[table] if one.key == key]
    body = json.dumps(plant(json.loads(record.body), values)).encode()
    rig.workspace.tables[table].put(Record.of_body(key, body))


def erase(rig: Rig, contact: str) -> None:
    lake = rig.lake()
    with TableLocks(lake, CONNECTION, TABLES, "forget"):
        Erasure(lake, CONNECTION, {name: rig.lake_table(name, lake) for name in TABLES}, contact).run()


def conversation(rig: Rig, key: str) -> dict[str, Any]:
    (row,) = [row for row in rig.rows("conversations").to_pylist() if row["id"] == key]
    assert isinstance(row, dict)
    return row


def test_an_external_id_that_is_also_a_conversations_id_takes_nothing_but_the_persons_own(rig: Rig) -> None:
    who, other = rig.workspace.rows("contacts")[0]["id"], rig.workspace.rows("conversations")[0]["id"]
    put(rig, "contacts", who, {"external_id": other})
    tags = {"type": "tag.list", "tags": [{"type": "tag", "id": other, "name": "a tag"}]}
    author = {"type": "user", "external_id": other, "name": "Ada"}
    put(rig, "conversations", other, {"tags": tags, "source.author": author, "custom_attributes": {"order": other}})
    rig.sync(TABLES)
    keys = [rig.rows(table).select(KEYS[table]).to_pylist() for table in KEYS]
    erase(rig, who)
    for _ in range(2):
        assert [rig.rows(table).select(KEYS[table]).to_pylist() for table in KEYS] == keys
        row = conversation(rig, other)
        assert json.loads(row["tags"]) == tags
        assert json.loads(row["custom_attributes"]) == {"order": other}
        assert json.loads(row["source"])["author"] == {"type": "user", "external_id": FORGOTTEN, "name": FORGOTTEN}
        rig.sync(TABLES, full_refresh=True)


def test_a_name_that_waits_to_be_merged_is_masked_wherever_else_it_is(rig: Rig) -> None:
    who, key = rig.workspace.rows("contacts")[0]["id"], rig.workspace.rows("conversations")[0]["id"]
    rig.load(TABLES)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", who, email=MAIL)
    rig.workspace.update("conversations", key, custom_attributes={"asked_by": MAIL})
    rig.workspace.travel(7200)
    rig.sync(TABLES, when=CompactionMode.NEVER)
    erase(rig, who)
    assert json.loads(conversation(rig, key)["custom_attributes"]) == {"asked_by": FORGOTTEN}


def test_a_name_that_is_hashed_since_does_not_come_back_as_a_hash(rig: Rig) -> None:
    who, key = rig.workspace.rows("contacts")[0]["id"], rig.workspace.rows("conversations")[0]["id"]
    put(rig, "contacts", who, {"email": MAIL})
    put(rig, "conversations", key, {"source.author": {"type": "lead", "name": "Ada", "email": MAIL}})
    rig.sync(TABLES)
    erase(rig, who)
    rig.options |= {"columns": {"conversations": {"hash": ["source_author_email"]}}, "hash_key": "k" * 40}
    rig.workspace.update("conversations", key, title="later")
    rig.workspace.travel(7200)
    rig.sync(TABLES)
    row = conversation(rig, key)
    assert (row["title"], row["source_author_name"], row["source_author_email"]) == (FORGOTTEN, FORGOTTEN, FORGOTTEN)
