"""Rows counted by what they are, and reads that bring nothing new."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from intercom.errors import RetriableApiError
from intercom.extract.distinct_keys import SPARE_ROWS, STILL_PAGES, DistinctKeys
from intercom.extract.pages import Page
from intercom.normalise.records import Rejected, SentRecord


def page(*texts: str, number: int = 1, nulls: int = 0, rejected: Iterable[bytes] = ()) -> Page:
    records = [SentRecord(msgspec.Raw(text.encode())) for text in texts]
    return Page(number, "r-7", records, nulls=nulls, rejected=tuple(Rejected(text, "is too deep") for text in rejected))


def rows(*ids: int) -> Page:
    return page(*(f'{{"id":"{key}"}}' for key in ids))


def test_a_row_that_comes_twice_is_one() -> None:
    seen = DistinctKeys("tags")
    assert seen.add(rows(1, 2)) == [b'"1"', b'"2"']
    seen.add(rows(2, 3))
    assert (seen.found, seen.rows) == (3, 4)


def test_rows_without_an_id_are_told_apart_by_their_text() -> None:
    seen = DistinctKeys("data_attributes")
    seen.add(page('{"name":"plan"}', '{"name":"seats"}', '{"name":"plan"}', '{"id":null,"name":"plan"}'))
    assert seen.found == 3


def test_a_record_that_cannot_be_a_row_is_found_and_a_null_is_nothing() -> None:
    seen = DistinctKeys("admins")
    seen.add(page('{"id":"1"}', nulls=3, rejected=[b"[[[", b"[["]))
    seen.add(page(rejected=[b"[[["]))
    assert seen.found == 3


def test_pages_that_repeat_end_the_read_with_table_and_request() -> None:
    seen = DistinctKeys("tags", counted=100)
    for _ in range(STILL_PAGES):
        seen.add(rows(1, 2))
    with pytest.raises(RetriableApiError, match=r"tags: no progress up to page 1, request r-7: 5 pages") as error:
        seen.add(rows(2))
    assert error.value.request_id == "r-7"
    assert "watermark has not moved" in str(error.value)


def test_empty_pages_end_the_read_too() -> None:
    seen = DistinctKeys("contacts")
    seen.add(rows(1))
    for _ in range(STILL_PAGES - 1):
        seen.add(page())
    with pytest.raises(RetriableApiError, match="no progress"):
        seen.add(page())


def test_one_new_row_is_progress() -> None:
    seen = DistinctKeys("contacts")
    for key in range(10):
        for _ in range(STILL_PAGES - 1):
            seen.add(rows(0))
        seen.add(rows(key + 1))
    assert seen.found == 11


def test_far_more_rows_than_counted_end_the_read() -> None:
    seen = DistinctKeys("contacts", counted=10)
    seen.add(rows(*range(SPARE_ROWS)))
    with pytest.raises(RetriableApiError, match=r"1600 rows came where 10 are counted"):
        seen.add(rows(*range(5_000, 5_100)))


def test_the_largest_count_holds_and_without_one_rows_have_no_bound() -> None:
    seen = DistinctKeys("contacts")
    seen.add(rows(*range(2 * SPARE_ROWS)))
    for counted in (7, 4_000, None, 0):
        seen.expect(counted)
    assert seen.counted == 4_000
    seen.add(rows(*range(5_000, 9_000)))
