"""Rows of the workspace held against the lake's: which are missing, stale, of other content, or only younger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from msgspec import Raw

from intercom.extract.pages import Page
from intercom.lake.state import TableState
from intercom.normalise.normaliser import Normaliser
from intercom.sync.protection import Protection
from intercom.tables.catalogue import TABLES
from intercom.verify.api_rows import ApiRows
from intercom.verify.judge import Compared, Expected, compare_versions, differing_fields
from intercom.verify.lake_index import CHANGED, CREATED, KEY, MONTH, WAITING, LakeIndex

CONTACTS = TABLES["contacts"]
SETTLED = 1_000


def record(key: str, updated_at: int | None, **members: Any) -> dict[str, Raw]:
    fields = {"id": key, "created_at": 10, "updated_at": updated_at, **members}
    return {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}


def given(*records: dict[str, Raw]) -> pa.Table:
    rows = ApiRows(CONTACTS, Protection(CONTACTS, None))
    rows.add(Page(1, None, list(records)))
    return rows.rows()


def lake(**changed: int | None) -> LakeIndex:
    size = len(changed)
    return LakeIndex(
        TableState("lake", ""),
        pa.table(
            {
                KEY: pa.array(list(changed), pa.string()),
                CREATED: pa.array([10] * size, pa.int64()),
                CHANGED: pa.array(list(changed.values()), pa.int64()),
                MONTH: pa.array(["1970-01"] * size, pa.string()),
                WAITING: pa.array([False] * size),
            }
        ),
    )


def compared(index: LakeIndex, *records: dict[str, Raw], **expected: Any) -> Compared:
    return compare_versions(given(*records), index, Expected(**{"settled": SETTLED, **expected}))


def test_a_row_that_changed_before_the_last_sync_reaches_has_to_be_there_in_that_version() -> None:
    found = compared(lake(same=500, old=400), record("same", 500), record("old", 500), record("new", 999))
    assert found == Compared({"new": 10}, ["old"], ["same"], 0)


def test_a_row_that_changed_since_is_left_to_the_next_sync() -> None:
    found = compared(lake(old=400), record("old", SETTLED), record("new", SETTLED + 1))
    assert found == Compared({}, [], [], 2)


def test_a_search_that_gives_an_older_version_than_the_lake_has_says_nothing() -> None:
    assert compared(lake(row=600), record("row", 500)) == Compared({}, [], [], 0)


def test_of_several_versions_of_a_key_the_last_change_counts() -> None:
    assert compared(lake(row=500), record("row", 500), record("row", 400)) == Compared({}, [], ["row"], 0)


def test_rows_from_before_the_history_need_not_be_there() -> None:
    assert compared(lake(), record("a", 299), record("b", 300), history_from=300).missing == {"b": 10}


def test_rows_of_a_list_without_times_may_have_come_since_the_last_sync() -> None:
    row = {name: value for name, value in record("a", None).items() if name == "id"}
    assert compared(lake(), row, is_timed=False) == Compared({}, [], [], 1)
    assert compared(lake(), row, is_timed=True).missing == {"a": None}


# -- fields -----------------------------------------------------------------------------------------------------------


def stored(*records: dict[str, Raw]) -> pa.Table:
    batch = Normaliser(CONTACTS, datetime(2026, 11, 1, tzinfo=UTC)).batch(records, where="here")
    return pa.Table.from_batches([batch])


def fields(ours: dict[str, Raw], theirs: dict[str, Raw]) -> dict[str, tuple[str, ...]]:
    return differing_fields(CONTACTS, stored(ours), given(theirs))


def test_json_is_compared_as_values_and_other_columns_as_they_are() -> None:
    nested = Raw(b'{"b": 2, "a": 1}')
    other = Raw(b'{"a":1,"b":2.0}')
    assert fields(record("a", 5) | {"custom_attributes": nested}, record("a", 5) | {"custom_attributes": other}) == {}
    assert fields(record("a", 5, name="x"), record("a", 5, name="y", phone="1")) == {"a": ("phone", "name")}


def test_values_without_a_column_are_compared_too() -> None:
    assert fields(record("a", 5, odd={"x": [1]}), record("a", 5, odd={"x": [2]})) == {"a": ("_extra",)}


def test_a_list_that_came_cut_is_not_compared_as_the_lake_may_have_the_rest() -> None:
    whole = {"type": "list", "data": [{"id": "1"}, {"id": "2"}], "has_more": False, "total_count": 2}
    cut = whole | {"data": [{"id": "1"}], "has_more": True}
    assert fields(record("a", 5, tags=whole), record("a", 5, tags=cut)) == {}
    assert fields(record("a", 5, tags=whole), record("a", 5, tags=whole | {"total_count": 3})) != {}


def test_rows_that_only_one_side_has_are_no_difference_of_fields() -> None:
    assert fields(record("a", 5), record("b", 5, name="y")) == {}
