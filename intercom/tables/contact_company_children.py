"""What belongs to a contact or to a company: one request for each of them that has changed.

Whether a contact's or company's `updated_at` moves when only its segments or its subscriptions change is not
documented. A full refresh reads all of them.

A note names its contact, so that an answer with the notes of another contact is known to be wrong. Segments and
subscriptions name nobody: a list of these that is another contact's, or another company's, cannot be told from the
right one, and stays in the lake until the contact or the company changes, or a full refresh.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from intercom.tables.companies import COMPANIES
from intercom.tables.contacts import CONTACTS
from intercom.tables.schema import ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Parent, Selection, Strategy, Table

_OF_CONTACT: Final = Parent(table=CONTACTS, inherits={"contact_id": "id", "contact_created_at": "created_at"})
_OF_COMPANY: Final = Parent(table=COMPANIES, inherits={"company_id": "id", "company_created_at": "created_at"})
_CONTACT_COLUMNS: Final = (
    *columns(ColumnKind.STRING, "contact_id"),
    *columns(ColumnKind.TIMESTAMP, "contact_created_at"),
)
_COMPANY_COLUMNS: Final = (
    *columns(ColumnKind.STRING, "company_id"),
    *columns(ColumnKind.TIMESTAMP, "company_created_at"),
)
_SEGMENT_COLUMNS: Final = (
    # Component `segment`.
    *columns(ColumnKind.STRING, "type id name"),
    *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
    *columns(ColumnKind.STRING, "person_type"),
    *columns(ColumnKind.INT, "count"),
)

CONTACT_NOTES: Final = Table(
    name="contact_notes",
    path="/contacts/{key}/notes",
    access=Access.CHILD,
    records_at=("data",),
    schema=TableSchema(
        # Component `note`, after the two columns of its contact.
        fields=(
            *_CONTACT_COLUMNS,
            *columns(ColumnKind.STRING, "type id"),
            *columns(ColumnKind.TIMESTAMP, "created_at"),
            *columns(ColumnKind.JSON, "contact author"),
            *columns(ColumnKind.STRING, "body"),
        ),
        flat=members("author", ColumnKind.STRING, "id name email"),
    ),
    cursor_field="updated_at",
    partition_field="contact_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="read and list users and companies",
    parent=replace(_OF_CONTACT, named_in=("contact", "id")),
    selection=Selection.NAME,
    optional=True,
)

CONTACT_SEGMENTS: Final = Table(
    name="contact_segments",
    path="/contacts/{key}/segments",
    access=Access.CHILD,
    records_at=("data",),
    schema=TableSchema(fields=(*_CONTACT_COLUMNS, *_SEGMENT_COLUMNS)),
    primary_key=("contact_id", "id"),
    cursor_field="updated_at",
    partition_field="contact_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="read and list users and companies",
    parent=_OF_CONTACT,
    selection=Selection.NAME,
    optional=True,
)

CONTACT_SUBSCRIPTIONS: Final = Table(
    name="contact_subscriptions",
    path="/contacts/{key}/subscriptions",
    access=Access.CHILD,
    records_at=("data",),
    schema=TableSchema(
        # Component `subscription_type`, after the two columns of the contact.
        fields=(
            *_CONTACT_COLUMNS,
            *columns(ColumnKind.STRING, "type id state consent_type"),
            *columns(ColumnKind.JSON, "default_translation translations content_types"),
        ),
        flat=members("default_translation", ColumnKind.STRING, "name"),
    ),
    primary_key=("contact_id", "id"),
    cursor_field="updated_at",
    partition_field="contact_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="read and list users and companies",
    parent=_OF_CONTACT,
    selection=Selection.NAME,
    optional=True,
)

COMPANY_SEGMENTS: Final = Table(
    name="company_segments",
    path="/companies/{key}/segments",
    access=Access.CHILD,
    records_at=("data",),
    schema=TableSchema(fields=(*_COMPANY_COLUMNS, *_SEGMENT_COLUMNS)),
    primary_key=("company_id", "id"),
    cursor_field="updated_at",
    partition_field="company_created_at",
    strategy=Strategy.REPLACE_CHILDREN,
    scope="read and list users and companies",
    parent=_OF_COMPANY,
    selection=Selection.NAME,
    optional=True,
)
