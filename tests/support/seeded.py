"""Workspaces as `Workspace.seeded` makes them; of those that have been made before with the same options, copies.

Making the records is a tenth of the time of most tests, and they are the same in each.
"""

from __future__ import annotations

import pickle
from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from intercom.sandbox import Workspace
from intercom.sandbox.children import ChildTable
from intercom.sandbox.options import Options
from intercom.sandbox.records import RecordTable


def seeded_workspace(**options: Any) -> Workspace:
    """A workspace of its own; `options` are those of `Workspace.seeded`, with the time at which its clock starts."""
    made, seeder = _made(tuple(sorted(options.items())))
    own = {name: options[name] for name in ("timezone", "now", "history_days", "one_day") if name in options}
    workspace = Workspace(seed=made.seed, **{"timezone": made.options.timezone, **own})
    for name, table in made.tables.items():
        _copy_records(table, workspace.tables[name])
    workspace._seeder = pickle.loads(seeder)
    _as_seeded[workspace] = _Seeded(
        tuple(sorted(options.items())), workspace.time(), _versions(workspace), deepcopy(workspace.options)
    )
    return workspace


@dataclass(frozen=True)
class _Seeded:
    made_of: tuple[tuple[str, Any], ...]
    time: float
    versions: tuple[int, ...]
    options: Options


_as_seeded: WeakKeyDictionary[Workspace, _Seeded] = WeakKeyDictionary()
_SECONDS_OF_A_TEST = 20
"""Within which the clock of a workspace counts as not moved: it runs with real time."""


def made_of(workspace: Workspace) -> Hashable | None:
    """The options of a workspace that is as it was seeded; None once records, options or the clock have changed."""
    seeded = _as_seeded.get(workspace)
    if seeded is None or workspace.options != seeded.options or _versions(workspace) != seeded.versions:
        return None
    at_once = all(search.index.seconds == 0 for search in workspace.searches.values())
    return seeded.made_of if at_once and workspace.time() - seeded.time < _SECONDS_OF_A_TEST else None


def _versions(workspace: Workspace) -> tuple[int, ...]:
    return tuple(table.version for table in workspace.tables.values())


@lru_cache(maxsize=8)
def _made(options: tuple[tuple[str, Any], ...]) -> tuple[Workspace, bytes]:
    """A workspace, which is not to be changed, and what would make its next records."""
    workspace = Workspace.seeded(**dict(options))
    return workspace, pickle.dumps(workspace._seeder)


def _copy_records(table: RecordTable, empty: RecordTable) -> None:
    empty._records.update(table._records)
    empty._orders.update({view: list(order) for view, order in table._orders.items()})
    empty._columns.update({field: dict(column) for field, column in table._columns.items()})
    empty.version = table.version
    if isinstance(table, ChildTable):
        assert isinstance(empty, ChildTable)
        empty._parents.update(table._parents)
        empty._children.update({parent: dict(children) for parent, children in table._children.items()})
