"""Workspaces that are too large to make record by record, and those whose records share one day."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from intercom.sandbox import Workspace
from intercom.sandbox.workspace import DISTINCT_CONTACTS

NOW = 1_750_000_000
COPIES = 1_000


@pytest.fixture(scope="module")
def large() -> Workspace:
    return Workspace.seeded(contacts=DISTINCT_CONTACTS + COPIES, companies=20, conversations=0, articles=0, now=NOW)


def total(workspace: Workspace, query: Any) -> int:
    search = workspace.searches["contacts"]
    return search.page(search.read({"query": query, "pagination": {"per_page": 1}})).total_count


def test_copied_contacts_have_ids_and_times_of_their_own(large: Workspace) -> None:
    rows = large.rows("contacts")
    assert len({row["id"] for row in rows}) == len(rows) == DISTINCT_CONTACTS + COPIES
    assert all(re.fullmatch("[0-9a-f]{24}", row["id"]) for row in rows)
    assert all(int(row["id"][:8], 16) == row["created_at"] <= row["updated_at"] < NOW for row in rows)
    emails = [row["email"] for row in rows if row["email"]]
    assert len(set(emails)) == len(emails)


def test_nothing_of_a_copy_names_its_original(large: Workspace) -> None:
    rows = large.rows("contacts")
    for original, copy in zip(rows, rows[DISTINCT_CONTACTS:], strict=False):
        text = json.dumps(copy)
        assert original["id"][:20] not in text
        assert original["id"][-8:] not in text
        assert f"/contacts/{copy['id']}/tags" in text
        assert copy["name"] == original["name"]
        assert copy["custom_attributes"] == original["custom_attributes"]


def test_what_searches_compare_is_what_a_copy_says(large: Workspace) -> None:
    for record in list(large.tables["contacts"])[DISTINCT_CONTACTS:]:
        row = json.loads(record.body)
        assert (row["id"], row["created_at"], row["updated_at"]) == (record.key, record.created_at, record.updated_at)


def test_copies_change_and_go_like_other_records(large: Workspace) -> None:
    key = large.rows("contacts")[-1]["id"]
    after = {"field": "updated_at", "operator": ">", "value": NOW + 5 * 86_400}
    large.update("contacts", key, name="changed", updated_at=NOW + 9 * 86_400)
    assert total(large, after) == 1
    large.delete("contacts", key)
    assert total(large, after) == 0


def test_counts_by_the_last_digit_of_the_id_add_up(large: Workspace) -> None:
    since = {"field": "created_at", "operator": ">", "value": NOW - 400 * 86_400}
    by_digit = [
        total(large, {"operator": "AND", "value": [since, {"field": "id", "operator": "$", "value": digit}]})
        for digit in "0123456789abcdef"
    ]
    assert sum(by_digit) == total(large, since) > 1_000
    assert min(by_digit) > 0


def test_all_records_of_a_workspace_can_share_one_local_day() -> None:
    zone = "America/Los_Angeles"
    workspace = Workspace.seeded(contacts=DISTINCT_CONTACTS + 100, one_day=True, timezone=zone, now=NOW)
    rows = workspace.rows("contacts") + workspace.rows("conversations")
    times = {row[field] for row in rows for field in ("created_at", "updated_at")}
    assert {str(datetime.fromtimestamp(at, ZoneInfo(zone)).date()) for at in times} == {"2025-06-14"}
    assert all(row["created_at"] <= row["updated_at"] for row in rows)
    day = {"field": "created_at", "operator": "=", "value": NOW - 86_400}
    assert total(workspace, day) == DISTINCT_CONTACTS + 100
