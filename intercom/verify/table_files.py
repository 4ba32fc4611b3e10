"""The local half of a verification: one table's files, read whole, against its record. Nothing is written or locked.

A run may change the table meanwhile. So differences are believed only if record and listing are the same after the
reading as before; else the table is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.keys import hashes_of
from intercom.compaction.memory import MERGING
from intercom.compaction.policy import waiting_rows
from intercom.errors import ConfigurationError, LakeError
from intercom.lake.parquet import open_parquet
from intercom.lake.state import TableState
from intercom.lake.state_json import state_from_json
from intercom.lake.store import stamped_size
from intercom.lake.table import LakeTable
from intercom.tables.table import Table
from intercom.verify.against_record import Recorded, gone_files, of_file, unsure
from intercom.verify.derived_rows import DerivedCheck
from intercom.verify.distinct_keys import repeated
from intercom.verify.findings import Difference, Kind, Repair, TableProof, about_rows
from intercom.verify.published_file import (
    ROWS_AT_ONCE,
    FileReading,
    key_columns,
    read_published,
    row_keys,
    shown_key,
)
from intercom.verify.staged_files import StagedCheck

log = logging.getLogger(__name__)

TRIES: Final = 5
"""How often a table is read, at most, that runs change at the same time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there of a table at a moment: two equal ones enclose a time in which nobody has changed it.

    `record` is the parsed JSON, None if there is none; `mixed` is why the files have no stamps.
    """

    record: dict[str, Any] | None
    stamps: Mapping[str, str]
    staged: Mapping[str, int]
    mixed: str = ""

    @classmethod
    def now(cls, lake_table: LakeTable) -> Seen:
        """From fresh listings. Raises LakeError when the storage refuses."""
        record = lake_table.peek_record()
        try:
            return cls(record, lake_table.published(), lake_table.staged_files())
        except ConfigurationError as error:
            return cls(record, {}, {}, str(error))

    @property
    def nothing(self) -> bool:
        """Whether the lake has nothing of the table."""
        return self.record is None and not self.stamps and not self.mixed

    @property
    def state(self) -> TableState | None:
        """The record; None if there is none, or if it is damaged. Raises LakeError for one of a later format."""
        try:
            return None if self.record is None else state_from_json(self.record)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def verify_files(
    table: Table, lake_table: LakeTable, lake_id: str | None, parent_table: LakeTable | None = None
) -> TableProof:
    """Read a table's files and staged parts whole, and compare them with its record and, if derived, with its parent.

    `table` is as the lake has it (`Table.as_recorded`); `parent_table` is the table that a derived one is made of.
    Raises LakeError when the storage refuses.
    """
    tables = [lake_table, *([parent_table] if parent_table is not None else [])]
    for _ in range(TRIES):
        before = [Seen.now(one) for one in tables]
        try:
            proof = _Reading(table, lake_table, lake_id, before[0], parent_table, before[-1]).proof()
        except (FileNotFoundError, LakeError):
            if [Seen.now(one) for one in tables] == before:
                raise
            continue
        if not proof.differences or [Seen.now(one) for one in tables] == before:
            return proof
        log.info("%s: a run has changed the table while it was verified; it is read again", table.name)
    return TableProof(
        table.name,
        failure=f"runs changed the table each of the {TRIES} times that it was read; verify again when none is at work",
    )


class _Reading:
    """One reading of a table, as it was seen before."""

    def __init__(
        self,
        table: Table,
        lake_table: LakeTable,
        lake_id: str | None,
        seen: Seen,
        parent_table: LakeTable | None,
        parent_seen: Seen,
    ) -> None:
        self._table, self._lake_table, self._lake_id, self._seen = table, lake_table, lake_id, seen
        self._parent_table, self._parent_seen = parent_table, parent_seen
        self._state = seen.state
        self._paths = {month: lake_table.files.path(month) for month in seen.stamps}
        self._recorded = Recorded(table, self._state, self._paths)
        self._notes: list[str] = []

    def proof(self) -> TableProof:
        """What is there, and what is wrong with it."""
        if self._seen.nothing:
            return TableProof(self._table.name, skipped="the lake has nothing of it")
        if self._seen.mixed:
            stray = self._difference(Kind.STRANGER, "files of one format", self._seen.mixed, Repair.BY_HAND)
            return TableProof(self._table.name, differences=(stray,))
        known = self._digest_keys()
        readings = self._readings(known)
        staged = StagedCheck(self._table, self._lake_table, self._state, self._seen.staged, known)
        differences = [
            *self._of_record(),
            *self._of_files(readings),
            *self._repeated_keys(readings),
            *staged.differences(),
            *self._strangers(),
        ]
        if not differences:  # else rows are missing with the files that others have replaced
            differences += self._unknown_digests(known, readings, staged.held)
        return TableProof(
            self._table.name,
            files=len(readings),
            rows=sum(reading.rows for reading in readings.values()),
            bytes=sum(reading.size for reading in readings.values()),
            differences=tuple(differences),
            notes=tuple(self._told(readings)),
        )

    def _readings(self, known: pa.Array) -> dict[str, FileReading]:
        stamps = self._seen.stamps

        def one(month: str) -> FileReading:
            with self._lake_table.files.fetch(month) as path, MERGING.rows_of([path]):
                return read_published(self._table, path, month, known)

        size = sum(map(stamped_size, stamps.values()))
        return dict(zip(stamps, self._lake_table.lake.each(one, list(stamps), size), strict=True))

    # -- the record -----------------------------------------------------------------------------------------------

    def _of_record(self) -> Iterator[Difference]:
        if self._state is None and self._table.made_of is not None:
            self._notes.append("it has no record; the next sync makes it again")  # its first making may have died
        elif self._state is None:
            found = "no record" if self._seen.record is None else "a damaged record"
            yield self._difference(Kind.RECORD, "a record of the files", found, self._whole_repair)
        elif self._lake_id is not None and self._state.lake_id != self._lake_id:
            yield self._difference(Kind.RECORD, "a record of this lake", "that of another lake", self._whole_repair)
        elif (older := self._lake_table.superseded()) is not None:
            own, counts = older
            found = f"generation {own}, put back; runs go by the copy"
            yield self._difference(Kind.RECORD, f"generation {counts}", found, self._whole_repair)

    def _difference(self, kind: Kind, expected: str, found: str, repair: Repair) -> Difference:
        return Difference(self._table.name, kind, self._lake_table.paths.state, expected, found, repair)

    @property
    def _whole_repair(self) -> Repair:
        return Repair.DERIVE if self._table.made_of else Repair.READ_TABLE

    # -- files ----------------------------------------------------------------------------------------------------

    def _of_files(self, readings: Mapping[str, FileReading]) -> Iterator[Difference]:
        if self._parent_table is not None and self._table.made_of is not None:
            check = DerivedCheck(self._recorded, self._lake_table, self._parent_table, self._seen.stamps)
            yield from check.differences(readings, self._parent_seen.stamps)
            self._notes += check.notes
            return
        yield from gone_files(self._recorded, self._seen.stamps)
        for reading in readings.values():
            yield from of_file(self._recorded, reading)

    def _repeated_keys(self, readings: Mapping[str, FileReading]) -> Iterator[Difference]:
        def texts(month: str, hashes: pa.Array) -> Iterator[str]:
            with self._lake_table.files.fetch(month) as path, open_parquet(path) as file:
                columns = list(key_columns(self._table))
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
                    keys = row_keys(self._table, batch)
                    yield from map(str, keys.filter(pc.is_in(hashes_of(keys), value_set=hashes)).to_pylist())

        usable = {month: reading.keys for month, reading in readings.items() if reading.damage is None}
        by_months: dict[tuple[str, ...], list[str]] = {}
        for key, months in repeated(usable, texts).items():
            by_months.setdefault(tuple(dict.fromkeys(months)), []).append(shown_key(key))
        for places, keys in by_months.items():
            where = " and ".join(self._paths[month] for month in places)
            expected, found = "each key once", "keys with several rows"
            yield about_rows(
                self._table.name, Kind.KEY_TWICE, where, expected, found, self._whole_repair, keys, months=places
            )

    # -- what belongs to the files --------------------------------------------------------------------------------

    def _digest_keys(self) -> pa.Array:
        """Keys of rows that the next run would take for unchanged, without those that JSON writes with escapes.

        None of a table whose digests are not of its rows: a child table's are of its parents' answers.
        """
        if self._state is None or self._state.digests is None or self._table.is_child or self._table.is_replaced:
            return pa.array([], pa.string())
        found = self._lake_table.kept_digests(self._state.digests)
        return pa.array([key.decode() for key in found if b"\\" not in key], pa.string())

    def _unknown_digests(
        self, known: pa.Array, readings: Mapping[str, FileReading], staged: set[str]
    ) -> Iterator[Difference]:
        held = staged.union(*(reading.held for reading in readings.values()))
        if lost := sorted(set(map(str, known.to_pylist())) - held):
            keys, where = [shown_key(key) for key in lost], self._lake_table.paths.digests
            expected, found = "rows of the table", "rows that it does not have"
            yield about_rows(self._table.name, Kind.DIGESTS, where, expected, found, Repair.READ_TABLE, keys)

    def _strangers(self) -> Iterator[Difference]:
        for path in self._lake_table.files.strangers():
            yield Difference(
                self._table.name,
                Kind.STRANGER,
                path,
                "no such file",
                "a file that readers may take for one of the table's",
                Repair.BY_HAND,
            )

    def _told(self, readings: Mapping[str, FileReading]) -> Iterator[str]:
        yield from self._notes
        if self._state is None:
            return
        yield from unsure(self._state, readings)
        if waiting := waiting_rows(self._state):
            yield f"{waiting:,} staged rows wait to be merged, and are not among the rows"
        if self._state.damaged and not self._state.staged_whole:
            yield "the next sync reads it from the beginning, and writes what is damaged again"
        if not self._state.complete:
            yield f"run {self._state.run_id} has read fewer rows than Intercom counts"
