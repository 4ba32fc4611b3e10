"""Names and groups select tables, and a derived table brings the one that it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import GROUPS, select_tables, unknown_names
from intercom.tables.table import Access, Parent, Selection, Strategy, Table

NINE = tuple(name for name, table in TABLES.items() if table.selection is Selection.DEFAULT)


def derived(name: str, of: Table, column: str, selection: Selection) -> Table:
    return replace(
        TABLES["tags"],
        name=name,
        access=Access.DERIVED,
        strategy=Strategy.DERIVE,
        path="",
        parent=Parent(table=of, inherits={"name": "id"}),
        records_at=(column,),
        primary_key=("name", "id"),
        partition_field=None,
        selection=selection,
    )


REPORTS = replace(TABLES["conversations"], name="reports", partition_field=None, selection=Selection.ALL, optional=True)
REPORT_TAGS = derived("report_tags", REPORTS, "tags", Selection.ALL)
PARTS_OF_TAGS = derived("parts_of_tags", REPORT_TAGS, "applied_by", Selection.NAME)
NOTES = replace(TABLES["conversations"], name="notes", selection=Selection.NAME, optional=True)


@pytest.fixture(autouse=True)
def more_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nine, and a table of each other kind."""
    nine = {name: TABLES[name] for name in NINE}
    made = {table.name: table for table in (REPORTS, REPORT_TAGS, PARTS_OF_TAGS, NOTES)}
    monkeypatch.setattr("intercom.tables.selection.TABLES", {**nine, **made})


def test_the_nine_are_the_default() -> None:
    assert NINE == (
        "contacts", "companies", "conversations", "articles", "tags", "segments", "admins", "teams", "data_attributes",
    )  # fmt: skip


def test_no_names_select_the_default_tables() -> None:
    assert select_tables(None) == select_tables([]) == select_tables(["default"])
    assert select_tables(None).names == NINE


def test_all_leaves_out_only_what_has_to_be_named() -> None:
    assert select_tables(["all"]).names == (*NINE, "reports", "report_tags")


def test_groups_and_names_are_mixed_in_catalogue_order_each_table_once() -> None:
    assert select_tables(["tags", "contacts", "tags"]).names == ("contacts", "tags")
    assert select_tables(["notes", "reports", "default", "tags"]).names == (*NINE, "reports", "notes")
    assert select_tables(["notes", "all"]).names == (*NINE, "reports", "report_tags", "notes")


def test_a_table_of_a_group_is_not_named_unless_its_name_is_given_too() -> None:
    assert select_tables(["all"]).named == frozenset()
    assert select_tables(["all", "reports", "tags"]).named == {"reports", "tags"}


def test_a_derived_table_brings_the_tables_that_it_is_made_of() -> None:
    selected = select_tables(["parts_of_tags"])
    assert selected.names == ("reports", "report_tags", "parts_of_tags")
    assert selected.brought == {"reports": ("report_tags",), "report_tags": ("parts_of_tags",)}
    assert list(selected.remarks()) == [
        "reports is selected, too: report_tags is made from its rows in the lake",
        "report_tags is selected, too: parts_of_tags is made from its rows in the lake",
    ]
    assert list(select_tables(["all"]).remarks()) == []


def test_what_a_named_table_is_made_of_counts_as_named_too() -> None:
    """Without its rows the named table cannot be had, so that they are missing is not for a note alone."""
    assert select_tables(["report_tags"]).named == {"reports", "report_tags"}
    assert select_tables(["all", "report_tags"]).named == {"reports", "report_tags"}


def test_an_unknown_table_is_refused_with_the_valid_names_and_a_near_one() -> None:
    with pytest.raises(ConfigurationError, match=r"'contact'.*Did you mean 'contacts'\? Tables: contacts, companies"):
        select_tables(["contact"])
    with pytest.raises(ConfigurationError, match=r"no table 'zzz'\. Tables: contacts.*; groups: default, all\.$"):
        select_tables(["zzz", "all"])


def test_the_hint_knows_the_groups() -> None:
    assert unknown_names(["defaults", "tags", "zzz", "all"]) == {"defaults": "default", "zzz": None}


def test_no_table_has_the_name_of_a_group() -> None:
    assert not GROUPS.keys() & TABLES.keys()
