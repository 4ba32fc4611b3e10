"""Every engine reads the same rows, columns and types, from a glob and from a folder."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Strategy
from tests.support.readers import READERS, Reader
from tests.support.rig import BY_DEFAULT
from tests.support.truth import assert_exact

from .conftest import ODD, UNICODE, WITH_FILES, ReadableLake


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


def of_contact(rows: pa.Table, id: str) -> dict[str, object]:
    (row,) = rows.filter(pc.equal(rows["id"], id)).to_pylist()
    return row


@pytest.mark.parametrize("table", WITH_FILES)
def test_columns_and_types_are_the_declared_ones(lake: ReadableLake, reader: Reader, table: str) -> None:
    declared = TABLES[table].schema.arrow
    if TABLES[table].strategy is Strategy.MERGE:
        declared = declared.append(pa.field("created_month", pa.string()))
    assert reader(lake.folder(table)).schema.equals(declared)


@pytest.mark.parametrize("table", WITH_FILES)
def test_every_row_is_read_once_with_every_value(lake: ReadableLake, reader: Reader, table: str) -> None:
    rows = reader(lake.folder(table))
    assert_exact(lake.served[table], rows, table)
    # To the letter of JSON texts and the microsecond of _ingested_at, which the workspace does not know.
    stored = lake.rows(table)
    assert Counter(map(repr, rows.select(stored.column_names).to_pylist())) == Counter(map(repr, stored.to_pylist()))


@pytest.mark.parametrize("table", [table for table in WITH_FILES if TABLES[table].strategy is Strategy.MERGE])
def test_created_month_is_the_month_of_created_at_as_text(lake: ReadableLake, reader: Reader, table: str) -> None:
    rows = reader(lake.folder(table)).select(["created_at", "created_month"]).to_pylist()
    assert all(
        row["created_month"] == ("unknown" if row["created_at"] is None else f"{row['created_at']:%Y-%m}")
        for row in rows
    )
    assert {row["created_month"] for row in rows} >= {"2026-10", "2026-11", "2026-12"}


def test_odd_values_are_read_as_they_were_sent(lake: ReadableLake, reader: Reader) -> None:
    rows = reader(lake.folder("contacts"))
    assert of_contact(rows, "text")["name"] == UNICODE
    assert '1.1,12345678901234567890123,null,"Zo' in str(of_contact(rows, "text")["custom_attributes"]).replace(" ", "")
    assert of_contact(rows, "numbers")["owner_id"] == "5"
    assert of_contact(rows, "numbers")["companies_count"] == 9_007_199_254_740_993
    assert of_contact(rows, "numbers")["_extra"] is not None
    assert of_contact(rows, "times")["signed_up_at"] == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert of_contact(rows, "times")["last_seen_at"] == datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)
    assert of_contact(rows, "mistyped")["unsubscribed_from_emails"] is None
    assert of_contact(rows, "mistyped")["_extra"] == '{"unsubscribed_from_emails":"yes"}'
    assert of_contact(rows, "empty")["name"] == ""
    assert of_contact(rows, "empty")["email"] is None
    assert of_contact(rows, "no-time")["created_month"] == "unknown"


def test_the_lake_has_what_these_tests_are_about(lake: ReadableLake) -> None:
    assert lake.folder("contacts").is_dir()
    assert "%" in lake.folder("contacts").parent.name
    assert lake.served["teams"] == []  # a table without rows has a file with its columns
    assert [file.name for file in lake.folder("teams").iterdir()] == ["data.parquet"]
    contacts = lake.rows("contacts")
    assert set(ODD) <= set(contacts["id"].to_pylist())
    assert any(column.null_count == len(column) for column in contacts.columns)
    tags = lake.rows("tags")
    assert tags["applied_at"].null_count == tags.num_rows > 0


def test_a_merge_table_without_rows_has_no_folder(lake: ReadableLake) -> None:
    assert {table for table in BY_DEFAULT if not lake.folder(table).exists()} == {"articles"}
    assert lake.served["articles"] == []
