"""The SQL for other engines: Athena's is parsed by its grammar, DuckDB's is run over the lake."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from intercom.cli.app import main
from intercom.ddl import Months, athena_table, duckdb_view
from intercom.errors import ConfigurationError
from intercom.lake.layout import TableFormat
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection
from tests.support.rig import BY_DEFAULT
from tests.support.truth import assert_exact

from .conftest import CONNECTION, WITH_FILES, ReadableLake

WINTER = Months("2025-11", "2026-02")
HIVE_TYPES = {
    "string": "STRING",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp[us, tz=UTC]": "TIMESTAMP",
}
MERGED = [name for name, table in TABLES.items() if table.month_field is not None]
REPLACED = [name for name in TABLES if name not in MERGED]


def parsed(sql: str) -> exp.Create:
    (statement,) = (found for found in sqlglot.parse(sql, dialect="athena") if found is not None)
    assert isinstance(statement, exp.Create)  # and no Command, which is what the parser does not understand
    return statement


def athena(table: str, *, location: str = "s3://bucket/prefix", **options: Any) -> exp.Create:
    return parsed(athena_table(TABLES[table], CONNECTION, location, WINTER, **options))


def properties(statement: exp.Create) -> dict[str, str]:
    found = statement.args["properties"].expressions
    return {one.name: one.args["value"].name for one in found if type(one) is exp.Property}


def columns(schema: exp.Expression) -> dict[str, str]:
    assert all(column.this.quoted for column in schema.expressions)  # names are reserved words and begin with _
    return {column.name: column.kind.sql(dialect="hive") for column in schema.expressions}


@pytest.mark.parametrize("table", TABLES)
def test_an_athena_table_has_the_declared_columns_in_order(table: str) -> None:
    statement = athena(table)
    assert (statement.kind, statement.this.this.name) == ("TABLE", table)
    assert statement.find(exp.ExternalProperty)
    assert statement.find(exp.FileFormatProperty).name == "PARQUET"
    declared = {column.name: HIVE_TYPES[str(column.type)] for column in TABLES[table].schema.arrow}
    assert list(columns(statement.this).items()) == list(declared.items())


@pytest.mark.parametrize("table", MERGED)
def test_merge_tables_project_every_month_and_the_unknown_one(table: str) -> None:
    statement = athena(table)
    assert columns(statement.find(exp.PartitionedByProperty).this) == {"created_month": "STRING"}
    assert properties(statement) == {
        "classification": "parquet",
        "projection.enabled": "true",
        "projection.created_month.type": "enum",
        "projection.created_month.values": "2025-11,2025-12,2026-01,2026-02,unknown",
    }
    assert "2025-11 to 2026-02 and unknown" in statement.find(exp.SchemaCommentProperty).this.name


@pytest.mark.parametrize("table", REPLACED)
def test_replace_tables_have_no_partitions(table: str) -> None:
    statement = athena(table)
    assert statement.find(exp.PartitionedByProperty) is None
    assert properties(statement) == {"classification": "parquet"}


def test_an_athena_table_lies_in_the_encoded_folder_and_ends_with_a_slash() -> None:
    for location in ("s3://bucket/it's a \\ prefix", "s3://bucket/it's a \\ prefix/"):
        found = athena("tags", location=location).find(exp.LocationProperty).this.name
        assert found == "s3://bucket/it's a \\ prefix/data/Zo%C3%AB%20%26%20S%C3%B6hne%2FEU%3D1%20%25/tags/"


def test_a_database_comes_before_the_name() -> None:
    statement = athena("tags", database="acme_2")
    assert (statement.this.this.db, statement.this.this.name) == ("acme_2", "tags")
    assert '"a ""b"""."tags"' in duckdb_view(TABLES["tags"], CONNECTION, "lake", 'a "b"')


@pytest.mark.parametrize(
    "location", ["./lake", "s3://", "s3:///prefix", "https://bucket.s3.amazonaws.com", "s3://b/*/c"]
)
def test_athena_is_refused_a_place_that_it_cannot_read(location: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not there|is not a lake"):
        athena("tags", location=location)


@pytest.mark.parametrize("database", ["Acme", "a-b", "", "a`b", "x" * 256])
def test_athena_is_refused_a_database_that_it_cannot_name(database: str) -> None:
    with pytest.raises(ConfigurationError, match="Athena has no database"):
        athena("tags", database=database)


@pytest.mark.parametrize("location", ["", "/", "lake*", "la?ke", "[lake]", "{a,b}"])
def test_a_location_that_is_a_pattern_or_nothing_is_refused(location: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a lake"):
        duckdb_view(TABLES["tags"], CONNECTION, location)


@pytest.mark.parametrize(("first", "last"), [("2026-1", "2026-02"), ("2026-01", "2026-13"), ("2026-02", "2026-01")])
def test_months_that_are_none_or_in_the_wrong_order_are_refused(first: str, last: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a month|comes after"):
        Months(first, last)


def test_months_begin_with_intercom_and_go_some_years_on() -> None:
    partitions = Months.until_years_after(2026).partitions
    assert (partitions[0], partitions[-2], partitions[-1]) == ("2011-01", "2031-12", "unknown")
    assert len(partitions) == len(set(partitions)) == 21 * 12 + 1


def view_of(lake: Path, table: str, connection: str = CONNECTION) -> pa.Table:
    """The view's rows, seen by another session than the one that made it."""
    with duckdb.connect(lake / "views.duckdb") as session:
        session.execute(duckdb_view(TABLES[table], connection, str(lake)))
    with duckdb.connect(lake / "views.duckdb", read_only=True) as session:
        session.execute("SET TimeZone = 'UTC'")
        return session.table(table).to_arrow_table()


@pytest.mark.parametrize("table", WITH_FILES)
def test_a_duckdb_view_shows_the_table(lake: ReadableLake, tmp_path: Path, table: str) -> None:
    # Below such a folder a plain glob shows one column more, or its own instead of the table's.
    moved = tmp_path / "it's" / ("env=prod" if table in MERGED else "type=x")
    shutil.copytree(lake.root / "data", moved / "data")
    rows = view_of(moved, table)
    declared = TABLES[table].schema.arrow
    month = pa.field("created_month", pa.string())
    assert rows.schema.equals(declared.append(month) if table in MERGED else declared)
    assert_exact(lake.served[table], rows, table)


def test_a_view_that_is_made_again_shows_what_the_lake_has_now(lake: ReadableLake, tmp_path: Path) -> None:
    shutil.copytree(lake.folder("tags"), tmp_path / "data" / "a" / "tags")
    before = view_of(tmp_path, "tags", "a")
    shutil.copytree(lake.folder("tags"), tmp_path / "data" / "b" / "tags")
    assert view_of(tmp_path, "tags", "b").num_rows == before.num_rows == len(lake.served["tags"])


def test_an_athena_table_over_a_delta_table_leaves_all_else_to_its_log() -> None:
    statement = athena("contacts", table_format=TableFormat.DELTA, database="acme")
    assert statement.this.sql(dialect="athena") == '"acme"."contacts"'
    assert statement.find(exp.LocationProperty) == athena("contacts").find(exp.LocationProperty)
    assert properties(statement) == {"table_type": "DELTA"}
    assert not statement.find(exp.PartitionedByProperty, exp.FileFormatProperty)


@pytest.mark.parametrize("table", WITH_FILES)
def test_a_duckdb_view_over_a_delta_table_reads_its_folder_by_its_log(lake: ReadableLake, table: str) -> None:
    """DuckDB's extension is not in its package: a macro of that name stands in, which reads all files of the folder."""
    with duckdb.connect() as session:
        session.execute(
            "CREATE MACRO delta_scan(folder) AS TABLE SELECT * FROM "
            "read_parquet(folder || '/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
        )
        session.execute(duckdb_view(TABLES[table], CONNECTION, str(lake.root), table_format=TableFormat.DELTA))
        session.execute("SET TimeZone = 'UTC'")
        rows = session.table(table).to_arrow_table()
    assert rows.schema.names == TABLES[table].schema.arrow.names + ["created_month"] * (table in MERGED)
    assert_exact(lake.served[table], rows, table)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["ddl", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def without_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store answers, as on a machine that has no rights there."""
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.mark.usefixtures("without_s3")
def test_where_the_lake_is_out_of_reach_the_command_prints_a_statement_for_each_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = ("--connection", CONNECTION, "--location", "s3://bucket/prefix")
    months = ("--first-month", "2025-11", "--last-month", "2026-02")
    statements = sqlglot.parse(printed(capsys, "athena", *place, *months, "--database", "acme"), dialect="athena")
    database, *tables = (statement for statement in statements if statement is not None)
    assert database.sql(dialect="athena") == "CREATE DATABASE IF NOT EXISTS `acme`"
    assert tables == [athena(table, database="acme") for table in BY_DEFAULT]
    views = printed(capsys, "duckdb", *place, "--tables", "tags, teams")
    assert views.count("CREATE OR REPLACE VIEW") == 2
    assert "delta_scan" not in views
    of_delta = [printed(capsys, engine, *place, "--table-format", "delta") for engine in ("athena", "duckdb")]
    assert of_delta[0].count("'table_type' = 'DELTA'") == of_delta[1].count("FROM delta_scan(") == len(BY_DEFAULT)


def test_the_commands_views_run_as_one_script(lake: ReadableLake, capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "duckdb", "--connection", CONNECTION, "--lake", str(lake.root), "--database", "select")
    with duckdb.connect() as session:
        session.execute(script)
        assert sorted(
            name for (name,) in session.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        ) == (sorted(WITH_FILES))
        for table in WITH_FILES:
            assert session.sql(f'SELECT count(*) FROM "select".{table}').fetchall() == [(len(lake.served[table]),)]


def test_tables_that_the_lake_lacks_are_left_out_and_named(
    lake: ReadableLake, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = sorted(set(BY_DEFAULT) - set(WITH_FILES))
    assert lacking
    assert main(["ddl", "duckdb", "--connection", CONNECTION, "--lake", str(lake.root)]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("CREATE OR REPLACE VIEW") == len(WITH_FILES)
    assert sorted(shown.err.strip().partition(": ")[2].split(", ")) == lacking


def test_views_over_a_folder_are_read_from_any_folder(
    lake: ReadableLake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(lake.root).parent)
    for engine in ("duckdb", "dbt"):
        assert main(["ddl", engine, "--connection", CONNECTION, "--lake", f"./{Path(lake.root).name}"]) == 0
        shown = capsys.readouterr().out
        assert f"read_parquet('{lake.folder('contacts')}/" in shown
        assert "'./" not in shown


def test_without_names_a_table_of_the_lake_is_shown_whoever_selected_it(
    lake: ReadableLake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tables that are not copied by default the lake's are shown, and the others not told to be missing."""
    rare = {name: replace(TABLES[name], selection=Selection.NAME) for name in ("articles", "tags")}
    for room in ("catalogue", "selection"):
        monkeypatch.setattr(f"intercom.tables.{room}.TABLES", {**TABLES, **rare})
    place = ("ddl", "duckdb", "--connection", CONNECTION, "--lake", str(lake.root))
    assert main([*place]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("CREATE OR REPLACE VIEW") == len(WITH_FILES)
    assert shown.err == ""
    assert main([*place, "--tables", "default"]) == 0
    assert capsys.readouterr().out.count("CREATE OR REPLACE VIEW") == len(WITH_FILES) - 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["athena", "--connection", CONNECTION, "--lake", "LAKE"], "give s3://bucket/prefix"),
        (["athena", "--connection", "a", "--lake", "s3://b", "--last-month", "soon"], "'soon' is not a month"),
        (["duckdb", "--connection", "a", "--lake", "lake", "--tables", "contact"], "Did you mean 'contacts'?"),
        (["duckdb", "--connection", "a", "--lake", "lake", "--tables", ""], "give at least one name"),
        (["duckdb", "--connection", "a", "--lake", "LAKE"], "no table of connection 'a'"),
        (["duckdb", "--connection", CONNECTION, "--lake", "LAKE", "--tables", "calls"], "none of these tables"),
        (["sqlite", "--connection", "a", "--lake", "lake"], '"athena", "duckdb"'),
    ],
)
def test_a_mistake_is_said(
    lake: ReadableLake, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["ddl", *[str(lake.root) if word == "LAKE" else word for word in arguments]]) == 2
    shown = capsys.readouterr()
    assert said in " ".join(shown.err.split())
    assert shown.out == ""
