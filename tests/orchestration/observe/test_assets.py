"""Keys of assets: the URLs of tables, within what Prefect allows."""

from __future__ import annotations

import pytest
from prefect.assets import Asset

from intercom.orchestration.observe.assets import kept_rows, made_of, source_key, table_key
from intercom.tables.catalogue import TABLES
from tests.support.staged_children import PARTS


@pytest.mark.parametrize(
    ("lake", "connection", "key"),
    [
        ("s3://bucket/pre-fix", "acme", "s3://bucket/pre-fix/data/acme/contacts"),
        ("file:///srv/lake", "my_acme", "file:///srv/lake/data/my_acme/contacts"),
        ("file:///srv/the lake", "a b", "file:///srv/the~20lake/data/a~2520b/contacts"),
        ("file:///srv/[x]|~'\"^`{}<>#?&%\\", "acme",
         "file:///srv/~5Bx~5D~7C~7E~27~22~5E~60~7B~7D~3C~3E~23~3F~26~25~5C/data/acme/contacts"),
        ("gs://bucket/s\u00e9", "acme", "gs://bucket/s~C3~A9/data/acme/contacts"),
    ],
)  # fmt: skip
def test_a_tables_key_is_its_url_with_what_prefect_refuses_written_in_hex(lake: str, connection: str, key: str) -> None:
    assert table_key(lake, connection, "contacts") == key
    assert Asset(key=key).key == key


def test_a_table_is_made_of_what_the_connection_reads_in_intercom() -> None:
    assert source_key("my_acme", "data_attributes") == "intercom://my_acme/data_attributes"
    assert Asset(key=source_key("50 % off & more", "tags")).key == "intercom://50~20~25~20off~20~26~20more/tags"


def test_a_derived_table_is_made_of_its_parent_in_the_lake() -> None:
    assert made_of(TABLES["contact_tags"], "s3://bucket", "acme") == "s3://bucket/data/acme/contacts"
    assert made_of(TABLES["contacts"], "s3://bucket", "acme") == "intercom://acme/contacts"


def test_a_table_says_which_rows_it_keeps() -> None:
    assert kept_rows(TABLES["contacts"]) == "one row per id, with the newest updated_at"
    assert kept_rows(TABLES["tags"]) == "replaced as a whole by each run"
    assert kept_rows(PARTS) == "one row per id, as they were when their record of conversations was read"


def test_different_urls_have_different_keys() -> None:
    names = ["a b", "a~20b", "a%20b", "a~b", "a%7Eb"]
    assert len({source_key(name, "tags") for name in names}) == len(names)
