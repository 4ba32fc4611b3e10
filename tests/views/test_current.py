"""Rows that are marked as deleted, in what `ddl` prints: views of those that are alive, and flags of other tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
import yaml

from intercom import ddl
from intercom.cli.commands.ddl import ddl as command
from intercom.lake.layout import TablePaths
from intercom.lake.state import TableState
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import CopySettings
from intercom.tables.table import Table
from intercom.views import dbt
from intercom.views.fivetran import FIVETRAN
from intercom.views.ingestr import INGESTR
from intercom.views.statements import Athena, DuckDB, statements

AT = datetime(2026, 7, 1, tzinfo=UTC)
MARKING = {
    name: table.configured(CopySettings(marks_deleted=True))
    for name, table in TABLES.items()
    if name in ("contacts", "tags")
}
MONTHS = ddl.Months("2026-01", "2026-12")


def written(folder: Path, table: Table, **values: list[Any]) -> None:
    """A file of a table with these values of some columns, and nulls, and the table's record."""
    schema = table.schema.arrow
    size = len(values["id"])
    columns = [pa.array(values.get(field.name, [None] * size), field.type) for field in schema]
    path = folder / TablePaths("acme", table.name).published("2026-07" if table.month_field else None)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns, schema=schema), path)
    state = TableState("lake", table.schema.fingerprint, columns=table.schema)
    LakeTable(Lake(str(folder)), TablePaths("acme", table.name)).save(state)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for table in MARKING.values():
        written(tmp_path, table, id=["1", "2"], name=["a", "b"], _deleted_at=[None, AT], _ingested_at=[AT, AT])
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], engine: Any, lake: Path, **options: Any) -> str:
    assert command(engine, connection="acme", lake=str(lake), **options) == 0
    return capsys.readouterr().out


def test_duckdb_has_a_view_of_the_rows_that_are_alive(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = duckdb.connect()
    database.execute(printed(capsys, "duckdb", lake, database="crm"))
    for table in MARKING.values():
        assert database.sql(f"SELECT id FROM crm.{table.name} ORDER BY id").fetchall() == [("1",), ("2",)]
        found = database.sql(f"SELECT * FROM crm.{table.name}_current")
        months = ["created_month"] if table.month_field else []
        assert found.columns == [*TABLES[table.name].schema.arrow.names, *months]
        assert [row[found.columns.index("id")] for row in found.fetchall()] == ["1"]


def test_athena_has_them_too_and_only_where_rows_are_marked() -> None:
    made = list(ddl.athena([MARKING["contacts"], TABLES["companies"]], "acme", "s3://b/p", MONTHS, "crm"))
    views = [text for text in made if "VIEW" in text]
    assert [text.splitlines()[0] for text in views] == ['CREATE OR REPLACE VIEW "crm"."contacts_current" AS SELECT']
    sqlglot.parse_one(views[0], dialect="athena")
    assert "`_deleted_at` timestamp" in made[1]


def test_views_of_other_tools_have_the_rows_that_are_alive_or_say_which_are_deleted(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(printed(capsys, "duckdb", lake, views="fivetran", database="fivetran"))
    database.execute(printed(capsys, "duckdb", lake, views="ingestr", database="ingestr"))
    rows = database.sql("SELECT id, _fivetran_deleted FROM fivetran.tag ORDER BY id").fetchall()
    assert rows == [("1", False), ("2", True)]
    assert database.sql("SELECT id FROM fivetran.contact_history").fetchall() == [("1",)]
    assert database.sql("SELECT id FROM ingestr.contacts").fetchall() == [("1",)]
    assert database.sql("SELECT id FROM ingestr.tags").fetchall() == [("1",)]


@pytest.mark.parametrize("engine", [Athena("views", "tables"), DuckDB("acme", "/lake")], ids=["athena", "duckdb"])
def test_views_over_tables_without_marks_are_as_before(engine: Any) -> None:
    for views in (FIVETRAN, INGESTR):
        text = "\n".join(list(statements(views, engine, TABLES))[1:])
        assert "_deleted_at" not in text
        assert views is INGESTR or 'FALSE AS "_fivetran_deleted"' in text


def test_dbt_has_the_column_and_the_key_is_unique_all_the_same() -> None:
    (source,) = yaml.safe_load(dbt.sources([MARKING["contacts"]], "acme", "/lake"))["sources"]
    columns = {column["name"]: column for column in source["tables"][0]["columns"]}
    assert list(columns)[-4:] == ["_extra", "_deleted_at", "_ingested_at", "created_month"]
    assert "data_tests" not in columns["_deleted_at"]
    assert columns["id"]["data_tests"] == ["not_null", "unique"]
