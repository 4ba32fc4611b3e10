"""The table catalogue: which tables are copied, from where, and how. A new table needs one entry and a schema.

Source: Intercom REST API reference 2.14 (developers.intercom.com), one page per entry's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from intercom.tables.activity_logs import ACTIVITY_LOGS
from intercom.tables.calls import CALLS
from intercom.tables.companies import COMPANIES
from intercom.tables.contact_company_children import (
    COMPANY_SEGMENTS,
    CONTACT_NOTES,
    CONTACT_SEGMENTS,
    CONTACT_SUBSCRIPTIONS,
)
from intercom.tables.contacts import CONTACTS
from intercom.tables.conversation_parts import CONVERSATION_PARTS
from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.help_center import ARTICLES, COLLECTIONS, HELP_CENTERS, INTERNAL_ARTICLES
from intercom.tables.outreach import NEWS_ITEMS, NEWSFEED_ITEMS, NEWSFEEDS, SUBSCRIPTION_TYPES
from intercom.tables.relations import (
    COMPANY_TAGS,
    CONTACT_COMPANIES,
    CONTACT_TAGS,
    CONVERSATION_CONTACTS,
    CONVERSATION_TAGS,
    CONVERSATION_TEAMMATES,
    TEAM_ADMINS,
    TICKET_PARTS,
)
from intercom.tables.table import Table
from intercom.tables.tickets import TICKET_STATES, TICKET_TYPES, TICKETS
from intercom.tables.workspace import ADMINS, AWAY_STATUS_REASONS, DATA_ATTRIBUTES, SEGMENTS, TAGS, TEAMS

_CATALOGUE: Final = (
    CONTACTS,
    COMPANIES,
    CONVERSATIONS,
    ARTICLES,
    TAGS,
    SEGMENTS,
    ADMINS,
    TEAMS,
    DATA_ATTRIBUTES,
    TICKETS,
    TICKET_TYPES,
    TICKET_STATES,
    COLLECTIONS,
    HELP_CENTERS,
    INTERNAL_ARTICLES,
    NEWS_ITEMS,
    NEWSFEEDS,
    SUBSCRIPTION_TYPES,
    CALLS,
    AWAY_STATUS_REASONS,
    ACTIVITY_LOGS,
    CONTACT_COMPANIES,
    CONTACT_TAGS,
    COMPANY_TAGS,
    CONVERSATION_CONTACTS,
    CONVERSATION_TAGS,
    CONVERSATION_TEAMMATES,
    TEAM_ADMINS,
    TICKET_PARTS,
    CONVERSATION_PARTS,
    NEWSFEED_ITEMS,
    CONTACT_NOTES,
    CONTACT_SEGMENTS,
    CONTACT_SUBSCRIPTIONS,
    COMPANY_SEGMENTS,
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _CATALOGUE})
"""Every table by name, in the documented order."""
