"""Companies."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import Kind, TableSchema, columns, members
from intercom.tables.table import Access, Strategy, Table

COMPANIES: Final = Table(
    name="companies",
    # 2.14 has no search for companies, and /companies/list ends at 10,000: only the scroll reads them all.
    path="/companies/scroll",
    access=Access.SCROLL,
    records_key="data",
    schema=TableSchema(
        # Component `company`. monthly_spend is an integer there, decimals occur. notes: observed. size, website,
        # industry and last_request_at are left out of records rather than null; plan is {} when there is none.
        fields=(
            *columns(Kind.STRING, "type id name app_id"),
            *columns(Kind.JSON, "plan"),
            *columns(Kind.STRING, "company_id"),
            *columns(Kind.TIMESTAMP, "remote_created_at created_at updated_at last_request_at"),
            *columns(Kind.INT, "size"),
            *columns(Kind.STRING, "website industry"),
            *columns(Kind.FLOAT, "monthly_spend"),
            *columns(Kind.INT, "session_count user_count"),
            *columns(Kind.JSON, "custom_attributes tags segments notes"),
        ),
        flat=members("plan", Kind.STRING, "id name"),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,
    record_path="/companies/",
    scope="read and list users and companies",
)
