"""The records of a workspace: realistic, repeatable, and served byte for byte."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import requests

from intercom.config.lookup import read_connections_file
from intercom.sandbox import ABSENT, FURTHER, TABLES, SandboxServer, Workspace, raw
from tests.support.seeded import seeded_workspace

NOW = 1_750_000_000
EVERYTHING = {"field": "created_at", "operator": ">", "value": 0}


@pytest.fixture(scope="module")
def large() -> Workspace:
    return Workspace.seeded(contacts=1500, companies=400, conversations=600, articles=100, tags=20, now=NOW)


def every(rows: list[dict[str, Any]], field: str) -> set[str]:
    """The JSON types of a field over the rows; "absent" where there is no such key."""
    return {type(row[field]).__name__ if field in row else "absent" for row in rows}


def test_the_same_seed_makes_the_same_records() -> None:
    once, again, other = (Workspace.seeded(seed=seed, now=NOW) for seed in (3, 3, 4))
    for table in TABLES:
        assert once.rows(table) == again.rows(table)
    assert once.rows("contacts") != other.rows("contacts")


def test_a_copy_that_tests_work_with_is_as_one_made_anew_and_changes_no_other() -> None:
    options: dict[str, Any] = {"seed": 3, "now": NOW, "timezone": "Asia/Kolkata", "further": 4, "contacts": 20}
    anew = Workspace.seeded(**options)
    for _ in range(2):
        copied = seeded_workspace(**options)
        assert {table: copied.rows(table) for table in TABLES} == {table: anew.rows(table) for table in TABLES}
        assert (
            copied.create("contacts", created_at=NOW)["id"]
            == Workspace.seeded(**options).create("contacts", created_at=NOW)["id"]
        )
        note = copied.create("contact_notes")
        assert copied.inherited("contact_notes", note["id"]).updated_at == copied.now()
        copied.delete("companies", copied.rows("companies")[0]["id"])
    assert (copied.seed, copied.options) == (anew.seed, anew.options)


def test_a_seeded_workspace_has_the_sizes_asked_for() -> None:
    sizes = {"contacts": 5, "companies": 4, "conversations": 3, "articles": 2, "tags": 0}
    workspace = Workspace.seeded(now=NOW, **sizes)
    assert {table: len(workspace.rows(table)) for table in sizes} == sizes
    assert not any(workspace.rows(table) for table in FURTHER)
    with pytest.raises(ValueError, match="no tables friends"):
        Workspace.seeded(friends=1)


@pytest.mark.parametrize("table", ["contacts", "companies", "conversations", "articles"])
def test_ids_are_unique_strings_and_times_are_whole_seconds_of_the_past(large: Workspace, table: str) -> None:
    rows = large.rows(table)
    assert len({row["id"] for row in rows}) == len(rows)
    assert every(rows, "id") == {"str"}
    assert all(0 < row["created_at"] <= row["updated_at"] < NOW for row in rows)
    assert max(row["created_at"] for row in rows) - min(row["created_at"] for row in rows) > 3 * 365 * 86_400


def test_some_records_share_a_second_and_some_sit_at_the_edge_of_a_day(large: Workspace) -> None:
    times = [row["updated_at"] for row in large.rows("contacts")]
    assert len(set(times)) < len(times) - 10
    local = {(at - 7 * 3600) % 86_400 for at in times} | {(at - 8 * 3600) % 86_400 for at in times}
    assert {0, 86_399} <= local


def test_contacts_are_of_realistic_size(large: Workspace) -> None:
    assert 1_300 < mean(len(record.body) for record in large.tables["contacts"]) < 2_300


def test_types_vary_as_in_real_contacts(large: Workspace) -> None:
    rows = large.rows("contacts")
    assert every(rows, "avatar") == {"dict", "str", "NoneType"}
    assert every(rows, "owner_id") == {"int", "NoneType"}
    assert every(rows, "signed_up_at") == {"int", "str", "NoneType"}
    assert every(rows, "sms_consent") == {"bool", "absent"}
    assert every(rows, "beta_signals") == {"dict", "absent"}
    assert {row["role"] for row in rows} == {"user", "lead"}
    signed_up = [row["signed_up_at"] for row in rows if isinstance(row["signed_up_at"], int)]
    assert min(signed_up) < 0 < 10**12 < max(signed_up)
    attributes = [row["custom_attributes"] for row in rows]
    assert every(attributes, "seats") == {"int", "str"}
    assert any(row.get("Account № 🔑", 0) > 2**64 for row in attributes)
    assert any(row["tags"]["has_more"] and row["tags"]["total_count"] > len(row["tags"]["data"]) == 10 for row in rows)


def test_types_vary_as_in_real_companies_and_conversations(large: Workspace) -> None:
    companies, conversations = large.rows("companies"), large.rows("conversations")
    assert every(companies, "monthly_spend") == {"int", "float"}
    assert {bool(row["plan"]) for row in companies} == {True, False}
    for field in ("size", "website", "industry", "last_request_at"):
        assert "absent" in every(companies, field)
    assert {0, None} < {row["admin_assignee_id"] for row in conversations}
    assert every(conversations, "statistics") == {"dict", "NoneType"}
    shapes = {tuple(row["teammates"] or ()) for row in conversations}
    assert shapes == {(), ("type", "teammates"), ("type", "admins")}


def test_text_has_emoji_other_scripts_html_and_escapes(large: Workspace) -> None:
    text = json.dumps(large.rows("conversations"), ensure_ascii=False)
    assert all(part in text for part in ("🎉", "ال", "<p class=", "\\n", "\\\\", '\\"', "\u2028"))
    assert any(b"\\ud83d" in record.body for record in large.tables["contacts"])


def test_rows_are_what_the_server_sends(seeded: SandboxServer, seeded_api: requests.Session) -> None:
    body = {"query": EVERYTHING, "sort": {"field": "id", "order": "asc"}, "pagination": {"per_page": 150}}
    served = seeded_api.post("/contacts/search", json=body).json()["data"]
    assert served == sorted(seeded.workspace.rows("contacts"), key=lambda row: row["id"])[:150]


def test_numbers_and_escapes_survive_byte_for_byte(api: requests.Session, workspace: Workspace) -> None:
    texts = ["1.10", "-0.0", "1E+2", "123456789012345678901234567890", r'"\u00e9\/"', '{"a": [1.0 ,2]}']
    contact = workspace.create("contacts", custom_attributes={f"a{n}": raw(text) for n, text in enumerate(texts)})
    for _ in range(2):
        served = api.post("/contacts/search", json={"query": EVERYTHING}).text
        assert all(f'"a{number}":{text}' in served for number, text in enumerate(texts))
        workspace.update("contacts", contact["id"], name="changed")  # the other fields keep their text


def test_rows_are_copies(workspace: Workspace) -> None:
    workspace.create("tags", name="kept")
    workspace.rows("tags")[0]["name"] = "changed by the caller"
    assert [row["name"] for row in workspace.rows("tags")] == ["kept"]


@pytest.mark.parametrize("table", TABLES)
def test_any_table_can_get_lose_and_change_records(workspace: Workspace, table: str) -> None:
    created = workspace.create(table)
    assert workspace.rows(table) == [created]
    (key,) = workspace.tables[table].keys
    changed = workspace.update(table, key, name="changed", touch=False)
    assert workspace.rows(table) == [changed] == [{**created, "name": "changed"}]
    workspace.delete(table, key)
    assert workspace.rows(table) == []


def test_created_and_changed_records_have_the_time_of_the_clock(workspace: Workspace) -> None:
    workspace.travel_to(1_600_000_000)
    created = workspace.create("contacts")
    assert 0 <= created["created_at"] - 1_600_000_000 <= 5
    assert created["updated_at"] == created["created_at"]
    workspace.travel(500)
    updated = workspace.update("contacts", created["id"], name="Ann")
    assert 500 <= updated["updated_at"] - created["updated_at"] <= 505
    assert updated["created_at"] == created["created_at"]


def test_times_can_be_given_and_changes_need_not_touch_them(workspace: Workspace) -> None:
    key = workspace.create("contacts", created_at=5, updated_at=7)["id"]
    assert workspace.update("contacts", key, name="silent", touch=False)["updated_at"] == 7
    assert workspace.update("contacts", key, updated_at=9)["updated_at"] == 9


def test_a_key_can_be_left_out(workspace: Workspace) -> None:
    company = workspace.create("companies", website=ABSENT, size=3)
    assert "website" not in company
    assert "size" not in workspace.update("companies", company["id"], size=ABSENT)


def test_an_id_is_taken_once(workspace: Workspace) -> None:
    workspace.create("tags", id="1")
    with pytest.raises(ValueError, match="already"):
        workspace.create("tags", id="1")
    with pytest.raises(KeyError):
        workspace.delete("tags", "2")


def test_the_clock_runs_from_where_it_is_set(workspace: Workspace) -> None:
    assert 0 <= workspace.now() - NOW <= 5
    workspace.travel_to(100)
    workspace.travel(11)
    assert 111 <= workspace.time() < 116


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "intercom.cli.app",
        "sandbox",
        "--contacts",
        "99",
        "--companies",
        "0",
        "--timezone",
        "UTC",
    ]
    command += ["--one-day", "--no-compress", "--rate-limit", "1666"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"Sandbox workspace at (http://127\.0\.0\.1:\d+)  token: (\S+)\n", line)
        assert found, line
        headers = {"Authorization": f"Bearer {found[2]}", "Intercom-Version": "2.14"}
        answer = requests.post(f"{found[1]}/contacts/search", json={"query": EVERYTHING}, headers=headers, timeout=5)
        assert answer.json()["total_count"] == 99
        assert len({row["created_at"] // 86_400 for row in answer.json()["data"]}) == 1
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["X-RateLimit-Limit"] == "1666"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        use = process.stdout.read()
        command, _, rest = use.partition("\n")
        assert "intercom-lake sync --connection sandbox" in command
        (tmp_path / "connections.yml").write_text(rest.rpartition("Ctrl-C")[0])
        connection = read_connections_file(tmp_path / "connections.yml", {})["sandbox"]
        assert (connection.base_url, connection.access_token.get_secret_value()) == (found[1], found[2])
