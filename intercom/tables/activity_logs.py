"""What teammates have done in a workspace: its log of activities."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import Column, ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Selection, Strategy, Table

ACTIVITY_LOGS: Final = Table(
    name="activity_logs",
    path="/admins/activity_logs",
    access=Access.TIME_LOG,
    records_at=("activity_logs",),
    schema=TableSchema(
        # Component `activity_log`. The shape of metadata depends on activity_type, which has some eighty values.
        fields=(
            *columns(ColumnKind.STRING, "id"),
            *columns(ColumnKind.JSON, "performed_by metadata"),
            *columns(ColumnKind.TIMESTAMP, "created_at"),
            *columns(ColumnKind.STRING, "activity_type activity_description"),
        ),
        flat=(
            Column("performed_by_type", ColumnKind.STRING, ("performed_by", "type")),
            Column("performed_by_id", ColumnKind.STRING, ("performed_by", "id")),
            Column("performed_by_email", ColumnKind.STRING, ("performed_by", "email")),
            Column("performed_by_ip", ColumnKind.STRING, ("performed_by", "ip")),
        ),
    ),
    # An entry never changes, so of two equal ones the later read wins.
    cursor_field="created_at",
    strategy=Strategy.MERGE,
    scope="read admin activity logs",
    per_page=20,
    selection=Selection.ALL,
    optional=True,
)
