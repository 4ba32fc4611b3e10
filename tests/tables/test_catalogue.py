"""The catalogue says what is documented, and cannot contradict itself."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Access, Strategy, Table


def test_tables_come_in_the_documented_order() -> None:
    assert list(TABLES) == [
        "contacts",
        "companies",
        "conversations",
        "articles",
        "tags",
        "segments",
        "admins",
        "teams",
        "data_attributes",
    ]
    assert all(name == table.name for name, table in TABLES.items())


def test_merge_tables_have_the_key_id_and_the_cursor_updated_at() -> None:
    merged = {name: (t.primary_key, t.cursor_field) for name, t in TABLES.items() if t.strategy is Strategy.MERGE}
    assert merged == dict.fromkeys(["contacts", "companies", "conversations", "articles"], (("id",), "updated_at"))


def test_only_companies_have_another_address_than_the_one_that_is_read() -> None:
    assert {name: table.list_path for name, table in TABLES.items() if table.list_path} == {"companies": "/companies"}
    with pytest.raises(ValueError, match="the list_path 'companies', which does not start with '/'"):
        replace(TABLES["companies"], list_path="companies")


def test_only_contacts_are_cut_by_day() -> None:
    assert [name for name, table in TABLES.items() if table.day_cut] == ["contacts"]


def test_data_attributes_are_read_per_model_and_only_their_name_is_demanded() -> None:
    table = TABLES["data_attributes"]
    assert [request["model"] for request in table.requests] == ["contact", "company", "conversation"]
    assert table.primary_key == ("model", "name")
    assert table.required_columns == table.required == ("name",)
    assert table.carries == ("model",)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_schemas_end_with_extra_and_ingested_at_and_never_hold_a_null_type(table: Table) -> None:
    schema = table.schema.arrow
    assert schema.names[-2:] == ["_extra", "_ingested_at"]
    assert schema.field("_ingested_at").type == pa.timestamp("us", tz="UTC")
    allowed = {pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC")}
    assert set(schema.types) <= allowed
    assert all(field.nullable for field in schema)


def test_flat_columns_are_the_documented_ones() -> None:
    flat = {name: [column.name for column in table.schema.flat] for name, table in TABLES.items()}
    assert flat["contacts"] == [
        "location_country",
        "location_region",
        "location_city",
        "company_ids",
        "companies_count",
    ]
    assert flat["companies"] == ["plan_id", "plan_name"]
    statistics = [name for name in flat["conversations"] if name.startswith("statistics_")]
    assert len(statistics) == 18
    assert {"source_author_email", "source_redacted", "first_contact_reply_created_at"} <= set(flat["conversations"])
    assert not any(flat[name] for name in ["articles", "tags", "segments", "admins", "teams", "data_attributes"])


def test_fingerprints_tell_schemas_apart_by_name_type_and_order() -> None:
    first, second = Column("a", ColumnKind.STRING), Column("b", ColumnKind.INT)
    schemas = [
        TableSchema((first, second)),
        TableSchema((second, first)),
        TableSchema((first, Column("b", ColumnKind.FLOAT))),
        TableSchema((first,)),
    ]
    assert len({schema.fingerprint for schema in schemas}) == len(schemas)
    assert TableSchema((first, second)).fingerprint == schemas[0].fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cursor_field": None}, "merges without a cursor field"),
        ({"cursor_field": None, "strategy": Strategy.REPLACE}, "is searched without a cursor field"),
        ({"primary_key": ("uuid",)}, "undeclared columns: uuid"),
        ({"primary_key": ()}, "no primary key"),
        ({"primary_key": ("id", "id")}, "a key column twice"),
        (
            {"primary_key": ("id", "email"), "required": ("id",), "record_path": ""},
            "by key columns that a record may lack",
        ),
        ({"primary_key": ("owner_id",)}, "no strings: owner_id"),
        ({"cursor_field": "changed_at"}, "undeclared columns: changed_at"),
        ({"cursor_field": "name"}, "no timestamp"),
        ({"access": Access.PAGES}, "cuts days but is not searched"),
        ({"required": ("name",)}, "outside its primary key"),
        ({"version_field": "name"}, "no timestamp: name"),
        ({"partition_field": "created"}, "undeclared columns: created"),
        ({"partition_field": "name"}, "no timestamp: name"),
        ({"access": Access.PAGES, "day_cut": False}, "is narrowed but not searched"),
        ({"narrowed_by": ("id", "email")}, "is narrowed by other members than id and role"),
        ({"access": Access.SCROLL, "day_cut": False, "narrowed_by": ()}, "is read by a scroll and has no list_path"),
        ({"list_path": "/contacts"}, "has a list_path but is not read by a scroll"),
        ({"record_path": "/contacts"}, "the record path '/contacts', which does not start and end with '/'"),
        (
            {"primary_key": ("id", "email"), "required": ("id", "email")},
            "finds records of several key columns by their id",
        ),
        ({"carries": ("role",)}, "carries a parameter that a request of it lacks"),
        ({"path": "contacts"}, "does not start with '/'"),
        ({"requests": ()}, "no request"),
        ({"records_at": ()}, "does not say where its records are"),
        ({"records_at": ("data", "")}, "does not say where its records are"),
        ({"records_at": "data"}, "by a text where its records are"),
        ({"per_page": 0}, "pages of 0 rows, not of 1 to 150"),
        ({"per_page": 151}, "pages of 151 rows, not of 1 to 150"),
    ],
)
def test_a_contradiction_names_the_table(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"'contacts' .*{message}"):
        replace(TABLES["contacts"], **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        (Column("name", ColumnKind.STRING, ("id", "name")), "columns twice: name"),
        (Column("plan_name", ColumnKind.STRING, ("plan", "name")), "undeclared fields: plan_name"),
        (Column("first_letter", ColumnKind.STRING, ("name", "first")), "without members: first_letter"),
        (Column("plan_name", ColumnKind.STRING), "without a path: plan_name"),
    ],
)
def test_a_schema_that_contradicts_itself_names_the_table(flat: Column, message: str) -> None:
    tags = TABLES["tags"]
    with pytest.raises(ValueError, match=f"'tags' .*{message}"):
        replace(tags, schema=TableSchema(tags.schema.fields, (flat,)))


def test_versions_are_told_by_the_version_field_else_by_the_cursor_field() -> None:
    contacts = TABLES["contacts"]
    assert contacts.newest_by == ("updated_at", "_ingested_at")
    assert replace(contacts, version_field="last_seen_at").newest_by == ("last_seen_at", "_ingested_at")
    assert TABLES["companies"].newest_by == ("_ingested_at", "updated_at")
    assert TABLES["tags"].newest_by == ("_ingested_at",)


def test_only_merge_tables_have_months_and_only_where_a_field_says_which() -> None:
    contacts = TABLES["contacts"]
    assert [name for name, table in TABLES.items() if table.month_field] == list(TABLES)[:4]
    assert replace(contacts, partition_field="signed_up_at").month_field == "signed_up_at"
    assert replace(contacts, partition_field=None).month_field is None


def test_who_is_searched_reads_by_a_window_and_only_the_scroll_may_not_wait() -> None:
    assert [name for name, table in TABLES.items() if table.reads_by_window] == ["contacts", "conversations"]
    assert [name for name, table in TABLES.items() if not table.may_wait] == ["companies"]
