"""Differences between a lake and its workspace, as they come about: planted on one side, with sound records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from intercom.lake.parquet import ParquetFile, footer_digest, open_parquet
from intercom.lake.state_entries import Partition
from tests.support.rig import Rig


def rewrite(rig: Rig, table: str, change: Any) -> None:
    """Every file of a table as `change` gives its rows, and a record that fits: as if it had been read so."""
    lake_table = rig.lake_table(table)
    state = lake_table.state()
    assert state is not None
    partitions, added = dict(state.partitions), []
    for month, stamp in lake_table.published().items():
        with lake_table.files.fetch(month) as path, open_parquet(path) as file:
            before = file.read()
        rows = change(before)
        if rows.equals(before):
            continue
        version = uuid4().hex
        with lake_table.lake.scratch() as written:
            with ParquetFile(written, rows.schema, version) as new:
                new.write(rows)
            footer = footer_digest(written)
            one = lake_table.add_file(written, month, rows.num_rows, stamp)
        added.append(one)
        partitions[month] = Partition(rows.num_rows, version, one.stamp, footer)
    lake_table.commit_files(added, [])
    lake_table.save(replace(state, partitions=partitions, digests=None))


def without(rig: Rig, table: str, keys: Collection[str], column: str = "id") -> None:
    """The lake without some rows, as if they had never been read."""
    gone = pa.array(sorted(keys), pa.string())
    rewrite(rig, table, lambda rows: rows.filter(pc.invert(pc.is_in(rows.column(column), value_set=gone))))


def with_value(rig: Rig, table: str, key: str, column: str, value: Any) -> None:
    """The lake with another value in one row."""

    def change(rows: pa.Table) -> pa.Table:
        kind = rows.schema.field(column).type
        found = [
            value if own == key else old
            for own, old in zip(rows.column("id").to_pylist(), rows.column(column).to_pylist(), strict=True)
        ]
        return rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), pa.array(found, kind))

    rewrite(rig, table, change)
