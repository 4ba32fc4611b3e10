"""Which tables a run copies: those that are named, those of a group, and those that others are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection, Table

GROUPS: Final[Mapping[str, frozenset[Selection]]] = {
    "default": frozenset({Selection.DEFAULT}),
    "all": frozenset({Selection.DEFAULT, Selection.ALL}),
}
"""Words that may stand in place of names, with the tables that each selects."""


@dataclass(frozen=True, slots=True)
class SelectedTables:
    """The tables of a run in catalogue order, each once.

    `named` are those that were named, not only selected by a group, and the tables that these are made of. `brought`
    are tables that nobody has selected, with the derived tables that are made of their rows.
    """

    tables: tuple[Table, ...]
    named: frozenset[str]
    brought: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables."""
        return tuple(table.name for table in self.tables)

    def remarks(self) -> Iterator[str]:
        """One line for each table that nobody has selected."""
        for parent, derived in self.brought.items():
            are = "is" if len(derived) == 1 else "are"
            yield f"{parent} is selected, too: {' and '.join(derived)} {are} made from its rows in the lake"


def select_tables(names: Iterable[str] | None) -> SelectedTables:
    """The tables that names of tables and `GROUPS` select; None or no name at all selects the group ``default``.

    A derived table brings its parent table with it. Raises ConfigurationError for unknown names; the message has all of
    them, and lists the valid ones.
    """
    wanted = set(names or ()) or {"default"}
    if unknown := unknown_names(sorted(wanted)):
        told = " ".join(
            f"There is no table {name!r}." + (f" Did you mean {near!r}?" if near else "")
            for name, near in unknown.items()
        )
        raise ConfigurationError(f"{told} {valid_names()}")
    of_groups = frozenset().union(*(GROUPS[name] for name in wanted & GROUPS.keys()))
    chosen = {name for name, table in TABLES.items() if name in wanted or table.selection in of_groups}
    named = wanted & TABLES.keys()
    brought: dict[str, list[str]] = {}
    for name in [name for name in TABLES if name in chosen]:
        for child, parent in _made_of(TABLES[name]):
            if parent not in chosen:
                brought.setdefault(parent, []).append(child)
            if name in named:
                named.add(parent)
    return SelectedTables(
        tuple(table for name, table in TABLES.items() if name in chosen or name in brought),
        frozenset(named),
        {name: tuple(dict.fromkeys(brought[name])) for name in TABLES if name in brought},
    )


def unknown_names(names: Iterable[str]) -> dict[str, str | None]:
    """The names that are neither of a table nor of a group, each with the valid name that is nearest to it."""
    valid = [*TABLES, *GROUPS]
    unknown = dict.fromkeys(name for name in names if name not in valid)
    return {name: next(iter(difflib.get_close_matches(name, valid, n=1)), None) for name in unknown}


def valid_names() -> str:
    """``Tables: contacts, companies, ...; groups: default, all.``"""
    return f"Tables: {', '.join(TABLES)}; groups: {', '.join(GROUPS)}."


def _made_of(table: Table) -> Iterator[tuple[str, str]]:
    """Each derived table on the way to the one that is read, and the table that it is made of."""
    while table.made_of is not None:
        yield table.name, table.made_of.name
        table = table.made_of
