"""Lakes with a large table of contacts and staged rows that wait to be merged into it, made in seconds.

One file stands for all months of a table, and one for all parts: what is the same is linked, not copied. A key lives
in one month, so each of several months has a copy of them with ids of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intercom.lake.layout import TablePaths
from intercom.lake.parquet import RowGroupWriter
from intercom.lake.staged_run import StagedRun
from intercom.lake.state import TableState
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.records import split_records
from intercom.tables.catalogue import TABLES
from tests.benchmarks.decode import contact_pages

CONTACTS = TABLES["contacts"]
SCHEMA = CONTACTS.schema.arrow
PATHS = TablePaths("bench", CONTACTS.name)
_CLONED = 6_000

Month = tuple[Path | None, Sequence[Path]]  # the published file, the staged parts


def lay_out(root: Path, months: Mapping[str, Month]) -> None:
    """A lake of links to these files, with a record that says that the parts are committed."""
    number = 0
    for month, (stored, parts) in months.items():
        if stored is not None:
            _link(_of_month(stored, month, months), root / PATHS.published(month))
        for part in parts:
            _link(_of_month(part, month, months), root / PATHS.part("bench", month, number))
            number += 1
    lake = Lake(str(root))
    state = TableState(lake_id=lake.identity().id, fingerprint=CONTACTS.schema.fingerprint)
    LakeTable(lake, PATHS).save(state.with_staged(StagedRun("bench", number)))


def names(months: int) -> list[str]:
    """So many months from 2020 on."""
    return [f"{2020 + number // 12}-{number % 12 + 1:02}" for number in range(months)]


def _link(file: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, name)


def _of_month(file: Path, month: str, months: Mapping[str, Month]) -> Path:
    """The file itself for the only month; else a copy, made once, with the month in each id."""
    own = file.with_name(f"{month}-{file.name}")
    if len(months) == 1:
        return file
    if not own.exists():
        with pq.ParquetFile(file) as shared:
            groups = (shared.read_row_group(group) for group in range(shared.num_row_groups))
            write(own, map(partial(_with_ids_of, month), groups))
    return own


def _with_ids_of(month: str, rows: Any) -> Any:
    place = SCHEMA.get_field_index("id")
    return rows.set_column(place, SCHEMA.field(place), pc.binary_join_element_wise(rows.column("id"), month, "-"))


def grow(path: Path, rows: int) -> None:
    """A file of one month."""
    write(path, clones(rows, _CLONED))


def write(path: Path, tables: Sequence[Any] | Iterator[Any]) -> None:
    """A file of these rows, as a table's are."""
    with RowGroupWriter(path, SCHEMA, "bench") as writer:
        for rows in tables:
            writer.add(rows)


def clones(rows: int, at_a_time: int) -> Iterator[Any]:
    """So many contacts: the same ones again and again, with ids of their own, also in their JSON."""
    normaliser = Normaliser(CONTACTS, datetime(2026, 1, 1, tzinfo=UTC))
    records = [record for page in contact_pages(_CLONED) for record in split_records(page).records]
    some = normaliser.batch_pages([(records, "bench")]).slice(0, at_a_time)
    ids = some.column("id").to_pylist()
    own = {
        name: values
        for name in SCHEMA.names
        if pa.types.is_string(SCHEMA.field(name).type)
        and ids[0] in ((values := some.column(name).to_pylist())[0] or "")
    }
    for first in range(0, rows, at_a_time):
        new = [
            f"{(first + number) * 0x9E3779B97F4A7C15 % 2**64:016x}{first + number:08x}" for number in range(len(ids))
        ]
        columns = [
            pa.array([value and value.replace(*pair) for value, *pair in zip(own[name], ids, new, strict=True)])
            if name in own
            else some.column(name)
            for name in SCHEMA.names
        ]
        yield pa.table(columns, schema=SCHEMA).slice(0, rows - first)


def update(stored: Path, part: Path, updates: int) -> None:
    """A part with every n-th row of the file again, changed later."""
    later = pa.scalar(datetime(2100, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))
    found = []
    with pq.ParquetFile(stored) as file:
        step, first = file.metadata.num_rows // updates, 0
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            chosen = rows.take(pa.array(range(-first % step, rows.num_rows, step), pa.int64()))
            for name in ("updated_at", "_ingested_at"):
                place = SCHEMA.get_field_index(name)
                chosen = chosen.set_column(place, SCHEMA.field(place), pa.repeat(later, chosen.num_rows))
            found.append(chosen)
            first += rows.num_rows
    write(part, found)
