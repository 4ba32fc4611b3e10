"""Staged parts: which rows lie in which, and what is durable when."""

from __future__ import annotations

from pathlib import Path

import pytest

from intercom.errors import LakeError
from intercom.lake.layout import part_number
from tests.support.parts import SlowLake, batch, page, staged, writer


@pytest.fixture
def lake(tmp_path: Path) -> SlowLake:
    return SlowLake(str(tmp_path / "lake"))


def test_every_row_is_in_one_part_of_its_month_and_numbers_have_no_gap(lake: SlowLake) -> None:
    pages = [page(number, month=number % 4) for number in range(40)]
    with writer(lake, split_bytes=20_000, held_bytes=30_000) as parts:
        for one in pages:
            parts.add(batch(one))
    found = staged(lake)
    assert sorted(identity for ids in found.values() for identity in ids) == sorted(
        f"{number}-{row}" for number in range(40) for row in range(10)
    )
    assert sorted(map(part_number, found)) == list(range(parts.parts))
    assert all(len({int(identity.split("-")[0]) % 4 for identity in ids}) == 1 for ids in found.values())
    assert parts.rows == 400


def test_rows_wait_for_others_of_their_month(lake: SlowLake) -> None:
    """Pages of many months in turn do not make a part each."""
    with writer(lake, split_bytes=10_000, held_bytes=500_000) as parts:
        for number in range(120):
            parts.add(batch(page(number, month=number % 12)))
    assert parts.parts <= 24


def test_months_that_have_come_to_their_end_are_written_before_a_larger_one_that_grows(lake: SlowLake) -> None:
    """So a first load, which is read in ranges of time, makes one part of most months."""
    months = [number // 5 for number in range(30)] + [6] * 18
    with writer(lake, split_bytes=10_000, held_bytes=100_000) as parts:
        for number, month in enumerate(months):
            parts.add(batch(page(number, month=month)))
    assert parts.parts == 7


def test_months_with_few_rows_wait_for_more(lake: SlowLake) -> None:
    """Where rows come in no order, a month that the newest rows are not of is not complete."""
    with writer(lake, split_bytes=10_000, held_bytes=100_000) as parts:
        for number in range(180):
            parts.add(batch(page(number, month=12 if number % 3 else number // 3 % 10)))
    assert parts.parts <= 40


def test_only_the_first_part_of_few_rows_has_several_months(lake: SlowLake) -> None:
    with writer(lake) as parts:
        for number in range(4):
            parts.add(batch(page(2 * number)))
            parts.add(batch(page(2 * number + 1, month=1)))
            parts.flush()
    assert sorted(len({int(identity.split("-")[0]) % 2 for identity in ids}) for ids in staged(lake).values()) == [
        *(6 * [1]), 2,
    ]  # fmt: skip
    assert parts.parts == 7


def test_a_checkpoint_is_told_only_when_all_rows_before_it_are_durable(lake: SlowLake) -> None:
    told: list[tuple[int, int]] = []
    lake.gate.clear()
    with writer(lake) as parts:
        parts.add(batch(page(1)))
        parts.checkpoint(lambda count: told.append((count, len(staged(lake)))))
        parts.add(batch(page(2, month=1)))
        assert told == []
        lake.gate.set()
        parts.flush()
        ((count, durable),) = told  # the part after it may be there by then, too
        assert count == 1 <= durable


def test_a_part_that_cannot_be_written_ends_it_and_no_checkpoint_passes_it(tmp_path: Path) -> None:
    lake = SlowLake(str(tmp_path / "lake"), refuses=1)
    told: list[int] = []
    parts = writer(lake)

    def write() -> None:
        with parts:
            for number in range(3):
                parts.add(batch(page(number, month=number)))
                parts.checkpoint(told.append)

    with pytest.raises(LakeError, match="no space"):
        write()
    assert told in ([], [1])
    assert parts.parts <= 1
