"""What a page of a report is made of: tiles, sections, figures with their numbers, and how values are written. Pure."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

LONGEST_NAME: Final = 80
_BLANK: Final = "\u00a0"
"""Not broken into lines."""
_TURNS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of a text: a name could change the order of what stands beside it."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A table; the columns with the numbers `texts` are texts, the others numbers. Cells are shown as they are."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: `wide` and `narrow` are Vega-Lite; without a `wide` one the narrow one is shown everywhere."""

    title: str
    narrow: Mapping[str, Any]
    wide: Mapping[str, Any] | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """Pictures under one title, with their numbers. `legend` are pairs of a name and a colour of the page's style.

    A `broad` figure has the page's width.
    """

    title: str
    told: str
    panels: tuple[Panel, ...]
    numbers: Numbers
    legend: tuple[tuple[str, str], ...] = ()
    broad: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A table that is always shown, under a title."""

    title: str
    told: str
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of the page. `mood` is good, bad or plain."""

    title: str
    value: str
    told: str
    mood: str = "plain"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. `notes` say what is left out, and why.

    Figures of different heights stand `in_columns`, one below the other, else side by side.
    """

    title: str
    figures: tuple[Figure, ...] = ()
    listings: tuple[Listing, ...] = ()
    notes: tuple[str, ...] = ()
    in_columns: bool = False


def shown_name(name: str, longest: int = LONGEST_NAME) -> str:
    """A name of the workspace in one line, without control characters, no wider than so many Latin letters.

    It is cut between characters: Vega would also cut within one that is not in the Basic Multilingual Plane, such as an
    emoji, and fail.
    """
    kept = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") or one in _TURNS else one for one in name)
    words = " ".join(kept.split())
    if not words:
        return "(no name)"
    widths = list(accumulate(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in words))
    return words if widths[-1] <= longest else f"{words[: bisect_left(widths, longest)].rstrip()}…"


def distinct(names: Iterable[str], longest: int = LONGEST_NAME) -> list[str]:
    """The names as they are shown; what looks the same gets a number, since a picture has one bar for each."""
    given: set[str] = set()
    shown = []
    for name in (shown_name(one, longest) for one in names):
        found, number = name, 1
        while found in given:
            number += 1
            found = f"{name} ({number})"
        given.add(found)
        shown.append(found)
    return shown


def count(number: int | None) -> str:
    """``1,204``; a dash for None."""
    return "–" if number is None else f"{number:,}"


def day(of: date) -> str:
    """``3 Nov 2026``, in one line."""
    return f"{of.day}{_BLANK}{of:%b}{_BLANK}{of:%Y}"


def minute(time: datetime | None) -> str:
    """``2026-11-03 12:07``; a dash for None."""
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M}"


def span(seconds: float | None) -> str:
    """``40 s``, ``6 min 10 s``, ``3 h 5 min``, ``2 d 4 h``; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g}{_BLANK}s"
    whole = round(seconds)
    for unit, size, smaller, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86_400, "h", 3600)):
        if whole < size * {"min": 60, "h": 48}.get(unit, 10**9):
            left = whole % size // part
            first = f"{whole // size:,}{_BLANK}{unit}"
            return f"{first} {left}{_BLANK}{smaller}" if left else first
    raise AssertionError


def age(then: datetime | None, now: datetime) -> str:
    """``3 h 5 min ago``; ``just now`` for less than a minute, or a time that is not yet; a dash for None."""
    if then is None:
        return "–"
    passed = now - then
    return "just now" if passed < timedelta(minutes=1) else f"{span(passed.total_seconds() // 60 * 60)} ago"


def top(counts: Mapping[str, int], most: int) -> tuple[list[tuple[str, int]], int, int]:
    """The largest counts in order, by name where they are equal; then how many others there are, and their sum."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    others = ordered[most:]
    return ordered[:most], len(others), sum(number for _, number in others)


def listed(names: Sequence[str]) -> str:
    """``contacts, tags and teams``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
