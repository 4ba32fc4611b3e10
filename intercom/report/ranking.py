"""Bars by name with their numbers: the largest ones, the others as one line. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from intercom.report.blocks import Figure, Numbers, Panel, count
from intercom.report.pictures import NARROW, WIDE, bars_by_name

MOST_NAMES: Final = 15
"""Names that have a bar."""


def ranking(
    title: str,
    told: str,
    heading: str,
    names: Sequence[str],
    series: Mapping[str, Sequence[int]],
    others: int,
    in_others: int,
    legend: tuple[tuple[str, str], ...] = (),
) -> Figure:
    """Bars by name in the given order; `others` are the names that have no bar, `in_others` their sum."""
    kinds = [kind for kind, _ in legend]
    headings = (heading, *kinds, "together") if len(kinds) > 1 else (heading, "count")
    rows = []
    for place, name in enumerate(names):
        parts = [values[place] for values in series.values()]
        rows.append((name, *[count(one) for one in (parts if len(kinds) > 1 else [])], count(sum(parts))))
    if others:
        rows.append((f"{others:,} others", *[""] * (len(headings) - 2), count(in_others)))
        told += f" The {len(names)} largest of {len(names) + others:,}."
    panel = Panel("", bars_by_name(names, series, width=NARROW), bars_by_name(names, series, width=WIDE))
    return Figure(title, told, (panel,) if names else (), Numbers(headings, tuple(rows)), legend=legend)
