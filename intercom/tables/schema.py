"""The columns of every table, as data.

Source of the fields: Intercom's OpenAPI description of API version 2.14 (github.com/intercom/Intercom-OpenAPI,
``descriptions/2.14/api.intercom.io.yaml``); each schema below names its component there. Fields that the description
lacks but real records have are declared too and marked *observed*. All times are unix seconds in UTC.

The types never depend on the data, because files of one table whose column types differ cannot be read together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from intercom.tables.column_rules import NO_RULES, ColumnRules, Fate

EXTRA: Final = "_extra"
"""Column for members without a column, and values that do not fit their column: JSON object text, null if empty."""
DELETED_AT: Final = "_deleted_at"
"""Column for the time when a row was found to be deleted in Intercom, null while it is alive. Only where deleted rows
are marked and not removed."""
INGESTED_AT: Final = "_ingested_at"
"""Column for the time of the run that read the row."""
EACH: Final = "*"
"""In a path: every element of a list; the result is a JSON array."""
_RULES: Final = "#rules"  # no member of a record that has a column begins so
COUNT: Final = "#"
"""Last in a path: the number of elements of a list."""


class ColumnKind(StrEnum):
    """The kind of a column's values. JSON is the text exactly as sent; TIMESTAMP is in microseconds, UTC.

    A REFERENCE is the id of another record: a string that Intercom also sends as a whole number. It holds what a STRING
    holds; only reading it is faster where it is a number.
    """

    STRING = "string"
    REFERENCE = "reference"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    JSON = "json"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type, the same for every value and file."""
        return _ARROW_TYPES[self]

    @property
    def held(self) -> ColumnKind:
        """The kind that a table's record names: kinds whose columns hold the same values are one."""
        return ColumnKind.STRING if self is ColumnKind.REFERENCE else self


_ARROW_TYPES: Final[dict[ColumnKind, pa.DataType]] = {
    ColumnKind.STRING: pa.string(),
    ColumnKind.REFERENCE: pa.string(),
    ColumnKind.INT: pa.int64(),
    ColumnKind.FLOAT: pa.float64(),
    ColumnKind.BOOL: pa.bool_(),
    ColumnKind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    ColumnKind.JSON: pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and where its values are in a record.

    An empty ``path`` means the record's member ``name``. A flat column has a path of member names, for example
    ``("location", "country")``. ``otherwise`` is a second path for rows where the first has no value. Columns that hold
    the same values are equal, so that a file is not rewritten because a string became a reference.
    """

    name: str
    kind: ColumnKind = field(compare=False)
    path: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    held: ColumnKind = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "held", self.kind.held)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table's declared fields in the API's order, then flat columns taken out of nested objects.

    ``arrow`` adds ``_extra`` (string), ``_deleted_at`` if deleted rows are marked (`marks_deleted`), and
    ``_ingested_at`` (both timestamp[us, UTC]); every column may be null. `rules` protect values of the records;
    `fields` and `flat` are what is left under these rules.
    """

    fields: tuple[Column, ...]
    flat: tuple[Column, ...] = ()
    rules: ColumnRules = NO_RULES
    marks_deleted: bool = False
    arrow: pa.Schema = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns = [pa.field(column.name, column.kind.arrow) for column in (*self.fields, *self.flat)]
        columns.append(pa.field(EXTRA, ColumnKind.JSON.arrow))
        columns += [pa.field(name, ColumnKind.TIMESTAMP.arrow) for name in self.times_of_ours]
        object.__setattr__(self, "arrow", pa.schema(columns))

    @property
    def times_of_ours(self) -> tuple[str, ...]:
        """The last columns: times that runs set, and no record has."""
        return (DELETED_AT, INGESTED_AT) if self.marks_deleted else (INGESTED_AT,)

    def configured(self, rules: ColumnRules, *, marks_deleted: bool) -> TableSchema:
        """The columns under a connection's rules, and with ``_deleted_at`` if deleted rows are marked.

        Columns whose values are taken out leave. Those that get a text in place of their values become strings; JSON
        stays JSON. Without rules and marks, before and now, they are the same columns.
        """
        if not (rules or self.rules) and marks_deleted == self.marks_deleted:
            return self
        fields = [under for column in self.fields if (under := _under(rules, column)) is not None]
        flat = [under for column in self.flat if (under := _under(rules, column)) is not None]
        return replace(self, fields=tuple(fields), flat=tuple(flat), rules=rules, marks_deleted=marks_deleted)

    @property
    def fingerprint(self) -> str:
        """16 hex digits: a hash of columns' names and types in order, and of rules. Equal ones: equal file layouts."""
        layout = "\n".join(f"{column.name}:{column.type}" for column in self.arrow)
        layout += f"\n{self.rules.to_json()}" if self.rules else ""
        return hashlib.sha256(layout.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: column name -> kind; for a flat column a list of kind, path and second path.

        Unlike `arrow`, it distinguishes JSON columns from strings. `marks_deleted` is the name of its column, and
        rules are an object with the name `_RULES`.
        """
        own = {column.name: str(column.held) for column in self.fields}
        flat = {column.name: [str(column.held), list(column.path), list(column.otherwise)] for column in self.flat}
        marked = {DELETED_AT: str(ColumnKind.TIMESTAMP)} if self.marks_deleted else {}
        return own | flat | marked | ({_RULES: self.rules.to_json()} if self.rules else {})

    @classmethod
    def from_json(cls, columns: Mapping[str, Any]) -> TableSchema:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for another object."""
        return _from_json_text(json.dumps(columns))


@lru_cache(maxsize=256)
def _from_json_text(text: str) -> TableSchema:
    """`TableSchema.from_json`; kept, because a run reads the record of a table some five times."""
    columns = json.loads(text)
    own = {name: kind for name, kind in columns.items() if isinstance(kind, str) and name != DELETED_AT}
    flat = {name: entry for name, entry in columns.items() if isinstance(entry, list)}
    rules = columns.get(_RULES)
    return TableSchema(
        tuple(Column(name, ColumnKind(kind)) for name, kind in own.items()),
        tuple(
            Column(name, ColumnKind(kind), tuple(path), tuple(otherwise))
            for name, (kind, path, otherwise) in flat.items()
        ),
        rules=NO_RULES if rules is None else ColumnRules.from_json(rules),
        marks_deleted=DELETED_AT in columns,
    )


def plain_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names of members in a path; rules have no others."""
    return tuple(name for name in path if name not in (EACH, COUNT))


def _under(rules: ColumnRules, column: Column) -> Column | None:
    """A column under rules; None if it has no values any more. A second path with other values than the first goes."""
    fate = _fate(rules, column.path or (column.name,))
    if fate is Fate.GONE:
        return None
    otherwise = column.otherwise if column.otherwise and _fate(rules, column.otherwise) is fate else ()
    replaced = fate is Fate.TEXT and column.kind is not ColumnKind.JSON
    return replace(column, kind=ColumnKind.STRING if replaced else column.kind, otherwise=otherwise)


def _fate(rules: ColumnRules, path: tuple[str, ...]) -> Fate:
    fate = rules.fate(plain_path(path))
    return Fate.GONE if fate is Fate.TEXT and path[-1] == COUNT else fate  # a text has no elements


def columns(kind: ColumnKind, names: str) -> tuple[Column, ...]:
    """Fields of one kind; their names are separated by blanks."""
    return tuple(Column(name, kind) for name in names.split())


def members(parent: str, kind: ColumnKind, names: str) -> tuple[Column, ...]:
    """Flat columns ``<parent>_<name>`` of one kind, taken from a nested object; names separated by blanks."""
    return tuple(Column(f"{parent}_{name}", kind, (parent, name)) for name in names.split())
