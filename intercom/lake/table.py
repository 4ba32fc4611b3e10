"""One table in a lake: its record, its published files and its staged parts."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from intercom.lake.delta.files import DeltaFiles
from intercom.lake.findings import Findings
from intercom.lake.forgotten import ForgottenPeople, read_forgotten
from intercom.lake.layout import TableFormat, TablePaths, part_number, state_folder
from intercom.lake.parquet import Written, footer_digest, is_damage, marked_rows_of, newest_in, rows_of, version_of
from intercom.lake.published import PlainFiles, PublishedFile, PublishedFiles
from intercom.lake.rejected_records import (
    RejectedRecords,
    count_lines_with,
    count_reasons,
    drop_lines_with,
    hide_texts,
    remove_expired,
)
from intercom.lake.row_digests import RowDigest, read_digests, write_digests
from intercom.lake.staging import PartWriter
from intercom.lake.state import Generation, TableState
from intercom.lake.state_entries import Partition
from intercom.lake.state_file import Found, StateFile
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.lake.storage import Lake
from intercom.lake.sweeps import Sweep, read_sweep, write_sweep
from intercom.lake.watermark import Watermark
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import DELETED_AT, INGESTED_AT

log = logging.getLogger(__name__)


def recorded_tables(lake: Lake, connection: str) -> list[str]:
    """Names of the connection's tables that have a record in the lake, in the order of the catalogue; one listing."""
    there = set(lake.names(state_folder(connection)))
    return [table for table in TABLES if f"{table}.json" in there]


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One staged part.

    `month` is None if the table is not partitioned, or if the part has rows of several months.
    """

    attempt: str
    month: str | None
    path: str

    @property
    def number(self) -> int:
        """The part's number within its run, from 0, in the order in which the parts were made."""
        return part_number(self.path)


class LakeTable:
    """One table's record and files in one lake. Every answer comes from a fresh listing.

    All changes of the table go through methods of this class, which check the lock just before each step. Code outside
    `intercom.lake` uses `lake` and `files` for reading only. Some steps need no lock, because two runs may do them at
    the same time: parts and rejected records have names of their own for each run, expired rejected records may be
    deleted at any time, and of two runs that make the lake's identity, the first one counts.
    """

    def __init__(
        self,
        lake: Lake,
        paths: TablePaths,
        still_ours: Callable[[], None] = lambda: None,
        table_format: TableFormat = TableFormat.PARQUET,
    ) -> None:
        self.lake = lake
        self.paths = paths
        self.still_ours = still_ours
        """Raises LakeError when the lock is lost."""
        self._record = StateFile(lake, paths.state)
        self.files: PublishedFiles = (
            DeltaFiles(lake, paths)
            if table_format is TableFormat.DELTA
            else PlainFiles(lake, paths, partitioned=TABLES[paths.table].month_field is not None)
        )

    def state(self) -> TableState | None:
        """The table's record; None if it is missing or damaged. A run without a record only reads more rows."""
        return self._parsed(self._record.read())

    def peek(self) -> TableState | None:
        """As `state`, for a process that writes nothing to the lake: not even to try what the store can do."""
        record = self._record.peek()
        return None if record is None else self._parsed(Found(record, Generation(0, "")))

    def peek_record(self) -> dict[str, Any] | None:
        """The record as it is written, None if there is none; nothing is tried or parsed."""
        return self._record.peek()

    def superseded(self) -> tuple[int, int] | None:
        """As `StateFile.superseded`."""
        return self._record.superseded()

    def kept_digests(self, mark: str) -> dict[bytes, RowDigest]:
        """Key -> digest of the rows that are kept with this mark; empty if another one is there."""
        return read_digests(self.lake, self.paths, mark)

    def peek_at(self, table: str) -> TableState | None:
        """As `peek`, the record of another table of the same connection."""
        return LakeTable(self.lake, TablePaths(self.paths.connection, table)).peek()

    def beside(self, paths: TablePaths) -> LakeTable:
        """Another table of the same lake, in the same format, to be read."""
        kind = TableFormat.DELTA if isinstance(self.files, DeltaFiles) else TableFormat.PARQUET
        return LakeTable(self.lake, paths, table_format=kind)

    def _parsed(self, found: Found) -> TableState | None:
        if found.record is None:
            return None
        try:
            return replace(state_from_json(found.record), generation=found.generation)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s: the record %s is damaged (%s) and is ignored", self.paths.table, self.paths.state, error)
            return None

    # -- guarded steps: LakeError when the lock is lost -----------------------------------------------------------

    def save(self, state: TableState) -> TableState:
        """Replace the record that `state` was read from, in one step; gives the state with its new generation.

        Raises OvertakenError when another run has saved a record since, or the record is gone.
        """
        self.still_ours()
        over = state.generation
        if over is None:
            found = self._record.read()
            if found.record is not None and self._parsed(found) is None:
                over = found.generation  # a damaged record counts as none, and is replaced
        return replace(state, generation=self._record.save(state_to_json(state), over))

    def note_damage(self, month: str) -> None:
        """Mark a month's file as damaged in the record: the next run reads the table from the beginning."""
        state = self.state()
        if state is not None and month not in state.damaged:
            self.save(state.with_damage(month))

    def add_file(
        self, written: Path, month: str, rows: int, over: str | None, wrote: Written | None = None
    ) -> PublishedFile:
        """Write a month's finished file to the lake; as `PublishedFiles.add`."""
        self.still_ours()
        return self.files.add(written, month, rows, over, wrote)

    def drop_file(self, month: str, over: str) -> None:
        """Remove the file of a month that has no rows any more; as `PublishedFiles.drop`."""
        self.still_ours()
        self.files.drop(month, over)

    def commit_files(self, added: Sequence[PublishedFile], dropped: Sequence[str]) -> None:
        """Make added and dropped files visible; as `PublishedFiles.commit`."""
        self.still_ours()
        self.files.commit(added, dropped)

    def delete_staged(self, paths: Iterable[str]) -> None:
        """Delete files in the table's staging folder; a missing file is no error."""
        self.still_ours()
        gone = list(paths)
        self.lake.delete(gone)
        self.lake.own_parts.forget(gone)

    def write_checkpoint(self, attempt: str, name: str, record: Mapping[str, Any]) -> None:
        """Write a checkpoint of an attempt, beside its parts, for the next attempt at the same run."""
        self.still_ours()
        self.lake.write_json(self.paths.checkpoint(attempt, name), record)

    def write_digests(self, rows: Mapping[bytes, RowDigest], rules: str) -> str:
        """Write the digests of rows normalised by `rules`; gives the mark to be kept in the table's record."""
        self.still_ours()
        mark = f"{uuid4().hex}-{rules}"
        write_digests(self.lake, self.paths, mark, rows)
        return mark

    def write_sweep(self, sweep: Sweep) -> str:
        """Write what a complete read lacked; gives the mark to be kept in the table's record."""
        self.still_ours()
        mark = uuid4().hex
        write_sweep(self.lake, self.paths, mark, sweep)
        return mark

    def delete_kept_keys(self) -> None:
        """Delete the keys that are kept beside the record: of rows that came unchanged, and of doubted ones."""
        self.still_ours()
        self.lake.delete([self.paths.digests, self.paths.sweep])

    def drop_rejected_with(self, values: Sequence[str]) -> int:
        """Drop the rejected records that have one of these values; gives their number."""
        self.still_ours()
        return drop_lines_with(self.lake, self.paths, values)

    def clear_history(self) -> int:
        """Delete at once what only older versions of the table need; gives the number of data files."""
        self.still_ours()
        return self.files.clear_history()

    # -- steps that need no lock, see above -----------------------------------------------------------------------

    def part_writer(
        self,
        attempt: str,
        schema: pa.Schema,
        *,
        partition_field: str | None,
        keys: Sequence[str],
        first: int,
        one_part: bool,
    ) -> PartWriter:
        """Stages the rows of an attempt at a run, as parts numbered from `first` on; arguments as for `PartWriter`."""
        return PartWriter(
            self.lake,
            self.paths,
            attempt,
            schema,
            partition_field=partition_field,
            keys=keys,
            first=first,
            one_part=one_part,
        )

    def rejected_records(self, run_id: str) -> RejectedRecords:
        """Keeps the records of a run that cannot be rows."""
        return RejectedRecords(self.lake, self.paths, run_id)

    def hide_rejected_texts(self) -> None:
        """Keep lengths in place of the texts of all rejected records of the table."""
        hide_texts(self.lake, self.paths)

    def delete_expired_rejects(self, now: datetime) -> None:
        """Delete files of rejected records that are older than `rejected_records.KEPT`."""
        remove_expired(self.lake, self.paths, now)

    def lake_id(self) -> str:
        """The lake's identity, made if there is none."""
        return self.lake.identity().id

    # -- questions ------------------------------------------------------------------------------------------------

    def published(self) -> dict[str, str]:
        """Month -> stamp of the published files; ``""`` is the one file of a replace table."""
        return self.files.stamps()

    def forgotten(self) -> ForgottenPeople:
        """Who is forgotten in the lake; LakeError if that cannot be told."""
        return read_forgotten(self.lake, self.paths.connection)

    def count_rejected_with(self, values: Sequence[str]) -> int:
        """The number of rejected records that have one of these values."""
        return count_lines_with(self.lake, self.paths, values)

    def rejected_reasons(self) -> Counter[str]:
        """Reason -> number of the rejected records that are kept."""
        return count_reasons(self.lake, self.paths)

    def parts(self) -> list[StagedPart]:
        """All staged parts, of whatever run, in the order of their paths."""
        return self.parts_of(self.staged_files())

    def staged_files(self) -> dict[str, int]:
        """Path -> bytes of every file in the table's staging folder: parts, and checkpoints of attempts."""
        return self.lake.list(self.paths.staging)

    def parts_of(self, files: Iterable[str]) -> list[StagedPart]:
        """The parts among staged files."""
        found = [(path, self.paths.run_and_month(path)) for path in files]
        return [StagedPart(*place, path) for path, place in found if place is not None]

    def findings(self, state: TableState | None) -> Findings:
        """Published files and number of parts per run, to be compared with the record.

        A file is opened only if its stamp is not the recorded one, for example after a crash or in a copied lake.
        """
        recorded = {run.attempt: run.parts for run in state.staged} if state else {}
        counts = Counter(part.attempt for part in self.parts() if part.number < recorded.get(part.attempt, math.inf))
        published = self.published()
        kept = state.partitions if state else {}
        other = [month for month, stamp in published.items() if month not in kept or kept[month].stamp != stamp]
        found = {month: self._footer(month, kept.get(month)) for month in other} if state else {}
        return Findings(
            published,
            dict(counts),
            versions={month: version for month, (version, _, _) in found.items()},
            rows={month: rows for month, (_, rows, _) in found.items()},
            marked={month: marked for month, (_, _, marked) in found.items()},
        )

    def newest_time(self) -> datetime | None:
        """The latest time at which a row of the published files was read, or marked as deleted; None without a row.

        By the files' footers, for a table whose record is lost: of two versions of a row the one that was read later
        counts, and clocks of machines differ. Damaged files are left out.
        """
        found: list[datetime | None] = []
        for month in self.published():
            with self.files.fetch(month) as path:
                try:
                    found += [newest_in(path, column) for column in (INGESTED_AT, DELETED_AT)]
                except Exception as error:
                    if not is_damage(error):
                        raise
        return max(filter(None, found), default=None)

    def _footer(self, month: str, recorded: Partition | None) -> tuple[str | None, int, int]:
        """Version, number of rows, and number of those marked as deleted, in a published file's footer.

        (None, 0, 0) if it has no version, or the recorded version but not the recorded footer digest.
        """
        with self.files.fetch(month) as path:
            version = version_of(path)
            same = recorded is not None and version == recorded.version and recorded.footer
            if version is None or (recorded and same and footer_digest(path) != recorded.footer):
                return None, 0, 0
            return version, rows_of(path), marked_rows_of(path)

    def known_rows(self, state: TableState, rules: str) -> dict[bytes, RowDigest]:
        """Key -> digest of rows in the lake; empty if other `rules` have normalised them. `state` must fit the lake.

        On a local disk, also empty if a file's footer is not the recorded one: an older file may have the same size and
        time of change, and so the same stamp. In an object store the stamp has the ETag, which depends on the content.
        """
        if state.digests is None or not state.digests.endswith(f"-{rules}"):
            return {}
        if self.lake.local and not all(self._is_as_written(*entry) for entry in state.partitions.items()):
            return {}
        return read_digests(self.lake, self.paths, state.digests)

    def _is_as_written(self, month: str, entry: Partition) -> bool:
        with self.files.fetch(month) as path:
            return bool(entry.footer) and footer_digest(path) == entry.footer

    def sweep(self, state: TableState) -> Sweep | None:
        """What the last complete read lacked, as runs since then have left it; None if nothing is sure."""
        return None if state.sweep is None else read_sweep(self.lake, self.paths, state.sweep.mark)

    def watermark(self, cursor_field: str, state: TableState) -> Watermark:
        """The table's watermark, from its record, in the form that is kept outside the lake."""
        return Watermark(
            connection=self.paths.connection,
            table=self.paths.table,
            lake_id=state.lake_id,
            lake_url=self.lake.url,
            cursor_field=cursor_field,
            value=state.watermark,
            run_id=state.run_id,
            rows=state.rows,
            saved_at=state.saved_at or datetime.now(UTC),
        )
