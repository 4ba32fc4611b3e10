"""Views with the names of other tools' tables: what they declare, and their SQL for Athena, parsed by its grammar."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp

from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import ColumnKind
from intercom.views.definition import Kind, View, ViewColumn, ViewSet
from intercom.views.fivetran import FIVETRAN
from intercom.views.ingestr import INGESTR
from intercom.views.statements import Athena, DuckDB, Engine, statements

BOTH = [pytest.param(FIVETRAN, id="fivetran"), pytest.param(INGESTR, id="ingestr")]
VERSIONED = "_fivetran_active _fivetran_start _fivetran_end _fivetran_synced"
LISTED = "_fivetran_deleted _fivetran_synced"
READ_BY_STAGING_MODELS = {
    "admin": f"id name job_title {LISTED}",
    "article_history": "id collection_id section_id author_id title description body url type state parent_type "
    "default_locale workspace_id statistics_type statistics_views statistics_conversations statistics_reactions "
    "statistics_happy_reaction_percentage statistics_neutral_reaction_percentage statistics_sad_reaction_percentage "
    f"created_at updated_at {VERSIONED}",
    "collection_history": "id help_center_id parent_id name description url icon type default_locale workspace_id "
    f"order created_at updated_at {VERSIONED}",
    "company_history": "id name website industry created_at updated_at user_count session_count monthly_spend plan_id "
    f"plan_name company_id {VERSIONED}",
    "company_tag_history": f"company_id company_updated_at tag_id {VERSIONED}",
    "contact_company_history": f"company_id contact_id contact_updated_at {VERSIONED}",
    "contact_history": "id admin_id created_at updated_at signed_up_at name role email last_replied_at "
    f"last_email_clicked_at last_email_opened_at last_contacted_at unsubscribed_from_emails {VERSIONED}",
    "contact_tag_history": f"contact_id contact_updated_at tag_id {VERSIONED}",
    "conversation_contact_history": f"contact_id conversation_id conversation_updated_at {VERSIONED}",
    "conversation_history": "id created_at assignee_id assignee_type conversation_rating_value "
    "conversation_rating_remark first_contact_reply_created_at first_contact_reply_type read source_author_id "
    "source_author_type source_delivered_as source_type source_subject source_body state updated_at waiting_since "
    f"snoozed_until sla_name sla_status {VERSIONED}",
    "conversation_part_history": "id part_type body conversation_id author_id author_type created_at assigned_to_id "
    f"assigned_to_type conversation_updated_at updated_at {VERSIONED}",
    "conversation_tag_history": f"conversation_id conversation_updated_at tag_id {VERSIONED}",
    "help_center_history": "id display_name identifier workspace_id website_turned_on created_at updated_at "
    f"{VERSIONED}",
    "tag": f"id name {LISTED}",
    "team": f"id name {LISTED}",
    "team_admin": f"team_id admin_id {LISTED}",
}
"""The columns of each source that the staging models of fivetran/dbt_intercom 1.6 select."""
WRITTEN_BY_INGESTR = {
    "contacts": "id name email role type workspace_id has_hard_bounced unsubscribed_from_emails created_at updated_at "
    "location_country location_region location_city company_ids companies_count custom_attributes owner_id",
    "companies": "id name company_id type app_id created_at updated_at monthly_spend session_count user_count plan_id "
    "plan_name custom_attributes",
    "conversations": "id type state open priority created_at updated_at first_contact_reply_at first_admin_reply_at "
    "last_contact_reply_at last_admin_reply_at median_admin_reply_time mean_admin_reply_time admin_assignee_id",
    "articles": "id title state type workspace_id created_at updated_at",
    "tags": "id name type",
    "segments": "id name type person_type created_at updated_at",
    "admins": "id name email type has_inbox_seat away_mode_enabled away_mode_reassign",
    "teams": "id name type",
    "data_attributes": "id name type",
}
"""Columns of each table that ingestr's own tests of Intercom, and its flattening, name."""


@pytest.mark.parametrize(
    ("views", "wanted"),
    [
        pytest.param(FIVETRAN, READ_BY_STAGING_MODELS, id="fivetran"),
        pytest.param(INGESTR, WRITTEN_BY_INGESTR, id="ingestr"),
    ],
)
def test_the_views_have_every_table_and_column_that_the_tool_names(views: ViewSet, wanted: dict[str, str]) -> None:
    there = {view.name: {column.name for column in view.columns} for view in views.views}
    assert there.keys() == wanted.keys()
    assert {name: set(columns.split()) - there[name] for name, columns in wanted.items()} == {
        name: set() for name in there
    }


@pytest.mark.parametrize("views", BOTH)
def test_no_view_has_a_column_twice(views: ViewSet) -> None:
    for view in views.views:
        names = [column.name for column in view.columns]
        assert len(names) == len(set(names)), view.name


def test_ingestr_views_have_the_fields_as_sent_and_times_in_seconds() -> None:
    for view in INGESTR.views:
        kinds = {column.name: column.kind for column in view.columns}
        for field in TABLES[view.table].schema.fields:
            if (view.table, field.name) not in {("contacts", "location"), ("companies", "plan")} | {
                ("conversations", "statistics")
            }:
                assert field.name in kinds
            if field.kind is ColumnKind.TIMESTAMP:
                assert kinds[field.name] is Kind.NUMBER
    assert "location" not in {column.name for column in INGESTR.views[0].columns}


@pytest.mark.parametrize("views", BOTH)
def test_athena_understands_each_view_over_the_tables_of_the_lake(views: ViewSet) -> None:
    _, database, *printed = statements(views, Athena("acme", "lake"), TABLES)
    assert database == "CREATE DATABASE IF NOT EXISTS `acme`;"
    for view, sql in zip(views.views, printed, strict=True):
        statement = sqlglot.parse_one(sql, dialect="athena")
        assert isinstance(statement, exp.Create)
        assert statement.this.sql(dialect="athena") == f'"acme"."{view.name}"'
        select = statement.expression
        assert [column.alias_or_name for column in select.expressions] == [column.name for column in view.columns]
        assert {table.sql(dialect="athena").partition(" AS ")[0] for table in select.find_all(exp.Table)} == {
            f'"lake"."{name}"' for name in view.tables
        }


def column_of(source: str, kind: Kind, engine: Engine, table: str = "conversations") -> str:
    views = ViewSet("a test", (View("v", table, (ViewColumn("c", kind, source),)),), ())
    *_, sql = statements(views, engine, {table: TABLES[table]})
    return sql.partition("SELECT\n  ")[2].partition("\nFROM")[0]


@pytest.mark.parametrize(
    ("source", "kind", "duckdb", "athena"),
    [
        ("{id}", Kind.TEXT, '"id" AS "c"', '"id" AS "c"'),
        ("{created_at}", Kind.TIME, """"created_at" AT TIME ZONE 'UTC' AS "c\"""", '"created_at" AS "c"'),
        (
            "{created_at}", Kind.NUMBER,
            'CAST(epoch("created_at") AS BIGINT) AS "c"', 'CAST(to_unixtime("created_at") AS BIGINT) AS "c"',
        ),
        (
            "{source.id}", Kind.TEXT,
            """json_extract_string("source", '$.id') AS "c\"""", """json_extract_scalar("source", '$.id') AS "c\"""",
        ),
        (
            "{source.id}", Kind.NUMBER,
            """TRY_CAST(json_extract_string("source", '$.id') AS BIGINT) AS "c\"""",
            """TRY_CAST(json_extract_scalar("source", '$.id') AS BIGINT) AS "c\"""",
        ),
        ("FALSE", Kind.FLAG, 'FALSE AS "c"', 'FALSE AS "c"'),
    ],
)  # fmt: skip
def test_a_column_in_the_words_of_each_engine(source: str, kind: Kind, duckdb: str, athena: str) -> None:
    assert column_of(source, kind, DuckDB("acme", "lake")) == duckdb
    assert column_of(source, kind, Athena()) == athena


def test_a_column_that_the_lake_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError, match="no_such"):
        column_of("{no_such}", Kind.TEXT, Athena())


@pytest.mark.parametrize("views", BOTH)
def test_a_view_without_its_tables_is_left_out(views: ViewSet) -> None:
    kept = [view for view in views.views if view.tables == ("tags",)]
    printed = list(statements(views, DuckDB("acme", "lake"), {"tags": TABLES["tags"]}))
    assert len(printed) == 1 + len(kept) == 2
    assert printed[0].replace("\n--  ", "").startswith(f"-- Views with the names and columns of {views.title}.")
    assert all(line.startswith("-- ") for line in printed[0].splitlines())


def test_athena_needs_another_database_for_views_named_as_the_tables_are() -> None:
    for same in (None, "lake"):
        with pytest.raises(ConfigurationError, match="a database for each"):
            list(statements(INGESTR, Athena(same, same), TABLES))
    assert list(statements(FIVETRAN, Athena(), TABLES))


@pytest.mark.parametrize("names", [("a-b", None), ("acme", "Lake")])
def test_athena_is_refused_a_database_that_it_cannot_name(names: tuple[str | None, str | None]) -> None:
    with pytest.raises(ConfigurationError, match="Athena has no database"):
        Athena(*names)
