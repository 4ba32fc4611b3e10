"""Compaction of one table: committed staged rows become the published files, one partition after the other.

The order makes every crash harmless: a partition is published, the table's record follows when all are, and only
then the parts that were read are deleted. A partition that is merged again stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from intercom.errors import LakeError
from intercom.lake import Lake
from intercom.ledger import Ledger, Part
from intercom.merge import INGESTED_AT
from intercom.parquet import ParquetFile, version_of
from intercom.partition import Merged, PartitionMerge
from intercom.paths import TablePaths
from intercom.room import Room
from intercom.tables import Strategy, Table
from intercom.watermarks import Partition, TableState, WatermarkStore, missing_from

log = logging.getLogger(__name__)

_MONTHS_AT_A_TIME = 4
"""Small partitions wait for the store more than for the processor."""

_ROOM = Room(64 << 20)
"""For the rows of all partitions that are merged in this process at the same time, whatever their table."""

_UNPACKED = 10
"""Bytes that rows take in memory for each byte of their file."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did; rows are counted once per primary key."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    files: int = 0

    def plus(self, merged: Merged) -> Compacted:
        """The sum with one more partition; `rows` is the table's and set at the end."""
        return Compacted(
            rows=self.rows,
            new=self.new + merged.new,
            changed=self.changed + merged.changed,
            unchanged=self.unchanged + merged.unchanged,
            removed=self.removed + merged.removed,
            files=self.files + merged.written,
        )


def compact_table(table: Table, lake: Lake, connection: str, store: WatermarkStore) -> Compacted:
    """Publish everything that committed runs have staged for a table, then delete what was read.

    Raises LakeError when staged parts of a committed run are missing: the next run then reads the table again.
    """
    ledger = Ledger(lake, TablePaths(connection, table.name))
    state = ledger.state()
    if state is None:
        return Compacted()
    files = ledger.staged_files()
    parts = _committed(ledger, state, ledger.parts_of(files))
    done = Compacted()
    if state.staged:
        damage = missing_from(state, ledger.findings(state))
        state = replace(state, compaction=state.compaction or uuid4().hex)
        ledger.save(state)  # before a file of this version appears: a file of another one is then a stranger
        done, partitions = _publish(table, ledger, state, parts)
        state = _finish(table, ledger, state, partitions, damage, store)
    waiting = {run.run_id for run in state.staged}
    # With what died before it could commit, and what attempts noted for a next one.
    lake.delete(path for path in files if ledger.paths.attempt_of(path) not in waiting)
    log.info(
        "%s: %d rows new, %d changed, %d unchanged, %d removed; files written: %d",
        *(table.name, done.new, done.changed, done.unchanged, done.removed, done.files),
    )
    return replace(done, rows=state.rows)


def _committed(ledger: Ledger, state: TableState, parts: Sequence[Part]) -> list[Part]:
    """The parts of committed runs, in the order in which the runs committed and the rows were read.

    An attempt that was given up, and yet goes on, may add parts to those that were committed; they do not count.
    """
    by_run = {
        run.run_id: sorted(
            (part for part in parts if part.run_id == run.run_id and part.number < run.parts), key=lambda p: p.number
        )
        for run in state.staged
    }
    for run in state.staged:
        if len(by_run[run.run_id]) != run.parts:
            raise LakeError(
                f"Run {run.run_id} staged {run.parts} parts for {ledger.paths.table}, but {len(by_run[run.run_id])} "
                f"are in {ledger.lake.url}/{ledger.paths.staging}. Run again: the whole table will be read."
            )
    return [part for run in state.staged for part in by_run[run.run_id]]


def _finish(
    table: Table,
    ledger: Ledger,
    state: TableState,
    partitions: Mapping[str, Partition],
    damage: str | None,
    store: WatermarkStore,
) -> TableState:
    """Save the record of a finished compaction, on top of what another run may have committed meanwhile.

    Files that went missing while the run was reading take the watermark with them: the next run reads everything.
    """
    latest = ledger.state() or state
    if damage:
        log.warning("%s: %s; the next run will read the table from the beginning", table.name, damage)
    done = {run.run_id for run in state.staged}
    state = replace(
        latest,
        watermark=None if damage else latest.watermark,
        partitions=partitions,
        staged=tuple(run for run in latest.staged if run.run_id not in done),
        compaction=None,
        saved_at=datetime.now(UTC),
    )
    ledger.save(state)
    if table.cursor_field is not None:
        store.save(ledger.watermark(table.cursor_field, state))
    return state


def _publish(
    table: Table, ledger: Ledger, state: TableState, parts: Sequence[Part]
) -> tuple[Compacted, dict[str, Partition]]:
    """Publish every partition that the parts touch; gives the counts and the partitions as they are now.

    When everything was read, all published partitions are looked at: of those without rows some may have to go.
    """
    published = ledger.published()
    by_month: dict[str, list[str]] = {part.month or "": [] for part in parts}
    if any(run.replaces or run.whole for run in state.staged):
        by_month |= {month: [] for month in published}
    if table.strategy is Strategy.REPLACE:
        by_month = {"": []}
    for part in parts:
        by_month[part.month or ""].append(part.path)

    def publish(month: str) -> tuple[Merged, Partition | None]:
        return _publish_one(table, ledger, state, month, by_month[month], stored=month in published)

    done, kept = Compacted(), dict(state.partitions)
    with ThreadPoolExecutor(_MONTHS_AT_A_TIME, thread_name_prefix=f"compact-{table.name}") as pool:
        for month, (merged, partition) in zip(by_month, pool.map(publish, by_month), strict=True):
            done = done.plus(merged)
            kept.pop(month, None)
            if partition is not None:
                kept[month] = partition
    return done, kept


def _publish_one(
    table: Table, ledger: Ledger, state: TableState, month: str, parts: Sequence[str], *, stored: bool
) -> tuple[Merged, Partition | None]:
    """Merge and publish one partition; None for one that holds no row any more and is gone."""
    lake, target = ledger.lake, ledger.paths.published(month or None)
    version = state.compaction or ""
    with ExitStack() as stack:
        old = stack.enter_context(lake.fetch(target)) if stored else None
        local = [stack.enter_context(lake.fetch(path)) for path in parts]
        new = stack.enter_context(lake.scratch())
        with _ROOM.taken(_UNPACKED * sum(path.stat().st_size for path in ([old] if old else []) + local)):
            if table.strategy is Strategy.REPLACE:
                merged = _replace(table, old, local, new, version)
            else:
                merged = _merge(table, old, local, new, state)
        if merged.written and merged.rows == 0 and month:
            lake.delete([target])
            return merged, None
        kept = new if merged.written else old
        if kept is None:
            return merged, None
        version = version_of(kept) or ""
        if merged.written:
            lake.publish(new, target, rows=merged.rows)
        return merged, Partition(rows=merged.rows, version=version, stamp=lake.stamp(target))


def _merge(table: Table, old: Path | None, parts: Sequence[Path], new: Path, state: TableState) -> Merged:
    (key,) = table.primary_key
    assert table.cursor_field is not None
    merge = PartitionMerge(
        old,
        parts,
        table.schema.arrow,
        primary_key=key,
        cursor_field=table.cursor_field,
        replaces=any(run.replaces for run in state.staged),
        whole=any(run.whole for run in state.staged),
    )
    try:
        return merge.write(new, state.compaction or "")
    finally:
        merge.close()


def _replace(table: Table, old: Path | None, parts: Sequence[Path], new: Path, version: str) -> Merged:
    """The parts, as they were read, become the file; small tables, so they are held in memory.

    An unchanged table is left as it is. Rows are counted by primary key, but never merged by it: names of data
    attributes repeat.
    """
    schema = table.schema.arrow
    rows = pa.concat_tables([schema.empty_table(), *[pq.read_table(part, schema=schema) for part in parts]])
    before = _read_if_same(old, schema)
    ours, theirs = _by_key(before, table.primary_key), _by_key(rows, table.primary_key)
    met = ours.keys() & theirs.keys()
    unchanged = sum(len(theirs[key]) for key in met if ours[key] == theirs[key])
    new_rows = sum(len(theirs[key]) for key in theirs.keys() - met)
    merged = Merged(
        rows=rows.num_rows,
        new=new_rows,
        changed=rows.num_rows - new_rows - unchanged,
        unchanged=unchanged,
        removed=max(0, before.num_rows - sum(len(ours[key]) for key in met)),
        written=old is None or ours != theirs or not _has_columns(old, schema),
    )
    if merged.written:
        with ParquetFile(new, schema, version) as file:
            file.write(rows)
    return merged


def _by_key(rows: Any, primary_key: Sequence[str]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows.drop_columns([INGESTED_AT]).to_pylist():
        found.setdefault(tuple(row[name] for name in primary_key), []).append(row)
    return found


def _has_columns(path: Path, schema: Any) -> bool:
    """Whether a file can be read and has these columns; any other is replaced."""
    try:
        return bool(pq.read_schema(path).equals(schema))
    except (pa.ArrowException, OSError):
        return False


def _read_if_same(path: Path | None, schema: Any) -> Any:
    return pq.read_table(path) if path and _has_columns(path, schema) else schema.empty_table()
