"""Durations in words."""

from __future__ import annotations

import pytest

from intercom.sync.time_text import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"), (0.72, "0.7 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "2 min"),
        (360, "6 min"), (5940, "99 min"), (6000, "1 h 40 min"), (7200, "2 h 0 min"), (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_durations_are_as_exact_as_anybody_needs(seconds: float, text: str) -> None:
    assert duration(seconds) == text
