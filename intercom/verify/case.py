"""One table while it is compared with its workspace: whom to ask, what the lake has, and what came.

Every conclusion is drawn at the end, from all that came. If a run has changed the table meanwhile, it is drawn again
with the rows that the table has then, so that a run beside a verification is no difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pyarrow as pa

from intercom.api.allowance import Allowance
from intercom.api.client import IntercomClient, TableClient
from intercom.compaction.keys import KEY
from intercom.config.lookback import USUAL_LOOKBACK, Lookback
from intercom.errors import FatalApiError, RequestsSpentError, RetriableApiError
from intercom.extract.completeness import Completeness
from intercom.extract.extraction import Extraction, SliceEnd
from intercom.extract.one_record import ask_record
from intercom.extract.pages import Page
from intercom.lake.table import LakeTable
from intercom.sync.protection import Protection
from intercom.sync.read_table import NothingKept
from intercom.tables.table import Table
from intercom.verify.api_rows import ApiRows
from intercom.verify.judge import Expected, Judged, compare_versions, differing_fields, only
from intercom.verify.lake_index import LakeIndex, indexed, rows_of

log = logging.getLogger(__name__)

FOR_ADDRESSES: Final = 40
"""Requests that are kept for asking for single records: so many suspects are confirmed by their own addresses."""
_CONCLUSIONS: Final = 3


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """How much of a table is compared with the workspace.

    `sample`: records that are drawn at random, and as many of the newest and of the oldest; of those that changed last
    ten times as many. `most_requests`: of each table. `seed`: of what is random.
    `lookback`: of the runs that keep the lake up to date; what is older than that is not read again by them.
    """

    sample: int = 50
    most_requests: int = 200
    seed: int = 0
    lookback: Lookback = USUAL_LOOKBACK


@dataclass
class Case:
    """`expected` is what the lake has to have. `zone`: the workspace's time zone, None if it is unknown.

    `seen` are rows as searches and lists gave them, `own` as their own address gave them. `gone` are keys that their
    own address does not know.
    """

    table: Table
    client: IntercomClient
    lake_table: LakeTable
    index: LakeIndex
    expected: Expected
    run_start: int
    allowance: Allowance
    limits: ApiLimits
    zone: str | None = None
    notes: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    windows: int = 0

    def __post_init__(self) -> None:
        key = self.client.connection.hash_key
        people = self.lake_table.forgotten()
        protection = Protection(self.table, key.get_secret_value() if key else None, people)
        self.seen, self.own = ApiRows(self.table, protection), ApiRows(self.table, protection)
        self._asked: set[str] = set()
        self._addresses: bool | None = None if self.table.record_path else False

    def extraction(self, receive: Callable[[Page], object] | None = None) -> Extraction:
        """For requests of the table; pages go to `seen` unless they are received otherwise.

        Each has a client of its own, so that one that ends in an error does not stop the others.
        """
        take = self.seen.add if receive is None else receive

        def pages_alone(item: Page | SliceEnd) -> None:
            if isinstance(item, Page):
                take(item)

        return Extraction(
            self.client.for_table(self.table.name, self.table.scope, self.allowance),
            self.table,
            self.run_start,
            pages_alone,
            expect=lambda _: None,
            resumable=NothingKept(),
            completeness=Completeness(),
        )

    # -- single records -------------------------------------------------------------------------------------------

    def ask(self, keys: Iterable[str]) -> None:
        """Ask for records by their own addresses, as far as requests are left; each key once.

        One that was seen is asked for first: if even that is not found, a 404 says nothing.
        """
        wanted = [key for key in dict.fromkeys(keys) if key not in self._asked]
        if self._addresses is None and wanted and self.allowance.left > 1:
            self._addresses = self._try_addresses(wanted)
        if not self._addresses:
            return
        wanted = [key for key in wanted if key not in self._asked][: max(0, self.allowance.left)]
        api = self.client.for_table(self.table.name, self.table.scope, self.allowance)
        jobs = [partial(self._ask_one, api, key) for key in wanted]
        try:
            self.extraction().in_parallel(jobs)
        except RequestsSpentError:
            log.info("%s: the allowed requests are spent", self.table.name)

    def unanswered(self, keys: Collection[str]) -> int:
        """How many of these keys were not asked for, or gave no usable answer."""
        return len(set(keys) - self._asked) if self.table.record_path else 0

    def _try_addresses(self, wanted: Collection[str]) -> bool:
        known = [str(key) for key in self.seen.rows().column(KEY).to_pylist() if key not in wanted][:3]
        api = self.client.for_table(self.table.name, self.table.scope, self.allowance)
        for key in known:
            if self._ask_one(api, key):
                return True
        self.gone.clear()
        self.notes.append(
            f"{self.table.name}: records were not found by their own addresses, not even some that are listed, so "
            "nothing was confirmed by them"
        )
        return False

    def _ask_one(self, api: TableClient, key: str) -> bool:
        self._asked.add(key)
        try:
            answer = ask_record(api, self.table, key)
        except RetriableApiError as error:
            log.warning("%s: no usable answer for one record: %s", self.table.name, error)
            return False
        if isinstance(answer, FatalApiError):
            return False
        if answer is None:
            self.gone.add(key)
            return False
        self.own.add(answer)
        return True

    # -- conclusions ----------------------------------------------------------------------------------------------

    def conclude(self, extra: Collection[str]) -> tuple[Judged, list[str]]:
        """What differs, and keys of the lake that the workspace does not have any more.

        `extra` are keys that lists or searches should have had. Suspects are asked for by their own addresses.
        """
        self.ask(extra)
        for _ in range(_CONCLUSIONS):
            try:
                judged = self._judged()
                if judged.suspects:
                    self.ask(judged.suspects[:FOR_ADDRESSES])
                    judged = self._judged()
                gone = self._alive()
            except FileNotFoundError:  # a run has replaced a file meanwhile
                judged, gone = Judged(), []
                if self.lake_table.peek() == self.index.state:
                    raise
            if self.lake_table.peek() == self.index.state:
                return judged, gone
            again = indexed(self.table, self.lake_table)
            if again is None:
                break
            self.index = again
        self.notes.append(f"{self.table.name}: runs have changed the table again and again, so nothing was concluded")
        return Judged(), []

    def _alive(self) -> list[str]:
        """The keys that are gone in the workspace and alive in the lake."""
        gone = pa.array(sorted(self.gone), pa.string())
        return [str(key) for key in gone.filter(self.index.places_of(gone).is_valid()).to_pylist()]

    def _judged(self) -> Judged:
        """By what searches gave, corrected by what the records' own addresses gave."""
        first, own = self._compare(self.seen), self._compare(self.own)
        known = {str(key) for key in self.own.rows().column(KEY).to_pylist()}
        found = Judged(later=first.later, same=first.same | own.same)
        for name in ("missing", "fields"):
            ours, theirs = getattr(first, name), getattr(own, name)
            kept = {key: value for key, value in ours.items() if key not in known and key not in self.gone}
            getattr(found, name).update(kept | theirs)
        for key in list(found.fields):
            # A record may look a little different at its own address, so that only what both have counts.
            if key in first.same:
                del found.fields[key]
            elif key in first.fields and key in own.fields:
                found.fields[key] = tuple(column for column in first.fields[key] if column in own.fields[key])
        found.fields = {key: names for key, names in found.fields.items() if names}
        still = [key for key in first.stale if key not in known and key not in self.gone]
        found.stale = list(dict.fromkeys([*still, *own.stale]))
        return found

    def _compare(self, given: ApiRows) -> Judged:
        rows = given.rows()
        if not rows.num_rows:
            return Judged()
        versions = compare_versions(rows, self.index, self.expected)
        stored = rows_of(self.table, self.lake_table, self.index, versions.same)
        differing = differing_fields(self.table, stored, only(rows, versions.same))
        return Judged(
            versions.missing,
            versions.stale,
            differing,
            versions.later,
            set(versions.same) - differing.keys(),
        )
