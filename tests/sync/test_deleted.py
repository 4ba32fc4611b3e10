"""Whole runs over a connection with `deleted: mark`: rows that are gone stay with the time, and are alive again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from intercom.compaction.remove import find_keys, remove_rows, with_parents
from intercom.sync.removals import find_missing
from tests.support.rig import Rig, in_both_formats
from tests.support.truth import read_lake

PARTS = "conversation_parts"
START = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def marking(make_rig: Callable[..., Rig]) -> Callable[..., Rig]:
    """Makes rigs whose connection marks deleted rows; a workspace has the records that are asked for, and lists."""

    def make(**seeded: int) -> Rig:
        rig = make_rig(**{"contacts": 0, "companies": 0, "conversations": 0, "articles": 0, **seeded})
        rig.options["deleted"] = "mark"
        return rig

    return make


def stored(rig: Rig, table: str) -> Any:
    """All rows of the files, marked ones too."""
    return read_lake(rig.lake_url, rig.connection, rig.table(table))


def deleted(rig: Rig, table: str) -> dict[str, datetime | None]:
    rows = stored(rig, table)
    assert rows.schema.names[-3:] == ["_extra", "_deleted_at", "_ingested_at"]
    keys = rows.column("id").to_pylist()
    assert len(keys) == len(set(keys))
    return dict(zip(keys, rows.column("_deleted_at").to_pylist(), strict=True))


def gone(rig: Rig, table: str) -> set[str]:
    return {key for key, at in deleted(rig, table).items() if at is not None}


def record(rig: Rig, table: str) -> Any:
    state = rig.lake_table(table).state()
    assert state is not None
    return state


@in_both_formats
def test_a_full_refresh_marks_what_is_gone_and_revives_what_is_back(marking: Callable[..., Rig]) -> None:
    rig = marking(contacts=12)
    rig.sync(["contacts"], started_at=START)
    one, two = rig.workspace.rows("contacts")[:2]
    for row in (one, two):
        rig.workspace.delete("contacts", row["id"])
    at = START + timedelta(hours=1)
    _, compacted = rig.sync(["contacts"], started_at=at, full_refresh=True)["contacts"]
    assert (compacted.removed, compacted.rows) == (2, 12)
    assert {key for key, when in deleted(rig, "contacts").items() if when == at} == {one["id"], two["id"]}
    assert (record(rig, "contacts").rows, record(rig, "contacts").alive) == (12, 10)
    missing = find_missing(rig.table("contacts"), rig.lake_table("contacts"), record(rig, "contacts"), [])
    assert (missing.known, missing.count) == (10, 10)

    rig.server.clear_log()
    _, compacted = rig.sync(["contacts"], started_at=at + timedelta(hours=1), full_refresh=True)["contacts"]
    assert (compacted.removed, compacted.files) == (0, 0)
    assert not [one for one in rig.server.log if one.path.startswith("/contacts/") and one.method == "GET"]
    assert deleted(rig, "contacts")[one["id"]] == at

    rig.workspace.create("contacts", **one)
    _, compacted = rig.sync(["contacts"], started_at=at + timedelta(hours=2), full_refresh=True)["contacts"]
    assert (compacted.changed, compacted.removed) == (1, 0)
    assert gone(rig, "contacts") == {two["id"]}


def test_a_company_that_comes_back_unchanged_is_alive_again(marking: Callable[..., Rig]) -> None:
    """Companies are read whole by each run, and rows that have not changed are not staged."""
    rig = marking(companies=6)
    rig.sync(["companies"], started_at=START)
    row = rig.workspace.rows("companies")[0]
    rig.workspace.delete("companies", row["id"])
    rig.sync(["companies"], started_at=START + timedelta(hours=1))
    table, lake_table = rig.table("companies"), rig.lake_table("companies")
    at = START + timedelta(hours=2)
    assert remove_rows(table, lake_table, rig.store, pa.array([row["id"]]), at=at).removed == 1
    assert gone(rig, "companies") == {row["id"]}
    rig.workspace.create("companies", **row)
    rig.sync(["companies"], started_at=at - timedelta(minutes=1))  # of a host whose clock is behind
    assert gone(rig, "companies") == set()


@in_both_formats
def test_rows_that_are_derived_have_the_mark_of_their_parent(marking: Callable[..., Rig]) -> None:
    rig = marking(contacts=6, companies=2)
    tags = {"type": "list", "data": [{"type": "tag", "id": "1", "url": "/x"}], "total_count": 12, "has_more": True}
    for row in rig.workspace.rows("contacts"):
        rig.workspace.update("contacts", row["id"], touch=False, tags=tags)
    rig.sync(["contacts", "contact_tags"], started_at=START)
    row = rig.workspace.rows("contacts")[0]
    rig.workspace.delete("contacts", row["id"])
    at = START + timedelta(hours=1)
    rig.sync(["contacts", "contact_tags"], started_at=at, full_refresh=True)

    def marked() -> dict[str, datetime | None]:
        found = stored(rig, "contact_tags").to_pylist()
        return {one["contact_id"]: one["_deleted_at"] for one in found}

    assert {key: when for key, when in marked().items() if when is not None} == {row["id"]: at}
    assert len(marked()) == 6
    noted = record(rig, "contact_tags")
    assert (noted.rows, noted.alive, sum(month.cut for month in noted.derived_from.values())) == (6, 5, 5)
    rig.workspace.create("contacts", **row)
    rig.sync(["contacts", "contact_tags"], started_at=at + timedelta(hours=1), full_refresh=True)
    assert set(marked().values()) == {None}


def test_a_small_list_marks_what_it_lacks(marking: Callable[..., Rig]) -> None:
    rig = marking(contacts=2)
    rig.sync(["tags"], started_at=START)
    row = rig.workspace.rows("tags")[0]
    rig.workspace.delete("tags", row["id"])
    at = START + timedelta(hours=1)
    _, compacted = rig.sync(["tags"], started_at=at)["tags"]
    assert (compacted.removed, compacted.changed, compacted.new) == (1, 0, 0)
    assert deleted(rig, "tags")[row["id"]] == at
    _, compacted = rig.sync(["tags"], started_at=at + timedelta(hours=1))["tags"]
    assert (compacted.removed, compacted.files) == (0, 0)
    rig.workspace.create("tags", **row)
    rig.sync(["tags"], started_at=at + timedelta(hours=2))
    assert gone(rig, "tags") == set()


@in_both_formats
def test_parts_that_are_deleted_are_marked_and_parts_of_a_parent_that_is_gone_too(marking: Callable[..., Rig]) -> None:
    rig = marking(conversations=3)
    conversations = [row["id"] for row in rig.workspace.rows("conversations")]
    for number in range(9):
        rig.workspace.create(
            PARTS, conversation_id=conversations[number % 3], created_at=rig.workspace.now() - 5_000 + number
        )
    rig.workspace.travel(7_200)
    rig.sync([PARTS], started_at=START)
    assert gone(rig, PARTS) == set()
    part = stored(rig, PARTS).to_pylist()[0]
    rig.workspace.travel(7_200)
    rig.workspace.delete(PARTS, part["id"])
    _, compacted = rig.sync([PARTS], started_at=START + timedelta(hours=1))[PARTS]
    assert compacted.removed == 1
    assert gone(rig, PARTS) == {part["id"]}
    rig.workspace.travel(7_200)
    rig.workspace.update("conversations", part["conversation_id"])
    _, compacted = rig.sync([PARTS], started_at=START + timedelta(hours=2))[PARTS]
    assert (compacted.removed, compacted.files) == (0, 0)  # it is marked already

    table, lake_table = rig.table(PARTS), rig.lake_table(PARTS)
    choice = with_parents(table, pa.array([part["conversation_id"]]))
    others = set(find_keys(table, lake_table, choice).to_pylist())
    assert len(others) == 2
    done = remove_rows(table, lake_table, rig.store, choice, at=START + timedelta(hours=3))
    assert done.removed == 2
    assert gone(rig, PARTS) == {part["id"], *others}


def test_the_setting_is_turned_on_and_off_without_a_request(marking: Callable[..., Rig]) -> None:
    """Off again, the rows that were marked are gone."""
    rig = marking(contacts=8)
    rig.options["deleted"] = "remove"
    rig.sync(["contacts", "tags"], started_at=START)
    rows = stored(rig, "contacts").drop_columns(["_ingested_at"])
    rig.options["deleted"] = "mark"
    rig.server.clear_log()
    rig.sync(["contacts", "tags"], started_at=START + timedelta(hours=1))
    pages = [one for one in rig.server.log if one.path == "/contacts/search"]
    assert len(pages) <= 3  # what is new, and not everything
    assert stored(rig, "contacts").drop_columns(["_ingested_at", "_deleted_at"]).equals(rows)
    one, tag = rig.workspace.rows("contacts")[0], rig.workspace.rows("tags")[0]
    rig.workspace.delete("contacts", one["id"])
    rig.workspace.delete("tags", tag["id"])
    rig.sync(["contacts", "tags"], started_at=START + timedelta(hours=2), full_refresh=True)
    assert gone(rig, "contacts") | gone(rig, "tags") == {one["id"], tag["id"]}
    rig.options["deleted"] = "remove"
    rig.sync(["contacts", "tags"], started_at=START + timedelta(hours=3))
    rig.check(["contacts", "tags"])
    assert "_deleted_at" not in stored(rig, "contacts").schema.names


def test_marks_stay_when_columns_change_and_when_all_is_read_anew(marking: Callable[..., Rig]) -> None:
    rig = marking(contacts=8)
    rig.options["deleted"] = "remove"
    rig.sync(["contacts"], started_at=START)
    rig.options["deleted"] = "mark"
    one = rig.workspace.rows("contacts")[0]
    rig.workspace.delete("contacts", one["id"])
    # The files do not have the column yet, and this run reads everything.
    rig.sync(["contacts"], started_at=START + timedelta(hours=1), full_refresh=True)
    assert gone(rig, "contacts") == {one["id"]}


def test_a_repair_misses_no_row_that_is_marked(marking: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    """Half of the rows are marked; what is read is half of the record's rows, and all of those that are alive."""
    rig = marking(contacts=24)
    rig.sync(["contacts"], started_at=START)
    for row in rig.workspace.rows("contacts")[:12]:
        rig.workspace.delete("contacts", row["id"])
    rig.sync(["contacts"], started_at=START + timedelta(hours=1), full_refresh=True, allow_mass_removal=True)
    assert len(gone(rig, "contacts")) == 12
    path = sorted(rig.lake_folder.glob("data/acme/contacts/*/*.parquet"))[-1]
    path.unlink()
    caplog.clear()
    ingested, _ = rig.sync(["contacts"], started_at=START + timedelta(hours=2))["contacts"]
    assert ingested.complete, ingested.notes
    assert "reading once more" not in caplog.text
    alive = {key for key, at in deleted(rig, "contacts").items() if at is None}
    assert alive == {row["id"] for row in rig.workspace.rows("contacts")}
