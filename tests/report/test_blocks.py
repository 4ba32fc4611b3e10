"""How values and names are written, and that any name can be drawn."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from intercom.report.blocks import age, count, day, distinct, listed, shown_name, span, top
from intercom.report.drawing import draw
from intercom.report.pictures import NARROW, bars_by_name, bars_over_time, line_over_time
from tests.support.reported import HOSTILE


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"), (0.0, "0 s"), (59.25, "59.2 s"), (60, "1 min"), (370, "6 min 10 s"), (3599.6, "1 h"),
        (11_100, "3 h 5 min"), (172_799, "47 h 59 min"), (172_800, "2 d"),
        (187_200, "2 d 4 h"), (10**9, "11,574 d 1 h"),
    ],
)  # fmt: skip
def test_spans(seconds: float | None, shown: str) -> None:
    assert span(seconds).replace("\u00a0", " ") == shown


def test_ages_counts_days_and_lists() -> None:
    now = datetime(2026, 11, 3, 12, tzinfo=UTC)
    ages = [age(now - timedelta(seconds=back), now).replace("\u00a0", " ") for back in (-5, 59, 60, 3 * 3600 + 330)]
    assert ages == ["just now", "just now", "1 min ago", "3 h 5 min ago"]
    assert age(None, now) == "–"
    assert (count(1_204), count(None)) == ("1,204", "–")
    assert day(date(2026, 11, 3)).replace("\u00a0", " ") == "3 Nov 2026"
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert top({"b": 2, "a": 2, "c": 5, "d": 1}, 2) == ([("c", 5), ("a", 2)], 2, 3)


def test_names_are_one_short_line_without_what_turns_or_breaks_it() -> None:
    assert shown_name("a\x00b\r\n c\u202e\u2066d") == "a b c d"
    assert shown_name("\u202e \t") == "(no name)"
    assert shown_name("w" * 81) == "w" * 79 + "…"
    assert shown_name("名" * 9, 10) == "名" * 4 + "…"
    assert shown_name("名" * 5, 10) == "名" * 5
    assert distinct(["a", "a ", "b", "a (2)", "a"]) == ["a", "a (2)", "b", "a (2) (2)", "a (3)"]


@given(some.text(max_size=100), some.integers(2, 60))
def test_a_name_is_never_wider_than_it_may_be_nor_cut_in_a_character(name: str, longest: int) -> None:
    shown = shown_name(name, longest)
    assert shown == "(no name)" or len(shown) <= longest
    shown.encode()


@settings(max_examples=6)
@given(some.lists(some.text(max_size=40), min_size=8, max_size=8))
def test_any_names_can_be_drawn(names: list[str]) -> None:
    drawn = draw(bars_by_name([*names, *HOSTILE], {"first": range(1, 9 + len(HOSTILE))}, width=NARROW))
    assert drawn.count("mark-rect") == 1
    assert "<script" not in drawn
    assert "<img" not in drawn


def test_pictures_without_a_value_can_be_drawn() -> None:
    for spec in (
        bars_by_name([], {"first": []}, width=NARROW),
        bars_by_name(["a"], {"first": [0]}, width=NARROW),
        bars_over_time({"first": []}, [], width=NARROW, height=90),
        bars_over_time({"first": [None, 0]}, ["a", "b"], width=NARROW, height=90, most=5),
        line_over_time([None, None], ["a", "b"], width=NARROW, height=90),
        line_over_time([], [], width=NARROW, height=90),
    ):
        assert draw(spec).startswith("<svg ")
