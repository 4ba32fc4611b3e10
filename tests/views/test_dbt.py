"""The sources of a dbt project, as they follow from the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Table
from intercom.views.dbt import sources

ALL = tuple(TABLES.values())


def tables_of(tables: tuple[Table, ...] = ALL, **options: Any) -> dict[str, dict[str, Any]]:
    """The tables of the source by name."""
    text = sources(tables, "acme", "/srv/lake", **options)
    assert "&id" not in text  # each value is written where it belongs
    (source,) = yaml.safe_load(text)["sources"]
    assert source["name"] == options.get("name", "intercom")
    return {table["name"]: table for table in source["tables"]}


WHOLE = tables_of()


def columns_of(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in table["columns"]}


def checks_of(column: dict[str, Any]) -> dict[str, Any]:
    """The tests of a column by name, with their arguments."""
    named = [test if isinstance(test, dict) else {test: {}} for test in column.get("data_tests", [])]
    return {name: given for test in named for name, given in test.items()}


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_table_has_the_columns_and_types_that_duckdb_finds_in_its_files(table: Table, tmp_path: Path) -> None:
    pq.write_table(table.schema.arrow.empty_table(), tmp_path / "data.parquet")
    found = duckdb.sql(f"SELECT * FROM read_parquet('{tmp_path}/data.parquet')")
    written = {name: column["data_type"] for name, column in columns_of(WHOLE[table.name]).items()}
    month = {"created_month": "varchar"} if table.month_field else {}
    assert written == dict(zip(found.columns, (str(kind).lower() for kind in found.types), strict=True)) | month


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_keys_are_tested_where_the_table_promises_them(table: Table) -> None:
    written = WHOLE[table.name]
    columns = columns_of(written)
    for name in table.required_columns:
        assert "not_null" in checks_of(columns[name])
    unique = {name for name in columns if "unique" in checks_of(columns[name])}
    together = [test["unique_together"]["arguments"]["columns"] for test in written.get("data_tests", [])]
    if table.name == "data_attributes":  # an archived attribute may share model and name with another one
        assert (unique, together) == (set(), [])
    elif len(table.primary_key) == 1:
        assert (unique, together) == (set(table.primary_key), [])
    else:
        assert (unique, together) == (set(), [list(table.primary_key)])


def test_a_reference_to_a_parent_is_tested_if_the_parent_is_there() -> None:
    for table in ALL:
        tested = checks_of(columns_of(WHOLE[table.name])[table.parent_column]) if table.parent else {}
        if table.parent is not None:
            assert tested["relationships"]["arguments"] == {
                "to": f"source('intercom', '{table.parent.table.name}')", "field": table.parent.key,
            }  # fmt: skip
            severity = "error" if table.access is Access.DERIVED else "warn"
            assert tested["relationships"]["config"] == {"severity": severity}
            alone = tables_of((table,))[table.name]
            assert "relationships" not in checks_of(columns_of(alone)[table.parent_column])


def test_tables_where_something_happens_every_day_are_watched_for_being_out_of_date() -> None:
    watched = {name for name, table in WHOLE.items() if "freshness" in table["config"]}
    assert watched == {"contacts", "conversations"}


def test_a_table_says_where_its_rows_are() -> None:
    def where(name: str, **options: Any) -> str:
        return str(tables_of(**options)[name]["config"]["meta"]["external_location"])

    assert where("tags") == "read_parquet('/srv/lake/data/acme/tags/**/*.parquet', hive_partitioning = false)"
    assert where("contacts") == "read_parquet('/srv/lake/data/acme/contacts/**/*.parquet', hive_partitioning = true)"
    assert where("tags", table_format=TableFormat.DELTA) == "delta_scan('/srv/lake/data/acme/tags')"


def test_columns_say_what_they_hold() -> None:
    columns = columns_of(tables_of(name="crm")["contacts"])
    assert columns["id"]["description"] == "The key."
    assert columns["location_country"]["description"] == "location.country, from the column location."
    assert columns["tags"]["description"] == "JSON, as sent."
    assert "keeps it" in columns["_ingested_at"]["description"]
    assert "description" not in columns["email"]
