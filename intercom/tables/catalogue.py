"""The table catalogue: which tables are copied, from where, and how. A new table needs one entry and a schema.

Source: Intercom REST API reference 2.14 (developers.intercom.com), one page per entry's path.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from intercom.errors import ConfigurationError
from intercom.tables.companies import COMPANIES
from intercom.tables.contacts import CONTACTS
from intercom.tables.conversations import CONVERSATIONS
from intercom.tables.help_center import ARTICLES
from intercom.tables.table import Table
from intercom.tables.workspace import ADMINS, DATA_ATTRIBUTES, SEGMENTS, TAGS, TEAMS

_CATALOGUE: Final = (CONTACTS, COMPANIES, CONVERSATIONS, ARTICLES, TAGS, SEGMENTS, ADMINS, TEAMS, DATA_ATTRIBUTES)

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _CATALOGUE})
"""Every table by name, in the documented order."""


def select_tables(names: Iterable[str] | None) -> tuple[Table, ...]:
    """The named tables in catalogue order, each once; None or no name at all means every table.

    Raises ConfigurationError for unknown names; the message has all of them, and lists the valid ones.
    """
    wanted = set(names or ())
    if unknown := sorted(wanted - TABLES.keys()):
        told = " ".join(f"There is no table {name!r}.{_hint(name)}" for name in unknown)
        raise ConfigurationError(f"{told} Tables: {', '.join(TABLES)}.")
    return tuple(table for name, table in TABLES.items() if name in wanted or not wanted)


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, TABLES, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
