"""What a contact is known by in a lake: its id, and the other names in its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.lake.parquet import is_damage, open_parquet
from intercom.lake.table import LakeTable
from intercom.normalise.protect import MASKED

_NAMES = ("external_id", "email", "phone")
_FEWEST = 5
"""Characters of a name that stands for one person; a shorter one would be found everywhere."""
_LONG = 20
"""Characters from which an external id is no number of something else, such as a conversation's id, and no word."""


@dataclass(frozen=True, slots=True)
class Person:
    """A contact's id and its other names, each once.

    `external_ids` are those that may be something else elsewhere: a conversation may have the same number as id. They
    are names of the person only where they stand as external ids.
    """

    contact: str
    names: tuple[str, ...] = ()
    external_ids: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """What stands for the person wherever it is, the id first."""
        return (self.contact, *self.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """What a JSON text has that may name the person."""
        return (*self.values, *(f'"{value}"' for value in self.external_ids))


def find_person(contact: str, contacts: LakeTable | None) -> Person:
    """The contact's external ids, emails and phones in its rows, published and staged; `contacts` is None for no table.

    Columns that rules have hashed are names, too: other tables have the same hashes.
    """
    names: dict[str, None] = {}
    external: dict[str, None] = {}
    for row in _rows(contact, contacts) if contacts is not None else ():
        for name in _NAMES:
            value = row.get(name)
            if isinstance(value, str) and len(value) >= _FEWEST and value not in (MASKED, contact):
                certain = name != "external_id" or "@" in value or len(value) >= _LONG
                (names if certain else external)[value] = None
    return Person(contact, tuple(names), tuple(value for value in external if value not in names))


def _rows(contact: str, contacts: LakeTable) -> Iterator[dict[str, object]]:
    for month in contacts.published():
        with contacts.files.fetch(month) as path:
            yield from _rows_of(contact, path)
    for part in contacts.parts():
        with contacts.lake.fetch(part.path) as path:
            try:
                yield from _rows_of(contact, path)
            except Exception as error:
                if not is_damage(error):  # a merge says what becomes of it
                    raise


def _rows_of(contact: str, path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    with open_parquet(path) as file:
        there = [name for name in ("id", *_NAMES) if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=there):
            found += batch.filter(pc.equal(batch.column("id"), pa.scalar(contact))).to_pylist()
    return found


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
