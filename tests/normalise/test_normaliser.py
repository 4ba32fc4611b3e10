"""Records as sent become rows of the declared schema; what does not fit is kept beside them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import Raw

from intercom.errors import SchemaError
from intercom.normalise.coerce import epoch_seconds
from intercom.normalise.json_repair import repair
from intercom.normalise.normaliser import MOST_NAMED, Normaliser
from intercom.normalise.records import NO_OBJECT, RecordHead, Rejected, split_records, without
from intercom.tables.catalogue import TABLES

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def rows(table: str, *records: str) -> list[dict[str, Any]]:
    """The rows of records given as JSON texts."""
    return batch(table, *records).to_pylist()


def batch(table: str, *records: str) -> pa.RecordBatch:
    split = split_records(Raw(("[" + ",".join(records) + "]").encode()))
    return Normaliser(TABLES[table], NOW).batch(split.records, where="page 3, request abc")


def contact(member: str, value: str) -> dict[str, Any]:
    return rows("contacts", f'{{"id":"c1","{member}":{value}}}')[0]


def record_with(member: str, value: str) -> dict[str, Any]:
    """The row of a contact, or of a company where only companies have such a member."""
    table = "contacts" if member in TABLES["contacts"].schema.arrow.names else "companies"
    return rows(table, f'{{"id":"c1","{member}":{value}}}')[0]


def test_a_plain_record_fills_its_columns() -> None:
    row = rows("contacts", '{"type":"contact","id":"c1","owner_id":7,"has_hard_bounced":true,"updated_at":1700000000}')[
        0
    ]
    assert row["id"] == "c1"
    assert row["owner_id"] == "7"
    assert row["has_hard_bounced"] is True
    assert row["updated_at"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert row["_extra"] is None
    assert row["_ingested_at"] == NOW


@pytest.mark.parametrize(
    ("member", "sent", "held"),
    [
        ("name", "5", "5"),
        ("name", "1.10", "1.10"),
        ("name", '"\\u0000\\ud83d\\ude00é"', "\0😀é"),
        ("size", '"17"', 17),
        ("size", "1.0", 1),
        ("size", "1e3", 1000),
        ("size", "9007199254740993.0", 9007199254740993),
        ("size", "-9223372036854775808", -(2**63)),
        ("size", "null", None),
    ],
)
def test_safe_coercions(member: str, sent: str, held: object) -> None:
    row = record_with(member, sent)
    assert row[member] == held
    assert row["_extra"] is None


@pytest.mark.parametrize(
    ("sent", "held"), [("3", 3.0), ('"2.50"', 2.5), ("1e3", 1000.0), ("9007199254740992", 2.0**53)]
)
def test_numbers_for_a_float_column(sent: str, held: float) -> None:
    row = rows("companies", f'{{"id":"1","monthly_spend":{sent}}}')[0]
    assert row["monthly_spend"] == held
    assert row["_extra"] is None


@pytest.mark.parametrize(
    "sent", ["9007199254740993", '"9007199254740993"', "1e400", '"NaN"', '"inf"', "true", "{}", '""']
)
def test_what_is_no_exact_float_is_kept_beside(sent: str) -> None:
    row = rows("companies", f'{{"id":"1","monthly_spend":{sent}}}')[0]
    assert row["monthly_spend"] is None
    assert row["_extra"] == f'{{"monthly_spend":{sent}}}'


@pytest.mark.parametrize(
    ("member", "sent"),
    [
        ("name", "true"),
        ("name", '{"first": "A"}'),
        ("name", "[1.10,  2]"),
        ("size", "true"),
        ("size", "1.5"),
        ("size", '"1.0"'),
        ("size", '"007"'),
        ("size", '" 7"'),
        ("size", '"٣"'),
        ("size", '"1_000"'),
        ("size", "9223372036854775808"),
        ("size", "1e999999999"),
        ("size", "9" * 5000),
        ("has_hard_bounced", "1"),
        ("has_hard_bounced", '"true"'),
        ("created_at", '""'),
        ("created_at", '"soon"'),
        ("created_at", "true"),
        ("created_at", "1e18"),
        ("created_at", "-62135596800001"),
        ("created_at", "253402300800000"),
        ("created_at", "1e-999999999999999999999"),
    ],
)
def test_a_value_that_does_not_fit_is_kept_verbatim_beside(member: str, sent: str) -> None:
    row = record_with(member, sent)
    assert row[member] is None
    assert row["_extra"] == f'{{"{member}":{sent}}}'


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ("123", "123"),
        ("0", "0"),
        ("null", None),
        ('"123"', "123"),
        ('"c3po"', "c3po"),
        ("18446744073709551616", "18446744073709551616"),
        ("9" * 5000, "9" * 5000),
        ("1.50", "1.50"),
        ("-0", "0"),
    ],
)
def test_a_reference_is_text_whether_it_is_sent_as_a_number_or_as_text(sent: str, held: str | None) -> None:
    alone = contact("owner_id", sent)
    assert (alone["owner_id"], alone["_extra"]) == (held, None)
    # Beside a value that does not fit, the page is read value by value.
    found = rows("contacts", f'{{"id":"1","owner_id":{sent}}}', '{"id":"2","owner_id":[]}', '{"id":"3","owner_id":7}')
    assert [row["owner_id"] for row in found] == [held, None, "7"]
    assert [row["_extra"] for row in found] == [None, '{"owner_id":[]}', None]


@pytest.mark.parametrize("table", TABLES)
def test_numbers_in_references_are_read_at_once(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with them is none of those that are read value by value, which costs several times as much."""
    monkeypatch.setattr("intercom.normalise.normaliser._read_carefully", None)
    references = [column.name for column in TABLES[table].schema.fields if column.held is not column.kind]
    keys = dict.fromkeys(TABLES[table].required_columns, "k")
    sent = (5, "x", 0, None)
    found = batch(table, *[json.dumps(keys | dict.fromkeys(references, value)) for value in sent])
    assert [[row[name] for name in references] for row in found.to_pylist()] == [
        [value] * len(references) for value in ("5", "x", "0", None)
    ]


def test_an_odd_value_leaves_its_neighbours_alone() -> None:
    found = rows("contacts", '{"id":"1","owner_id":1}', '{"id":"2","owner_id":[]}', '{"id":"3","owner_id":"3"}')
    assert [row["owner_id"] for row in found] == ["1", None, "3"]
    assert [row["_extra"] for row in found] == [None, '{"owner_id":[]}', None]


def test_a_lone_surrogate_is_kept_verbatim_beside() -> None:
    record = {"id": Raw(b'"1"'), "name": Raw(b'"\\ud83d"'), "email": Raw(b'"a@b"')}
    row = Normaliser(TABLES["contacts"], NOW).batch([record], where="page 1").to_pylist()[0]
    assert (row["name"], row["email"], row["_extra"]) == (None, "a@b", '{"name":"\\ud83d"}')


def test_unknown_members_keep_their_order_and_their_bytes() -> None:
    row = rows(
        "tags", '{"zeta": {"n": 1.10, "big": 12345678901234567890123}, "id":"1","applied_at":"x","alpha": null}'
    )[0]
    assert row["_extra"] == '{"zeta":{"n": 1.10, "big": 12345678901234567890123},"applied_at":"x","alpha":null}'


def test_a_member_named_like_a_computed_column_is_an_unknown_member() -> None:
    row = contact("location_city", '"Cork"')
    assert row["location_city"] is None
    assert json.loads(row["_extra"]) == {"location_city": "Cork"}


@pytest.mark.parametrize("sent", ['{ "a" : [1.0, 1e2] }', "[]", "0", "false", '"text"', '"\\u00e9"', '"é"'])
def test_json_columns_hold_the_text_as_sent(sent: str) -> None:
    row = contact("custom_attributes", sent)
    assert row["custom_attributes"] == sent
    assert row["_extra"] is None


def test_a_null_json_value_is_null_and_the_string_null_is_not() -> None:
    assert contact("avatar", "null")["avatar"] is None
    assert contact("avatar", '"null"')["avatar"] == '"null"'
    assert rows("contacts", '{"id":"1"}')[0]["avatar"] is None


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("-62135596800", datetime(1, 1, 1, tzinfo=UTC)),
        ("253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("100000000001", datetime(5138, 11, 16, 9, 46, 41, tzinfo=UTC)),
        ("253402300800", datetime(1978, 1, 11, 21, 31, 40, 800000, tzinfo=UTC)),
        ("-62135596801", datetime(1968, 1, 12, 20, 6, 43, 199000, tzinfo=UTC)),
        ("1700000000.25", datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=UTC)),
        ("1700000000.9999999", datetime(2023, 11, 14, 22, 13, 20, 999999, tzinfo=UTC)),
        ('"1700000000"', datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000123", datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)),
        ("-1700000000123", datetime(1916, 2, 18, 1, 46, 39, 877000, tzinfo=UTC)),
        ("253402300799999", datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        ('"2023-11-14T22:13:20Z"', datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ('"2023-11-15T00:13:20.5+02:00"', datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)),
        ('"2023-11-14"', datetime(2023, 11, 14, tzinfo=UTC)),
    ],
)
def test_timestamps_of_every_spelling(sent: str, held: datetime) -> None:
    row = contact("signed_up_at", sent)
    assert row["signed_up_at"] == held
    assert row["_extra"] is None
    assert epoch_seconds(Raw(sent.encode())) == (held - datetime(1970, 1, 1, tzinfo=UTC)) // (
        NOW.resolution * 1_000_000
    )


@pytest.mark.parametrize("sent", ["null", '"soon"', "true", "{}", "1e18", '"0001-01-01T00:00:00+10:00"'])
def test_an_unreadable_timestamp_has_no_seconds(sent: str) -> None:
    assert epoch_seconds(Raw(sent.encode())) is None
    assert epoch_seconds(None) is None


def test_flat_columns_come_from_nested_objects() -> None:
    row = rows(
        "contacts",
        '{"id":"1","location":{"country":"Ireland","region":5,"city":true},'
        '"companies":{"data":[{"id":"a","type":"company"},{"id":7},{"type":"company"}],"total_count":12}}',
    )[0]
    assert (row["location_country"], row["location_region"], row["location_city"]) == ("Ireland", "5", None)
    assert row["company_ids"] == '["a",7]'
    assert row["companies_count"] == 12
    assert row["_extra"] is None


def test_companies_are_counted_where_no_total_is_given() -> None:
    found = rows(
        "contacts",
        '{"id":"1","companies":{"data":[{"id":"a"},{"id":"b"}]}}',
        '{"id":"2","companies":{"data":[{"id":"a"}],"total_count":null}}',
        '{"id":"3","companies":{"data":[],"total_count":0}}',
        '{"id":"4"}',
    )
    assert [row["companies_count"] for row in found] == [2, 1, 0, None]
    assert [row["company_ids"] for row in found] == ['["a","b"]', '["a"]', "[]", None]


@pytest.mark.parametrize("sent", ['"Dublin"', "[]", "5", "null", "{}", '{"country":{}}'])
def test_a_nested_value_of_another_shape_gives_nulls(sent: str) -> None:
    odd, plain = rows("contacts", f'{{"id":"1","location":{sent}}}', '{"id":"2","location":{"country":"Chile"}}')
    assert odd["location"] == (None if sent == "null" else sent)
    assert odd["location_country"] is None
    assert odd["_extra"] is None
    assert plain["location_country"] == "Chile"


@pytest.mark.parametrize("sent", ['{"data":["a"]}', '{"data":{}}', '{"data":null}', "7"])
def test_companies_of_another_shape_give_no_ids(sent: str) -> None:
    odd, plain = rows("contacts", f'{{"id":"1","companies":{sent}}}', '{"id":"2","companies":{"data":[{"id":"b"}]}}')
    assert odd["company_ids"] is None
    assert (plain["company_ids"], plain["companies_count"]) == ('["b"]', 1)


def test_a_duration_may_have_a_fraction_and_a_count_has_none() -> None:
    found = rows(
        "conversations",
        '{"id":"1","statistics":{"median_time_to_reply":148.5,"handling_time":60,"last_closed_by_id":5}}',
        '{"id":"2","statistics":{"median_time_to_reply":null,"count_reopens":2,"last_closed_by_id":"5"}}',
    )
    assert [row["statistics_median_time_to_reply"] for row in found] == [148.5, None]
    assert [row["statistics_handling_time"] for row in found] == [60.0, None]
    assert [row["statistics_count_reopens"] for row in found] == [None, 2]
    assert [row["statistics_last_closed_by_id"] for row in found] == ["5", "5"]


@pytest.mark.parametrize("spelling", ["assigned_team_first_response_time", "assigned_team_first_response_time_by_team"])
def test_response_times_of_teams_have_two_spellings(spelling: str) -> None:
    times = '[{"team_id":1,"team_name":"A","response_time":2310}]'
    row = rows("conversations", f'{{"id":"1","statistics":{{"{spelling}":{times}}}}}')[0]
    assert row["statistics_assigned_team_first_response_time"] == times


@pytest.mark.parametrize("name", ["teammates", "admins"])
def test_lists_of_a_conversation(name: str) -> None:
    row = rows(
        "conversations",
        '{"id":"1","tags":{"tags":[{"id":"7","name":"a \\"b\\""},{"name":"é"}]},'
        f'"contacts":{{"contacts":[{{"id":"c"}}]}},"teammates":{{"{name}":[{{"id":"5"}},{{"id":6}},{{}}]}}}}',
    )[0]
    assert row["tag_names"] == '["a \\"b\\"","é"]'
    assert (row["contact_ids"], row["teammate_ids"]) == ('["c"]', '["5",6]')


def test_rating_sla_and_agent_of_a_conversation() -> None:
    row = rows(
        "conversations",
        '{"id":"1","conversation_rating":{"rating":5,"remark":"","created_at":1700000000,"teammate":{"id":274}},'
        '"sla_applied":{"sla_name":"VIP","sla_status":"hit"},"source":{"author":{"from_ai_agent":true}},'
        '"ai_agent":{"resolution_state":"abandoned","last_answer_type":null,"source_type":"workflow",'
        '"source_title":"t","rating":4,"rating_remark":"r"}}',
    )[0]
    rating = {name: row[f"conversation_rating_{name}"] for name in ("rating", "remark", "created_at", "teammate_id")}
    assert rating == {
        "rating": 5, "remark": "", "created_at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "teammate_id": "274",
    }  # fmt: skip
    assert (row["sla_applied_name"], row["sla_applied_status"]) == ("VIP", "hit")
    assert (row["source_author_from_ai_agent"], row["source_author_is_ai_answer"]) == (True, None)
    agent = ("resolution_state", "last_answer_type", "source_type", "source_title", "rating", "rating_remark")
    assert [row[f"ai_agent_{name}"] for name in agent] == ["abandoned", None, "workflow", "t", 4, "r"]


def test_lists_of_a_company_and_of_a_contact() -> None:
    company = rows("companies", '{"id":"1","tags":{"tags":[{"name":"a"}]},"segments":{"segments":[{"id":"s"}]}}')[0]
    assert (company["tag_names"], company["segment_ids"]) == ('["a"]', '["s"]')
    contact = rows("contacts", '{"id":"1","tags":{"data":[{"id":"7"}]},"location":{"country_code":"IRL"}}')[0]
    assert (contact["tag_ids"], contact["location_country_code"], contact["location_continent_code"]) == (
        '["7"]', "IRL", None,
    )  # fmt: skip


def test_members_of_a_conversation() -> None:
    row = rows(
        "conversations",
        '{"id":"1","source":{"type":"email","redacted":false,"author":{"id":5,"email":"a@b"},"attachments":[ ]},'
        '"statistics":{"time_to_assignment":60,"first_close_at":1700000000,"count_reopens":"2"},'
        '"first_contact_reply":{"created_at":1700000000,"type":"email","url":null}}',
    )[0]
    assert (row["source_type"], row["source_redacted"], row["source_attachments"]) == ("email", False, "[ ]")
    assert (row["source_author_id"], row["source_author_email"], row["source_author_name"]) == ("5", "a@b", None)
    assert row["source_author"] == '{"id":5,"email":"a@b"}'
    assert (row["statistics_time_to_assignment"], row["statistics_count_reopens"]) == (60, 2)
    assert row["statistics_first_close_at"] == row["first_contact_reply_created_at"]
    assert row["first_contact_reply_type"] == "email"


@pytest.mark.parametrize("record", ["{}", '{"id":null}', '{"id":""}', '{"id":{}}', '{"id":true}'])
def test_a_record_without_its_key_is_refused_by_position_and_not_by_content(record: str) -> None:
    secret = record[:-1] + ("," if len(record) > 2 else "") + '"email":"secret"}'
    with pytest.raises(SchemaError, match=r"'contacts', page 3, request abc: record 2 of 2 .*'id'") as caught:
        rows("contacts", '{"id":"1"}', secret)
    assert "secret" not in str(caught.value)


def test_a_numeric_key_is_taken_as_text() -> None:
    assert [row["id"] for row in rows("tags", '{"id":5}', '{"id":"6"}')] == ["5", "6"]


def test_a_data_attribute_needs_a_name_only() -> None:
    found = rows("data_attributes", '{"name":"plan"}', '{"name":"plan","model":"contact","archived":true}')
    assert [row["name"] for row in found] == ["plan", "plan"]
    with pytest.raises(SchemaError, match="record 1 of 1 has no usable key 'name'"):
        rows("data_attributes", '{"model":"contact"}')


def test_members_of_conversations_own_attributes_are_kept_beside() -> None:
    """They belong to another endpoint, and would be lost if they came without a column."""
    row = rows("data_attributes", '{"name":"plan","multiline":false,"visible_to_team_ids":[5]}')[0]
    assert row["_extra"] == '{"multiline":false,"visible_to_team_ids":[5]}'


def test_the_last_of_two_equal_members_wins() -> None:
    row = rows("tags", '{"id":"1","name":"first","x":1,"name":"last","x":2}')[0]
    assert (row["name"], row["_extra"]) == ("last", '{"x":2}')


@pytest.mark.parametrize("table", TABLES)
def test_null_only_columns_keep_their_declared_type(table: str) -> None:
    keys = TABLES[table].required_columns
    found = batch(table, json.dumps(dict.fromkeys(keys, "1")))
    found.validate(full=True)
    assert found.schema == TABLES[table].schema.arrow
    assert all(found[name].null_count == 1 for name in found.schema.names if name not in (*keys, "_ingested_at"))


def test_a_page_without_records_is_a_batch_without_rows() -> None:
    assert batch("contacts").schema == TABLES["contacts"].schema.arrow
    assert batch("contacts").num_rows == 0


def test_parquet_takes_the_batch_as_it_is() -> None:
    found = batch("conversations", '{"id":"1","title":"t","source":{"body":"b"}}', '{"id":"2","open":1}')
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([found]), sink)
    assert pq.read_table(pa.BufferReader(sink.getvalue())).to_pylist() == found.to_pylist()


def test_a_time_of_ingestion_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Normaliser(TABLES["tags"], datetime(2026, 1, 1))


def pages(*texts: str) -> list[tuple[list[Any], str]]:
    """Pages of tags, each given as a JSON array, with their places."""
    return [(split_records(Raw(text.encode())).records, f"page {number}") for number, text in enumerate(texts, start=1)]


def test_pages_together_are_the_rows_of_each() -> None:
    some = pages('[{"id":"1","name":"a"}]', "[]", '[{"id":"2","x":1},{"id":"3","name":[]}]', '[{"id":"4","y":2}]')
    together = Normaliser(TABLES["tags"], NOW).batch_pages(some)
    alone = [Normaliser(TABLES["tags"], NOW).batch(records, where=where) for records, where in some]
    assert together.to_pylist() == [row for batch in alone for row in batch.to_pylist()]
    assert [row["_extra"] for row in together.to_pylist()] == [None, '{"x":1}', '{"name":[]}', '{"y":2}']


@pytest.mark.parametrize("size", [1, 200])
def test_among_pages_the_right_one_is_named(size: int) -> None:
    full = json.dumps([{"id": str(number)} for number in range(size)])
    odd = json.dumps([{"id": "1"}, {"id": ""}, {"id": "3"}])
    with pytest.raises(SchemaError, match="'tags', page 4: record 2 of 3 has no usable key"):
        Normaliser(TABLES["tags"], NOW).batch_pages(pages(full, "[]", full, odd, full))


def test_more_unknown_members_than_anyone_expects() -> None:
    normaliser = Normaliser(TABLES["tags"], NOW)
    for start in (0, 50, 100, 0):
        members = {f"member {number}": number for number in range(start, start + 50)}
        (page,) = pages(json.dumps([{"id": "1", **members}]))
        (row,) = normaliser.batch(page[0], where=page[1]).to_pylist()
        assert json.loads(row["_extra"]) == members


def test_unknown_members_are_named_once_and_misfits_are_not() -> None:
    normaliser = Normaliser(TABLES["tags"], NOW)
    sent = ['{"id": "1"}', '{"id": "2", "name": [], "b": null}', '{"id": "3", "a": 1, "b": 2}']
    for records in (sent, sent):  # the second time they are expected
        (page,) = pages(f"[{', '.join(records)}]")
        normaliser.batch(page[0], where=page[1])
        assert normaliser.unknown == ["a", "b"]


def test_names_that_are_data_are_not_collected_for_ever() -> None:
    normaliser = Normaliser(TABLES["tags"], NOW)
    for number in range(MOST_NAMED + 50):
        (page,) = pages(json.dumps([{"id": "1", f"member {number}": 1}]))
        normaliser.batch(page[0], where=page[1])
    assert len(normaliser.unknown) == MOST_NAMED


def test_a_text_that_is_no_json_is_kept_as_it_is() -> None:
    record = {"id": Raw(b'"1"'), "avatar": Raw(b'"a\x1eb"')}
    (row,) = Normaliser(TABLES["contacts"], NOW).batch([record], where="page 1").to_pylist()
    assert (row["id"], row["avatar"]) == ("1", '"a\x1eb"')


def test_json_that_is_no_text_is_mended() -> None:
    record = {"id": Raw(b'"1"'), "avatar": Raw(b'"a\xff"'), "tags": Raw(b"[]")}
    (row,) = Normaliser(TABLES["contacts"], NOW).batch([record], where="page 1").to_pylist()
    assert (row["avatar"], row["tags"], row["_extra"]) == ('"a\N{REPLACEMENT CHARACTER}"', "[]", None)


def test_a_name_that_is_no_text_is_mended() -> None:
    records = split_records(Raw(b'[{"id":"1","\xff":2}]')).records
    (row,) = Normaliser(TABLES["tags"], NOW).batch(records, where="page 1").to_pylist()
    assert (row["id"], row["_extra"]) == ("1", '{"\N{REPLACEMENT CHARACTER}":2}')


@pytest.mark.parametrize("glance", [RecordHead(), RecordHead(("id",), ("none", "absent"))])
def test_a_record_answers_for_single_members(glance: RecordHead) -> None:
    (record,) = split_records(Raw(b'[ {"id" : "1", "a\\"b":[1, 2],"none":null, "id":"2"} ]'), glance).records
    assert (record.get("id"), record.get('a"b'), record.get("none")) == (Raw(b'"2"'), Raw(b"[1, 2]"), Raw(b"null"))
    assert record.get("absent") is None
    assert "absent" not in record
    assert record.get('ab"sent') is None
    assert {"model": Raw(b"5"), **record} == {"model": Raw(b"5"), **dict(record.items())}


def test_null_elements_are_counted() -> None:
    split = split_records(Raw(b'[null, {"id":"1"}, null]'), RecordHead(("id",)))
    assert (split.records, split.nulls, split.rejected) == ([{"id": Raw(b'"1"')}], 2, [])


@pytest.mark.parametrize("element", ["5", "[]", '"text"', "true"])
def test_an_element_that_is_no_object_is_rejected(element: str) -> None:
    split = split_records(Raw(f'[{{"id":"1"}},{element},null]'.encode()))
    assert (len(split.records), split.nulls, split.rejected) == (1, 1, [Rejected(element.encode(), NO_OBJECT)])


@pytest.mark.parametrize("record", ["{}", '{"id":null}', '{"id":""}', '{"id":{}}', '{"id":["1"]}', '{"id":true}'])
@pytest.mark.parametrize("other", ['{"id":"1"}', '{"id":7}', "5", "null"])
def test_a_record_without_a_usable_key_is_rejected_among_any_others(record: str, other: str) -> None:
    split = split_records(Raw(f"[{record}, {other}]".encode()), RecordHead(("id",)))
    assert split.rejected[0] == Rejected(record.encode(), without("id"))
    assert "absent, null, empty" in without("id")


@pytest.mark.parametrize("text", [b'{"id":"1"}', b"null", b"5", b""])
def test_records_that_are_no_array_are_refused(text: bytes) -> None:
    with pytest.raises(SchemaError, match="no readable JSON array"):
        split_records(Raw(text))


def test_half_an_emoji_does_not_cost_the_page() -> None:
    split = split_records(Raw(b'[{"id":"1","name":"a\\ud83d"},{"id":"2","\\uDC00":1}]'))
    found = Normaliser(TABLES["tags"], NOW).batch(split.records, where="page 1").to_pylist()
    assert [row["name"] for row in found] == ["a\\ud83d", None]
    assert found[1]["_extra"] == '{"\\\\uDC00":1}'


@pytest.mark.parametrize("text", [b'"\\ud83d\\ude00"', b'"\\\\ud83d"', b'"\\\\\\\\ud83d\\n"', '"é"'.encode()])
def test_mending_leaves_valid_text_alone(text: bytes) -> None:
    assert repair(text) == text


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (b'"\\ud83d\\ud83d\\ude00"', b'"\\\\ud83d\\ud83d\\ude00"'),
        (b'"\\\\\\ud83d"', b'"\\\\\\\\ud83d"'),
        (b'"\xff"', '"\N{REPLACEMENT CHARACTER}"'.encode()),
    ],
)
def test_mending_spells_out_what_is_no_text(text: bytes, mended: bytes) -> None:
    assert repair(text) == mended
