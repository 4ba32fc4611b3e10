"""Removes, or marks, the rows of a table for which a sweep has decided that they are gone.

The decision lies in the table's record, so that whichever run merges what is staged carries it out: the run that has
decided, a later one after it was killed, or one that only merges. A row that a run has met in between is not among them
any more (`sync.sightings`).
"""

from __future__ import annotations

from dataclasses import asdict, replace

import pyarrow as pa

from intercom.compaction.compact import Compacted
from intercom.compaction.remove import remove_rows, with_parents
from intercom.compaction.row_counts import RowCounts
from intercom.lake.state_entries import SweepMark
from intercom.lake.sweeps import Sweep
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.tables.table import Table


def remove_gone(table: Table, lake_table: LakeTable, store: WatermarkStore, merged: Compacted) -> Compacted:
    """Remove what is gone if nothing waits to be merged; `merged` is what was done to the table until now.

    The caller holds the table's lock. A run that dies on the way leaves the decision in the record: the next one does
    it again, and finds what is left to be removed. Errors are those of `remove_rows`.
    """
    state = lake_table.state()
    if state is None or state.sweep is None or state.staged or merged.waiting:
        return merged
    found = lake_table.sweep(state)
    if found is None or not found.gone:
        return merged
    keys = pa.array(sorted(found.gone), pa.string())
    chosen = with_parents(table, keys) if table.is_child else keys
    counts = remove_rows(table, lake_table, store, chosen, at=state.sweep.at)
    _forget(lake_table, state.sweep, Sweep(found.missing, found.kept))
    done = RowCounts(merged.rows, merged.new, merged.changed, merged.unchanged, merged.removed, merged.files)
    total = replace(done + counts, rows=counts.rows)
    return Compacted(**asdict(total), waiting=merged.waiting)


def _forget(lake_table: LakeTable, mark: SweepMark, rest: Sweep) -> None:
    """Save the record without the rows that were removed; what else the sweep lacked is still doubted."""
    state = lake_table.state()
    if state is None or state.sweep != mark:  # its file is damaged since: nothing is doubted any more
        return
    kept = replace(mark, mark=lake_table.write_sweep(rest)) if rest else None
    lake_table.save(replace(state, sweep=kept))
