"""Rules that protect columns, as users write them: every fault with its place and cure, and what options may add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from intercom.blocks import IntercomConnection, connection_of
from intercom.config.column_rules import parse_columns, with_more_rules
from intercom.config.connection import Connection, make_connection
from intercom.config.lookup import read_connections_file
from intercom.errors import ConfigurationError
from intercom.orchestration.server.plain_api import connection_of as connection_of_values
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import Action, ColumnRule, CopySettings, key_id_of
from intercom.tables.schema import ColumnKind, TableSchema

KEY = "0123456789abcdef"
COLUMNS = {"contacts": {"exclude": ["avatar", "custom_attributes.national_id"], "hash": ["email"], "mask": ["name"]}}


def connection(columns: Any, key: str | None = KEY) -> Connection:
    return make_connection(name="acme", access_token="token", columns=columns, hash_key=key, place="here")


def schema_under(table: str, **rules: list[Any]) -> TableSchema:
    return TABLES[table].configured(connection({table: rules}).settings).schema


def test_a_file_a_block_and_the_values_of_a_block_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "connections.yml"
    file.write_text(
        "connections:\n  intercom:\n    - name: acme\n      access_token: token\n      hash_key: ${KEY}\n"
        "      columns:\n        contacts:\n          exclude: [avatar, 'custom_attributes.${NAME}']\n"
        "          hash: [email]\n          mask: name\n"
    )
    of_file = read_connections_file(file, {"KEY": KEY, "NAME": "national_id"})["acme"]
    block = IntercomConnection(access_token=SecretStr("token"), columns=COLUMNS, hash_key=SecretStr(KEY))
    values = {"access_token": "token", "columns": COLUMNS, "hash_key": KEY}
    of_block, of_values = connection_of(block, "acme", "block"), connection_of_values("acme", values)
    assert of_file.settings == of_block.settings == of_values.settings == connection(COLUMNS).settings
    assert of_file.hash_key == of_block.hash_key == of_values.hash_key == SecretStr(KEY)
    (rules,) = dict(of_file.settings.rules).values()
    assert rules.key_id == key_id_of(KEY)
    assert set(rules.rules) == {
        ColumnRule(("avatar",), Action.EXCLUDE),
        ColumnRule(("custom_attributes", "national_id"), Action.EXCLUDE),
        ColumnRule(("email",), Action.HASH),
        ColumnRule(("name",), Action.MASK),
    }
    assert KEY not in repr(of_file)


def test_a_block_of_before_has_no_rules() -> None:
    assert (
        connection_of(IntercomConnection(access_token=SecretStr("token")), "acme", "block").settings == CopySettings()
    )


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"contact": {}}, "no table 'contact'. Did you mean contacts?"),
        ({"contacts": ["email"]}, "contacts: expected the keys exclude, hash, mask"),
        (["contacts"], "expected tables"),
        ({"contacts": {"drop": ["email"]}}, "contacts: unknown key 'drop'. Known keys: exclude, hash, mask."),
        ({"contacts": {"mask": 5}}, "contacts, mask: expected a list of columns."),
        ({"contacts": {"mask": [5]}}, "contacts, mask: a column is a text"),
        ({"contacts": {"mask": ["emial"]}}, "'emial' is not a column of the table; did you mean email?"),
        ({"contacts": {"mask": ["shoe_size"]}}, "a member that has no column is named _extra.shoe_size."),
        ({"contacts": {"mask": ["email.domain"]}}, "email is not an object and has no members. Protect email."),
        ({"contacts": {"mask": ["custom_attributes..x"]}}, "is not the name of a column"),
        ({"contacts": {"mask": ["id"]}}, "'id' cannot be protected: it is part of the primary key"),
        ({"contacts": {"mask": ["_extra.id"]}}, "cannot be protected: it is part of the primary key"),
        ({"contacts": {"mask": ["updated_at"]}}, "it is the cursor field"),
        ({"contacts": {"mask": ["created_at"]}}, "its month is the row's partition"),
        ({"contacts": {"mask": ["_ingested_at"]}}, "'_ingested_at' is a column of the lake"),
        ({"contacts": {"mask": ["_extra"]}}, "named _extra.NAME."),
        ({"contacts": {"mask": ["companies"]}}, "contact_companies is made from this list, by the id of its elements"),
        ({"contacts": {"exclude": ["company_ids"]}}, "contact_companies is made from this list"),
        ({"contacts": {"mask": ["companies_count"]}}, ""),
        ({"teams": {"mask": ["admin_ids"]}}, "team_admins is made from this list"),
        ({"conversations": {"mask": ["teammate_ids"]}}, "conversation_teammates is made from this list"),
        (
            {"conversation_parts": {"mask": ["attachments_count"]}},
            "is counted, and no value of its own: exclude attach",
        ),
        ({"conversation_parts": {"mask": ["conversation_id"]}}, "it comes from the row's conversations"),
        ({"conversation_parts": {"mask": ["created_at"]}}, "it tells which older rows an answer may lack"),
        ({"contact_tags": {"mask": ["type"]}}, "made from contacts in the lake: protect it there, as a member of tags"),
        ({"data_attributes": {"mask": ["model"]}}, "it is part of the primary key"),
        ({"contacts": {"mask": ["email"], "hash": ["email"]}}, "hash of email and mask of email contradict"),
        (
            {"contacts": {"exclude": ["location"], "mask": ["location_city"]}},
            "exclude of location and mask of location.city contradict",
        ),
    ],
)
def test_a_fault_is_told_with_its_place_and_its_cure(columns: Any, fault: str) -> None:
    if not fault:
        assert connection(columns).settings.rules
        return
    with pytest.raises(ConfigurationError) as refused:
        connection(columns)
    assert str(refused.value).startswith("here, columns: ")
    assert fault in str(refused.value)


def test_all_faults_are_told_at_once_and_none_shows_a_key() -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_connection(
            name="acme",
            access_token="",
            hash_key="too short",
            columns={"contacts": {"hash": ["id", "emial"]}, "tokens": {}},
            place="here",
        )
    assert len(str(refused.value).splitlines()) == 5
    assert "too short" not in str(refused.value)
    assert "hash_key has fewer than 16 characters" in str(refused.value)


def test_hashing_needs_a_key_and_nothing_else_does() -> None:
    assert connection({"contacts": {"mask": ["email"]}}, None).settings.rules
    with pytest.raises(ConfigurationError, match="hash needs a key"):
        connection({"contacts": {"hash": ["email"]}}, None)


def test_every_column_of_every_table_is_protected_or_refused_with_a_reason() -> None:
    """Whatever the rules leave has to be a table whose declaration is valid."""
    for table in TABLES.values():
        for column in (*table.schema.fields, *table.schema.flat):
            for action in Action:
                needed = column.name in (*table.needed_columns, *table.required_columns)
                try:
                    found = connection({table.name: {action.value: [column.name]}}).settings
                except ConfigurationError as error:
                    if needed or "made from" in str(error) or "counted" in str(error):
                        continue
                    raise
                assert not needed
                under = table.configured(found).schema
                kinds = {one.name: one.kind for one in (*under.fields, *under.flat)}
                if action is Action.EXCLUDE:
                    assert column.name not in kinds
                else:
                    assert kinds[column.name] in (ColumnKind.STRING, ColumnKind.JSON)
                assert TableSchema.from_json(under.to_json()) == under


def test_flat_columns_follow_the_value_that_they_are_taken_from() -> None:
    names = set(TABLES["contacts"].schema.arrow.names)
    location = {name for name in names if name.startswith("location")}
    assert names - set(schema_under("contacts", exclude=["location"]).arrow.names) == location
    assert names - set(schema_under("contacts", mask=["location"]).arrow.names) == location - {"location"}
    assert names - set(schema_under("contacts", exclude=["location.city"]).arrow.names) == {"location_city"}
    assert names - set(schema_under("contacts", exclude=["companies_count"]).arrow.names) == {
        "companies_count",
        "companies_total_count",
    }
    rating = schema_under("conversations", mask=["conversation_rating_rating"])
    assert {one.kind for one in rating.flat if one.name == "conversation_rating_rating"} == {ColumnKind.STRING}
    assert "tag_names" in schema_under("conversations", hash=["tags.tags.name"]).arrow.names
    assert "tag_names" not in schema_under("conversations", exclude=["tags.tags.name"]).arrow.names


def test_a_name_with_a_dot_is_a_list_and_a_flat_column_may_be_gone_into() -> None:
    rules = dict(
        connection(
            {
                "contacts": {"mask": [["custom_attributes", "first.name"], "_extra.ssn"]},
                "conversations": {"mask": ["source_author.name"]},
            }
        ).settings.rules
    )
    assert [rule.path for rule in rules["contacts"].rules] == [("custom_attributes", "first.name"), ("ssn",)]
    assert [rule.path for rule in rules["conversations"].rules] == [("source", "author", "name")]


def more(kept: dict[str, list[str]], added: dict[str, list[str]]) -> set[tuple[str, Action]]:
    settings = connection({"contacts": kept}).settings
    found = with_more_rules(settings, {"contacts": added}, SecretStr(KEY), "advanced")
    return {(rule.name, rule.action) for rule in found.rules_of("contacts").rules}


@pytest.mark.parametrize(
    ("kept", "added", "left"),
    [
        ({"hash": ["email"]}, {"mask": ["name"]}, {("email", Action.HASH), ("name", Action.MASK)}),
        ({"hash": ["email"]}, {"exclude": ["email"]}, {("email", Action.EXCLUDE)}),
        ({"hash": ["location.city"]}, {"mask": ["location"]}, {("location", Action.MASK)}),
        ({"mask": ["location"]}, {"hash": ["location.city"]}, {("location", Action.MASK)}),
        ({"exclude": ["email"]}, {"hash": ["email"]}, None),
        ({"exclude": ["location.city"]}, {"mask": ["location"]}, None),
        ({"hash": ["location"]}, {"exclude": ["location.city"]}, None),
    ],
)
def test_options_of_a_run_add_protection_and_never_take_any_away(
    kept: dict[str, list[str]], added: dict[str, list[str]], left: set[tuple[str, Action]] | None
) -> None:
    if left is not None:
        assert more(kept, added) == left
        return
    with pytest.raises(ConfigurationError, match=r"advanced, columns: .* only add protection"):
        more(kept, added)


def test_text_that_is_no_object_is_refused_without_being_shown() -> None:
    assert parse_columns('{"contacts": {}}') == {"contacts": {}}
    for text in ("secret-text", "[1]", "[" * 100_000):
        with pytest.raises(ConfigurationError, match="not a JSON object") as refused:
            parse_columns(text)
        assert "secret-text" not in str(refused.value)
