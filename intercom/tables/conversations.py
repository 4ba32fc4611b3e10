"""Conversations."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Strategy, Table

CONVERSATIONS: Final = Table(
    name="conversations",
    path="/conversations/search",
    access=Access.SEARCH,
    records_at=("conversations",),
    schema=TableSchema(
        # Component `conversation_list_item`: a conversation in a search result, without conversation_parts. The
        # *_assignee_id are sent as numbers; 0 and null both mean that nobody is assigned. topics and ticket are only in
        # the description's examples. Observed only: all fields from company to the end.
        fields=(
            *columns(ColumnKind.STRING, "type id title"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at waiting_since snoozed_until"),
            *columns(ColumnKind.BOOL, "open"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.BOOL, "read"),
            *columns(ColumnKind.STRING, "priority"),
            *columns(ColumnKind.REFERENCE, "admin_assignee_id team_assignee_id"),
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
                Column(f"source_author_{member}", kind, ("source", "author", member))
                for kind, names in (
                    (ColumnKind.STRING, "type"),
                    (ColumnKind.REFERENCE, "id"),
                    (ColumnKind.STRING, "name email"),
                    (ColumnKind.BOOL, "from_ai_agent is_ai_answer"),
                )
                for member in names.split()
            ),
            # Component `conversation_statistics`: durations are seconds. They are integers there, but a median was
            # observed to have a fraction; counts have none.
            *members("statistics", ColumnKind.FLOAT, "time_to_assignment time_to_admin_reply time_to_first_close"),
            *members("statistics", ColumnKind.FLOAT, "time_to_last_close median_time_to_reply"),
            *members("statistics", ColumnKind.FLOAT, "handling_time adjusted_handling_time"),
            *members("statistics", ColumnKind.TIMESTAMP, "first_contact_reply_at first_assignment_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "first_admin_reply_at first_close_at last_assignment_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "last_assignment_admin_reply_at last_contact_reply_at"),
            *members("statistics", ColumnKind.TIMESTAMP, "last_admin_reply_at last_close_at"),
            *members("statistics", ColumnKind.REFERENCE, "last_closed_by_id"),  # a string there, observed as a number
            *members("statistics", ColumnKind.INT, "count_reopens count_assignments count_conversation_parts"),
            # Lists of team_id, team_name, response_time. Intercom's SDKs spell the first one in another way.
            Column(
                "statistics_assigned_team_first_response_time",
                ColumnKind.JSON,
                ("statistics", "assigned_team_first_response_time"),
                ("statistics", "assigned_team_first_response_time_by_team"),
            ),
            *members("statistics", ColumnKind.JSON, "assigned_team_first_response_time_in_office_hours"),
            *members("first_contact_reply", ColumnKind.TIMESTAMP, "created_at"),
            *members("first_contact_reply", ColumnKind.STRING, "type url"),
            *members("conversation_rating", ColumnKind.INT, "rating"),
            *members("conversation_rating", ColumnKind.STRING, "remark"),
            *members("conversation_rating", ColumnKind.TIMESTAMP, "created_at"),
            Column("conversation_rating_teammate_id", ColumnKind.REFERENCE, ("conversation_rating", "teammate", "id")),
            Column("sla_applied_name", ColumnKind.STRING, ("sla_applied", "sla_name")),
            Column("sla_applied_status", ColumnKind.STRING, ("sla_applied", "sla_status")),
            *members("ai_agent", ColumnKind.STRING, "resolution_state last_answer_type source_type source_title"),
            *members("ai_agent", ColumnKind.INT, "rating"),
            *members("ai_agent", ColumnKind.STRING, "rating_remark"),
            Column("tag_names", ColumnKind.JSON, ("tags", "tags", EACH, "name")),
            Column("contact_ids", ColumnKind.JSON, ("contacts", "contacts", EACH, "id")),
            Column(
                "teammate_ids",
                ColumnKind.JSON,
                ("teammates", "teammates", EACH, "id"),
                ("teammates", "admins", EACH, "id"),
            ),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/conversations/",
    record_omits=("conversation_parts",),
    scope="read conversations",
)
