"""How a lookback is typed: in the shell, in YAML and in Prefect's form the same text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intercom.config.lookback import LOOKBACK_PATTERN, Lookback, parse_lookback
from intercom.errors import ConfigurationError

HOUR, DAY = 3_600, 86_400


@pytest.mark.parametrize(
    ("text", "lookback"),
    [
        ("1h", Lookback()),
        ("26h", Lookback(26 * HOUR)),
        ("90m", Lookback(5_400)),
        (" 2d ", Lookback(2 * DAY)),
        ("contacts=6h", Lookback(HOUR, (("contacts", 6 * HOUR),))),
        ("2h, contacts = 6h,tickets=2d", Lookback(2 * HOUR, (("contacts", 6 * HOUR), ("tickets", 2 * DAY)))),
    ],
)  # fmt: skip
def test_a_time_is_for_all_tables_or_for_one(text: str, lookback: Lookback) -> None:
    assert parse_lookback(text) == lookback
    assert re.search(LOOKBACK_PATTERN, text)


def test_a_table_without_a_time_of_its_own_has_that_of_all() -> None:
    lookback = parse_lookback("2h,contacts=6h")
    assert (lookback.of("contacts"), lookback.of("conversations")) == (6 * HOUR, 2 * HOUR)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("26", "Write a number of minutes, hours or days"),
        ("", "not a duration"),
        ("1h,", "not a duration"),
        ("1.5h", "not a duration"),
        ("-1h", "not a duration"),
        ("0h", "not a duration"),
        ("=1h", "not a duration"),
        ("contacts=", "not a duration"),
        ("contacts", "not a duration"),
        ("companies=6h", "names 'companies'. Only these tables have a lookback"),
        ("contacs=6h", "contacts, conversations"),
    ],
)
def test_what_is_no_lookback_is_refused_by_the_form_and_by_the_flow(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_lookback(text)
    assert not re.search(LOOKBACK_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [("9m", "not between 10 minutes"), ("367d", "366 days"), ("1h,2h", "two times"), ("tickets=1h,tickets=2h", "two")],
)  # fmt: skip
def test_what_the_form_cannot_refuse_is_refused_by_the_flow(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_lookback(text)


@given(st.text(alphabet="0123456789mhd =,contas", max_size=14))
@example("0=1d")
def test_the_form_takes_what_the_flow_takes(text: str) -> None:
    try:
        parse_lookback(text)
    except ConfigurationError as error:
        refused = str(error)
    else:
        refused = None
    of_the_form = refused is not None and ("is not a duration" in refused or " names " in refused)
    assert bool(re.search(LOOKBACK_PATTERN, text)) is not of_the_form
