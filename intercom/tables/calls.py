"""Phone calls."""

from __future__ import annotations

from typing import Final

from intercom.tables.schema import ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Selection, Strategy, Table

CALLS: Final = Table(
    name="calls",
    path="/calls",
    access=Access.PAGES,
    per_page=25,  # the most that the list gives
    records_at=("data",),
    schema=TableSchema(
        # Component `call`. Its times are ISO 8601 text or unix seconds. The transcript has an address of its own.
        fields=(
            *columns(ColumnKind.STRING, "type id conversation_id admin_id contact_id state"),
            *columns(ColumnKind.TIMESTAMP, "initiated_at answered_at ended_at created_at updated_at"),
            *columns(ColumnKind.STRING, "recording_url transcription_url call_type direction ended_reason phone"),
            *columns(ColumnKind.STRING, "fin_recording_url fin_transcription_url"),
        ),
    ),
    cursor_field="updated_at",
    strategy=Strategy.MERGE,  # calls only grow in number, and each has an updated_at
    record_path="/calls/",
    scope="read conversations",  # no list of permissions names calls
    selection=Selection.ALL,
    optional=True,
)
