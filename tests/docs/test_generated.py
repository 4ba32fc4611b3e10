"""The pages that are made of the code are as it is today, and say what the code does not."""

from __future__ import annotations

from intercom.tables.catalogue import TABLES
from tests.docs import columns
from tests.docs.generate import REFERENCE, generated


def test_the_committed_pages_are_those_that_are_made() -> None:
    """`python -m tests.docs.generate` writes them."""
    pages = generated()
    there = {str(page.relative_to(REFERENCE)) for page in (REFERENCE / "tables").glob("*.md")}
    assert there == {name for name in pages if name.startswith("tables/")}
    for name, text in pages.items():
        assert (REFERENCE / name).read_text(encoding="utf-8") == text, name


def test_something_is_said_of_each_column_and_of_no_other() -> None:
    for table in TABLES.values():
        for column in (*table.schema.fields, *table.schema.flat):
            assert columns.meaning(table, column)
    assert columns.unknown_names() == []
