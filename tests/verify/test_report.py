"""What a verification prints: a table, a line for each difference, notes, and how it ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from intercom.verify.findings import Difference, Kind, Repair, TableProof
from intercom.verify.report import Scope, as_json, as_markdown, as_text, exit_status, verdict

GONE = Difference("contacts", Kind.FILE_GONE, "data/acme/contacts/x", "3 rows", "no file", Repair.READ_TABLE)
STRAY = Difference("contact", Kind.STRANGER, "data/acme/contact", "no such folder", "one", Repair.BY_HAND)
SOUND = TableProof("tags", files=1, rows=12, bytes=2_100, notes=("tags: a note",))
WRONG = TableProof("contacts", files=4, rows=1_300, bytes=162_838, differences=(GONE,), notes=("a note",))
NOTHING = TableProof("teams", skipped="the lake has nothing of it")
FAILED = TableProof("calls", failure="the disk cannot be read")


def test_a_sound_lake_is_proven_and_so_is_one_without_a_table() -> None:
    assert exit_status([SOUND, NOTHING]) == 0
    assert verdict([SOUND]) == "1 table proven; 1 file of 12 rows and 2.1 kB were read completely"


def test_a_difference_a_stranger_and_a_table_that_could_not_be_read_are_no_proof() -> None:
    assert [exit_status([SOUND, WRONG]), exit_status([SOUND], [STRAY]), exit_status([SOUND, FAILED])] == [1, 1, 1]
    assert verdict([SOUND, WRONG, NOTHING, FAILED], [STRAY]) == (
        "1 table proven, 2 differences in 2 tables, 1 could not be verified (calls), 1 left out (teams); 5 files of "
        "1,312 rows and 164.9 kB were read completely"
    )


def test_the_text_has_a_table_the_differences_and_each_note_once() -> None:
    assert as_text([SOUND, WRONG], [STRAY]).splitlines() == [
        "table     files   rows     bytes  result",
        "tags          1     12    2.1 kB  proven",
        "contacts      4  1,300  162.8 kB  1 difference",
        "",
        "contacts, data/acme/contacts/x: file gone: expected 3 rows, found no file; --repair lets the next sync read "
        "the table from the beginning",
        "contact, data/acme/contact: stranger: expected no such folder, found one; move or delete the file yourself",
        "",
        "note: tags, contacts: a note",
        "",
        "1 table proven, 2 differences in 2 tables; 5 files of 1,312 rows and 164.9 kB were read completely.",
    ]


def test_columns_of_requests_are_there_where_some_were_sent() -> None:
    asked = TableProof("tags", files=1, rows=12, windows=2, sampled=7, requests=9)
    assert as_text([asked]).splitlines()[0].split() == [
        "table", "files", "rows", "bytes", "windows", "sampled", "requests", "result",
    ]  # fmt: skip


def test_the_page_tells_of_many_differences_the_first() -> None:
    page = as_markdown([TableProof("contacts", differences=(GONE,) * 300)])
    assert page.count("- contacts, ") == 200
    assert "and 100 more" in page
    assert page.startswith("0 tables proven, 300 differences in 1 table")


def test_the_page_has_what_differs_before_the_table_which_fits_its_width() -> None:
    page = as_markdown([SOUND, WRONG])
    assert page.index("- contacts, ") < page.index("| table |")
    assert "bytes" not in page
    assert "1\N{NO-BREAK SPACE}difference |" in page


def test_the_json_has_all_of_it() -> None:
    at = datetime(2026, 11, 3, 12, 0, 0, 5, UTC)
    run: dict[str, Any] = {"run_id": "1", "connection": "acme", "lake": "./lake", "started_at": at, "ended_at": at}
    told = json.loads(json.dumps(as_json([SOUND, WRONG], [STRAY], **run, scope=Scope(("contacts",), False))))
    assert (told["ok"], told["ended_at"]) == (False, "2026-11-03T12:00:00Z")
    assert (told["chosen"], told["asked_workspace"]) == (["contacts"], False)
    assert [table["proven"] for table in told["tables"]] == [True, False]
    assert told["tables"][1]["differences"][0]["kind"] == told["strangers"][0]["kind"].replace("stranger", "file gone")
