"""Erases a contact from a lake: from the rows of all tables, from what waits to be merged, from what is kept beside.

First the names of the contact are written down as digests, so that no run brings them back; then table after table is
rewritten. Each step can be done again: after a kill the same command finds what is left. The caller holds the locks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.compact import compact_table
from intercom.compaction.derive import derive_table
from intercom.compaction.rewrite import Change, rewrite_months, settled
from intercom.erasure.person import Person, find_person
from intercom.erasure.rows import RowEraser
from intercom.errors import LakeError
from intercom.lake.findings import intact, missing_from
from intercom.lake.forgotten import ForgottenPeople, read_forgotten, write_forgotten
from intercom.lake.parquet import open_parquet
from intercom.lake.state import TableState
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import Watermark
from intercom.normalise.erase import CONTACTS, Eraser
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.owed import OwedParent
from intercom.tables.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForgottenIn:
    """What was done in one table: numbers of rows `removed` and `masked`, of files rewritten, and of rejected records.

    `left` are rows in whose free text, written by others, a name of the person still stands. `old_files` are those of
    earlier versions of a Delta table that were deleted.
    """

    table: str
    removed: int = 0
    masked: int = 0
    files: int = 0
    rejected: int = 0
    left: int = 0
    old_files: int = 0


class _NoWatermarks:
    """Leaves watermarks outside the lake as they are: none moves."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        del connection, table, lake_id
        return None

    def save(self, watermark: Watermark) -> None:
        del watermark


class Erasure:
    """Erases one contact from the tables of a connection in a lake.

    `lake_tables` are all tables that the lake has a record of, by name. Raises LakeError for a table whose files are
    not those of its record, before anything is changed.
    """

    def __init__(
        self, lake: Lake, connection: str, lake_tables: Mapping[str, LakeTable], contact: str, *, write: bool = True
    ) -> None:
        self._lake, self._connection = lake, connection
        self._lake_tables = lake_tables
        self._states = {name: _sound(lake_table, write=write) for name, lake_table in lake_tables.items()}
        self.person = find_person(contact, lake_tables.get(CONTACTS))

    def preview(self) -> list[ForgottenIn]:
        """What would be done, of the published rows; nothing is written."""
        people = self._people()
        found = []
        for name, lake_table in self._lake_tables.items():
            table = self._table(name)
            if table.made_of is None:
                counts, _ = self._met(lake_table, self._eraser(table, people))
                found.append(replace(counts, rejected=lake_table.count_rejected_with(self.person.texts)))
        return found

    def run(self) -> list[ForgottenIn]:
        """Erase the contact; what was done in each table, those that are made of others last."""
        people = self._people()
        write_forgotten(self._lake, self._connection, people)
        # The contact's own row comes last: only it says by which names the same command finds the others after a kill.
        own = sorted((one for one in self._lake_tables if self._table(one).made_of is None), key=CONTACTS.__eq__)
        done = [self._erase(name, people) for name in own]
        return [*done, *(self._derive(name) for name in self._lake_tables if name not in own)]

    def _people(self) -> ForgottenPeople:
        person = self.person
        return read_forgotten(self._lake, self._connection).with_values(person.values, person.external_ids)

    def _erase(self, name: str, people: ForgottenPeople) -> ForgottenIn:
        table, lake_table = self._table(name), self._lake_tables[name]
        state = self._states[name]
        if state.staged:
            compact_table(table, lake_table, _NoWatermarks())
        lake_table.delete_staged(lake_table.staged_files())  # what runs that died have left, checkpoints too
        state = _sound(lake_table)
        counts, months = self._met(lake_table, self._eraser(table, people))
        state = replace(state, digests=None, sweep=None, owed=_not_of(self.person, state))
        rejected = lake_table.drop_rejected_with(self.person.texts)
        if months:
            rewrite_months(table, lake_table, state, months, self._change(table, people))
        else:
            lake_table.save(state)
        lake_table.delete_kept_keys()
        old = lake_table.clear_history()
        return replace(counts, files=len(months), rejected=rejected, old_files=old)

    def _change(self, table: Table, people: ForgottenPeople) -> Callable[[str], Change]:
        eraser, one_at_a_time = self._eraser(table, people), Lock()

        def change(_: str) -> Change:
            def rows(batch: pa.RecordBatch) -> pa.Table:
                with one_at_a_time:  # what is remade shares the normaliser
                    return eraser.erased(batch).rows

            return rows

        return change

    def _eraser(self, table: Table, people: ForgottenPeople) -> RowEraser:
        return RowEraser(table, Eraser(table, people), self.person)

    def _met(self, lake_table: LakeTable, eraser: RowEraser) -> tuple[ForgottenIn, dict[str, str]]:
        """What the published rows have of the person, and the months (with stamps) in which something is to be done."""
        removed = masked = left = 0
        months: dict[str, str] = {}
        for month, stamp in lake_table.published().items():
            touched = False
            with lake_table.files.fetch(month) as path, open_parquet(path) as file:
                for batch in file.iter_batches():
                    if pc.any(eraser.names_one(batch)).as_py():
                        found = eraser.erased(batch)
                        removed, masked, left = removed + found.removed, masked + found.masked, left + found.left
                        touched = touched or bool(found.removed or found.masked)
            months |= {month: stamp} if touched else {}
        return ForgottenIn(lake_table.paths.table, removed, masked, 0, 0, left), months

    def _derive(self, name: str) -> ForgottenIn:
        table, lake_table = self._table(name), self._lake_tables[name]
        assert table.made_of is not None
        parent = self._lake_tables.get(table.made_of.name)
        if parent is None:
            raise LakeError(
                f"{name} is made from {table.made_of.name}, of which the lake {self._lake.url} has no record. Sync "
                f"{table.made_of.name}, then forget again: {name} may still have the contact."
            )
        done = derive_table(table, lake_table, parent, run_id="forget", started_at=datetime.now(UTC)).compacted
        return ForgottenIn(name, done.removed, done.changed, done.files, old_files=lake_table.clear_history())

    def _table(self, name: str) -> Table:
        """A table with the columns and rules of its record, and so its parent."""
        columns = {one: state.columns for one, state in self._states.items() if state.columns is not None}
        marks = name in columns and columns[name].marks_deleted
        table = TABLES[name].configured(CopySettings(marks, tuple((one, each.rules) for one, each in columns.items())))
        return table if table.made_of or name not in columns else replace(table, schema=columns[name])


def _sound(lake_table: LakeTable, *, write: bool = True) -> TableState:
    """The table's record, if its files are those that it names; with `write` without a rewrite of rows that died."""
    name = lake_table.paths.table
    state = lake_table.state()
    if state is None:
        raise LakeError(f"{name}: the record {lake_table.paths.state} is damaged. Sync the table, then forget again.")
    findings = lake_table.findings(state)
    if (wrong := missing_from(state, findings)) is not None:
        raise LakeError(f"{name}: nothing can be erased, since {wrong}. Sync the table, then forget again.")
    if write:
        state = settled(lake_table, state, intact(state, findings))
    elif state.rewrites_rows:
        state = replace(state, rewriting=None)
    if state.rewriting is not None or state.columns is None:
        raise LakeError(f"{name}: its columns are being changed. Sync the table, then forget again.")
    return state


def _not_of(person: Person, state: TableState) -> tuple[OwedParent, ...]:
    return tuple(one for one in state.owed if one.key != person.contact)
