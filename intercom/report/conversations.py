"""Conversations of a lake: how many, how fast they were answered, and who has the open ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from intercom.report.blocks import Figure, Numbers, Panel, Section, count, day, distinct, span, top
from intercom.report.facts import FIRST_CLOSE, FIRST_REPLY, LakeFacts, TableFacts
from intercom.report.growth import day_label
from intercom.report.pictures import NARROW, WIDE, bars_over_time, line_over_time
from intercom.report.ranking import MOST_NAMES, ranking
from intercom.report.tallies import Names, Values, WeeklyMedians

WEEKS: Final = 104
_HEIGHT: Final = 190
_UNITS: Final = ((86_400 * 3, 86_400, "days"), (3600 * 2, 3600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))
"""From which greatest value on a unit is used, its seconds, its name."""


def conversations(facts: LakeFacts) -> Section:
    """Volume by week, open ones by team, medians by week."""
    table = facts.tables.get("conversations")
    if table is None or table.scan.failure:
        why = "not in this lake" if table is None else "not readable"
        told = f"conversations: {why}. Volume, times to reply and to close, and open conversations are left out."
        return Section("Conversations", notes=(told,))
    weeks = table.tallies.get("weeks")
    figures: list[Figure] = []
    notes = [
        f"{_LEFT_OUT[column]}: left out, since {why}." for column, why in table.hidden.items() if column in _LEFT_OUT
    ]
    if isinstance(weeks, WeeklyMedians) and weeks.rows:
        shown = _last_weeks(weeks, facts.now.date())
        figures += [_volume(weeks, shown), *_open_by_team(facts, table)]
        figures += [_medians(weeks, column, shown) for column in weeks.medians]
    return Section("Conversations", figures=tuple(figures), notes=tuple(notes))


_LEFT_OUT: Final[Mapping[str, str]] = {
    "created_at": "Volume and times by week",
    FIRST_REPLY: "Time to the first reply",
    FIRST_CLOSE: "Time to the first close",
    "open": "Open conversations",
    "team_assignee_id": "Open conversations by team",
}


def _last_weeks(weeks: WeeklyMedians, today: date) -> list[date]:
    """At most `WEEKS` Mondays to the last week that has a conversation, and that is not yet to come."""
    known = [week for week in weeks.rows if week <= today] or list(weeks.rows)
    last = max(known)
    first = max(min(known), last - timedelta(weeks=WEEKS - 1))
    return [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)]


def _week_labels(weeks: Sequence[date]) -> list[str]:
    return [f"{week:%b %Y}" if len(weeks) > 53 else day_label(week) for week in weeks]


def _volume(weeks: WeeklyMedians, shown: Sequence[date]) -> Figure:
    values, labels = {"first": [weeks.rows[week] for week in shown]}, _week_labels(shown)
    return Figure(
        "Conversations by week",
        f"By the week, from Monday, in which they began; {len(shown)} weeks to that from {day(shown[-1])}.",
        (
            Panel(
                "",
                bars_over_time(values, labels, width=NARROW, height=_HEIGHT),
                bars_over_time(values, labels, width=WIDE, height=_HEIGHT),
            ),
        ),
        Numbers(
            ("week from", "conversations"), tuple((str(week), count(weeks.rows[week])) for week in reversed(shown))
        ),
    )


def _medians(weeks: WeeklyMedians, column: str, shown: Sequence[date]) -> Figure:
    of_week, counts = weeks.medians[column], weeks.counts[column]
    greatest = max((of_week[week] for week in shown if week in of_week), default=0.0)
    size, unit = next((size, unit) for least, size, unit in _UNITS if greatest >= least)
    values = [of_week[week] / size if week in of_week else None for week in shown]
    labels = _week_labels(shown)
    what = "reply" if column == FIRST_REPLY else "close"
    return Figure(
        f"Time to the first {what}, in {unit}",
        f"Median of the conversations that began in a week and have a first {what}, as Intercom counts it.",
        (
            Panel(
                "",
                line_over_time(values, labels, width=NARROW, height=_HEIGHT),
                line_over_time(values, labels, width=WIDE, height=_HEIGHT),
            ),
        ),
        Numbers(
            ("week from", "median", "seconds", "conversations"),
            tuple(
                (str(week), span(of_week.get(week)), _seconds(of_week.get(week)), count(counts.get(week, 0)))
                for week in reversed(shown)
            ),
        ),
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.15g}"


def _open_by_team(facts: LakeFacts, table: TableFacts) -> list[Figure]:
    tally = table.tallies.get("open")
    if not isinstance(tally, Values) or "team_assignee_id" not in tally.columns:
        return []
    teams: Counter[str] = Counter()
    for values, number in tally.counts.items():
        of = dict(zip(tally.columns, values, strict=True))
        if of["open"] is True:
            team = of["team_assignee_id"]
            teams["" if team in (None, "", "0") else str(team)] += number
    names = names_of(facts, "teams")
    ordered, others, in_others = top(teams, MOST_NAMES)
    shown = distinct(_team(key, names) for key, _ in ordered)
    told = "Conversations that are open now."
    if names is None:
        told += " The names of teams are not in this lake, so their ids are shown."
    return [
        ranking(
            "Open conversations by team", told, "team", shown, {"first": [n for _, n in ordered]}, others, in_others
        )
    ]


def _team(key: str, names: Mapping[str, str] | None) -> str:
    return "No team" if not key else (names or {}).get(key, f"Team {key}")


def names_of(facts: LakeFacts, table: str) -> Mapping[str, str] | None:
    """Id -> name of tags or teams; None if the lake does not have them, or as hashes only."""
    found = facts.tables.get(table)
    tally = None if found is None or found.scan.failure else found.tallies.get("names")
    return tally.by_id if isinstance(tally, Names) else None
