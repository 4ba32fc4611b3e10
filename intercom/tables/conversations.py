"""Conversations."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Strategy, Table

CONVERSATIONS: Final = Table(
    name="conversations",
    path="/conversations/search",
    access=Access.SEARCH,
    records_at=("conversations",),
    schema=TableSchema(
        # Component `conversation_list_item`: a conversation in a search result, without conversation_parts. An
        # unassigned *_assignee_id is null or 0. topics and ticket are only in the description's examples. Observed
        # only: all fields from company to the end.
        fields=(
            *columns(ColumnKind.STRING, "type id title"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at waiting_since snoozed_until"),
            *columns(ColumnKind.BOOL, "open"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.BOOL, "read"),
            *columns(ColumnKind.STRING, "priority"),
            *columns(ColumnKind.INT, "admin_assignee_id team_assignee_id"),
            *columns(ColumnKind.JSON, "tags conversation_rating source contacts teammates custom_attributes"),
            *columns(ColumnKind.JSON, "first_contact_reply sla_applied statistics linked_objects"),
            *columns(ColumnKind.BOOL, "ai_agent_participated"),
            *columns(ColumnKind.JSON, "ai_agent topics ticket company channel external_references sales_agent"),
            *columns(ColumnKind.BOOL, "sales_agent_participated"),
        ),
        flat=(
            *members("source", ColumnKind.STRING, "type id delivered_as subject body url"),
            *members("source", ColumnKind.BOOL, "redacted"),
            *members("source", ColumnKind.JSON, "author attachments"),
            *(
                Column(f"source_author_{member}", ColumnKind.STRING, ("source", "author", member))
                for member in ("type", "id", "name", "email")
            ),
            # Component `conversation_statistics`: durations are seconds.
            *members("statistics", ColumnKind.INT, "time_to_assignment time_to_admin_reply time_to_first_close"),
            *members("statistics", ColumnKind.INT, "time_to_last_close median_time_to_reply"),
            *members("statistics", ColumnKind.TIMESTAMP, "first_contact_reply_at first_assignment_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "first_admin_reply_at first_close_at last_assignment_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "last_assignment_admin_reply_at last_contact_reply_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "last_admin_reply_at last_close_at"),
            *members("statistics", ColumnKind.STRING, "last_closed_by_id"),
            *members("statistics", ColumnKind.INT, "count_reopens count_assignments count_conversation_parts"),
            *members("first_contact_reply", ColumnKind.TIMESTAMP, "created_at"),
            *members("first_contact_reply", ColumnKind.STRING, "type url"),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/conversations/",
    record_omits=("conversation_parts",),
    scope="read conversations",
)
