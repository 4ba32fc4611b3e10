"""Conversation parts: the messages and the changes of state of a conversation, one request for each conversation.

The message that opened a conversation is no part: it is the conversation's `source`. The answer is the conversation's
own record, so that its id tells whose parts these are.
"""

from __future__ import annotations

from typing import Final

from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.schema import COUNT, EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Parent, Selection, Strategy, Table

CONVERSATION_PARTS: Final = Table(
    name="conversation_parts",
    path="/conversations/{key}",
    access=Access.CHILD,
    records_at=("conversation_parts", "conversation_parts"),
    schema=TableSchema(
        # Component `conversation_part`, after the two columns of its conversation. An author's two AI members and
        # translations are not in every record.
        fields=(
            *columns(ColumnKind.STRING, "conversation_id"),
            *columns(ColumnKind.TIMESTAMP, "conversation_created_at"),
            *columns(ColumnKind.STRING, "type id part_type body"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at notified_at"),
            *columns(ColumnKind.JSON, "assigned_to author attachments"),
            *columns(ColumnKind.STRING, "external_id"),
            *columns(ColumnKind.BOOL, "redacted"),
            *columns(ColumnKind.JSON, "email_message_metadata metadata"),
            *columns(ColumnKind.STRING, "state"),
            *columns(ColumnKind.JSON, "tags event_details"),
            *columns(ColumnKind.STRING, "app_package_code"),
            *columns(ColumnKind.JSON, "translations"),
        ),
        flat=(
            *members("author", ColumnKind.STRING, "type id name email"),
            *members("author", ColumnKind.BOOL, "from_ai_agent is_ai_answer"),
            *members("assigned_to", ColumnKind.STRING, "type id"),
            *members("email_message_metadata", ColumnKind.STRING, "subject"),
            Column("tag_names", ColumnKind.JSON, ("tags", EACH, "name")),
            Column("attachments_count", ColumnKind.INT, ("attachments", COUNT)),
        ),
    ),
    cursor_field="updated_at",
    partition_field="conversation_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="read conversations",
    plain_text={"display_as": "plaintext"},
    parent=Parent(
        table=CONVERSATIONS,
        inherits={"conversation_id": "id", "conversation_created_at": "created_at"},
        counted_by=("statistics", "count_conversation_parts"),
        cut_by="created_at",
        named_beside="id",
        most=500,  # component `conversation_parts`: "There is a limit of 500 parts"; the newest are given
    ),
    selection=Selection.ALL,
    optional=True,
)
