"""The files that locks are made of: one heartbeat per attempt at a run, numbered generations per table.

    _locks/runs/<attempt>.json                                  written again and again while the run lives
    _locks/tables/<connection>/<table>/<generation>.json        names the attempt that took the table

The greatest generation of a table counts. It is never removed before a greater one is there, so that numbers only grow
and one that was seen free a while ago cannot be won again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from intercom.errors import LakeError
from intercom.lake.layout import folder_name
from intercom.lake.storage import Lake

_AT_A_TIME = 8
_From = TypeVar("_From")
_To = TypeVar("_To")


def heartbeat_path(attempt: str) -> str:
    """Where an attempt shows that it lives."""
    return f"_locks/runs/{attempt}.json"


@dataclass(frozen=True, slots=True)
class LockFiles:
    """The generations of one connection's tables in a lake."""

    lake: Lake
    connection: str

    def path(self, table: str, generation: int) -> str:
        """Where a generation says who has taken it."""
        return f"{self._folder}/{table}/{generation:06d}.json"

    def generations(self, tables: Iterable[str], table: str | None = None) -> dict[str, list[int]]:
        """Table -> its generations, ascending, from one fresh listing; of `table` alone if it is given."""
        found: dict[str, list[int]] = {name: [] for name in tables}
        for path in self.lake.list(self._folder if table is None else f"{self._folder}/{table}"):
            name, _, number = path.removeprefix(f"{self._folder}/").removesuffix(".json").rpartition("/")
            if name in found and number.isdecimal():
                found[name].append(int(number))
        return {name: sorted(numbers) for name, numbers in found.items()}

    def heartbeats(self) -> dict[str, dict[str, Any]]:
        """Path -> heartbeat of every run over the connection that has not released its tables, or never will."""
        paths = list(self.lake.list("_locks/runs"))
        found = {path: beat for path, beat in zip(paths, self.each(self.read, paths), strict=True) if beat is not None}
        return {
            path: beat for path, beat in found.items() if beat.get("connection", self.connection) == self.connection
        }

    def read(self, path: str) -> dict[str, Any] | None:
        """A record; None when it is gone, an empty one when it is damaged or not written to its end."""
        try:
            record = self.lake.read_json(path)
        except ValueError:
            return {}
        return record if record is None or isinstance(record, dict) else {}

    def each(self, do: Callable[[_From], _To], items: Iterable[_From]) -> list[_To]:
        """Do something for each item, at the same time where every request is a way to go."""
        items = list(items)
        if self.lake.local or len(items) < 2:
            return [do(item) for item in items]
        with ThreadPoolExecutor(min(_AT_A_TIME, len(items)), thread_name_prefix="lock") as pool:
            return list(pool.map(do, items))

    @property
    def _folder(self) -> str:
        return f"_locks/tables/{folder_name(self.connection)}"


@dataclass(frozen=True, slots=True)
class LockToken:
    """What a run holds, as plain values: another process can ask the store with it whether that is still so.

    `generations` is empty when the store is no place for locks; then nothing is ever lost.
    """

    attempt: str
    connection: str
    generations: Mapping[str, int] = field(default_factory=dict)

    def check(self, lake: Lake, table: str) -> None:
        """Raise LakeError when the table is not held any more. One listing and one read."""
        if table not in self.generations:
            return
        files = LockFiles(lake, self.connection)
        newest = files.generations([table], table)[table][-1:]
        if newest != [self.generations[table]] or files.read(heartbeat_path(self.attempt)) is None:
            raise LakeError(lost([table], self.attempt))


def lost(tables: Iterable[str], attempt: str, why: str = "") -> str:
    """What a run is told whose lock is gone."""
    return (
        f"The lock on {', '.join(tables)} was lost by {attempt}{why}. Nothing more is written by this run; "
        "run again when no other one is under way."
    )
