"""Tickets, their types and their states."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Selection, Strategy, Table

TICKETS: Final = Table(
    name="tickets",
    path="/tickets/search",
    access=Access.SEARCH,
    records_at=("tickets",),
    schema=TableSchema(
        # Component `ticket`. An unassigned *_assignee_id is "0", 0 or null. ticket_parts has up to 500 parts. Observed
        # only: channel and previous_ticket_state_id.
        fields=(
            *columns(ColumnKind.STRING, "type id ticket_id category"),
            *columns(ColumnKind.JSON, "ticket_attributes ticket_state ticket_type contacts"),
            *columns(ColumnKind.REFERENCE, "admin_assignee_id team_assignee_id"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
            *columns(ColumnKind.BOOL, "open"),
            *columns(ColumnKind.TIMESTAMP, "snoozed_until"),
            *columns(ColumnKind.JSON, "linked_objects ticket_parts"),
            *columns(ColumnKind.BOOL, "is_shared"),
            *columns(ColumnKind.STRING, "channel previous_ticket_state_id"),
        ),
        flat=(
            Column("default_title", ColumnKind.STRING, ("ticket_attributes", "_default_title_")),
            Column("default_description", ColumnKind.STRING, ("ticket_attributes", "_default_description_")),
            *members("ticket_state", ColumnKind.STRING, "id category internal_label external_label"),
            *members("ticket_type", ColumnKind.STRING, "id name"),
            Column("contact_ids", ColumnKind.JSON, ("contacts", "contacts", EACH, "id")),
            Column("ticket_parts_count", ColumnKind.INT, ("ticket_parts", "total_count")),
        ),
    ),
    # Observed: a ticket whose newest part is younger than its updated_at. So a part alone may not move it, and comes
    # with the ticket's next change or with a full refresh.
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/tickets/",
    scope="read tickets",
    selection=Selection.ALL,
    optional=True,
)


TICKET_TYPES: Final = Table(
    name="ticket_types",
    path="/ticket_types",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `ticket_type`. is_internal is only in the description's examples.
        fields=(
            *columns(ColumnKind.STRING, "type id category name description icon workspace_id"),
            *columns(ColumnKind.JSON, "ticket_type_attributes ticket_states"),
            *columns(ColumnKind.BOOL, "archived is_internal"),
            *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
        ),
        flat=(Column("ticket_state_ids", ColumnKind.JSON, ("ticket_states", "data", EACH, "id")),),
    ),
    strategy=Strategy.REPLACE,  # a few rows in one answer
    scope="read tickets",
    selection=Selection.ALL,
    optional=True,
)


TICKET_STATES: Final = Table(
    name="ticket_states",
    path="/ticket_states",
    access=Access.LIST,
    records_at=("data",),
    schema=TableSchema(
        # Component `ticket_state_detailed`. It has no times.
        fields=(
            *columns(ColumnKind.STRING, "type id category internal_label external_label"),
            *columns(ColumnKind.BOOL, "archived"),
            *columns(ColumnKind.JSON, "ticket_types"),
        ),
        flat=(Column("ticket_type_ids", ColumnKind.JSON, ("ticket_types", "data", EACH, "id")),),
    ),
    strategy=Strategy.REPLACE,
    scope="read tickets",
    selection=Selection.ALL,
    optional=True,
)
