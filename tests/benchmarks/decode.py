"""What a contact costs from the bytes of its page to rows in Arrow, and on to staged Parquet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import orjson
import pyarrow as pa

from intercom.api.response import Answer
from intercom.extract.distinct_keys import row_keys
from intercom.extract.pages import Page, page_of
from intercom.lake.parquet import ParquetFile
from intercom.lake.staging import SPLIT_BYTES, split_by_month
from intercom.normalise.normaliser import Normaliser
from intercom.normalise.protect import Protector
from intercom.normalise.records import Record
from intercom.sandbox import Workspace
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import Action, ColumnRule, key_id_of, with_rules
from tests.benchmarks.table import Row, cpu_seconds, paired

CONTACTS = TABLES["contacts"]
PER_PAGE = 150
MOST_TIMES_PARSING = 3.2
"""20 us a contact where orjson parses one in 6.3 us."""
_ROWS = 12_000
_MONTH = 3_000  # rows of a month: those of a workspace with 200,000 contacts and a history of five years
_PAGES_AT_ONCE = 8
_KEY = "hash key of the benchmarks"
_RULES = with_rules(
    [
        *(ColumnRule((name,), Action.HASH) for name in ("email", "phone", "external_id")),
        *(ColumnRule((name,), Action.EXCLUDE) for name in ("avatar", "social_profiles")),
        ColumnRule(("name",), Action.MASK),
        ColumnRule(("custom_attributes", "plan"), Action.MASK),
    ],
    key_id_of(_KEY),
)


def measure() -> Iterator[Row]:
    """Microseconds of CPU per contact, of all threads, and the same as a multiple of parsing alone.

    Parsing alone is orjson's, into Python objects; the floor is a scan that leaves each member's text as it is.
    """
    pages = contact_pages(_ROWS, history_days=30 * _ROWS // _MONTH)
    size = sum(map(len, pages)) / _ROWS
    scan = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
    scanning, parsing = paired(lambda: [scan.decode(page) for page in pages], lambda: _parse(pages))
    yield Row("parsing alone", f"{_each(parsing)} of {size / 1000:.1f} KB; only scanning: {_each(scanning)}")
    batches, parsing = paired(lambda: sum(batch.num_rows for batch in _batches(pages)), lambda: _parse(pages))
    yield Row("decode (records -> batches)", f"{_each(batches)}, {batches / parsing:.1f}x parsing alone")
    records = [record for page in pages for record in _read(page).records]
    protected, parsing = paired(lambda: _protect(records), lambda: _parse(pages))
    yield Row("protect (seven columns of a contact)", f"{_each(protected)}, {protected / parsing:.1f}x parsing alone")
    with tempfile.TemporaryDirectory() as folder:
        staged, parsing = paired(lambda: _stage(pages, Path(folder)), lambda: _parse(pages))
    yield Row(
        "decode + stage",
        f"{_each(staged)}, {staged / parsing:.1f}x parsing alone",
        f"<= {MOST_TIMES_PARSING}x",
        staged <= MOST_TIMES_PARSING * parsing,
    )


def parsing_seconds() -> float:
    """CPU seconds that orjson takes for one contact on this machine now: what other figures are told against."""
    pages = contact_pages(_ROWS // 4)
    return min(cpu_seconds(lambda: _parse(pages)) for _ in range(5)) / (_ROWS // 4)


def _parse(pages: Sequence[msgspec.Raw]) -> None:
    for page in pages:
        orjson.loads(memoryview(page))


def contact_pages(rows: int, history_days: int = 5 * 365) -> list[msgspec.Raw]:
    """The records of pages of 150 contacts, in the order of a first load: by the time at which they were created."""
    workspace = Workspace.seeded(contacts=rows, companies=50, conversations=0, history_days=history_days)
    records = sorted(workspace.rows("contacts"), key=lambda record: record["created_at"])
    return [msgspec.Raw(msgspec.json.encode(records[start : start + PER_PAGE])) for start in range(0, rows, PER_PAGE)]


def _batches(pages: Sequence[msgspec.Raw]) -> Iterator[pa.RecordBatch]:
    normaliser = Normaliser(CONTACTS, datetime(2026, 1, 1, tzinfo=UTC))
    for start in range(0, len(pages), _PAGES_AT_ONCE):
        read = [_read(page) for page in pages[start : start + _PAGES_AT_ONCE]]
        yield normaliser.batch_pages([(page.records, page.where) for page in read])


def _read(text: msgspec.Raw) -> Page:
    """A page as a search reads it: its records, their keys, and the time that it is ordered by."""
    page = page_of(Answer({CONTACTS.records_at[0]: text}, None, None), CONTACTS, 1)
    row_keys(page)
    page.seconds("created_at")
    return page


def _protect(records: Sequence[Record]) -> None:
    """Nothing but the rules: without any, pages are handed on as they are, and this costs nothing."""
    protector = Protector(_RULES, _KEY)
    for record in records:
        protector.record(record)


def _stage(pages: Sequence[msgspec.Raw], folder: Path) -> None:
    """Write parts by month as a run does, to the local disk."""
    held: list[pa.RecordBatch] = []
    for batch in _batches(pages):
        held.append(batch)
        if sum(each.nbytes for each in held) >= SPLIT_BYTES:
            _write(held, folder)
            held = []
    if held:
        _write(held, folder)


def _write(batches: Sequence[pa.RecordBatch], folder: Path) -> None:
    for month, rows in split_by_month(list(batches), "created_at"):
        with ParquetFile(folder / month, CONTACTS.schema.arrow, "bench", dictionaries=False) as file:
            file.write(rows)


def _each(seconds: float) -> str:
    return f"{seconds / _ROWS * 1e6:.1f} us a contact"
