"""The table catalogue: what is copied, from where, and how it is kept. Adding a table is one entry and a schema.

Source: Intercom REST API reference 2.14 (developers.intercom.com), one page per entry's path.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from intercom.errors import ConfigurationError
from intercom.tables import schema as schemas
from intercom.tables.schema import TableSchema


class Access(StrEnum):
    """How a table's records are reached."""

    SEARCH = "search"  # POST with a query, an order and a body cursor
    SCROLL = "scroll"  # GET with a scroll token: everything, in no order, one scroll per workspace
    PAGES = "pages"  # GET by page number
    LIST = "list"  # GET, one answer


class Strategy(StrEnum):
    """What a run does with the rows that the lake has."""

    MERGE = "merge"  # one row per primary key, the newest by the cursor field
    REPLACE = "replace"  # the table becomes what was read, every row of it once


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table's facts. A contradiction among them is a ValueError that names the table, at import.

    ``name`` is also the folder in the lake, ``path`` is below the region's base URL, ``records_key`` is the member
    of an answer that holds the records. ``scope`` says which permission the token needs. ``requests`` has the query
    parameters of each chain of requests that together read the table. ``day_cut``: search compares calendar days of the
    workspace's time zone instead of seconds. ``declared_key`` is the key that the table is documented with where that
    is not unique; empty: the primary key. ``record_path``, ending with a slash, is where records are found by their
    id; ``record_omits`` are members that a record has only there, which are no part of the table.
    """

    name: str
    path: str
    access: Access
    records_key: str
    schema: TableSchema
    primary_key: tuple[str, ...] = ("id",)
    declared_key: tuple[str, ...] = ()
    cursor_field: str | None = None
    strategy: Strategy
    scope: str
    requests: tuple[Mapping[str, str | int], ...] = field(default=({},), hash=False)
    day_cut: bool = False
    record_path: str = ""
    record_omits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for wrong, message in (
            (not self.primary_key, "has no primary key"),
            (not self.requests, "has no request"),
            (not self.path.startswith("/"), f"has the path {self.path!r}, which does not start with '/'"),
            (self.strategy is Strategy.MERGE and not self.cursor_field, "merges without a cursor field"),
            (self.access is Access.SEARCH and not self.cursor_field, "is searched without a cursor field"),
            (
                self.strategy is Strategy.MERGE
                and not (self.record_path.startswith("/") and self.record_path[-1] == "/"),
                "merges without an address of its records",
            ),
            (self.day_cut and self.access is not Access.SEARCH, "cuts days but is not searched"),
            (not set(self.declared_key) <= set(self.primary_key), "declares a key outside its primary key"),
        ):
            if wrong:
                raise ValueError(f"Table {self.name!r} {message}.")
        self._check_columns()

    def _check_columns(self) -> None:
        names: list[str] = self.schema.arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Table {self.name!r} declares columns twice: {', '.join(twice)}.")
        declared = {column.name: column for column in self.schema.fields}
        needed = (*self.primary_key, *((self.cursor_field,) if self.cursor_field else ()))
        if missing := [name for name in needed if name not in declared]:
            raise ValueError(f"Table {self.name!r} needs undeclared columns: {', '.join(missing)}.")
        if unusable := [name for name in self.primary_key if declared[name].kind is not schemas.Kind.STRING]:
            raise ValueError(f"Table {self.name!r} has key columns that are no strings: {', '.join(unusable)}.")
        if self.cursor_field and declared[self.cursor_field].kind is not schemas.Kind.TIMESTAMP:
            raise ValueError(f"Table {self.name!r} has the cursor field {self.cursor_field!r}, which is no timestamp.")
        if stray := [column.name for column in self.schema.flat if not column.path]:
            raise ValueError(f"Table {self.name!r} has flat columns without a path: {', '.join(stray)}.")
        if orphans := [column.name for column in self.schema.flat if column.path[0] not in declared]:
            raise ValueError(f"Table {self.name!r} takes flat columns from undeclared fields: {', '.join(orphans)}.")
        if solid := [
            column.name for column in self.schema.flat if declared[column.path[0]].kind is not schemas.Kind.JSON
        ]:
            raise ValueError(f"Table {self.name!r} takes flat columns from fields without members: {', '.join(solid)}.")

    @property
    def read_whole(self) -> bool:
        """Whether every run reads every row; of a table that is searched it reads what has changed."""
        return self.access is not Access.SEARCH

    @property
    def newest_by(self) -> tuple[str, ...]:
        """Columns that tell the newer of two versions of a row; the first one that differs decides.

        A search may answer from an index that lags, so the cursor field comes first there. Where all rows are read
        the later read is the newer one: the cursor value may have gone back, or be gone.
        """
        assert self.cursor_field is not None, self.name
        by_cursor = (self.cursor_field, schemas.INGESTED_AT)
        return by_cursor[::-1] if self.read_whole else by_cursor

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a record is refused: the declared key, else the primary key."""
        return self.declared_key or self.primary_key


_CATALOGUE: Final = (
    Table(
        name="contacts",
        path="/contacts/search",
        access=Access.SEARCH,
        records_key="data",
        schema=schemas.CONTACTS,
        cursor_field="updated_at",
        strategy=Strategy.MERGE,
        record_path="/contacts/",
        scope="read and list users and companies",
        day_cut=True,  # the seconds of a timestamp filter are dropped; conversations keep them
    ),
    Table(
        name="companies",
        # 2.14 has no search for companies, and /companies/list ends at 10,000: only the scroll reads them all.
        path="/companies/scroll",
        access=Access.SCROLL,
        records_key="data",
        schema=schemas.COMPANIES,
        cursor_field="updated_at",
        strategy=Strategy.MERGE,
        record_path="/companies/",
        scope="read and list users and companies",
    ),
    Table(
        name="conversations",
        path="/conversations/search",
        access=Access.SEARCH,
        records_key="conversations",
        schema=schemas.CONVERSATIONS,
        cursor_field="updated_at",
        strategy=Strategy.MERGE,
        record_path="/conversations/",
        record_omits=("conversation_parts",),
        scope="read conversations",
    ),
    Table(
        name="articles",
        path="/articles",
        access=Access.PAGES,
        records_key="data",
        schema=schemas.ARTICLES,
        cursor_field="updated_at",
        strategy=Strategy.MERGE,
        record_path="/articles/",
        record_omits=("statistics",),
        scope="read and list articles",
    ),
    Table(
        name="tags",
        path="/tags",
        access=Access.LIST,
        records_key="data",
        schema=schemas.TAGS,
        strategy=Strategy.REPLACE,
        scope="read tags",
    ),
    Table(
        name="segments",
        path="/segments",
        access=Access.LIST,
        records_key="segments",
        schema=schemas.SEGMENTS,
        strategy=Strategy.REPLACE,
        scope="read and list users and companies",
        requests=({"include_count": "true"},),
    ),
    Table(
        name="admins",
        path="/admins",
        access=Access.LIST,
        records_key="admins",
        schema=schemas.ADMINS,
        strategy=Strategy.REPLACE,
        scope="read admins",
    ),
    Table(
        name="teams",
        path="/teams",
        access=Access.LIST,
        records_key="teams",
        schema=schemas.TEAMS,
        strategy=Strategy.REPLACE,
        scope="read admins",
    ),
    Table(
        name="data_attributes",
        path="/data_attributes",
        access=Access.LIST,
        records_key="data",
        schema=schemas.DATA_ATTRIBUTES,
        # Contacts and companies both have a `name`, a `created_at`, ...; an archived attribute may share even
        # model and name with a live one, so neither key may be used to drop rows without looking at the id.
        primary_key=("model", "name"),
        declared_key=("name",),
        strategy=Strategy.REPLACE,
        scope="read and list users and companies",
        requests=({"model": "contact"}, {"model": "company"}, {"model": "conversation"}),
    ),
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _CATALOGUE})
"""Every table by name, in the documented order."""


def select_tables(names: Iterable[str] | None) -> tuple[Table, ...]:
    """The named tables in catalogue order, each once; None or no name at all means every table.

    Raises ConfigurationError for an unknown name; the message lists the valid ones.
    """
    wanted = set(names or ())
    for name in sorted(wanted - TABLES.keys()):
        near = difflib.get_close_matches(name, TABLES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"There is no table {name!r}.{hint} Tables: {', '.join(TABLES)}.")
    return tuple(table for name, table in TABLES.items() if name in wanted or not wanted)
