"""All numbers of a report, counted in one pass over each table of a lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from intercom.compaction.policy import waiting_rows
from intercom.errors import ConfigurationError, LakeError
from intercom.lake.contents import connections_in, no_table_of, tables_in
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.report.history import History, read_history
from intercom.report.reading import TableScan, Tally, scan, why_hidden
from intercom.report.tallies import Freshness, ListedTexts, Names, NewAndChanged, Values, WeeklyMedians
from intercom.sync.run_summary import recorded_table
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Table
from intercom.verify.lake_index import times_of
from intercom.verify.tables import table_in

FIRST_REPLY: Final = "statistics_time_to_admin_reply"
FIRST_CLOSE: Final = "statistics_time_to_first_close"


@dataclass(slots=True)
class TableFacts:
    """One table of the lake. `waiting` are staged rows that are not merged yet; they are not in any other number.

    `tallies` are by a name of this module's; a tally whose columns are protected is not there, and `hidden` says why.
    `protected` names the columns that the connection's rules protect.
    """

    table: Table
    scan: TableScan
    freshness: Freshness
    waiting: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    protected: tuple[str, ...] = ()
    days: NewAndChanged | None = None
    tallies: dict[str, Tally] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    recorded: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LakeFacts:
    """What a report tells of one connection in a lake. `tables` are in the order of the catalogue."""

    url: str
    connection: str
    now: datetime
    tables: Mapping[str, TableFacts]
    history: History


def connection_in(lake: Lake, name: str | None) -> str:
    """The connection that is asked for, or the only one that the lake has tables of. Else raises ConfigurationError."""
    if name is not None:
        if not tables_in(lake, name):
            raise no_table_of(lake, name)
        return name
    there = connections_in(lake)
    if not there:
        raise ConfigurationError(f"The lake {lake.url} has no table: nothing was synced. Check --lake.")
    if len(there) > 1:
        raise ConfigurationError(
            f"The lake {lake.url} has tables of several connections: {', '.join(there)}. Name one with --connection."
        )
    return there[0]


def read_facts(lake: Lake, connection: str, now: datetime) -> LakeFacts:
    """Read every table of the connection once, and the newest summaries. Raises LakeError when the storage refuses."""
    return LakeFacts(
        url=lake.url,
        connection=connection,
        now=now,
        tables={name: _table(table_in(lake, connection, name), TABLES[name]) for name in tables_in(lake, connection)},
        history=read_history(lake, connection),
    )


@dataclass(frozen=True, slots=True)
class _Count:
    """Something that is counted of one table: nothing if `needed` columns are protected, less if `further` ones are."""

    make: Callable[..., Tally]
    needed: tuple[str, ...]
    further: tuple[str, ...] = ()


_COUNTS: Final[Mapping[str, Mapping[str, _Count]]] = {
    "contacts": {
        "people": _Count(Values, (), ("location_country", "role")),
        "tags": _Count(ListedTexts, ("tag_ids",)),
    },
    "conversations": {
        "weeks": _Count(WeeklyMedians, ("created_at",), (FIRST_REPLY, FIRST_CLOSE)),
        "open": _Count(Values, ("open",), ("team_assignee_id",)),
        "tags": _Count(ListedTexts, ("tag_names",)),
    },
    "articles": {"states": _Count(Values, ("state",))},
    "tags": {"names": _Count(Names, ("id", "name"))},
    "teams": {"names": _Count(Names, ("id", "name"))},
}


def _table(lake_table: LakeTable, table: Table) -> TableFacts:
    try:
        state = lake_table.peek()
    except LakeError as error:  # of a later version
        return TableFacts(table, TableScan(failure=str(error)), Freshness(None))
    rules = None if state is None or state.columns is None else state.columns.rules
    created, changed = times_of(table)
    makers: dict[str, Callable[[], Tally]] = {"fresh": partial(Freshness, changed)}
    if created is not None and table.month_field is not None and table.access is not Access.DERIVED:
        makers["days"] = partial(NewAndChanged, created, changed)
    hidden: dict[str, str] = {}
    for name, count in _COUNTS.get(table.name, {}).items():
        for column in (*count.needed, *count.further):
            if (why := why_hidden(table, rules, column)) is not None:
                hidden[column] = why
        shown = [column for column in (*count.needed, *count.further) if column not in hidden]
        if shown and hidden.keys().isdisjoint(count.needed):
            makers[name] = partial(count.make, *shown)
    done, counted = scan(table, lake_table, lambda: [make() for make in makers.values()])
    for tally in counted:
        if isinstance(tally, WeeklyMedians):
            tally.finish()
    tallies = dict(zip(makers, counted, strict=True))
    fresh, days = tallies.pop("fresh"), tallies.pop("days", None)
    assert isinstance(fresh, Freshness)
    assert days is None or isinstance(days, NewAndChanged)
    return TableFacts(
        table=table,
        scan=done,
        freshness=fresh,
        waiting=0 if state is None else waiting_rows(state),
        rejected=lake_table.rejected_reasons(),
        protected=() if rules is None else tuple(f"{rule.name} ({rule.action})" for rule in rules.rules),
        days=days,
        tallies=tallies,
        hidden=hidden,
        recorded={} if state is None else recorded_table(table.name, state),
    )
