"""Durations and times as text."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """``0.7 s``, ``40 s``, ``6 min``, ``1 h 20 min``: as exact as anybody needs."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def shown_time(second: int | None) -> str:
    """``2026-11-03 11:59:59``, in UTC; a dash for none."""
    return "-" if second is None else datetime.fromtimestamp(second, UTC).isoformat(" ").removesuffix("+00:00")
