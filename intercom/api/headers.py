"""What the headers of an answer say about the quota and the time.

Facts about the quota are from Intercom's developer pages, "Rate limiting": windows of ten seconds, and the headers
X-RateLimit-Limit, -Remaining and -Reset (unix second at which the window refills).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RateHeaders:
    """What an answer says about the quota, None where it says nothing. Times are unix seconds by the server's clock."""

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    date: int | None = None

    @classmethod
    def from_http(cls, headers: Mapping[str, str]) -> RateHeaders:
        """Read X-RateLimit-* and Date; a header that is no number (or date) counts as absent."""
        limit, remaining, reset = (
            _whole(headers.get(f"X-RateLimit-{name}", "")) for name in ("Limit", "Remaining", "Reset")
        )
        return cls(limit, remaining, reset, http_date(headers.get("Date", "")))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header, seconds or an HTTP date against the Date header; None without a valid one.

    A date alone says nothing: this machine's clock may be hours from the server's.
    """
    text = headers.get("Retry-After", "")
    if (seconds := _whole(text)) is not None:
        return float(seconds)
    until, now = http_date(text), http_date(headers.get("Date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def http_date(text: str) -> int | None:
    """An HTTP date as unix seconds, None when it is none."""
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
