"""What becomes of records of the further tables: flat columns, references as text, times in either form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.tables.catalogue import TABLES

NOW = datetime(2026, 11, 3, tzinfo=UTC)


def row_of(table: str, record: dict[str, Any]) -> dict[str, Any]:
    split = split_records(json.dumps([record]).encode())
    (row,) = Normaliser(TABLES[table], NOW).batch(split.records, where="page 1").to_pylist()
    return dict(row)


def test_a_ticket_has_its_type_state_contacts_and_title_as_columns() -> None:
    row = row_of(
        "tickets",
        {
            "id": "7",
            "ticket_attributes": {"_default_title_": "No export", "_default_description_": None, "Urgent": True},
            "ticket_state": {"id": 12, "category": "resolved", "internal_label": "Done", "external_label": "Solved"},
            "ticket_type": {"id": "71", "name": "Bug", "ticket_type_attributes": {"type": "list", "data": []}},
            "contacts": {"type": "contact.list", "contacts": [{"id": "a"}, {"id": "b"}]},
            "admin_assignee_id": 0,
            "team_assignee_id": "814",
            "ticket_parts": {"type": "ticket_part.list", "ticket_parts": [{"id": "1"}], "total_count": 501},
        },
    )
    assert {name: row[name] for name in row if name.startswith(("ticket_state_", "ticket_type_"))} == {
        "ticket_state_id": "12",
        "ticket_state_category": "resolved",
        "ticket_state_internal_label": "Done",
        "ticket_state_external_label": "Solved",
        "ticket_type_id": "71",
        "ticket_type_name": "Bug",
    }
    assert (row["default_title"], row["default_description"]) == ("No export", None)
    assert (json.loads(row["contact_ids"]), row["ticket_parts_count"]) == (["a", "b"], 501)
    assert (row["admin_assignee_id"], row["team_assignee_id"], row["_extra"]) == ("0", "814", None)
    assert json.loads(row["ticket_parts"])["ticket_parts"] == [{"id": "1"}]


def test_a_call_may_have_its_times_as_seconds_or_as_text() -> None:
    at = datetime(2025, 3, 9, 10, 0, 5, tzinfo=UTC)
    for sent in (int(at.timestamp()), "2025-03-09T10:00:05Z", "2025-03-09T11:00:05+01:00", "2025-03-09T10:00:05.000Z"):
        row = row_of("calls", {"id": "1", "created_at": sent, "updated_at": sent, "admin_id": 789})
        assert (row["created_at"], row["updated_at"], row["admin_id"], row["_extra"]) == (at, at, "789", None)


def test_references_of_news_and_of_the_help_center_are_text_and_lists_of_ids_are_as_sent() -> None:
    item = row_of("news_items", {"id": "1", "sender_id": 991, "newsfeed_assignments": [{"newsfeed_id": 53}]})
    assert (item["sender_id"], item["newsfeed_ids"]) == ("991", "[53]")
    collection = row_of("collections", {"id": "1", "parent_id": "159", "help_center_id": 79, "order": 3})
    assert (collection["parent_id"], collection["help_center_id"], collection["order"]) == ("159", "79", 3)
    article = row_of("internal_articles", {"id": "39", "owner_id": 991, "author_id": 992, "locale": "en"})
    assert (article["owner_id"], article["author_id"], article["created_at"]) == ("991", "992", None)


def test_types_and_states_of_tickets_name_each_other() -> None:
    state = row_of("ticket_states", {"id": "12", "ticket_types": {"type": "list", "data": [{"id": "71"}]}})
    kind = row_of("ticket_types", {"id": "71", "ticket_states": {"type": "list", "data": [{"id": "12"}]}})
    assert (state["ticket_type_ids"], kind["ticket_state_ids"]) == ('["71"]', '["12"]')


def test_a_subscription_type_has_its_default_translation_as_columns() -> None:
    row = row_of("subscription_types", {"id": "1", "default_translation": {"name": "Offers", "locale": "en"}})
    assert (row["default_translation_name"], row["default_translation_locale"]) == ("Offers", "en")
