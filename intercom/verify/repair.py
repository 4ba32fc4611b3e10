"""Mends what a verification has found, holding the locks of the tables concerned.

Of files that are not right, the table's record is marked so that the next sync reads the table from the beginning: with
the options that syncs of this lake have, which are not known here. Published files stay as they are until then, so
nothing is lost if that sync never comes. Rows that differ from the workspace are read again at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from intercom.lake.locks.table_lock import TableLocks
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.lake.watermark import WatermarkStore
from intercom.verify.findings import Difference, Kind, Repair, TableProof
from intercom.verify.mend import Mended, mend_from_api
from intercom.verify.tables import Asked, as_in_lake, table_in

_BY_THE_NEXT_SYNC = frozenset({Repair.READ_TABLE, Repair.DERIVE})


def repair(
    lake: Lake,
    connection: str,
    proofs: Iterable[TableProof],
    run_id: str,
    store: WatermarkStore,
    asked: Asked | None,
) -> Mapping[str, Sequence[str]]:
    """Mend the differences that are not to be mended by hand; gives lines on what was done, by table.

    Without `asked`, rows that differ from the workspace stay. Raises LakeError while a run holds one of the tables, and
    when another one saves a record meanwhile; ApiError when Intercom gives no usable answer.
    """
    found = {
        proof.table: [one for one in proof.differences if one.repair is not Repair.BY_HAND]
        for proof in proofs
        if any(one.repair is not Repair.BY_HAND for one in proof.differences)
    }
    if not found:
        return {}

    def one(name: str, differences: Sequence[Difference]) -> Iterator[str]:
        lake_table = table_in(lake, connection, name, locks.check)
        marked = [one for one in differences if one.repair in _BY_THE_NEXT_SYNC]
        if marked:
            mark(lake_table, marked)
            derived = all(one.repair is Repair.DERIVE for one in marked)
            yield f"{name}: the next sync {'makes it again' if derived else 'reads it from the beginning'}"
        elif asked is not None:
            table = as_in_lake(lake, connection, name)
            yield from _told(
                name, mend_from_api(table, asked.client, lake_table, store, asked.run(run_id, connection), differences)
            )

    with TableLocks(lake, connection, tuple(found), run_id) as locks:
        return {name: list(one(name, differences)) for name, differences in found.items()}


def _told(name: str, mended: Mended) -> Iterator[str]:
    merged = mended.merged
    yield (
        f"{name}: {mended.read:,} records were read again: {merged.new:,} rows new, {merged.changed:,} changed, "
        f"{mended.removed:,} removed"
    )
    yield from mended.notes


def mark(lake_table: LakeTable, differences: Iterable[Difference]) -> None:
    """Let the next sync read a table from the beginning, without the files named, or make a derived table anew.

    Raises LakeError when the lock is lost or another run has saved the record.
    """
    state = lake_table.state()
    for one in differences:
        if one.kind is Kind.STAGED:  # a part that cannot be read would fail the merge
            attempt = lake_table.paths.attempt_of(one.where)
            files = lake_table.staged_files()
            lake_table.delete_staged(path for path in files if lake_table.paths.attempt_of(path) == attempt)
        if state is None:
            continue  # then everything is read, or made, anyway
        if one.repair is Repair.DERIVE:
            state = replace(state, derived_by="")
            continue
        for month in one.months:
            state = state.with_damage(month)
        state = replace(state, watermark=None, digests=None)
    if state is not None:
        lake_table.save(state)
