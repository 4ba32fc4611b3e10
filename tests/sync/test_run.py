"""What a run is asked for, before its first request."""

from __future__ import annotations

from datetime import date

import pytest

from intercom.errors import ConfigurationError
from intercom.sync.run import asked_range

MAY = date(2026, 5, 1)


@pytest.mark.parametrize(
    ("start", "end", "full_refresh", "message"),
    [(date(2026, 5, 2), MAY, False, "before the start date 2026-05-02"), (None, MAY, True, "remove every newer row")],
)
def test_days_that_contradict_each_other_or_would_lose_rows_are_refused(
    start: date | None, end: date, full_refresh: bool, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        asked_range(start, end, full_refresh=full_refresh)


def test_both_days_are_included_in_utc() -> None:
    assert asked_range(MAY, MAY, full_refresh=False) == (1_777_593_600, 1_777_680_000)
    assert asked_range(MAY, None, full_refresh=True) == (1_777_593_600, None)
    assert asked_range(None, None, full_refresh=True) == (None, None)


def test_no_start_date_and_all_are_two_things() -> None:
    assert asked_range("all", None, full_refresh=True) == ("all", None)
    assert asked_range("all", MAY, full_refresh=False) == ("all", 1_777_680_000)
    assert asked_range(None, MAY, full_refresh=False) == (None, 1_777_680_000)
