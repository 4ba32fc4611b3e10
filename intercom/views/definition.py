"""What a view of another tool's table is made of, as data, and the sets of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa


class Kind(StrEnum):
    """The type of a view's column, as DuckDB and Athena both name it. TIMESTAMP has no zone: it is UTC."""

    TEXT = "VARCHAR"
    NUMBER = "BIGINT"
    DECIMAL = "DOUBLE"
    FLAG = "BOOLEAN"
    TIME = "TIMESTAMP"


KINDS: Final[dict[pa.DataType, Kind]] = {
    pa.string(): Kind.TEXT,
    pa.int64(): Kind.NUMBER,
    pa.float64(): Kind.DECIMAL,
    pa.bool_(): Kind.FLAG,
    pa.timestamp("us", tz="UTC"): Kind.TIME,
}
"""What a column of the lake is in a view, by its type."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that a view reads, or one member of the JSON object in it; of the parent's table or of its own."""

    column: str
    member: str = ""
    of_parent: bool = False


REFERENCE: Final = re.compile(r"\{(?P<parent>parent:)?(?P<column>\w+)(?:\.(?P<member>\w+))?\}")


def reference(found: re.Match[str]) -> Reference:
    """The column that a match of `REFERENCE` names."""
    return Reference(found["column"], found["member"] or "", bool(found["parent"]))


IS_DELETED: Final = "IS DELETED"
"""In place of a column's source, see `ViewColumn`."""


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view.

    ``source`` is ``{column}``, ``{column.member}`` or ``{parent:column}``, whose value is converted to the kind; or an
    SQL expression of such names that has the kind already and that all engines understand. If empty, it is the column
    of the same name. `IS_DELETED` stands for whether the row is marked as deleted.
    """

    name: str
    kind: Kind
    source: str = ""

    @property
    def expression(self) -> str:
        """The source, also where it is not written."""
        return self.source or f"{{{self.name}}}"

    @property
    def references(self) -> Iterator[Reference]:
        """The columns that it reads."""
        return map(reference, REFERENCE.finditer(self.expression))


@dataclass(frozen=True, slots=True)
class View:
    """A view over one table of the lake, and over the table of its parents if a column needs it.

    Rows that are marked as deleted are in a view only if it has a column `IS_DELETED`.
    ``parent_key`` is the column with the key of the row in ``parent``.
    """

    name: str
    table: str
    columns: tuple[ViewColumn, ...]
    parent: str = ""
    parent_key: str = ""

    @property
    def has_deleted(self) -> bool:
        """Whether rows that are marked as deleted are in it."""
        return any(column.source == IS_DELETED for column in self.columns)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the lake's tables that it reads."""
        return (self.table, self.parent) if self.parent else (self.table,)


@dataclass(frozen=True, slots=True)
class ViewSet:
    """The views that stand in for the tables of another tool.

    ``title`` says which. ``differs`` are sentences about what these tables had and the views do not have.
    """

    title: str
    views: tuple[View, ...]
    differs: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """The names of the views."""
        return {view.name for view in self.views}

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the lake's tables that the views read, each once."""
        return tuple(dict.fromkeys(name for view in self.views for name in view.tables))


def same(kind: Kind, names: str) -> tuple[ViewColumn, ...]:
    """Columns of one kind that have the same name in the lake; names separated by blanks."""
    return tuple(ViewColumn(name, kind) for name in names.split())
