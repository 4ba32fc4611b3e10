"""The table catalogue: which tables are copied, from where, and how. A new table needs one entry and a schema.

Source: Intercom REST API reference 2.14 (developers.intercom.com), one page per entry's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from intercom.tables.companies import COMPANIES
from intercom.tables.contacts import CONTACTS
from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.help_center import ARTICLES
from intercom.tables.table import Table
from intercom.tables.workspace import ADMINS, DATA_ATTRIBUTES, SEGMENTS, TAGS, TEAMS

_CATALOGUE: Final = (CONTACTS, COMPANIES, CONVERSATIONS, ARTICLES, TAGS, SEGMENTS, ADMINS, TEAMS, DATA_ATTRIBUTES)

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _CATALOGUE})
"""Every table by name, in the documented order."""
