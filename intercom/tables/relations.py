"""Relations between tables, out of lists in rows that the lake has: they cost no request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intercom.tables.companies import COMPANIES
from intercom.tables.contacts import CONTACTS
from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.schema import Column, ColumnKind, TableSchema, columns
from intercom.tables.table import Access, Parent, Selection, Strategy, Table
from intercom.tables.workspace import TEAMS

_REFERENCE: Final = columns(ColumnKind.STRING, "id type url")
_TAG: Final = (
    *columns(ColumnKind.STRING, "id type name"),
    *columns(ColumnKind.TIMESTAMP, "applied_at"),
    *columns(ColumnKind.JSON, "applied_by"),
)


def _relation(
    name: str,
    parent: Table,
    called: str,
    records_at: tuple[str, ...],
    fields: Iterable[Column],
    *,
    records_otherwise: tuple[str, ...] = (),
    element_as: str = "",
) -> Table:
    """A derived table with the key (``<called>_id``, ``id``), whose rows lie in the month of their parent."""
    inherits = {f"{called}_id": "id"}
    inherited = columns(ColumnKind.STRING, f"{called}_id")
    partition_field = None
    if parent.month_field is not None:
        partition_field = f"{called}_{parent.month_field}"
        inherits[partition_field] = parent.month_field
        inherited += columns(ColumnKind.TIMESTAMP, partition_field)
    return Table(
        name=name,
        path="",
        access=Access.DERIVED,
        strategy=Strategy.DERIVE,
        parent=Parent(table=parent, inherits=inherits),
        records_at=records_at,
        records_otherwise=records_otherwise,
        element_as=element_as,
        schema=TableSchema((*inherited, *fields)),
        primary_key=(f"{called}_id", "id"),
        partition_field=partition_field,
        scope=parent.scope,
        selection=Selection.ALL,
        optional=True,
    )


# Elements of a contact's lists are references; at most ten come with a contact.
CONTACT_COMPANIES: Final = _relation("contact_companies", CONTACTS, "contact", ("companies", "data"), _REFERENCE)
CONTACT_TAGS: Final = _relation("contact_tags", CONTACTS, "contact", ("tags", "data"), _REFERENCE)
COMPANY_TAGS: Final = _relation("company_tags", COMPANIES, "company", ("tags", "tags"), _TAG)
CONVERSATION_CONTACTS: Final = _relation(
    "conversation_contacts",
    CONVERSATIONS,
    "conversation",
    ("contacts", "contacts"),
    columns(ColumnKind.STRING, "id type external_id"),
)
CONVERSATION_TAGS: Final = _relation("conversation_tags", CONVERSATIONS, "conversation", ("tags", "tags"), _TAG)
CONVERSATION_TEAMMATES: Final = _relation(
    "conversation_teammates",
    CONVERSATIONS,
    "conversation",
    ("teammates", "teammates"),
    columns(ColumnKind.STRING, "id type"),
    records_otherwise=("teammates", "admins"),  # observed; null where nobody has taken part
)
TEAM_ADMINS: Final = _relation(
    "team_admins",
    TEAMS,
    "team",
    ("admin_ids",),
    columns(ColumnKind.STRING, "id"),
    element_as="id",  # numbers
)
