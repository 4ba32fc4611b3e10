"""The definition of a table: where its records are read, and how its rows are kept in the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from intercom.tables import schema as schemas
from intercom.tables.column_rules import ColumnRules, CopySettings
from intercom.tables.schema import TableSchema

MOST_PER_PAGE = 150
"""Most records of a page. Source: Intercom REST API reference 2.14, "Pagination"."""

NARROWING = frozenset({"id", "role"})
"""Members by which a search of one day can be split: the end of an id (hexadecimal), the role of a contact."""


class Access(StrEnum):
    """How a table's records are reached."""

    SEARCH = "search"  # POST with a query, an order and a body cursor
    SCROLL = "scroll"  # GET with a scroll token: everything, in no order, one scroll per workspace
    PAGES = "pages"  # GET by page number
    LIST = "list"  # GET, one answer
    TIME_LOG = "time_log"  # GET between two times, append-only; the next page is a URL
    CHILD = "child"  # GET once for each record of the parent table that has changed
    DERIVED = "derived"  # no request: lists in rows that the lake has of the parent table


class Strategy(StrEnum):
    """What a run does with the rows that the lake has already."""

    MERGE = "merge"  # one row per primary key, the newest by the cursor field
    REPLACE = "replace"  # the table becomes what was read, every row of it once
    REPLACE_CHILDREN = "replace_children"  # the rows of a parent become those that were read of it, where all came
    DERIVE = "derive"  # each partition is made anew of the same partition of the parent table


class Selection(StrEnum):
    """Which word selects a table; each includes the next ones: a name selects any table."""

    DEFAULT = "default"  # copied unless other tables are chosen
    ALL = "all"  # copied with `all`
    NAME = "name"  # copied only if it is named: it costs a request for each contact or company


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """The table whose records lead to the rows of a child table.

    `key` is the member of a parent's record that takes the place of ``{key}`` in the child table's path. `inherits`
    maps columns of the child table to members of the parent's record. `counted_by` is the path of the number of
    children in the parent's record, outermost name first; empty if it has none. `cut_by` is a time of the children: an
    answer that does not have all children has the newest ones by this time; empty if such an answer says nothing
    about the others. `most` is the number of children that an answer has at most; 0 if there is no such bound.

    An answer may be that of another parent. `named_beside` is the member of an answer, beside the list, that has the
    parent's key; `named_in` the path of the key in a child's record, outermost name first. Where both are empty,
    answers have nothing to compare, and another parent's list is believed.
    """

    table: Table
    key: str = "id"
    inherits: Mapping[str, str]
    counted_by: tuple[str, ...] = ()
    cut_by: str = ""
    most: int = 0
    named_beside: str = ""
    named_in: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether answers tell whose children they have; of `named_in`, those that have any."""
        return bool(self.named_beside or self.named_in)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The definition of one table. Contradictory values raise a ValueError that names the table, at import.

    ``name`` is also the folder in the lake. ``path`` is below the region's base URL. ``records_at`` is the path of the
    member of an answer that has the records, outermost name first. ``per_page`` is the number of records to ask for per
    page, if the endpoint has pages. ``scope`` names the permission that the token needs. The table is read by one chain
    of requests per entry of ``requests``, which has the query parameters; parameters in ``carries`` become columns.
    ``plain_text`` are parameters that are added where texts are wanted without HTML.

    A record that lacks one of the columns in ``required`` is rejected; if empty, these are the primary key's columns.
    The watermark is a value of ``cursor_field``. ``version_field`` orders versions of a row; if empty, the cursor field
    does. ``partition_field`` is the time whose month is the partition of a row of a merge table; if None, the table is
    one file.

    ``day_cut``: search compares calendar days of the workspace's time zone instead of seconds. ``narrowed_by`` are
    members by which the rows of a single day can be split further, of `NARROWING`. ``record_path``, ending with a
    slash, is the address of a single record, before its id; empty if there is none. ``record_omits`` are members that
    only the answer there has; they are not part of the table. ``merges``: records may be merged into others, and then
    the address of one may answer with the other. ``list_path`` is the address of a list by page number,
    for a table that is read by a scroll: it counts the records, and gives one of them without opening a scroll.

    `parent` is set for child and derived tables. The cursor field of a child table is a member of the parent's records,
    and no column; for a derived table, ``records_at`` is the path in the parent's row: the column, then members.
    ``records_otherwise`` is a second such path for rows that have no list at the first, and ``element_as`` the member
    that an element stands for which is a plain value, such as a number; empty if elements are objects only.
    ``refilled`` are members with lists that may come cut, and whose ``url`` gives the rest, if a run asks for it.
    ``selection`` says which word selects the table. ``optional``: if the token may not read the table and it was not
    named, that is a note and no failure.
    """

    name: str
    path: str
    access: Access
    records_at: tuple[str, ...]
    schema: TableSchema
    primary_key: tuple[str, ...] = ("id",)
    required: tuple[str, ...] = ()
    cursor_field: str | None = None
    version_field: str = ""
    partition_field: str | None = "created_at"
    strategy: Strategy
    scope: str
    requests: tuple[Mapping[str, str | int], ...] = field(default=({},), hash=False)
    plain_text: Mapping[str, str] = field(default_factory=dict, hash=False)
    carries: tuple[str, ...] = ()
    per_page: int = MOST_PER_PAGE
    day_cut: bool = False
    narrowed_by: tuple[str, ...] = ()
    record_path: str = ""
    record_omits: tuple[str, ...] = ()
    merges: bool = False
    list_path: str = ""
    parent: Parent | None = None
    records_otherwise: tuple[str, ...] = ()
    element_as: str = ""
    refilled: tuple[str, ...] = ()
    selection: Selection = Selection.DEFAULT
    optional: bool = False

    def __post_init__(self) -> None:
        for wrong, message in (
            (not self.primary_key, "has no primary key"),
            (len(set(self.primary_key)) < len(self.primary_key), "has a key column twice"),
            (not self.requests, "has no request"),
            (not self.records_at or not all(self.records_at), "does not say where its records are"),
            (isinstance(self.records_at, str), "says by a text where its records are, and not by a tuple of names"),
            (
                not 1 <= self.per_page <= MOST_PER_PAGE,
                f"has pages of {self.per_page} rows, not of 1 to {MOST_PER_PAGE}",
            ),
            (
                self.access is not Access.DERIVED and not self.path.startswith("/"),
                f"has the path {self.path!r}, which does not start with '/'",
            ),
            (self.strategy is Strategy.MERGE and not self.cursor_field, "merges without a cursor field"),
            (self.access is Access.SEARCH and not self.cursor_field, "is searched without a cursor field"),
            (
                bool(self.record_path) and not (self.record_path.startswith("/") and self.record_path.endswith("/")),
                f"has the record path {self.record_path!r}, which does not start and end with '/'",
            ),
            (bool(self.record_path) and len(self.primary_key) > 1, "finds records of several key columns by their id"),
            (self.day_cut and self.access is not Access.SEARCH, "cuts days but is not searched"),
            (self.access is Access.SCROLL and not self.list_path, "is read by a scroll and has no list_path"),
            (bool(self.list_path) and self.access is not Access.SCROLL, "has a list_path but is not read by a scroll"),
            (
                bool(self.list_path) and not self.list_path.startswith("/"),
                f"has the list_path {self.list_path!r}, which does not start with '/'",
            ),
            (not set(self.required) <= set(self.primary_key), "requires columns outside its primary key"),
            (
                self.strategy is not Strategy.REPLACE and set(self.required_columns) != set(self.primary_key),
                "merges by key columns that a record may lack",
            ),
            (bool(self.narrowed_by) and self.access is not Access.SEARCH, "is narrowed but not searched"),
            (
                not set(self.narrowed_by) <= NARROWING,
                f"is narrowed by other members than {' and '.join(sorted(NARROWING))}",
            ),
            (
                any(name not in request for name in self.carries for request in self.requests),
                "carries a parameter that a request of it lacks",
            ),
            *self._wrong_as_child(),
        ):
            if wrong:
                raise ValueError(f"Table {self.name!r} {message}.")
        self._check_columns()

    def _wrong_as_child(self) -> Iterator[tuple[bool, str]]:
        """Contradictions between the access and the parent: whether there is one, and the message."""
        has_parent = self.access in (Access.CHILD, Access.DERIVED)
        yield self.parent is not None and not has_parent, "has a parent, but is not read through it"
        yield has_parent and self.parent is None, "is read through a parent that it does not name"
        yield (self.strategy is Strategy.DERIVE) is not (self.access is Access.DERIVED), "is derived only in part"
        yield (
            self.strategy is Strategy.REPLACE_CHILDREN and self.access is not Access.CHILD,
            "replaces children, but has none",
        )
        derived = self.access is Access.DERIVED
        yield (
            not derived and bool(self.records_otherwise or self.element_as),
            "takes elements apart, but is not derived",
        )
        if self.parent is None:
            return
        if derived:
            yield from self._wrong_as_derived(self.parent)
        yield self.access is Access.CHILD and "{key}" not in self.path, "does not ask for each parent by its key"
        yield (
            self.access is Access.CHILD and self.cursor_field != self.parent.table.cursor_field,
            "has another cursor field than its parent",
        )
        replaces = self.strategy is Strategy.REPLACE_CHILDREN
        yield replaces and set(self.primary_key) <= self.parent.inherits.keys(), "has no key column of its own"
        yield self.parent.key not in self.parent.inherits.values(), "has no column with its parent's key"

    def _wrong_as_derived(self, parent: Parent) -> Iterator[tuple[bool, str]]:
        kinds = {column.name: column.kind for column in parent.table.schema.fields}
        lists = [path[0] for path in (self.records_at, self.records_otherwise) if path]
        yield any(kinds.get(name) is not schemas.ColumnKind.JSON for name in lists), "has no such list in its parent"
        yield not set(parent.inherits.values()) <= kinds.keys(), "inherits what is no column of its parent"
        month = self.month_field
        yield (
            (parent.inherits.get(month) if month else None) != parent.table.month_field,
            "has other partitions than its parent",
        )
        yield set(self.primary_key) <= parent.inherits.keys(), "has no key column of its own"

    def _check_columns(self) -> None:
        names: list[str] = self.schema.arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Table {self.name!r} declares columns twice: {', '.join(twice)}.")
        declared = {column.name: column for column in self.schema.fields}
        times = self.times
        if missing := [name for name in self.needed_columns if name not in declared]:
            raise ValueError(f"Table {self.name!r} needs undeclared columns: {', '.join(missing)}.")
        if unusable := [name for name in self.primary_key if declared[name].held is not schemas.ColumnKind.STRING]:
            raise ValueError(f"Table {self.name!r} has key columns that are no strings: {', '.join(unusable)}.")
        if other := [name for name in times if declared[name].kind is not schemas.ColumnKind.TIMESTAMP]:
            raise ValueError(f"Table {self.name!r} goes by times that are no timestamp: {', '.join(other)}.")
        if stray := [column.name for column in self.schema.flat if not column.path]:
            raise ValueError(f"Table {self.name!r} has flat columns without a path: {', '.join(stray)}.")
        if orphans := [column.name for column in self.schema.flat if column.path[0] not in declared]:
            raise ValueError(f"Table {self.name!r} takes flat columns from undeclared fields: {', '.join(orphans)}.")
        if solid := [
            column.name for column in self.schema.flat if declared[column.path[0]].kind is not schemas.ColumnKind.JSON
        ]:
            raise ValueError(f"Table {self.name!r} takes flat columns from fields without members: {', '.join(solid)}.")

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns without which a record is rejected."""
        return self.required or self.primary_key

    @property
    def times(self) -> tuple[str, ...]:
        """The time columns that the table needs, each once: cursor, version, partition field, and `Parent.cut_by`."""
        own_cursor, cut_by = (self.cursor_field, "") if self.parent is None else (None, self.parent.cut_by)
        return tuple(dict.fromkeys(name for name in (own_cursor, self.version_field, self.month_field, cut_by) if name))

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns without which the declaration is invalid, each once."""
        inherited = self.parent.inherits if self.parent else ()
        return tuple(dict.fromkeys((*self.primary_key, *self.times, *self.carries, *inherited)))

    @property
    def month_field(self) -> str | None:
        """The column whose month is the partition of a row; None if the table is one file, as replace tables are."""
        return self.partition_field if self.strategy is not Strategy.REPLACE else None

    @property
    def parent_column(self) -> str:
        """The column with the key of the row's parent. Raises ValueError for a table without a parent."""
        if self.parent is None:
            raise ValueError(f"Table {self.name!r} has no parent.")
        return next(name for name, member in self.parent.inherits.items() if member == self.parent.key)

    @property
    def reads_by_window(self) -> bool:
        """Whether a run can request only the rows in a range of the cursor field."""
        return self.listed.access in (Access.SEARCH, Access.TIME_LOG)

    def in_plain_text(self) -> Table:
        """The table with texts without HTML, if its endpoint can give them; else as it is."""
        return replace(self, requests=tuple({**request, **self.plain_text} for request in self.requests))

    def configured(self, settings: CopySettings) -> Table:
        """The table as a connection with these settings copies it; its parent likewise."""
        return self._with(settings.rules_of, marks_deleted=settings.marks_deleted)

    def as_recorded(self, columns: TableSchema | None) -> Table:
        """The table as it lies in a lake whose record names these columns, whatever a connection says today."""
        if columns is None:
            return self
        own = CopySettings(marks_deleted=columns.marks_deleted, rules=((self.name, columns.rules),))
        return self.configured(own)

    def _with(self, rules_of: Callable[[str], ColumnRules], *, marks_deleted: bool) -> Table:
        parent = self.parent
        if parent is not None:
            above = parent.table._with(rules_of, marks_deleted=marks_deleted)
            parent = parent if above is parent.table else replace(parent, table=above)
        schema = self.schema.configured(rules_of(self.name), marks_deleted=marks_deleted)
        if schema is self.schema and parent is self.parent:
            return self  # as for most connections; a new one is checked as if it had been declared
        return replace(self, schema=schema, parent=parent)

    @property
    def made_of(self) -> Table | None:
        """The table of whose rows in the lake a derived table is made; None for tables that are read from Intercom."""
        return self.parent.table if self.access is Access.DERIVED and self.parent is not None else None

    @property
    def is_child(self) -> bool:
        """Whether it takes one request for each record of the parent table."""
        return self.access is Access.CHILD

    @property
    def is_replaced(self) -> bool:
        """Whether each complete read replaces the whole table."""
        return self.strategy is Strategy.REPLACE

    @property
    def replaces_children(self) -> bool:
        """Whether the rows of a parent become those that were read of it; staged rows then have `read_marks`."""
        return self.strategy is Strategy.REPLACE_CHILDREN

    @property
    def listed(self) -> Table:
        """The table whose pages are requested: the parent's for a child table, else the table itself."""
        return self.parent.table if self.is_child and self.parent is not None else self

    @property
    def may_wait(self) -> bool:
        """Whether the reading may pause. A scroll may not: it expires after a minute without a request."""
        return self.listed.access is not Access.SCROLL

    @property
    def newest_by(self) -> tuple[str, ...]:
        """Columns that decide which of two versions of a row is newer; the first column that differs decides.

        In a searched table the version field comes first, because a search may answer from an outdated index. In a
        table that is read whole, the version that was read later is newer, because the cursor value may have decreased
        or be missing. If the table has no version field, only the time of reading decides. So it does for a child
        table, whose rows come from a request that no index answers.
        """
        version = self.version_field or (None if self.parent else self.cursor_field)
        if version is None:
            return (schemas.INGESTED_AT,)
        by_version = (version, schemas.INGESTED_AT)
        return by_version if self.reads_by_window else by_version[::-1]
