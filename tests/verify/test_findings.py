"""What a verification says of a difference and of a table."""

from __future__ import annotations

import json

from intercom.verify.findings import MOST_KEYS, Kind, Repair, TableProof, Window, about_rows

MISSING = about_rows(
    "contacts",
    Kind.MISSING,
    str(window := Window("created_at", 1_700_000_000, None)),
    "14 rows",
    "2 rows",
    Repair.READ_WINDOWS,
    [f"id-{number}" for number in range(12)],
    [window],
)


def test_a_difference_is_one_line_with_its_place_some_keys_and_what_mends_it() -> None:
    assert MISSING.line == (
        "contacts, created_at from 2023-11-14 22:13:20: missing: expected 14 rows, found 2 rows (id-0, id-1, id-2, "
        "id-3, id-4, id-5, id-6, id-7, id-8, id-9, ...); --repair reads these rows again"
    )


def test_all_keys_are_for_the_repair_and_not_for_people() -> None:
    assert len(MISSING.all_keys) == MISSING.count == 12
    assert json.loads(json.dumps(MISSING.to_json()))["keys"] == [f"id-{number}" for number in range(MOST_KEYS)]
    assert "id-11" not in json.dumps(MISSING.to_json())


def test_the_two_halves_of_a_table_add_up() -> None:
    local = TableProof("contacts", files=3, rows=20, bytes=900, notes=("a",))
    api = TableProof("contacts", windows=4, sampled=5, requests=6, differences=(MISSING,), notes=("b",))
    both = local.with_api(api)
    assert (both.files, both.rows, both.bytes, both.windows, both.sampled, both.requests) == (3, 20, 900, 4, 5, 6)
    assert both.notes == ("a", "b")
    assert local.proven
    assert not both.proven


def test_a_table_that_was_skipped_is_not_proven() -> None:
    assert not TableProof("contacts", skipped="it has no record").proven
