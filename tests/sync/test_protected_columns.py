"""Protected values are nowhere: not in the lake, its staging, records and rejected records, nor in logs and errors."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import ApiError
from intercom.normalise.protect import MASKED
from tests.support.fuses import Fuse, FusedLake, Killed
from tests.support.needles import (
    BROKEN,
    COLUMNS,
    DIGITS,
    ERROR,
    TABLES,
    files_with_needles,
    found_in,
    needle,
    plant_needles,
)
from tests.support.rig import CONNECTION, Rig, in_both_formats
from tests.support.truth import read_lake

KEY = "hash key of this test, never shown"


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    sizes = {"contacts": 12, "companies": 6, "conversations": 8, "conversation_parts": 16, "articles": 0}
    rig = make_rig(**sizes, tags=3, admins=3, history_days=32)
    rig.options = {"columns": COLUMNS, "hash_key": KEY}
    plant_needles(rig.workspace)
    return rig


def assert_nowhere(rig: Rig) -> None:
    assert files_with_needles(rig.lake_folder) == []
    key = KEY.encode()
    assert not any(key in path.read_bytes() for path in rig.lake_folder.rglob("*") if path.is_file())


def hashed(text: str) -> str:
    return hmac.digest(KEY.encode(), text.encode(), "sha256").hex()


@in_both_formats
def test_no_protected_value_is_in_the_lake_at_any_moment(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rig.server.fail("/contacts/search", "status", status=400, body=ERROR, times=9)
    with pytest.raises(ApiError) as refused:
        rig.sync(["contacts"])
    rig.server.clear_faults()
    assert not found_in(str(refused.value).encode())
    assert "bad_request" in str(refused.value)
    rig.server.fail("/contacts/search", "status", status=500, body=ERROR)
    for burns_at in (3, 9):
        with pytest.raises(Killed):
            rig.sync(TABLES, lake=FusedLake(rig.lake_url, Fuse(burns_at)), run_id="dies")
        assert_nowhere(rig)
    notes = [note for ingested, _ in rig.sync(TABLES, when=CompactionMode.NEVER).values() for note in ingested.notes]
    assert any("3 records could not be rows" in note and "by length and digest" in note for note in notes)
    assert {path.parts[-5] for path in rig.lake_folder.rglob("part-*.parquet")} >= {"_staging"}
    assert_nowhere(rig)
    assert len(list(rig.lake_folder.glob("_rejected/*/*/*.jsonl"))) >= 3
    found = rig.sync(TABLES)
    assert found["contacts"][0].unchanged == found["contacts"][0].rows > 0
    assert_nowhere(rig)
    assert not found_in("\n".join((caplog.text, *notes)).encode())
    assert KEY not in caplog.text
    assert rig.rows("contacts").num_rows == 12


def test_hashed_emails_join_across_tables(rig: Rig) -> None:
    rig.sync(TABLES)
    emails = [
        set(rig.rows(table).column(column).to_pylist())
        for table, column in (
            ("contacts", "email"),
            ("conversations", "source_author_email"),
            ("conversation_parts", "author_email"),
        )
    ]
    assert emails == [{hashed(needle("email"))}] * 3
    assert set(rig.rows("contacts").column("phone").to_pylist()) == {hashed(str(DIGITS))}
    assert set(rig.rows("companies").column("monthly_spend").to_pylist()) == {MASKED}
    assert "avatar" not in rig.rows("contacts").column_names
    assert set(rig.rows("contacts").column("_extra").to_pylist()) == {None}


def test_records_of_the_parent_of_a_child_table_are_hidden_too(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=6, contact_notes=9, companies=0, conversations=0, articles=0, history_days=32)
    rig.options = {"columns": {"contacts": {"mask": ["email"]}}}
    plant_needles(rig.workspace)
    ingested, _ = rig.sync(["contact_notes"])["contact_notes"]
    assert ingested.rejected == len(BROKEN)
    (file,) = rig.lake_folder.glob("_rejected/*/contact_notes/*.jsonl")
    assert not found_in(file.read_bytes())
    assert rig.rows("contact_notes").num_rows == len(rig.workspace.children["contact_notes"])

    rig.server.clear_log()
    for row in list(rig.workspace.tables["contacts"]):
        if row.key.startswith("odd "):
            continue
        rig.workspace.update("contacts", row.key, touch=False, email=needle("another email"))
    rig.sync(["contact_notes"])
    # What is kept of a parent cannot tell one protected value from another: it could be guessed by trying.
    assert not [request for request in rig.server.requests() if request.path.endswith("/notes")]


def without_time(rig: Rig, table: str) -> list[dict[str, Any]]:
    rows = rig.rows(table).drop_columns(["_ingested_at"]).to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, default=str))


@in_both_formats
def test_rules_that_only_add_protection_rewrite_the_rows_without_reading_them(
    rig: Rig, make_rig: Callable[..., Rig], tmp_path: Any
) -> None:
    protected, rig.options = rig.options, {}
    rig.sync(TABLES)
    rig.sync(["contacts"], when=CompactionMode.NEVER, full_refresh=True)
    assert files_with_needles(rig.lake_folder)
    rig.options = {**protected, "columns": {"contacts": {"hash": ["email"]}}}
    rig.sync(["contacts"])
    rig.options = protected
    rig.server.clear_log()
    found = rig.sync(TABLES)
    reasons = {found[table][0].reason for table in ("contacts", "companies", "conversations", "conversation_parts")}
    assert reasons == {"incremental"}
    assert any(
        "protected from now on: avatar, custom_attributes.national_id" in hint for hint in found["contacts"][0].hints
    )
    if (rig.lake_folder / "data" / CONNECTION / "contacts" / "_delta_log").exists():
        left = {path for path in files_with_needles(rig.lake_folder) if not path.startswith("data/")}
        assert left == set()
    else:
        assert_nowhere(rig)
    anew = Rig(rig.server, str(tmp_path / "anew"), options=protected)
    anew.sync(TABLES)
    for table in TABLES:
        assert without_time(rig, table) == without_time(anew, table), table


def test_a_rule_that_is_taken_away_reads_the_table_again_and_loses_no_row(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.workspace.travel(86_400)
    gone = rig.workspace.rows("contacts")[0]["id"]
    rig.workspace.delete("contacts", gone)
    rig.options = {**rig.options, "columns": {"contacts": {"mask": ["name"]}}}
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.reason == "its rows have to be read again"
    assert any("not protected as before: avatar, " in hint for hint in ingested.hints)
    rows = {row["id"]: row for row in rig.rows("contacts").to_pylist()}
    assert len(rows) == 12
    assert {row["email"] for key, row in rows.items() if key != gone} == {needle("email")}
    assert rows[gone]["email"] == hashed(needle("email"))
    assert rows[gone]["avatar"] is None
    assert {row["name"] for row in rows.values()} == {MASKED}
    assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"


def test_a_deleted_row_that_is_marked_stays_when_a_rule_is_taken_away(rig: Rig) -> None:
    rig.options = {**rig.options, "deleted": "mark"}
    rig.sync(["contacts"])
    gone = next(record.key for record in rig.workspace.tables["contacts"] if not record.key.startswith("odd"))
    rig.workspace.travel(86_400)
    rig.workspace.delete("contacts", gone)
    rig.sync(["contacts"], full_refresh=True)
    rig.options = {**rig.options, "columns": {"contacts": {"mask": ["name"]}}}
    rig.sync(["contacts"])
    rows = {row["id"]: row for row in read_lake(rig.lake_url, CONNECTION, rig.table("contacts")).to_pylist()}
    assert len(rows) == 12
    assert rows[gone]["_deleted_at"] is not None
    assert rows[gone]["email"] == hashed(needle("email"))
    assert {row["email"] for key, row in rows.items() if key != gone} == {needle("email")}


def test_another_key_makes_all_hashes_anew(rig: Rig) -> None:
    rig.load(["contacts", "conversations"])
    rig.options = {**rig.options, "hash_key": KEY[::-1]}
    ingested, _ = rig.sync(["contacts"])["contacts"]
    assert ingested.reason == "its rows have to be read again"
    assert any("hashed with another key" in hint for hint in ingested.hints)
    anew = hmac.digest(KEY[::-1].encode(), needle("email").encode(), "sha256").hex()
    assert set(rig.rows("contacts").column("email").to_pylist()) == {anew}


def test_a_rewrite_under_other_rules_that_dies_is_finished_by_the_next_run(rig: Rig) -> None:
    protected, rig.options = rig.options, {}
    rig.sync(["contacts"])
    rig.options = protected
    deaths = 0
    for burns_at in range(1, 100):
        try:
            rig.sync(["contacts"], lake=FusedLake(rig.lake_url, Fuse(burns_at)))
        except Killed:
            deaths += 1
        else:
            break
    assert deaths >= 5
    assert_nowhere(rig)
    assert set(rig.rows("contacts").column("email").to_pylist()) == {hashed(needle("email"))}
    assert rig.rows("contacts").num_rows == 12


def test_texts_of_records_that_were_rejected_before_are_taken_out(rig: Rig) -> None:
    protected, rig.options = rig.options, {}
    rig.sync(["contacts"])
    (file,) = rig.lake_folder.glob("_rejected/*/contacts/*.jsonl")
    assert found_in(file.read_bytes())
    rig.options = protected
    rig.sync(["contacts"])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["length"] for line in lines} == set(map(len, BROKEN))
    assert all(set(line) == {"reason", "request_id", "time", "digest", "length"} for line in lines)
