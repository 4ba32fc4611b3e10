"""What the limiter believes of an answer's headers."""

from __future__ import annotations

import pytest

from intercom.api.headers import RateHeaders, retry_after_seconds


def test_headers_are_read_and_rubbish_is_absent() -> None:
    http = {
        "X-RateLimit-Limit": "167",
        "X-RateLimit-Remaining": " 12 ",
        "X-RateLimit-Reset": "1700000010",
        "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
    }
    assert RateHeaders.from_http(http) == RateHeaders(167, 12, 1_700_000_010, 1_700_000_000)
    rubbish = dict.fromkeys(http, "soon")
    assert RateHeaders.from_http(rubbish) == RateHeaders.from_http({}) == RateHeaders()
    assert RateHeaders.from_http({"X-RateLimit-Remaining": "-1", "X-RateLimit-Limit": "²"}) == RateHeaders()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 14 Nov 2023 22:13:25 GMT", 5.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("x", None),
        ("", None),
    ],
)
def test_retry_after_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after_seconds({"Retry-After": text, "Date": "Tue, 14 Nov 2023 22:13:20 GMT"}) == seconds
