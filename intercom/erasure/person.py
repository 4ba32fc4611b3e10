"""What a contact is known by in a lake: its id, and the other names in its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.lake.parquet import open_parquet
from intercom.lake.table import LakeTable
from intercom.normalise.protect import MASKED

_NAMES = ("external_id", "email", "phone")
_FEWEST = 5
"""Characters of a name that stands for one person; a shorter one would be found everywhere."""


@dataclass(frozen=True, slots=True)
class Person:
    """A contact's id and its other names, each once."""

    contact: str
    names: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """All of them, the id first."""
        return (self.contact, *self.names)


def find_person(contact: str, contacts: LakeTable | None) -> Person:
    """The contact's external id, email and phone in its published rows; `contacts` is None if there is no such table.

    Columns that rules have hashed are names, too: other tables have the same hashes.
    """
    names: dict[str, None] = {}
    for row in _rows(contact, contacts) if contacts is not None else ():
        for name in _NAMES:
            value = row.get(name)
            if isinstance(value, str) and len(value) >= _FEWEST and value != MASKED:
                names[value] = None
    return Person(contact, tuple(name for name in names if name != contact))


def _rows(contact: str, contacts: LakeTable) -> Iterator[dict[str, object]]:
    for month in contacts.published():
        with contacts.files.fetch(month) as path, open_parquet(path) as file:
            there = [name for name in ("id", *_NAMES) if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there):
                yield from batch.filter(pc.equal(batch.column("id"), pa.scalar(contact))).to_pylist()


def rows_with(rows: pa.Table | pa.RecordBatch, values: Iterable[str]) -> pa.Array:
    """For each row: whether a text column has one of these values in it, in letters of any case."""
    wanted = list(values)
    found: pa.Array = pa.array([False] * rows.num_rows, pa.bool_())
    for column in rows.columns:
        texts = flat(column)
        if pa.types.is_string(texts.type):
            for value in wanted:
                hit = pc.match_substring(texts, value, ignore_case="@" in value)
                found = pc.or_(found, hit.fill_null(False))  # type: ignore[arg-type, unused-ignore]
    return found
