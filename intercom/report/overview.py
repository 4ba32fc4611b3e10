"""The top of a report: the tiles, and how fresh each table is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from intercom.report.blocks import Listing, Numbers, Section, Tile, age, count, day, listed, minute, span
from intercom.report.facts import FIRST_REPLY, LakeFacts, TableFacts
from intercom.report.history import time_in
from intercom.report.tallies import Values, WeeklyMedians
from intercom.report.trust import scope_of
from intercom.tables.catalogue import TABLES

_NEW_DAYS = 30
_ERROR_SHOWN = 300
"""Characters of an error that are shown; the summary of the run in the lake has all of it."""


def tiles(facts: LakeFacts) -> list[Tile]:
    """Eight numbers that say how the lake is; those of tables that are not there say so."""
    return [
        _rows(facts),
        _in_step(facts),
        _last_run(facts),
        _verified(facts),
        _open(facts),
        _first_reply(facts),
        _new_contacts(facts),
        _rejected(facts),
    ]


def freshness(facts: LakeFacts) -> Section:
    """Rows, newest change and last run of each table."""
    tables = list(facts.tables.values())
    marked, waiting = any(one.scan.marked for one in tables), any(one.waiting for one in tables)
    headings = ["table", "rows", "newest change", "up to date as of", "last run"]
    headings += ["deleted, marked"] * marked + ["not merged yet"] * waiting
    rows = []
    for one in tables:
        cells = [
            one.table.name,
            count(None if one.scan.failure else one.scan.rows),
            minute(one.freshness.newest_change),
            minute(synced_at(facts, one)),
            _ending(facts, one),
        ]
        rows.append((*cells, *[count(one.scan.marked)] * marked, *[count(one.waiting)] * waiting))
    notes = [f"{one.table.name}: {one.scan.failure}; its numbers are left out." for one in tables if one.scan.failure]
    notes += [f"{one.table.name}: {told}." for one in tables for told in one.scan.damaged]
    notes += _errors(facts)
    if waiting:
        notes.append("Staged rows that are not merged yet are in no other number of this page.")
    if hidden := [f"{one.table.name}: {', '.join(one.protected)}" for one in tables if one.protected]:
        notes.append(f"Columns that the connection's rules protect: {'; '.join(hidden)}.")
    if absent := [name for name in TABLES if name not in facts.tables]:
        notes.append(f"This lake does not have: {listed(absent)}.")
    told = 'The lake has everything that Intercom had at the time in "up to date as of". Times are in UTC.'
    return Section(
        "Tables",
        listings=(Listing("", told, Numbers(tuple(headings), tuple(rows), frozenset({0, 2, 3, 4}))),),
        notes=tuple(notes),
    )


def synced_at(facts: LakeFacts, table: TableFacts) -> datetime | None:
    """When a table last had all that Intercom had."""
    told = facts.history.tables.get(table.table.name, {}).get("synced_at")
    return time_in(told or table.recorded.get("synced_at"))


def _errors(facts: LakeFacts) -> list[str]:
    """Why tables have failed in their last run, a line for each reason."""
    failed: dict[str, list[str]] = {}
    for one in facts.tables.values():
        entry = _last_run_of(facts, one)
        if entry.get("last_status") == "failed" and (error := entry.get("last_error")):
            text = " ".join(str(error).split())
            shown = text if len(text) <= _ERROR_SHOWN else f"{text[:_ERROR_SHOWN].rstrip()}..."
            failed.setdefault(shown, []).append(one.table.name)
    return [f"Failed in the last run: {listed(names)}. {text}" for text, names in failed.items()]


def _last_run_of(facts: LakeFacts, table: TableFacts) -> Mapping[str, object]:
    return facts.history.tables.get(table.table.name) or table.recorded


def _ending(facts: LakeFacts, table: TableFacts) -> str:
    entry = _last_run_of(facts, table)
    ended = time_in(entry.get("last_run_at"))
    return "–" if ended is None else f"{minute(ended)} {entry.get('last_status') or ''}".rstrip()


def _rows(facts: LakeFacts) -> Tile:
    rows = sum(one.scan.rows for one in facts.tables.values())
    return Tile("Rows", count(rows), f"in {len(facts.tables)} tables")


def _in_step(facts: LakeFacts) -> Tile:
    times = [synced_at(facts, one) for one in facts.tables.values()]
    known = [time for time in times if time is not None]
    if not known:
        return Tile("Up to date as of", "–", "not known")
    oldest, missing = min(known), len(times) - len(known)
    told = minute(oldest) + (f"; {missing} tables not yet" if missing else ", the oldest table")
    return Tile("Up to date as of", age(oldest, facts.now), told)


def _last_run(facts: LakeFacts) -> Tile:
    if not facts.history.runs:
        return Tile("Last run", "–", "no summary of a run is in the lake")
    run = facts.history.runs[-1]
    told = f"{run.kind}, {age(run.ended_at, facts.now)}" + (f", took {span(run.seconds)}" if run.seconds else "")
    return Tile("Last run", run.state, told, "good" if run.state == "completed" else "bad")


def _verified(facts: LakeFacts) -> Tile:
    if not facts.history.verifications:
        return Tile("Verification", "–", "no result is in the lake")
    latest = facts.history.verifications[-1]
    found = len(latest.differences)
    value = f"{found:,} difference{'s' * (found > 1)}" if found else latest.result
    told = [age(latest.ended_at, facts.now), *([] if latest.asked_workspace is None else [scope_of(latest)])]
    mood = "good" if latest.proven else "plain"
    return Tile("Verification", value, ", ".join(told), mood if latest.ok else "bad")


def _open(facts: LakeFacts) -> Tile:
    tally = _tally(facts, "conversations", "open")
    if not isinstance(tally, Values):
        return Tile("Open conversations", "–", _why_not(facts, "conversations"))
    place = tally.columns.index("open")
    total = sum(number for values, number in tally.counts.items() if values[place] is True)
    return Tile("Open conversations", count(total), f"of {count(facts.tables['conversations'].scan.rows)}")


def _first_reply(facts: LakeFacts) -> Tile:
    tally = _tally(facts, "conversations", "weeks")
    medians = tally.medians.get(FIRST_REPLY, {}) if isinstance(tally, WeeklyMedians) else {}
    if not medians:
        return Tile("First reply, median", "–", _why_not(facts, "conversations"))
    # The last whole week: of one that goes on, only the fast replies are known.
    whole = [week for week in medians if week + timedelta(days=7) <= facts.now.date()]
    week = max(whole or medians)
    return Tile("First reply, median", span(medians[week]), f"begun in the week from {day(week)}")


def _new_contacts(facts: LakeFacts) -> Tile:
    title = f"New contacts, {_NEW_DAYS} days"
    contacts = facts.tables.get("contacts")
    if contacts is None or contacts.days is None:
        return Tile(title, "–", _why_not(facts, "contacts"))
    days = contacts.days.new
    last = last_day(facts)
    total = sum(days[last - timedelta(days=back)] for back in range(_NEW_DAYS))
    return Tile(title, count(total), f"to {day(last)}")


def _rejected(facts: LakeFacts) -> Tile:
    total = sum(one.rejected.total() for one in facts.tables.values())
    return Tile("Rejected records", count(total), "kept in the lake as sent" if total else "all became rows")


def last_day(facts: LakeFacts) -> date:
    """The last day on which a row was created or changed, but none that is yet to come."""
    today = facts.now.date()
    tallies = [one.days for one in facts.tables.values() if one.days is not None]
    known = {when for tally in tallies for some in (tally.new, tally.changed) for when in some}
    return max((when for when in known if when <= today), default=today)


def _tally(facts: LakeFacts, table: str, name: str) -> object:
    found = facts.tables.get(table)
    return None if found is None or found.scan.failure else found.tallies.get(name)


def _why_not(facts: LakeFacts, table: str) -> str:
    found = facts.tables.get(table)
    if found is None:
        return f"{table} are not in this lake"
    return "could not be read" if found.scan.failure else "no value" if not found.hidden else "protected"
