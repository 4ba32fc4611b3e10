"""Records that cannot be rows: they are kept as sent and told, and neither they nor their neighbours stop a table."""

from __future__ import annotations

import base64
import json
import os
import time
from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from intercom.errors import RetriableApiError, SchemaError
from intercom.lake.layout import TablePaths
from intercom.lake.rejected_records import RejectedRecords
from intercom.normalise.records import Rejected
from intercom.sandbox.records import Record
from intercom.sync.ingested import Ingested
from tests.support.rig import CONNECTION, Rig, is_of_everything

SEARCH = "/contacts/search"
MERGED = ("contacts", "companies", "conversations", "articles")
REPLACED = ("tags", "segments", "admins", "teams")  # data attributes are a table of their own kind
DEEP = b"[" * 100_000 + b"]" * 100_000
AT = 1_793_000_000


def with_member(value: bytes, name: str = "custom_attributes") -> bytes:
    """A record with a key of its own, times, and one more member."""
    key = b"odd-%d" % (hash(value) % 10**9)
    return b'{"id":"%b","name":"n-%b","created_at":%d,"updated_at":%d,"%b":%b}' % (
        *(key, key, AT, AT, name.encode(), value),
    )


ODD: Mapping[str, bytes] = {
    "nested 100,000 deep": with_member(b'{"a":' + DEEP + b"}"),
    "NaN": with_member(b'{"score": NaN}'),
    "Infinity": with_member(b"-Infinity"),
    "a raw control character": with_member(b'"a\x01b"'),
    "a raw line end": with_member(b'"a\nb"'),
    "a bracket in a text with an error": with_member(b'"]}\\q{["'),
    "a number": b"5",
    "a list": b'[{"id":"x"}]',
    "a text": b'"id"',
    "no key": b'{"created_at":%d,"updated_at":%d}' % (AT, AT),
    "a null key": b'{"id":null,"name":null,"updated_at":%d}' % AT,
    "an empty key": b'{"id":"","name":"","updated_at":%d}' % AT,
    "a key of another type": b'{"id":true,"name":{},"updated_at":%d}' % AT,
    "bytes that are no UTF-8, and NaN": with_member(b'"\xff"', "x")[:-1] + b',"y":NaN}',
}


def put(rig: Rig, table: str, odd: Mapping[str, bytes] = ODD) -> None:
    """Let the workspace serve these records too."""
    for name, body in odd.items():
        rig.workspace.tables[table].put(Record(f"odd {name}", AT, AT, body))


@contextmanager
def without_odd(rig: Rig, table: str) -> Iterator[None]:
    records = [record for record in rig.workspace.tables[table] if record.key.startswith("odd ")]
    for record in records:
        rig.workspace.tables[table].remove(record.key)
    yield
    for record in records:
        rig.workspace.tables[table].put(record)


def check_others(rig: Rig, table: str) -> None:
    with without_odd(rig, table):
        rig.check([table])


def kept(rig: Rig, table: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of each file of rejected records, by run."""
    lake = rig.lake()
    files = {path: lake.read_bytes(path) or b"" for path in lake.list(f"_rejected/{CONNECTION}/{table}")}
    return {
        path.rsplit("/", 1)[-1].removesuffix(".jsonl"): [json.loads(line) for line in text.splitlines()]
        for path, text in files.items()
    }


def text_of(line: dict[str, Any]) -> bytes:
    return line["record"].encode() if "record" in line else base64.b64decode(line["record_base64"])


def sync(rig: Rig, table: str, **options: Any) -> Ingested:
    return rig.sync([table], **options)[table][0]


@pytest.mark.parametrize("table", MERGED)
def test_records_that_cannot_be_rows_are_kept_as_sent_and_the_others_are_rows(rig: Rig, table: str) -> None:
    put(rig, table)
    found = sync(rig, table, run_id="first")
    check_others(rig, table)
    assert found.watermark_after is not None
    (note,) = found.notes
    assert f"{table}: {len(ODD)} records could not be rows" in note
    assert "no JSON object: 3" in note
    assert "nested too deeply: 1" in note
    assert "no usable key 'id' (absent, null, empty, or of another type): 4" in note
    (lines,) = kept(rig, table).values()
    assert {text_of(line) for line in lines} == set(ODD.values())
    assert all(line["request_id"].endswith("sandbox") and line["time"] and len(line["digest"]) == 64 for line in lines)
    assert sum("record_base64" in line for line in lines) == 1


def test_records_that_were_rejected_before_are_counted_and_not_written_again(rig: Rig) -> None:
    put(rig, "companies")
    sync(rig, "companies", run_id="first")
    again = sync(rig, "companies", run_id="second")
    assert f"{len(ODD)} records could not be rows" in again.notes[0]
    assert kept(rig, "companies").keys() == {"first"}
    put(rig, "companies", {"NaN": with_member(b'{"score": NaN, "more": 1}')})
    sync(rig, "companies", run_id="third", full_refresh=True)
    assert [text_of(line) for line in kept(rig, "companies")["third"]] == [with_member(b'{"score": NaN, "more": 1}')]
    check_others(rig, "companies")


@pytest.mark.parametrize("table", REPLACED)
def test_lists_are_replaced_by_their_usable_records(rig: Rig, table: str) -> None:
    rig.load([table])
    put(rig, table)
    (note,) = sync(rig, table).notes
    assert f"{table}: {len(ODD)} records could not be rows" in note
    assert "a row that one of them had before is gone" in note
    check_others(rig, table)


def test_of_data_attributes_those_with_a_name_are_usable(rig: Rig) -> None:
    """Each model is a request of its own; the first gets the odd records too."""
    good = [json.dumps(row).encode() for row in rig.workspace.rows("data_attributes") if row["model"] == "contact"]
    odd = [body for body in ODD.values() if b'"name":"n-' not in body]
    odd.append(ODD["NaN"])
    body = b'{"type":"list","data":[%b]}' % b",".join([*good, b"null", *odd])
    rig.server.fail("/data_attributes", kind="status", status=200, body=body, times=1)
    (note,) = sync(rig, "data_attributes").notes
    assert f"{len(odd)} records could not be rows" in note
    assert "no usable key 'name'" in note
    rig.check(["data_attributes"])


def test_a_known_row_whose_record_gets_odd_stays_until_a_full_refresh(rig: Rig) -> None:
    rig.load(["contacts"])
    contact = rig.workspace.rows("contacts")[0]
    body = json.dumps({**contact, "updated_at": rig.workspace.now()}).replace(
        '"custom_attributes": {', '"custom_attributes": {"x": NaN, '
    )
    rig.workspace.tables["contacts"].put(
        Record(contact["id"], contact["created_at"], rig.workspace.now(), body.encode())
    )
    (note,) = sync(rig, "contacts").notes
    assert "1 record could not be a row (no valid JSON" in note
    assert "a row that it had before stays as it was" in note
    assert contact["id"] in rig.rows("contacts").column("id").to_pylist()
    (note,) = sync(rig, "contacts", full_refresh=True).notes
    assert "a row that it had before is gone" in note
    assert contact["id"] not in rig.rows("contacts").column("id").to_pylist()


def test_a_company_that_got_odd_goes_with_a_full_refresh_and_is_one_record(rig: Rig) -> None:
    """A full refresh asks for companies that it lacks by their own addresses: there the record is as odd."""
    rig.load(["companies"])
    company = rig.workspace.rows("companies")[0]
    body = json.dumps(company).replace('"custom_attributes": {', '"custom_attributes": {"x": NaN, ')
    assert "NaN" in body
    put(rig, "companies", {"company": body.encode()})
    odd = rig.workspace.tables["companies"]["odd company"]
    rig.workspace.tables["companies"].remove("odd company")
    rig.workspace.tables["companies"].put(Record(company["id"], odd.created_at, odd.updated_at, odd.body))
    (note,) = sync(rig, "companies", full_refresh=True).notes
    assert "companies: 1 record could not be a row (no valid JSON" in note
    assert "is gone" in note
    assert company["id"] not in rig.rows("companies").column("id").to_pylist()
    assert rig.rows("companies").num_rows == len(rig.workspace.rows("companies")) - 1


def test_what_is_in_a_record_is_told_nowhere_but_in_its_file(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    put(rig, "contacts", {"NaN": with_member(b'{"secret of a customer": NaN}')})
    found = sync(rig, "contacts")
    assert found.notes
    assert "secret of a customer" not in caplog.text + "".join(found.notes)
    state = rig.lake().read_json("_state/acme/contacts.json")
    assert "secret of a customer" not in json.dumps(state)


def test_their_number_and_their_place_are_in_the_result(rig: Rig) -> None:
    """The run's own file; the folder where an earlier run has kept the very same record."""
    assert (sync(rig, "contacts").rejected, sync(rig, "contacts").rejected_file) == (0, None)
    put(rig, "companies", {"NaN": ODD["NaN"]})
    first, second = sync(rig, "companies", run_id="first"), sync(rig, "companies", run_id="second")
    assert (first.rejected, first.rejected_file) == (1, "_rejected/acme/companies/first.jsonl")
    assert (second.rejected, second.rejected_file) == (1, "_rejected/acme/companies")


def test_more_than_a_hundred_fail_the_table_with_reasons_requests_and_place(rig: Rig) -> None:
    put(rig, "companies", {str(number): b'{"id":"","number":%d}' % number for number in range(99)})
    put(rig, "companies", {"NaN": ODD["NaN"]})
    assert sync(rig, "companies", run_id="all well").watermark_after is not None
    before = rig.lake().read_json("_state/acme/companies.json")
    put(rig, "companies", {"a number": b"5"})
    with pytest.raises(SchemaError) as error:
        sync(rig, "companies", run_id="failed")
    for told in (
        "companies: 101 records of this run could not be rows, which is more than 100",
        "no usable key 'id' (absent, null, empty, or of another type): 99; no",
        "no JSON object: 1",
        "sandbox). They are kept as sent in file:///",
        "/_rejected/acme/companies/failed.jsonl",
        "The watermark has not moved",
    ):
        assert told in str(error.value)
    assert rig.lake().read_json("_state/acme/companies.json") == before
    assert [text_of(line) for line in kept(rig, "companies")["failed"]] == [b"5"]


@pytest.mark.parametrize("table", ["tags", "contacts"])
def test_ten_records_of_which_none_can_be_a_row_fail_the_table(rig: Rig, table: str) -> None:
    rig.load([table])
    for row in rig.workspace.rows(table):
        rig.workspace.delete(table, row["id"])
    put(rig, table, {str(number): b"5" for number in range(10)})
    count = rig.rows(table).num_rows
    with pytest.raises(SchemaError, match="10 records of this run could not be rows, which is every one that came"):
        sync(rig, table, full_refresh=table == "contacts")
    assert rig.rows(table).num_rows == count > 0


def test_nine_records_of_which_none_can_be_a_row_are_told(rig: Rig) -> None:
    for row in rig.workspace.rows("tags"):
        rig.workspace.delete("tags", row["id"])
    put(rig, "tags", {str(number): b"5" for number in range(9)})
    assert "tags: 9 records could not be rows (no JSON object: 9)" in sync(rig, "tags").notes[0]


def test_a_run_that_is_tried_again_adds_to_its_file(rig: Rig) -> None:
    first = b'{"id":null,"created_at":1,"updated_at":%d}' % AT
    rig.workspace.tables["contacts"].put(Record("odd first", 1, AT, first))

    def break_down(request: Any) -> None:
        if request.body and "starting_after" in request.body.get("pagination", {}):
            rig.server.fail(SEARCH, times=1000)

    rig.server.before_request(break_down)
    with pytest.raises(RetriableApiError):
        sync(rig, "contacts", run_id="tried")
    assert [text_of(line) for line in kept(rig, "contacts")["tried"]] == [first]
    rig.server.clear_hooks()
    rig.server.clear_faults()
    put(rig, "contacts", {"a number": b"5"})
    assert "2 records could not be rows" in sync(rig, "contacts", run_id="tried").notes[0]
    assert [text_of(line) for line in kept(rig, "contacts")["tried"]] == [first, b"5"]
    assert "2 records could not be rows" in sync(rig, "contacts", run_id="tried").notes[0]
    assert len(kept(rig, "contacts")["tried"]) == 2


def test_files_of_rejected_records_are_kept_for_ninety_days(rig: Rig) -> None:
    put(rig, "companies")
    sync(rig, "companies", run_id="old")
    file = rig.lake_folder / "_rejected/acme/companies/old.jsonl"
    age(file, days=89)
    sync(rig, "companies", run_id="young")
    assert kept(rig, "companies").keys() == {"old"}
    age(file, days=91)
    sync(rig, "companies", run_id="late")
    assert kept(rig, "companies").keys() == {"late"}
    assert len(kept(rig, "companies")["late"]) == len(ODD)
    age(rig.lake_folder / "_rejected/acme/companies/late.jsonl", days=91)
    with without_odd(rig, "companies"):
        sync(rig, "companies")  # its merge cleans up
    assert kept(rig, "companies") == {}


def age(file: Any, days: int) -> None:
    then = time.time() - days * 86_400
    os.utime(file, (then, then))


def test_null_elements_are_no_rows_and_no_fault(rig: Rig) -> None:
    tables = ("contacts", "conversations", "companies", "articles", *REPLACED)
    for table in tables:
        put(rig, table, {"null": b"null"})
    results = rig.sync(tables)
    assert [found.notes for found, _ in results.values()] == [()] * len(tables)
    assert all(results[table][0].watermark_after is not None for table in tables[:4])
    for table in tables:
        check_others(rig, table)


@pytest.mark.parametrize("beside", ['"total_count":NaN', '"pages":{"next":NaN},"total_count":3', '"pages":"\x01"'])
def test_what_is_odd_beside_the_records_is_a_broken_answer(rig: Rig, beside: str) -> None:
    """It may tell how much is still to come; the answer is asked for again."""
    record = json.dumps(rig.workspace.rows("contacts")[0])
    rig.server.fail(SEARCH, kind="status", status=200, body=f'{{"data":[{record}],{beside}}}', times=2)
    assert sync(rig, "contacts").notes == ()
    rig.check(["contacts"])
    assert len(rig.waited) == 2


@pytest.mark.parametrize(
    "cut", [b'{"data":[{"id":"1","x":NaN},{"id":', b'{"data":[{"id":"1","x":NaN}', b'{"data":[NaN]}}']
)
def test_an_answer_that_is_not_whole_is_asked_for_again_whatever_is_in_it(rig: Rig, cut: bytes) -> None:
    rig.server.fail(SEARCH, kind="status", status=200, body=cut, times=2)
    assert sync(rig, "contacts").notes == ()
    rig.check(["contacts"])
    assert len(rig.waited) == 2


def test_a_number_that_is_too_large_is_no_count_and_no_place(rig: Rig) -> None:
    rig.server.fail("/tags", kind="status", status=200, body='{"data":[],"total_count":1e999}', times=1)
    assert sync(rig, "tags").rows == 0
    rig.server.fail("/tags", kind="status", status=200, body='{"data":[],"pages":{"next":1e999}}', times=1)
    with pytest.raises(RetriableApiError, match="next page cannot be read"):
        sync(rig, "tags")


def is_too_deep(depth: int) -> bool:
    try:
        msgspec.json.decode(b"[" * depth + b"]" * depth)
    except (RecursionError, msgspec.DecodeError):
        return depth > 0
    return False


@pytest.mark.parametrize(("table", "member"), [("contacts", "custom_attributes"), ("conversations", "source")])
def test_a_record_of_any_depth_is_a_row_or_rejected(rig: Rig, table: str, member: str) -> None:
    """How deep is too deep depends on the thread: what the reader takes may still be too much for what comes later.

    It depends on Python's version, too: 3.11 counts calls, 3.12 and later those of C by themselves.
    """
    limit = bisect(range(100_000), False, key=is_too_deep)
    deep = {
        f"{depth}": with_member(b'{"author":{"name":' + b"[" * depth + b"]" * depth + b"}}", member)
        for depth in range(limit - 60, limit + 120, 4)
    }
    put(rig, table, deep)
    found = sync(rig, table)
    rejected = sum(len(lines) for lines in kept(rig, table).values())
    assert sum(key.startswith("odd") for key in rig.rows(table).column("id").to_pylist()) == len(deep) - rejected
    assert 0 < rejected < len(deep)
    assert f"{rejected} records could not be rows" in found.notes[0]


def test_equal_records_that_cannot_be_rows_are_as_many_as_there_are(rig: Rig) -> None:
    good = [json.dumps(row) for row in rig.workspace.rows("contacts")[:60]]
    body = '{"data":[' + ",".join([*good, *['{"id":null,"role":"user"}'] * 3]) + '],"total_count":63,"pages":null}'
    rig.server.fail(SEARCH, kind="status", status=200, body=body, times=1000, where=is_of_everything)
    found = sync(rig, "contacts")
    assert found.watermark_after is not None
    assert ["3 records could not be rows" in note for note in found.notes] == [True]


def test_good_records_outside_of_the_range_are_no_sign_that_all_are_odd(rig: Rig) -> None:
    put(rig, "companies", {f"{number}": b'{"name":"without a key %d"}' % number for number in range(12)})
    found = sync(rig, "companies", history_from=rig.workspace.now() + 86_400)
    assert "12 records could not be rows" in found.notes[0]


def test_a_second_try_tells_the_records_that_the_first_has_rejected(rig: Rig) -> None:
    paths = TablePaths("acme", "contacts")
    first = RejectedRecords(rig.lake(), paths, "again")
    with first:
        first.take(5, [Rejected(b'{"id":null}', "no key"), Rejected(b"\xff", "no JSON")], "request")
    second = RejectedRecords(rig.lake(), paths, "again")
    second.recall()
    second.take(5, [Rejected(b"\xff", "no JSON")], "request")
    assert second.notes(replaces=False) == first.notes(replaces=False)


def test_the_reasons_for_which_records_are_kept_are_counted_over_all_runs(rig: Rig) -> None:
    tags = rig.lake_table("tags")
    assert tags.rejected_reasons() == {}
    for run, texts in {"run-a": (b"1", b"2"), "run-b": (b"3", b"2")}.items():
        with tags.rejected_records(run) as kept:
            kept.take(5, [Rejected(text, "no object") for text in texts], None)
    tags.lake.write_bytes(f"{tags.paths.rejected}/run-c.jsonl", b'{"reason": "no key", "record": "x"}\nhalf a li')
    assert tags.rejected_reasons() == {"no object": 3, "no key": 1, "a line that cannot be read": 1}
