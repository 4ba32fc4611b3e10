"""What a table is: where its records are read, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
        if unusable := [name for name in self.primary_key if declared[name].kind is not schemas.ColumnKind.STRING]:
            raise ValueError(f"Table {self.name!r} has key columns that are no strings: {', '.join(unusable)}.")
        if self.cursor_field and declared[self.cursor_field].kind is not schemas.ColumnKind.TIMESTAMP:
            raise ValueError(f"Table {self.name!r} has the cursor field {self.cursor_field!r}, which is no timestamp.")
        if stray := [column.name for column in self.schema.flat if not column.path]:
            raise ValueError(f"Table {self.name!r} has flat columns without a path: {', '.join(stray)}.")
        if orphans := [column.name for column in self.schema.flat if column.path[0] not in declared]:
            raise ValueError(f"Table {self.name!r} takes flat columns from undeclared fields: {', '.join(orphans)}.")
        if solid := [
            column.name for column in self.schema.flat if declared[column.path[0]].kind is not schemas.ColumnKind.JSON
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
