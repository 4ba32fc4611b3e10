"""The files of locks: one heartbeat per attempt at a run, and numbered generations per table.

    _locks/runs/<attempt>.json                                  rewritten regularly while the run lives
    _locks/tables/<connection>/<table>/<generation>.json        names the attempt that took the table

The greatest generation of a table counts. It is deleted only after a greater one exists. So the numbers only grow, and
a run that acts on an outdated listing cannot take a generation that was taken before.
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
    """Path of the heartbeat of an attempt."""
    return f"_locks/runs/{attempt}.json"


@dataclass(frozen=True, slots=True)
class LockFiles:
    """The generations of one connection's tables in a lake."""

    lake: Lake
    connection: str

    def path(self, table: str, generation: int) -> str:
        """Path of a generation, whose content names the attempt that took it."""
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
        """Path -> heartbeat of every run over the connection whose heartbeat was not deleted, dead runs included."""
        paths = list(self.lake.list("_locks/runs"))
        found = {path: beat for path, beat in zip(paths, self.each(self.read, paths), strict=True) if beat is not None}
        return {
            path: beat for path, beat in found.items() if beat.get("connection", self.connection) == self.connection
        }

    def read(self, path: str) -> dict[str, Any] | None:
        """The JSON object at a path; None if it is missing, empty if it is damaged or incomplete."""
        try:
            record = self.lake.read_json(path)
        except ValueError:
            return {}
        return record if record is None or isinstance(record, dict) else {}

    def each(self, do: Callable[[_From], _To], items: Iterable[_From]) -> list[_To]:
        """The results of `do` for each item; in several threads if the lake is not local."""
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
    """The tables that a run has locked, as plain values: another process can check with it that the lock still holds.

    `generations` is empty if the store does not support locks; then `check` never fails.
    """

    attempt: str
    connection: str
    generations: Mapping[str, int] = field(default_factory=dict)

    def check(self, lake: Lake, table: str) -> None:
        """Raise LakeError if the run does not hold the table any more. Takes one listing and one read."""
        if table not in self.generations:
            return
        files = LockFiles(lake, self.connection)
        newest = files.generations([table], table)[table][-1:]
        if newest != [self.generations[table]] or files.read(heartbeat_path(self.attempt)) is None:
            raise LakeError(lost([table], self.attempt))


def lost(tables: Iterable[str], attempt: str, why: str = "") -> str:
    """The error message for a run that has lost its lock."""
    return (
        f"The lock on {', '.join(tables)} was lost by {attempt}{why}. Nothing more is written by this run; "
        "run again when no other one is under way."
    )
