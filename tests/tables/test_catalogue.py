"""The catalogue says what is documented, and cannot contradict itself."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from intercom.sandbox import Workspace
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind, TableSchema
from intercom.tables.table import Access, Parent, Selection, Strategy, Table
from tests.support.markdown import DOCS


def test_the_default_tables_come_first_and_in_the_documented_order() -> None:
    assert (
        [name for name, table in TABLES.items() if table.selection is Selection.DEFAULT]
        == list(TABLES)[:9]
        == [
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
    )
    assert all(name == table.name for name, table in TABLES.items())


def test_what_is_copied_unasked_needs_its_permission_and_nothing_else_does() -> None:
    assert all(table.optional is (table.selection is not Selection.DEFAULT) for table in TABLES.values())


MERGED = ["contacts", "companies", "conversations", "articles", "tickets", "news_items", "calls"]


def test_merge_tables_have_the_key_id_and_the_cursor_updated_at() -> None:
    merged = {
        name: (table.primary_key, table.cursor_field)
        for name, table in TABLES.items()
        if table.strategy is Strategy.MERGE and table.access is not Access.TIME_LOG
    }
    assert merged == dict.fromkeys(MERGED, (("id",), "updated_at"))


REFERENCES = {
    "tickets": "admin_assignee_id team_assignee_id ticket_state_id ticket_type_id",
    "collections": "parent_id help_center_id",
    "internal_articles": "author_id owner_id",
    "news_items": "sender_id",
    "calls": "admin_id contact_id conversation_id",
}


@pytest.mark.parametrize("table", REFERENCES)
def test_a_reference_is_text_as_the_id_that_it_refers_to(table: str) -> None:
    schema = TABLES[table].schema.arrow
    assert {schema.field(name).type for name in REFERENCES[table].split()} == {pa.string()}


def test_only_companies_have_another_address_than_the_one_that_is_read() -> None:
    assert {name: table.list_path for name, table in TABLES.items() if table.list_path} == {"companies": "/companies"}
    with pytest.raises(ValueError, match="the list_path 'companies', which does not start with '/'"):
        replace(TABLES["companies"], list_path="companies")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_only_nested_values_are_refilled(table: Table) -> None:
    kinds = {column.name: column.kind for column in table.schema.fields}
    assert {kinds[name] for name in table.refilled} <= {ColumnKind.JSON}


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
        "location_country_code",
        "location_continent_code",
        "company_ids",
        "companies_count",
        "tag_ids",
        "tags_total_count",
        "companies_total_count",
        "notes_total_count",
    ]
    assert flat["companies"] == ["plan_id", "plan_name", "tag_names", "segment_ids"]
    statistics = [name for name in flat["conversations"] if name.startswith("statistics_")]
    assert len(statistics) == 22
    assert {"source_author_email", "source_redacted", "first_contact_reply_created_at"} <= set(flat["conversations"])
    assert not any(flat[name] for name in ["articles", "tags", "segments", "admins", "teams", "data_attributes"])


def test_each_member_that_conversations_have_in_statistics_and_source_has_a_flat_column() -> None:
    """As the page of the lake says; the sandbox's records have all members of the API's description."""
    flat = {column.name for column in TABLES["conversations"].schema.flat}
    rows = Workspace.seeded(contacts=5, companies=0, conversations=40, articles=0, tags=2).rows("conversations")
    statistics = {name for row in rows for name in row["statistics"] or ()}
    assert statistics - {"type", "assigned_team_first_response_time_by_team"} == {
        name.removeprefix("statistics_") for name in flat if name.startswith("statistics_")
    }
    for parent in (rows[0]["source"], rows[0]["first_contact_reply"]):
        prefix = "source" if parent is rows[0]["source"] else "first_contact_reply"
        assert {f"{prefix}_{name}" for name in parent} <= flat
    assert {f"source_author_{name}" for name in rows[0]["source"]["author"]} <= flat


def test_the_page_of_the_lake_names_the_flat_columns() -> None:
    """In full, or by their ends after the first of a group."""
    text = (DOCS / "reference" / "lake.md").read_text(encoding="utf-8")
    for name in ("contacts", "companies"):
        missing = [column.name for column in TABLES[name].schema.flat if f"`{column.name}`" not in text]
        assert not missing
    for column in TABLES["conversations"].schema.flat:
        by_members = column.name.startswith(("source_", "statistics_", "first_contact_reply_"))
        parts = column.name.split("_")
        ends = [f"`_{'_'.join(parts[place:])}`" for place in range(1, len(parts))]
        assert by_members or f"`{column.name}`" in text or any(end in text for end in ends), column.name


def test_single_references_are_text_as_the_ids_that_they_refer_to() -> None:
    """A column whose name ends as a reference's has the type of ids, so that a join needs no cast."""
    for table in TABLES.values():
        for column in (*table.schema.fields, *table.schema.flat):
            if column.name.endswith("_id"):
                assert column.held is ColumnKind.STRING, f"{table.name}.{column.name}"


def test_a_string_that_becomes_a_reference_is_no_other_declaration() -> None:
    """It holds the same values: nothing is rewritten, and a record names the kind that all versions know."""
    plain, reference = (TableSchema((Column("owner_id", kind),)) for kind in (ColumnKind.STRING, ColumnKind.REFERENCE))
    assert plain == reference
    assert plain.fingerprint == reference.fingerprint
    assert reference.to_json() == plain.to_json() == {"owner_id": "string"}
    assert TableSchema.from_json(reference.to_json()) == reference
    assert reference != TableSchema((Column("owner_id", ColumnKind.INT),))


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
        ({"primary_key": ("created_at",)}, "no strings: created_at"),
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
    ("change", "message"),
    [
        ({"records_at": ("labels", "data")}, "has no such list in its parent"),
        ({"records_at": ("name",)}, "has no such list in its parent"),
        ({"records_otherwise": ("name",)}, "has no such list in its parent"),
        (
            {"parent": Parent(table=TABLES["contacts"], inherits={"contact_id": "id", "id": "uuid"})},
            "what is no column",
        ),
        ({"partition_field": "contact_id"}, "has other partitions than its parent"),
        ({"partition_field": None}, "has other partitions than its parent"),
        ({"primary_key": ("contact_id",)}, "has no key column of its own"),
        (
            {"parent": Parent(table=TABLES["contacts"], inherits={"contact_created_at": "created_at"})},
            "has no column with its parent's key",
        ),
        ({"access": Access.LIST, "strategy": Strategy.REPLACE, "path": "/", "parent": None}, "but is not derived"),
        ({"strategy": Strategy.REPLACE}, "is derived only in part"),
    ],
)
def test_a_contradiction_of_a_derived_table_names_it(change: dict[str, object], message: str) -> None:
    table = replace(TABLES["contact_tags"], element_as="id")
    with pytest.raises(ValueError, match=f"'contact_tags' .*{message}"):
        replace(table, **change)  # type: ignore[arg-type]


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


def test_only_merge_tables_and_what_is_made_of_them_have_months_and_only_where_a_field_says_which() -> None:
    contacts = TABLES["contacts"]
    merged = [name for name, table in TABLES.items() if table.strategy is Strategy.MERGE]
    assert [
        name for name, table in TABLES.items() if table.strategy is not Strategy.REPLACE and not table.month_field
    ] == ["team_admins"]  # which is made of a table without months
    assert [name for name in TABLES if TABLES[name].month_field and TABLES[name].parent is None] == merged
    assert TABLES["contact_tags"].month_field == "contact_created_at"
    assert replace(contacts, partition_field="signed_up_at").month_field == "signed_up_at"
    assert replace(contacts, partition_field=None).month_field is None


def test_who_is_searched_reads_by_a_window_and_only_the_scroll_may_not_wait() -> None:
    own = {name: table for name, table in TABLES.items() if table.parent is None}
    by_window = {Access.SEARCH, Access.TIME_LOG}
    assert all(table.reads_by_window is (table.access in by_window) for table in own.values())
    assert [name for name, table in own.items() if not table.may_wait] == ["companies"]
