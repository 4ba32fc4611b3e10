"""Relations between tables, and parts of tickets: out of lists in rows that the lake has, so they cost no request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from intercom.tables.companies import COMPANIES
from intercom.tables.contacts import CONTACTS
from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.schema import COUNT, Column, ColumnKind, TableSchema, columns, members
from intercom.tables.table import Access, Parent, Selection, Strategy, Table
from intercom.tables.tickets import TICKETS
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
    flat: tuple[Column, ...] = (),
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
        schema=TableSchema((*inherited, *fields), flat),
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
TICKET_PARTS: Final = _relation(
    "ticket_parts",
    TICKETS,
    "ticket",
    ("ticket_parts", "ticket_parts"),
    # Component `ticket_part`. A ticket has 500 of them at most. Its `ticket_id` is `tickets.id`, by which the API goes,
    # and not the number that the inbox shows.
    (
        *columns(ColumnKind.STRING, "id type part_type body previous_ticket_state ticket_state"),
        *columns(ColumnKind.TIMESTAMP, "created_at updated_at"),
        *columns(ColumnKind.JSON, "assigned_to author attachments"),
        *columns(ColumnKind.STRING, "external_id"),
        *columns(ColumnKind.BOOL, "redacted"),
        *columns(ColumnKind.STRING, "app_package_code"),
        *columns(ColumnKind.JSON, "updated_attribute_data"),
    ),
    flat=(
        *members("author", ColumnKind.STRING, "type id name email"),
        *members("assigned_to", ColumnKind.STRING, "type id"),
        Column("attachments_count", ColumnKind.INT, ("attachments", COUNT)),
    ),
)
