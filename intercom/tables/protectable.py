"""Which values of a table's records a rule may protect, and under which names they are known. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import Path
from intercom.tables.read_marks import own_key
from intercom.tables.schema import COUNT, DELETED_AT, EXTRA, INGESTED_AT, Column, ColumnKind, plain_path
from intercom.tables.table import Access, Table


class NotProtectableError(ValueError):
    """A name that no rule may have; the message says why, in words that follow the name."""


def paths_of(table: Table, given: str | Sequence[str]) -> list[Path]:
    """The paths of the values that a name stands for.

    A name is that of a field, or of a flat column, whose value lies in a nested object. Members of nested objects
    follow with dots, or as further texts of a list where a name has a dot itself. ``_extra.NAME`` is a member that has
    no column. Raises NotProtectableError.
    """
    names = given.split(".") if isinstance(given, str) else list(given)
    if not names or not all(names):
        raise NotProtectableError("is not the name of a column, or path of names with dots between")
    found = list(_found(table, names))
    for path in found:
        if why := _needed_for(table, path):
            raise NotProtectableError(why)
    return found


def _found(table: Table, names: Sequence[str]) -> Iterator[Path]:
    first, *inner = names
    fields = {column.name: column for column in table.schema.fields}
    flat = {column.name: column for column in table.schema.flat}
    if table.access is Access.DERIVED:
        assert table.parent is not None
        raise NotProtectableError(
            f"belongs to a table that is made from {table.parent.table.name} in the lake: protect it there, as a "
            f"member of {table.records_at[0]}, such as {'.'.join(table.records_at)}.name"
        )
    if first in (INGESTED_AT, DELETED_AT) or names == [EXTRA]:
        raise NotProtectableError(
            f"is a column of the lake; a member that has no column of its own is named {EXTRA}.NAME"
        )
    if first == EXTRA:
        first, *inner = inner
        yield from _found(table, [first, *inner]) if first in fields else [(first, *inner)]
        return
    column = fields.get(first) or flat.get(first)
    if column is None:
        near = get_close_matches(first, [*fields, *flat], 1)
        hint = f"did you mean {near[0]}?" if near else f"a member that has no column is named {EXTRA}.{first}"
        raise NotProtectableError(f"is not a column of the table; {hint}")
    if inner and column.kind is not ColumnKind.JSON:
        raise NotProtectableError(f"cannot be found: {first} is not an object and has no members. Protect {first}")
    yield from (_members(path, inner) for path in _places(column))


def _places(column: Column) -> Iterator[Path]:
    if column.path and column.path[-1] == COUNT:
        raise NotProtectableError(f"is counted, and no value of its own: exclude {'.'.join(plain_path(column.path))}")
    for path in dict.fromkeys((column.path or (column.name,), column.otherwise)):
        if path and path[-1] != COUNT:
            yield plain_path(path)


def _members(path: Path, inner: Sequence[str]) -> Path:
    return (*path, *inner)


def _needed_for(table: Table, path: Path) -> str:
    """Why a value has to come as it is sent; empty if nothing needs it."""
    name, parent = path[0], table.parent
    inherits = parent.inherits if parent else {}
    for reason, columns in (
        ("it is part of the primary key, by which rows are merged", (*table.primary_key, *table.required)),
        (f"it comes from the row's {parent.table.name if parent else ''}, and says to which it belongs", inherits),
        (
            "it is the cursor field, by which runs find what has changed",
            [table.cursor_field if parent is None else None],
        ),
        ("it says which version of a row is the newest", [table.version_field]),
        ("its month is the row's partition", [table.month_field]),
        ("it says which request has read the row", table.carries),
        ("it tells which older rows an answer may lack", [parent.cut_by if parent else None]),
    ):
        if name in columns:
            return f"cannot be protected: {reason}"
    for derived in TABLES.values():
        if derived.made_of is None or derived.made_of.name != table.name:
            continue
        for records_at in (derived.records_at, derived.records_otherwise):
            keys = [(*records_at, key) for key in own_key(derived)]
            if records_at and (any(key[: len(path)] == path for key in keys) or _is_element(derived, path, records_at)):
                return (
                    f"cannot be protected: {derived.name} is made from this list, by the "
                    f"{' and '.join(own_key(derived))} of its elements. Protect other members of them, such as "
                    f"{'.'.join(records_at)}.name"
                )
    return ""


def _is_element(derived: Table, path: Path, records_at: Path) -> bool:
    """Whether a path leads to, or into, elements that are keys themselves."""
    return bool(derived.element_as) and path[: len(records_at)] == records_at
