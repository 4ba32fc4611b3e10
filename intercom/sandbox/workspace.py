"""The state of a simulated workspace: its records and its clock. Tests compare the lake with its records."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from threading import RLock
from typing import Any

import msgspec

from intercom.sandbox.children import CHILDREN, ChildOf, ChildTable
from intercom.sandbox.clock import Clock
from intercom.sandbox.options import Options
from intercom.sandbox.records import Record, RecordTable
from intercom.sandbox.scroll import Scroll
from intercom.sandbox.search.fields import SEARCHABLE
from intercom.sandbox.search.lag import LaggingIndex
from intercom.sandbox.search.matches import INDEXED
from intercom.sandbox.search.search import Search
from intercom.sandbox.seed.seeder import MAKERS, Seeder

TABLES = tuple(MAKERS)
DISTINCT_CONTACTS = 5_000
SIZES: Mapping[str, int] = {
    "contacts": 300,
    "companies": 80,
    "conversations": 150,
    "articles": 40,
    "tags": 12,
    "segments": 6,
    "admins": 5,
    "teams": 3,
    "data_attributes": 0,
}
"""Records of a seeded workspace, if not said otherwise; data attributes are beside those that each workspace has."""
FURTHER = tuple(table for table in TABLES if table not in SIZES)


class Workspace:
    """Records of every table and a running clock; every method is thread-safe.

    Changes made here are served by the next request, also by searches unless ``lag_search`` says otherwise.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        timezone: str = "UTC",
        now: float | None = None,
        history_days: int = 5 * 365,
        one_day: bool = False,
    ) -> None:
        self.seed = seed
        self.options = Options(timezone=timezone)
        self.clock = Clock(now)
        self.lock = RLock()
        self.children = {name: ChildTable() for name in CHILDREN}
        self.tables: dict[str, RecordTable] = {name: RecordTable() for name in TABLES} | self.children
        self.scroll = Scroll(seed)
        self.searches = {
            table: Search(LaggingIndex(self.tables[table], self.time), search.fields, self.options, search.per_page)
            for table, search in SEARCHABLE.items()
        }
        self.last_pages = itertools.count()  # of searches, served until now
        self._seeder = Seeder(
            seed,
            now=self.now(),
            timezone=timezone,
            app_id=self.options.app_id,
            history_days=history_days,
            one_day=one_day,
        )

    @classmethod
    def seeded(
        cls,
        *,
        seed: int = 7,
        timezone: str = "America/Los_Angeles",
        now: float | None = None,
        history_days: int = 5 * 365,
        one_day: bool = False,
        further: int = 0,
        **sizes: int,
    ) -> Workspace:
        """A workspace of synthetic records, the same for the same arguments.

        ``sizes`` are numbers of records by table; without one, a table has as many as `SIZES` says, or ``further``
        records if it is not there. The latter do not change the records of the former, but for the counts of parts.

        ``now`` is the unix second at which its clock starts; None is the real time, and then the records' times move
        with it. Records were created within ``history_days`` before that; with ``one_day`` they were all created and
        last changed on yesterday's local date. Contacts beyond the first 5,000 are copies of those with ids, e-mails
        and times of their own.
        """
        workspace = cls(seed=seed, timezone=timezone, now=now, history_days=history_days, one_day=one_day)
        if unknown := sorted(sizes.keys() - set(TABLES)):
            raise ValueError(f"The sandbox has no tables {', '.join(unknown)}")
        counts = {**dict.fromkeys(FURTHER, further), **SIZES, **sizes}
        contacts = counts["contacts"]
        distinct = counts["contacts"] = min(contacts, DISTINCT_CONTACTS)
        for table, fields in workspace._seeder.workspace(counts):
            workspace._put(table, fields)
        for table in CHILDREN:
            if workspace.tables[table]:
                for parent in list(workspace.tables[CHILDREN[table].table].keys):
                    workspace._recount(table, parent)
        originals = list(workspace.tables["contacts"])
        for copy in workspace._seeder.copies(originals, contacts - distinct):
            workspace.tables["contacts"].put(copy)
        for table in workspace.searches:
            for field in INDEXED:
                workspace.tables[table].order(field)  # not in the first answer: a million take a second
        return workspace

    def time(self) -> float:
        """The workspace's time in unix seconds, with fractions."""
        return self.clock.time()

    def now(self) -> int:
        """The workspace's time in whole unix seconds, as in records."""
        return int(self.clock.time())

    def travel_to(self, unix_second: float) -> None:
        """Set the clock; it runs on from there."""
        self.clock.set(unix_second)

    def travel(self, seconds: float) -> None:
        """Move the clock on."""
        self.clock.advance(seconds)

    def lag_search(self, seconds: float) -> None:
        """Let every search show changes that are made from now on so many seconds after they were made."""
        with self.lock:
            for search in self.searches.values():
                search.index.seconds = seconds

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Copies of the records that the API serves for this table now, as json.loads gives them.

        Segments have their ``count``; archived data attributes, which the API leaves out unless asked, are not here.
        """
        with self.lock:
            rows = [json.loads(record.body) for record in self.tables[table]]
        return [row for row in rows if table != "data_attributes" or not row.get("archived")]

    def create(self, table: str, **fields: Any) -> dict[str, Any]:
        """Add a realistic record with these fields; created_at and updated_at are the clock's unless given."""
        with self.lock:
            record = self._seeder.record(table, self.now()) | fields
            if (relation := CHILDREN.get(table)) is not None and record[relation.member] is None:
                record[relation.member] = self.create(relation.table)["id"]
            if relation is not None and relation.names and relation.names not in fields:
                record[relation.names] = {**record[relation.names], "id": record[relation.member]}
            key = key_of(record, relation)
            if key in self.tables[table]:
                raise ValueError(f"{table} has a record {key!r} already")
            self._put(table, record)
            self._touch_parent(table, key)
            return self._row(table, key)

    def update(self, table: str, id: str | int, *, touch: bool = True, **fields: Any) -> dict[str, Any]:
        """Replace top-level fields of a record; updated_at is the clock's unless given or ``touch`` is False.

        So is that of its parent, if it has one.
        """
        with self.lock:
            record = self.tables[table][str(id)]
            if touch and record.updated_at is not None:
                fields.setdefault("updated_at", self.now())
            self.tables[table].put(record.changed(fields))
            if touch:
                self._touch_parent(table, str(id))
            return self._row(table, str(id))

    def delete(self, table: str, id: str | int) -> None:
        """Remove a record, and all that belongs to it, from all lists and searches at once, without a trace."""
        with self.lock:
            if table in CHILDREN:
                self._touch_parent(table, str(id), without=True)
            self.tables[table].remove(str(id))
            for name, children in self.children.items():
                if CHILDREN[name].table == table:
                    for child in children.of(str(id)):
                        children.remove(child.key)

    def inherited(self, table: str, key: str) -> Record:
        """The parent of a child table's record."""
        return self.tables[CHILDREN[table].table][self.children[table].parent(key)]

    def _put(self, table: str, fields: dict[str, Any]) -> None:
        """Add a new record; one of a child table that has no parent is left out."""
        relation = CHILDREN.get(table)
        if relation is None:
            self.tables[table].put(Record.encode(key_of(fields), fields))
            return
        key, parent = key_of(fields, relation), fields.pop(relation.member)
        if parent is not None:
            self.children[table].add(Record.encode(key, fields), str(parent))

    def _touch_parent(self, table: str, key: str, *, without: bool = False) -> None:
        """Change the parent of a record now; `without`: the record is about to go."""
        if table in CHILDREN:
            parent = self.children[table].parent(key)
            self._recount(table, parent, less=int(without))
            self.update(CHILDREN[table].table, parent)

    def _recount(self, table: str, parent: str, less: int = 0) -> None:
        """Let a parent's record say how many children it has, where it says anything."""
        relation = CHILDREN[table]
        if relation.counted is None:
            return
        member, name = relation.counted
        record = self.tables[relation.table][parent]
        counts = record.value(member)
        if counts is not None:
            counts[name] = len(self.children[table].of(parent)) - less
            self.tables[relation.table].put(record.changed({member: counts}))

    def _row(self, table: str, key: str) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(self.tables[table][key].body)
        return row


def key_of(fields: Mapping[str, Any], relation: ChildOf | None = None) -> str:
    """The id of a record; for built-in data attributes, which have none, ``model:name``.

    Where several parents may have a record of the same id, the parent's key is before it.
    """
    if relation is not None and relation.shared:
        return f"{fields[relation.member]}:{fields['id']}"
    number = fields.get("id")
    if isinstance(number, msgspec.Raw):
        number = json.loads(bytes(number))
    return f"{fields['model']}:{fields['name']}" if number is None else str(number)
