"""How a lake grew: rows of each month, and rows that are new or have changed of each day. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final

from intercom.report.blocks import Figure, Numbers, Panel, Section, count, day
from intercom.report.facts import LakeFacts, TableFacts
from intercom.report.overview import last_day
from intercom.report.pictures import NARROW, bars_over_time
from intercom.report.tallies import month_start
from intercom.tables.table import Access

DAYS: Final = 90
_HEIGHT: Final = 118
_MOST_PANELS: Final = 9


def growth(facts: LakeFacts) -> Section:
    """Two figures, with a panel for each table whose rows have a time of creation."""
    tables = [
        one
        for one in facts.tables.values()
        if one.table.month_field is not None and one.table.access is not Access.DERIVED and one.scan.rows
    ]
    figures = [_months(tables), _days(facts, tables)] if tables else []
    notes = () if tables else ("No table with a created_at has rows: there is no growth to show.",)
    return Section("Growth", figures=tuple(one for one in figures if one is not None), notes=notes)


def _months(tables: Sequence[TableFacts]) -> Figure:
    by_table = {one.table.name: one.freshness.by_month for one in tables}
    months = _without_gaps(month for counts in by_table.values() for month in counts)
    panels = []
    for name, counts in list(by_table.items())[:_MOST_PANELS]:
        own = _without_gaps(counts)
        labels = [month_label(month) for month in own]
        bars = {"first": [counts[month] for month in own]}
        panels.append(
            Panel(name, bars_over_time(bars, labels, width=NARROW, height=_HEIGHT), value=count(counts.total()))
        )
    unknown = sorted({month for counts in by_table.values() for month in counts if month_start(month) is None})
    rows = [(month, *[count(counts[month]) for counts in by_table.values()]) for month in [*reversed(months), *unknown]]
    return Figure(
        "Rows by month",
        _more("By the month in which they were created.", len(by_table)),
        tuple(panels),
        Numbers(("month", *by_table), tuple(rows)),
        broad=True,
    )


def _days(facts: LakeFacts, tables: Sequence[TableFacts]) -> Figure | None:
    last = last_day(facts)
    days = [last - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    by_table = {one.table.name: one.days for one in tables if one.days is not None}
    if not by_table:
        return None
    labels = [day_label(when) for when in days]
    panels: list[Panel] = []
    headings = ["day"]
    for name, counts in by_table.items():
        headings += [f"{name}, new", "changed"]
        if len(panels) < _MOST_PANELS:
            bars = {"first": [counts.new[when] for when in days], "second": [counts.changed[when] for when in days]}
            told = f"{count(sum(bars['first']))} new, {count(sum(bars['second']))} changed"
            panels.append(Panel(name, bars_over_time(bars, labels, width=NARROW, height=_HEIGHT), value=told))
    rows = [
        (str(when), *[count(some[when]) for counts in by_table.values() for some in (counts.new, counts.changed)])
        for when in reversed(days)
    ]
    return Figure(
        "New and changed rows by day",
        _more(
            f"The {DAYS} days to {day(last)}. Changed: older rows that were last changed on that day.",
            len(by_table),
        ),
        tuple(panels),
        Numbers(tuple(headings), tuple(rows)),
        legend=(("new", "first"), ("changed", "second")),
        broad=True,
    )


def month_label(month: str) -> str:
    """``Jan 2026``"""
    first = month_start(month)
    return month if first is None else f"{first:%b %Y}"


def day_label(of: date) -> str:
    """``3 Nov``"""
    return f"{of.day} {of:%b}"


def _without_gaps(months: Iterable[str]) -> list[str]:
    """All months from the first to the last of these."""
    known = sorted(first for first in map(month_start, months) if first is not None)
    if not known:
        return []
    first, last = known[0], known[-1]
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]


def _more(told: str, tables: int) -> str:
    more = tables - _MOST_PANELS
    return told if more <= 0 else f"{told} {more} more tables are in the numbers only."
