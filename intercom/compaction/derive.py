"""Makes a derived table of its parent's published files: month by month, those that have changed since the last time.

The table's record notes the stamp of the parent's file that each month was made of. A month is made anew if that file
has another stamp now, or if the derived file is not the one that the record names: after a crash, or when somebody has
deleted or replaced it. The rows take the place of those in the derived file. Rows that are the same keep their time of
ingestion, and a file in which nothing differs is not written.

The record is saved last, so a run that dies anywhere is repaired by the next one. What the code or the declaration of
the columns makes differently is made anew as well. No row is staged: the parent's files are there to be read again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from intercom.compaction.compact import Compacted
from intercom.compaction.derived_month import DerivedFiles, MadeMonth
from intercom.compaction.row_counts import RowCounts
from intercom.errors import NoParentError
from intercom.lake.state import TableState
from intercom.lake.state_entries import DerivedMonth, Partition
from intercom.lake.table import LakeTable
from intercom.normalise.rules import rules
from intercom.tables.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Derived:
    """What a derivation has done: `compacted` as for any table; `made` counts the rows of the months it made anew.

    `cut` counts parents with more elements than their row holds, `rejected` elements that could not be rows, both of
    the whole table. `unknown` are members without a column, of the months that were made. `parent` is the parent's
    record, None if it is lost.
    """

    compacted: Compacted
    made: int
    cut: int
    rejected: int
    unknown: tuple[str, ...]
    parent: TableState | None


def derive_table(
    table: Table,
    lake_table: LakeTable,
    parent_table: LakeTable,
    *,
    run_id: str,
    started_at: datetime,
    anew: bool = False,
) -> Derived:
    """Bring a derived table up to date with the published files of its parent, whatever run has published these.

    `anew`: all months are made, also those whose files have not changed. Raises NoParentError if the lake has nothing
    of the parent, LakeError if a file of it is damaged.
    """
    assert table.parent is not None
    parent, sources = parent_table.state(), parent_table.published()
    if parent is None and not sources:
        raise lacking_parent(table, parent_table)
    made_by = f"{rules()}-{table.schema.fingerprint}"
    state = _state(table, lake_table)
    stored = lake_table.published()
    everything = anew or state.derived_by != made_by
    due = [month for month in sources if everything or not _is_as_noted(state, month, sources[month], stored)]
    gone = [month for month in stored if month not in sources]
    ingested_at = started_at if state.ingested_at is None else max(started_at, state.ingested_at)
    made: dict[str, MadeMonth] = {}
    if due or gone:
        files = DerivedFiles(table, lake_table, parent_table, state.partitions, uuid4().hex, ingested_at)
        made = files.make(due, gone, sources, stored)
        results = [month.result for month in made.values()]
        lake_table.commit_files(
            [result.added for result in results if result.added],
            [result.month for result in results if result.partition is None],
        )
    if made or state.generation is None or state.derived_by != made_by:
        state = replace(
            state,
            fingerprint=table.schema.fingerprint,
            columns=table.schema,
            workspace=parent.workspace if parent else state.workspace,
            run_id=run_id,
            ingested_at=ingested_at,
            saved_at=datetime.now(UTC),
            partitions=_partitions(state, made, stored),
            derived_from=_noted(state, made, sources),
            derived_by=made_by,
        )
        state = lake_table.save(state)
    counts = sum((month.result.counts for month in made.values()), RowCounts())
    log.info(
        "%s: months made of %s: %d; %d rows new, %d changed, %d unchanged, %d removed; files written: %d",
        *(table.name, table.parent.table.name, len(due)),
        *(counts.new, counts.changed, counts.unchanged, counts.removed, counts.files),
    )
    return Derived(
        Compacted(**{**asdict(counts), "rows": state.rows}),
        made=sum(month.rows for month in made.values()),
        cut=sum(month.cut for month in state.derived_from.values()),
        rejected=sum(month.rejected for month in state.derived_from.values()),
        unknown=tuple(sorted({name for month in made.values() for name in month.unknown})),
        parent=parent,
    )


def lacking_parent(table: Table, parent_table: LakeTable) -> NoParentError:
    """The error over a derived table of whose parent the lake has nothing."""
    parent = parent_table.paths.table
    return NoParentError(
        f"{table.name} is made from {parent}, of which the lake {parent_table.lake.url} has nothing yet. Sync {parent} "
        "into it, in the same run or before; nothing was changed."
    )


def _state(table: Table, lake_table: LakeTable) -> TableState:
    """The table's record; an empty one in place of none, or of one that belongs to another lake."""
    lake_id, found = lake_table.lake_id(), lake_table.state()
    if found is not None and found.lake_id == lake_id:
        return found
    fresh = TableState(lake_id, table.schema.fingerprint, columns=table.schema)
    return fresh if found is None else replace(fresh, generation=found.generation)


def _is_as_noted(state: TableState, month: str, source: str, stored: Mapping[str, str]) -> bool:
    """Whether the parent's file is the one that the month was made of, and the month's file the one that was made."""
    noted, file = state.derived_from.get(month), state.partitions.get(month)
    return noted is not None and noted.stamp == source and stored.get(month) == (None if file is None else file.stamp)


def _partitions(state: TableState, made: Mapping[str, MadeMonth], stored: Mapping[str, str]) -> dict[str, Partition]:
    kept = {month: entry for month, entry in state.partitions.items() if month in stored and month not in made}
    return kept | {month: new.result.partition for month, new in made.items() if new.result.partition is not None}


def _noted(state: TableState, made: Mapping[str, MadeMonth], sources: Mapping[str, str]) -> dict[str, DerivedMonth]:
    kept = {month: noted for month, noted in state.derived_from.items() if month in sources}
    return kept | {
        month: DerivedMonth(sources[month], new.cut, new.rejected) for month, new in made.items() if month in sources
    }
