"""Companies."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import EACH, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Strategy, Table

COMPANIES: Final = Table(
    name="companies",
    # 2.14 has no search for companies, and /companies/list ends at 10,000: only the scroll reads them all.
    path="/companies/scroll",
    list_path="/companies",
    access=Access.SCROLL,
    records_at=("data",),
    schema=TableSchema(
        # Component `company`. monthly_spend is an integer there, decimals occur. notes: observed. size, website,
        # industry and last_request_at are left out of records rather than null; plan is {} when there is none.
        fields=(
            *columns(ColumnKind.STRING, "type id name app_id"),
            *columns(ColumnKind.JSON, "plan"),
            *columns(ColumnKind.STRING, "company_id"),
            *columns(ColumnKind.TIMESTAMP, "remote_created_at created_at updated_at last_request_at"),
            *columns(ColumnKind.INT, "size"),
            *columns(ColumnKind.STRING, "website industry"),
            *columns(ColumnKind.FLOAT, "monthly_spend"),
            *columns(ColumnKind.INT, "session_count user_count"),
            *columns(ColumnKind.JSON, "custom_attributes tags segments notes"),
        ),
        flat=(
            *members("plan", ColumnKind.STRING, "id name"),
            Column("tag_names", ColumnKind.JSON, ("tags", "tags", EACH, "name")),
            Column("segment_ids", ColumnKind.JSON, ("segments", "segments", EACH, "id")),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/companies/",
    scope="read and list users and companies",
)
