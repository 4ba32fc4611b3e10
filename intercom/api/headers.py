"""Headers of an answer about the quota and the time.

Source: Intercom's developer pages, "Rate limiting": windows of ten seconds, and the headers X-RateLimit-Limit,
-Remaining and -Reset (the unix second at which the window ends and the quota is full again).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class RateHeaders:
    """Headers about the quota; None where one is absent.

    ``limit`` and ``remaining`` are requests of the rate window, ``reset`` is its end and ``date`` the time of the
    answer, both in unix seconds by the server's clock.
    """

    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    date: int | None = None

    @classmethod
    def from_http(cls, headers: Mapping[str, str]) -> RateHeaders:
        """X-RateLimit-* and Date; a header that is no number (or date) counts as absent."""
        limit, remaining, reset = (
            _natural_number(headers.get(f"X-RateLimit-{name}", "")) for name in ("Limit", "Remaining", "Reset")
        )
        return cls(limit, remaining, reset, http_date(headers.get("Date", "")))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header in seconds; None without a valid one.

    A date in it is compared with the Date header and counts as absent without one: this machine's clock may be hours
    from the server's.
    """
    text = headers.get("Retry-After", "")
    if (seconds := _natural_number(text)) is not None:
        return float(seconds)
    until, now = http_date(text), http_date(headers.get("Date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def http_date(text: str) -> int | None:
    """An HTTP date as unix seconds; None for text that is no date."""
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _natural_number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
